// sarama: IBM's Go client, with its own hash (FNV-1a) unless told otherwise and its own way of versioning requests.
package main

import (
	"context"
	"errors"
	"time"

	"github.com/IBM/sarama"
)

var saramaCodecs = map[string]sarama.CompressionCodec{
	"none": sarama.CompressionNone, "gzip": sarama.CompressionGZIP, "snappy": sarama.CompressionSnappy,
	"lz4": sarama.CompressionLZ4, "zstd": sarama.CompressionZSTD,
}

func saramaConfig() *sarama.Config {
	config := sarama.NewConfig()
	config.Version = sarama.MaxVersion
	config.Producer.Return.Successes = true
	config.Producer.RequiredAcks = sarama.WaitForAll
	config.Producer.Partitioner = saramaPartitioner
	config.Consumer.Offsets.Initial = sarama.OffsetOldest
	config.Consumer.Offsets.AutoCommit.Enable = false
	config.Consumer.Return.Errors = true
	return config
}

// saramaPlaced keeps a partition that the message names (by its metadata) and hashes the key otherwise.
type saramaPlaced struct{ hashed sarama.Partitioner }

func saramaPartitioner(topic string) sarama.Partitioner {
	return saramaPlaced{sarama.NewHashPartitioner(topic)}
}

func (p saramaPlaced) Partition(message *sarama.ProducerMessage, count int32) (int32, error) {
	if partition, ok := message.Metadata.(int32); ok {
		return partition, nil
	}
	return p.hashed.Partition(message, count)
}

func (saramaPlaced) RequiresConsistency() bool { return true }

func saramaOperations(brokers []string) map[string]operation {
	withAdmin := func(work func(sarama.ClusterAdmin, *command) (answer, error)) operation {
		return func(_ context.Context, c *command) (answer, error) {
			admin, err := sarama.NewClusterAdmin(brokers, saramaConfig())
			if err != nil {
				return nil, err
			}
			defer admin.Close()
			return work(admin, c)
		}
	}
	withClient := func(work func(context.Context, sarama.Client, *command) (answer, error)) operation {
		return func(ctx context.Context, c *command) (answer, error) {
			client, err := sarama.NewClient(brokers, saramaConfig())
			if err != nil {
				return nil, err
			}
			defer client.Close()
			return work(ctx, client, c)
		}
	}
	return map[string]operation{
		"describe": describe("sarama", "1.61.1", ""),
		"create": withAdmin(func(admin sarama.ClusterAdmin, c *command) (answer, error) {
			configs := map[string]*string{}
			for name, value := range c.Configs {
				configs[name] = &value
			}
			detail := &sarama.TopicDetail{NumPartitions: c.partitionCount(), ReplicationFactor: 1, ConfigEntries: configs}
			return nil, admin.CreateTopic(c.Topic, detail, false)
		}),
		"remove": withAdmin(func(admin sarama.ClusterAdmin, c *command) (answer, error) {
			return nil, admin.DeleteTopic(c.Topic)
		}),
		"produce": func(_ context.Context, c *command) (answer, error) { return saramaProduce(brokers, c) },
		"consume": func(ctx context.Context, c *command) (answer, error) { return saramaConsume(ctx, brokers, c) },
		"assign":  withClient(saramaAssign),
		"committed": withAdmin(func(admin sarama.ClusterAdmin, c *command) (answer, error) {
			found, err := admin.ListConsumerGroupOffsets(c.Group, map[string][]int32{c.Topic: c.partitionList()})
			if err != nil {
				return nil, err
			}
			offsets := map[int32]int64{}
			for _, partition := range c.partitionList() {
				block := found.GetBlock(c.Topic, partition)
				if block == nil {
					offsets[partition] = -1
				} else {
					offsets[partition] = block.Offset
				}
			}
			return answer{"offsets": offsets}, nil
		}),
		"watermarks": withClient(func(_ context.Context, client sarama.Client, c *command) (answer, error) {
			out := []answer{}
			for _, partition := range c.partitionList() {
				low, err := client.GetOffset(c.Topic, partition, sarama.OffsetOldest)
				if err != nil {
					return nil, err
				}
				high, err := client.GetOffset(c.Topic, partition, sarama.OffsetNewest)
				if err != nil {
					return nil, err
				}
				out = append(out, answer{"partition": partition, "low": low, "high": high})
			}
			return answer{"partitions": out}, nil
		}),
		"offsetsForTimes": withClient(func(_ context.Context, client sarama.Client, c *command) (answer, error) {
			offsets := map[int32]int64{}
			for _, partition := range c.partitionList() {
				offset, err := client.GetOffset(c.Topic, partition, c.Timestamp)
				if err != nil {
					return nil, err
				}
				offsets[partition] = offset
			}
			return answer{"offsets": offsets}, nil
		}),
	}
}

