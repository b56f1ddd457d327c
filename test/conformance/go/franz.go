// franz-go: the Go client that speaks every current protocol feature.
package main

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

var franzCodecs = map[string]kgo.CompressionCodec{
	"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
	"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
}

// franzPartitioner keeps a partition that the record names and hashes its key otherwise.
func franzPartitioner() kgo.Partitioner {
	hashed := kgo.StickyKeyPartitioner(nil)
	return kgo.BasicConsistentPartitioner(func(topic string) func(*kgo.Record, int) int {
		byKey := hashed.ForTopic(topic)
		return func(r *kgo.Record, count int) int {
			if r.Partition >= 0 {
				return int(r.Partition)
			}
			return byKey.Partition(r, count)
		}
	})
}

func franzOperations(brokers []string) map[string]operation {
	base := []kgo.Opt{kgo.SeedBrokers(brokers...)}
	with := func(work func(context.Context, *kgo.Client, *command) (answer, error), more func(*command) []kgo.Opt) operation {
		return func(ctx context.Context, c *command) (answer, error) {
			opts := base
			if more != nil {
				opts = append(append([]kgo.Opt{}, base...), more(c)...)
			}
			client, err := kgo.NewClient(opts...)
			if err != nil {
				return nil, err
			}
			defer client.Close()
			return work(ctx, client, c)
		}
	}
	return map[string]operation{
		"describe": describe("franz-go", "1.22.2", "murmur2"),
		"create": with(func(ctx context.Context, client *kgo.Client, c *command) (answer, error) {
			configs := map[string]*string{}
			for name, value := range c.Configs {
				configs[name] = &value
			}
			made, err := kadm.NewClient(client).CreateTopics(ctx, c.partitionCount(), 1, configs, c.Topic)
			if err != nil {
				return nil, err
			}
			return nil, made[c.Topic].Err
		}, nil),
		"remove": with(func(ctx context.Context, client *kgo.Client, c *command) (answer, error) {
			_, err := kadm.NewClient(client).DeleteTopics(ctx, c.Topic)
			return nil, err
		}, nil),
		"produce": with(franzProduce, func(c *command) []kgo.Opt {
			opts := []kgo.Opt{
				kgo.ProducerBatchCompression(franzCodecs[c.Codec]), kgo.RecordPartitioner(franzPartitioner()),
				kgo.ProducerLinger(20 * time.Millisecond),
			}
			if !c.Idempotent {
				opts = append(opts, kgo.DisableIdempotentWrite())
			}
			return opts
		}),
		"consume": with(func(ctx context.Context, client *kgo.Client, c *command) (answer, error) {
			records, err := franzPoll(ctx, client, c)
			if err != nil || !c.commits() {
				return answer{"records": records}, err
			}
			offsets := map[string]map[int32]kgo.EpochOffset{c.Topic: {}}
			for partition, offset := range nextOffsets(records) {
				offsets[c.Topic][partition] = kgo.EpochOffset{Epoch: -1, Offset: offset}
			}
			var failure error
			client.CommitOffsetsSync(ctx, offsets, func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, response *kmsg.OffsetCommitResponse, err error) {
				failure = err
				if err != nil {
					return
				}
				for _, topic := range response.Topics {
					for _, partition := range topic.Partitions {
						if err := kerr.ErrorForCode(partition.ErrorCode); err != nil {
							failure = err
						}
					}
				}
			})
			client.LeaveGroup()
			return answer{"records": records}, failure
		}, func(c *command) []kgo.Opt {
			return []kgo.Opt{
				kgo.ConsumerGroup(c.Group), kgo.ConsumeTopics(c.Topic), kgo.DisableAutoCommit(),
				kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.SessionTimeout(10 * time.Second),
				kgo.FetchMaxWait(200 * time.Millisecond),
			}
		}),
		"assign": with(func(ctx context.Context, client *kgo.Client, c *command) (answer, error) {
			records, err := franzPoll(ctx, client, c)
			return answer{"records": records}, err
		}, func(c *command) []kgo.Opt {
			partitions := map[int32]kgo.Offset{}
			for _, partition := range c.partitionList() {
				partitions[partition] = kgo.NewOffset().At(0)
			}
			return []kgo.Opt{
				kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{c.Topic: partitions}),
				kgo.FetchMaxWait(200 * time.Millisecond),
			}
		}),
		"committed": with(func(ctx context.Context, client *kgo.Client, c *command) (answer, error) {
			found, err := kadm.NewClient(client).FetchOffsets(ctx, c.Group)
			if err != nil {
				return nil, err
			}
			offsets := map[int32]int64{}
			for _, partition := range c.partitionList() {
				offsets[partition] = -1
				if one, ok := found.Lookup(c.Topic, partition); ok {
					offsets[partition] = one.At
				}
			}
			return answer{"offsets": offsets}, nil
		}, nil),
		"watermarks": with(func(ctx context.Context, client *kgo.Client, c *command) (answer, error) {
			admin := kadm.NewClient(client)
			low, err := admin.ListStartOffsets(ctx, c.Topic)
			if err != nil {
				return nil, err
			}
			high, err := admin.ListEndOffsets(ctx, c.Topic)
			if err != nil {
				return nil, err
			}
			out := []answer{}
			for _, partition := range c.partitionList() {
				out = append(out, answer{
					"partition": partition, "low": low[c.Topic][partition].Offset, "high": high[c.Topic][partition].Offset,
				})
			}
			return answer{"partitions": out}, nil
		}, nil),
		"offsetsForTimes": with(func(ctx context.Context, client *kgo.Client, c *command) (answer, error) {
			found, err := kadm.NewClient(client).ListOffsetsAfterMilli(ctx, c.Timestamp, c.Topic)
			if err != nil {
				return nil, err
			}
			offsets := map[int32]int64{}
			for partition, one := range found[c.Topic] {
				offsets[partition] = one.Offset
			}
			return answer{"offsets": offsets, "endInsteadOfNone": true}, nil
		}, nil),
	}
}

