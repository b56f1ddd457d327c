// kafka-go: segmentio's client, a hand-written subset of the protocol at older versions.
package main

import (
	"context"
	"errors"
	"io"
	"time"

	kafkago "github.com/segmentio/kafka-go"
)

var kafkaGoCodecs = map[string]kafkago.Compression{
	"none": 0, "gzip": kafkago.Gzip, "snappy": kafkago.Snappy, "lz4": kafkago.Lz4, "zstd": kafkago.Zstd,
}

// kafkaGoBalancer keeps a partition that the message names (in WriterData) and hashes the key as Java does otherwise.
type kafkaGoBalancer struct{ hashed kafkago.Murmur2Balancer }

func (b kafkaGoBalancer) Balance(message kafkago.Message, partitions ...int) int {
	if partition, ok := message.WriterData.(int); ok {
		return partition
	}
	return b.hashed.Balance(message, partitions...)
}

func kafkaGoOperations(brokers []string) map[string]operation {
	client := &kafkago.Client{Addr: kafkago.TCP(brokers...), Timeout: 20 * time.Second}
	return map[string]operation{
		"describe": describe("kafka-go", "0.4.51", "murmur2", "noIdempotence", "emptyReadAsNull"),
		"create": func(ctx context.Context, c *command) (answer, error) {
			configs := []kafkago.ConfigEntry{}
			for name, value := range c.Configs {
				configs = append(configs, kafkago.ConfigEntry{ConfigName: name, ConfigValue: value})
			}
			made, err := client.CreateTopics(ctx, &kafkago.CreateTopicsRequest{Topics: []kafkago.TopicConfig{{
				Topic: c.Topic, NumPartitions: int(c.partitionCount()), ReplicationFactor: 1, ConfigEntries: configs,
			}}})
			if err != nil {
				return nil, err
			}
			return nil, made.Errors[c.Topic]
		},
		"remove": func(ctx context.Context, c *command) (answer, error) {
			gone, err := client.DeleteTopics(ctx, &kafkago.DeleteTopicsRequest{Topics: []string{c.Topic}})
			if err != nil {
				return nil, err
			}
			return nil, gone.Errors[c.Topic]
		},
		"produce": func(ctx context.Context, c *command) (answer, error) {
			writer := &kafkago.Writer{
				Addr: kafkago.TCP(brokers...), Topic: c.Topic, Balancer: kafkaGoBalancer{}, RequiredAcks: kafkago.RequireAll,
				Compression: kafkaGoCodecs[c.Codec], BatchTimeout: 20 * time.Millisecond, BatchBytes: 1 << 20,
			}
			defer writer.Close()
			messages := make([]kafkago.Message, len(c.Records))
			for at, one := range c.Records {
				messages[at] = kafkago.Message{Key: data(one.Key), Value: data(one.Value), Time: time.UnixMilli(one.Timestamp)}
				if one.Partition != nil {
					messages[at].WriterData = int(*one.Partition)
				}
				for _, header := range one.Headers {
					messages[at].Headers = append(messages[at].Headers, kafkago.Header{Key: *header[0], Value: data(header[1])})
				}
			}
			return nil, writer.WriteMessages(ctx, messages...)
		},
		"consume": func(ctx context.Context, c *command) (answer, error) {
			reader := kafkago.NewReader(kafkago.ReaderConfig{
				Brokers: brokers, GroupID: c.Group, Topic: c.Topic, StartOffset: kafkago.FirstOffset,
				MaxWait: 200 * time.Millisecond, SessionTimeout: 10 * time.Second,
			})
			defer reader.Close()
			ctx, cancel := context.WithTimeout(ctx, c.timeout())
			defer cancel()
			records := []record{}
			last := map[int]kafkago.Message{}
			for len(records) < c.Count {
				got, err := reader.FetchMessage(ctx)
				if errors.Is(err, context.DeadlineExceeded) {
					err = tooFew(len(records), c.Count, c.timeout())
				}
				if err != nil {
					return nil, err
				}
				last[got.Partition] = got
				records = append(records, kafkaGoRecord(got))
			}
			if c.commits() {
				messages := []kafkago.Message{}
				for _, message := range last {
					messages = append(messages, message)
				}
				if err := reader.CommitMessages(ctx, messages...); err != nil {
					return nil, err
				}
			}
			return answer{"records": records}, nil
		},
		"assign": func(ctx context.Context, c *command) (answer, error) { return kafkaGoAssign(ctx, brokers, c) },
		"committed": func(ctx context.Context, c *command) (answer, error) {
			wanted := []int{}
			for _, partition := range c.partitionList() {
				wanted = append(wanted, int(partition))
			}
			found, err := client.OffsetFetch(ctx, &kafkago.OffsetFetchRequest{
				GroupID: c.Group, Topics: map[string][]int{c.Topic: wanted},
			})
			if err != nil {
				return nil, err
			}
			if found.Error != nil {
				return nil, found.Error
			}
			offsets := map[int]int64{}
			for _, one := range found.Topics[c.Topic] {
				if one.Error != nil {
					return nil, one.Error
				}
				offsets[one.Partition] = one.CommittedOffset
			}
			return answer{"offsets": offsets}, nil
		},
		"watermarks": func(ctx context.Context, c *command) (answer, error) {
			wanted := []kafkago.OffsetRequest{}
			for _, partition := range c.partitionList() {
				wanted = append(wanted, kafkago.FirstOffsetOf(int(partition)), kafkago.LastOffsetOf(int(partition)))
			}
			found, err := client.ListOffsets(ctx, &kafkago.ListOffsetsRequest{Topics: map[string][]kafkago.OffsetRequest{c.Topic: wanted}})
			if err != nil {
				return nil, err
			}
			out := []answer{}
			for _, one := range found.Topics[c.Topic] {
				if one.Error != nil {
					return nil, one.Error
				}
				out = append(out, answer{"partition": one.Partition, "low": one.FirstOffset, "high": one.LastOffset})
			}
			return answer{"partitions": out}, nil
		},
		"offsetsForTimes": func(ctx context.Context, c *command) (answer, error) {
			offsets := map[int32]int64{}
			for _, partition := range c.partitionList() {
				connection, err := kafkago.DialLeader(ctx, "tcp", brokers[0], c.Topic, int(partition))
				if err != nil {
					return nil, err
				}
				offset, err := connection.ReadOffset(time.UnixMilli(c.Timestamp))
				connection.Close()
				if err != nil {
					return nil, err
				}
				offsets[partition] = offset
			}
			return answer{"offsets": offsets}, nil
		},
	}
}