func saramaProduce(brokers []string, c *command) (answer, error) {
	config := saramaConfig()
	config.Producer.Compression = saramaCodecs[c.Codec]
	config.Producer.Flush.Frequency = 20 * time.Millisecond
	if c.Idempotent {
		config.Producer.Idempotent = true
		config.Net.MaxOpenRequests = 1
	}
	producer, err := sarama.NewSyncProducer(brokers, config)
	if err != nil {
		return nil, err
	}
	defer producer.Close()
	messages := make([]*sarama.ProducerMessage, len(c.Records))
	for at, one := range c.Records {
		made := &sarama.ProducerMessage{Topic: c.Topic, Timestamp: time.UnixMilli(one.Timestamp)}
		if one.Key != nil {
			made.Key = sarama.ByteEncoder(data(one.Key))
		}
		if one.Value != nil {
			made.Value = sarama.ByteEncoder(data(one.Value))
		}
		if one.Partition != nil {
			made.Metadata = *one.Partition
		}
		for _, header := range one.Headers {
			made.Headers = append(made.Headers, sarama.RecordHeader{Key: []byte(*header[0]), Value: data(header[1])})
		}
		messages[at] = made
	}
	if err := producer.SendMessages(messages); err != nil {
		var failures sarama.ProducerErrors
		if errors.As(err, &failures) && len(failures) > 0 {
			return nil, failures[0].Err
		}
		return nil, err
	}
	placed := make([][2]int64, len(messages))
	for at, made := range messages {
		placed[at] = [2]int64{int64(made.Partition), made.Offset}
	}
	return answer{"placed": placed}, nil
}

func saramaRecord(got *sarama.ConsumerMessage) record {
	headers := [][2]*string{}
	for _, header := range got.Headers {
		name := string(header.Key)
		headers = append(headers, [2]*string{&name, text(header.Value)})
	}
	return record{
		Partition: &got.Partition, Offset: got.Offset, Timestamp: got.Timestamp.UnixMilli(),
		Key: text(got.Key), Value: text(got.Value), Headers: headers,
	}
}

// saramaMember hands over what its claims deliver; one goroutine per claim, one collector.
type saramaMember struct {
	out      chan *sarama.ConsumerMessage
	sessions chan sarama.ConsumerGroupSession
}

func (m saramaMember) Setup(session sarama.ConsumerGroupSession) error {
	m.sessions <- session
	return nil
}
func (saramaMember) Cleanup(sarama.ConsumerGroupSession) error { return nil }
func (m saramaMember) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for {
		select {
		case message, open := <-claim.Messages():
			if !open {
				return nil
			}
			select {
			case m.out <- message:
			case <-session.Context().Done():
				return nil
			}
		case <-session.Context().Done():
			return nil
		}
	}
}

func saramaConsume(ctx context.Context, brokers []string, c *command) (answer, error) {
	config := saramaConfig()
	config.Consumer.Group.Session.Timeout = 10 * time.Second
	group, err := sarama.NewConsumerGroup(brokers, c.Group, config)
	if err != nil {
		return nil, err
	}
	defer group.Close()
	ctx, cancel := context.WithTimeout(ctx, c.timeout())
	defer cancel()
	member := saramaMember{make(chan *sarama.ConsumerMessage), make(chan sarama.ConsumerGroupSession, 16)}
	ended := make(chan error, 1)
	go func() {
		for ctx.Err() == nil {
			if err := group.Consume(ctx, []string{c.Topic}, member); err != nil {
				ended <- err
				return
			}
		}
		ended <- nil
	}()
	records := []record{}
	var session sarama.ConsumerGroupSession
	for len(records) < c.Count {
		select {
		case session = <-member.sessions:
		case got := <-member.out:
			records = append(records, saramaRecord(got))
		case err := <-group.Errors():
			return nil, err
		case err := <-ended:
			if err == nil {
				err = tooFew(len(records), c.Count, c.timeout())
			}
			return nil, err
		case <-ctx.Done():
			return nil, tooFew(len(records), c.Count, c.timeout())
		}
	}
	if c.commits() {
		for partition, offset := range nextOffsets(records) {
			session.MarkOffset(c.Topic, partition, offset, "")
		}
		session.Commit()
	}
	cancel()
	<-ended
	return answer{"records": records}, nil
}

func saramaAssign(ctx context.Context, client sarama.Client, c *command) (answer, error) {
	consumer, err := sarama.NewConsumerFromClient(client)
	if err != nil {
		return nil, err
	}
	defer consumer.Close()
	ctx, cancel := context.WithTimeout(ctx, c.timeout())
	defer cancel()
	out := make(chan *sarama.ConsumerMessage)
	for _, partition := range c.partitionList() {
		claim, err := consumer.ConsumePartition(c.Topic, partition, sarama.OffsetOldest)
		if err != nil {
			return nil, err
		}
		defer claim.Close()
		go func() {
			for message := range claim.Messages() {
				select {
				case out <- message:
				case <-ctx.Done():
					return
				}
			}
		}()
	}
	records := []record{}
	for len(records) < c.Count {
		select {
		case got := <-out:
			records = append(records, saramaRecord(got))
		case <-ctx.Done():
			return nil, tooFew(len(records), c.Count, c.timeout())
		}
	}
	return answer{"records": records}, nil
}
