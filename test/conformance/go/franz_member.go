package main

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// franzMember is a group member on franz-go: classic (range, eager), cooperative, or next-generation.
func franzMember(brokers []string, options *memberOptions) error {
	log := newMemberLog()
	with := func(event string) func(context.Context, *kgo.Client, map[string][]int32) {
		return func(_ context.Context, _ *kgo.Client, lost map[string][]int32) {
			log.say(event, answer{"partitions": pairs(lost)})
		}
	}
	opts := []kgo.Opt{
		kgo.SeedBrokers(brokers...), kgo.ConsumerGroup(options.Group), kgo.DisableAutoCommit(), kgo.BlockRebalanceOnPoll(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(100 * time.Millisecond),
		kgo.MetadataMinAge(100 * time.Millisecond), kgo.MetadataMaxAge(2 * time.Second),
		kgo.OnPartitionsAssigned(func(_ context.Context, client *kgo.Client, gained map[string][]int32) {
			member, generation := client.GroupMetadata()
			log.say("assigned", answer{"partitions": pairs(gained), "generation": generation, "memberId": member})
		}),
		kgo.OnPartitionsRevoked(with("revoked")), kgo.OnPartitionsLost(with("lost")),
	}
	if options.Pattern != "" {
		opts = append(opts, kgo.ConsumeRegex(), kgo.ConsumeTopics(options.Pattern))
	} else {
		opts = append(opts, kgo.ConsumeTopics(options.Topics...))
	}
	if options.InstanceID != "" {
		opts = append(opts, kgo.InstanceID(options.InstanceID))
	}
	switch options.Protocol {
	case "consumer":
		opts = append(opts, kgo.ServerSideBalancer())
	case "cooperative":
		opts = append(opts, kgo.Balancers(kgo.CooperativeStickyBalancer()))
	default:
		opts = append(opts, kgo.Balancers(kgo.RangeBalancer()))
	}
	if options.Protocol != "consumer" {
		opts = append(opts, kgo.SessionTimeout(options.sessionTimeout()), kgo.HeartbeatInterval(options.heartbeat()))
	}
	client, err := kgo.NewClient(opts...)
	if err != nil {
		return err
	}
	leaving := askedToLeave()
	for {
		select {
		case <-leaving:
			client.CloseAllowingRebalance()
			log.say("left", nil)
			return nil
		default:
		}
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		fetches := client.PollRecords(ctx, 500)
		cancel()
		fetches.EachError(func(topic string, partition int32, err error) {
			if err != context.DeadlineExceeded {
				log.failed("poll", err)
			}
		})
		_, generation := client.GroupMetadata()
		next := map[string]map[int32]kgo.EpochOffset{}
		fetches.EachPartition(func(read kgo.FetchTopicPartition) {
			if len(read.Records) == 0 {
				return
			}
			offsets := []int64{}
			for _, one := range read.Records {
				offsets = append(offsets, one.Offset)
			}
			log.say("read", answer{"topic": read.Topic, "partition": read.Partition, "offsets": offsets, "generation": generation})
			if next[read.Topic] == nil {
				next[read.Topic] = map[int32]kgo.EpochOffset{}
			}
			next[read.Topic][read.Partition] = kgo.EpochOffset{Epoch: -1, Offset: offsets[len(offsets)-1] + 1}
		})
		if len(next) > 0 {
			franzMemberCommit(client, log, next)
		}
		client.AllowRebalance()
	}
}

func franzMemberCommit(client *kgo.Client, log *memberLog, next map[string]map[int32]kgo.EpochOffset) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	client.CommitOffsetsSync(ctx, next, func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, response *kmsg.OffsetCommitResponse, err error) {
		if err != nil {
			log.failed("commit", err)
			return
		}
		acknowledged := [][3]any{}
		for _, topic := range response.Topics {
			for _, partition := range topic.Partitions {
				if err := kerr.ErrorForCode(partition.ErrorCode); err != nil {
					log.failed("commit", err)
				} else {
					acknowledged = append(acknowledged, [3]any{topic.Topic, partition.Partition, next[topic.Topic][partition.Partition].Offset})
				}
			}
		}
		if len(acknowledged) > 0 {
			log.say("committed", answer{"offsets": acknowledged})
		}
	})
}