func kafkaGoRecord(got kafkago.Message) record {
	partition := int32(got.Partition)
	headers := [][2]*string{}
	for _, header := range got.Headers {
		headers = append(headers, [2]*string{&header.Key, text(header.Value)})
	}
	return record{
		Partition: &partition, Offset: got.Offset, Timestamp: got.Time.UnixMilli(),
		Key: text(got.Key), Value: text(got.Value), Headers: headers,
	}
}

func kafkaGoAssign(ctx context.Context, brokers []string, c *command) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout())
	defer cancel()
	out := make(chan kafkago.Message)
	failed := make(chan error, len(c.partitionList()))
	for _, partition := range c.partitionList() {
		reader := kafkago.NewReader(kafkago.ReaderConfig{
			Brokers: brokers, Topic: c.Topic, Partition: int(partition), MaxWait: 200 * time.Millisecond,
		})
		defer reader.Close()
		go func() {
			for {
				got, err := reader.ReadMessage(ctx)
				if err != nil {
					if ctx.Err() == nil && !errors.Is(err, io.EOF) {
						failed <- err
					}
					return
				}
				select {
				case out <- got:
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
			records = append(records, kafkaGoRecord(got))
		case err := <-failed:
			return nil, err
		case <-ctx.Done():
			return nil, tooFew(len(records), c.Count, c.timeout())
		}
	}
	cancel()
	return answer{"records": records}, nil
}