func franzProduce(ctx context.Context, client *kgo.Client, c *command) (answer, error) {
	records := make([]*kgo.Record, len(c.Records))
	for at, one := range c.Records {
		made := &kgo.Record{
			Topic: c.Topic, Partition: -1, Key: data(one.Key), Value: data(one.Value), Timestamp: time.UnixMilli(one.Timestamp),
		}
		if one.Partition != nil {
			made.Partition = *one.Partition
		}
		for _, header := range one.Headers {
			made.Headers = append(made.Headers, kgo.RecordHeader{Key: *header[0], Value: data(header[1])})
		}
		records[at] = made
	}
	placed := make([][2]int64, len(records))
	results := client.ProduceSync(ctx, records...)
	if err := results.FirstErr(); err != nil {
		return nil, err
	}
	for at, made := range records {
		placed[at] = [2]int64{int64(made.Partition), made.Offset}
	}
	return answer{"placed": placed}, nil
}

func franzPoll(ctx context.Context, client *kgo.Client, c *command) ([]record, error) {
	records := []record{}
	ctx, cancel := context.WithTimeout(ctx, c.timeout())
	defer cancel()
	for len(records) < c.Count {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			return records, tooFew(len(records), c.Count, c.timeout())
		}
		if errs := fetches.Errors(); len(errs) > 0 {
			return records, errs[0].Err
		}
		fetches.EachRecord(func(got *kgo.Record) {
			if len(records) == c.Count {
				return
			}
			headers := [][2]*string{}
			for _, header := range got.Headers {
				headers = append(headers, [2]*string{&header.Key, text(header.Value)})
			}
			records = append(records, record{
				Partition: &got.Partition, Offset: got.Offset, Timestamp: got.Timestamp.UnixMilli(),
				Key: text(got.Key), Value: text(got.Value), Headers: headers,
			})
		})
	}
	return records, nil
}
