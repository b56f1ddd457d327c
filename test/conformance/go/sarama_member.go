package main

import (
	"context"
	"time"

	"github.com/IBM/sarama"
)

// saramaGroupMember is a group member on sarama. Its commits do not say whether they were accepted, so what it calls
// committed is what the coordinator answers afterwards.
type saramaGroupMember struct {
	log     *memberLog
	admin   sarama.ClusterAdmin
	options *memberOptions
}

func (m *saramaGroupMember) Setup(session sarama.ConsumerGroupSession) error {
	m.log.say("assigned", answer{
		"partitions": pairs(session.Claims()), "generation": session.GenerationID(), "memberId": session.MemberID(),
	})
	return nil
}

func (m *saramaGroupMember) Cleanup(session sarama.ConsumerGroupSession) error {
	m.log.say("revoked", answer{"partitions": pairs(session.Claims())})
	return nil
}

func (m *saramaGroupMember) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for {
		select {
		case <-session.Context().Done():
			return nil
		case first, open := <-claim.Messages():
			if !open {
				return nil
			}
			offsets := []int64{first.Offset}
			for more := true; more && len(offsets) < 200; {
				select {
				case message, open := <-claim.Messages():
					if open {
						offsets = append(offsets, message.Offset)
					}
					more = open
				default:
					more = false
				}
			}
			m.log.say("read", answer{
				"topic": claim.Topic(), "partition": claim.Partition(), "offsets": offsets, "generation": session.GenerationID(),
			})
			m.commit(session, claim, offsets[len(offsets)-1]+1)
		}
	}
}

func (m *saramaGroupMember) commit(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim, next int64) {
	session.MarkOffset(claim.Topic(), claim.Partition(), next, "")
	session.Commit()
	found, err := m.admin.ListConsumerGroupOffsets(m.options.Group, map[string][]int32{claim.Topic(): {claim.Partition()}})
	if err != nil {
		m.log.failed("commit", err)
		return
	}
	block := found.GetBlock(claim.Topic(), claim.Partition())
	if block == nil || block.Err != sarama.ErrNoError || block.Offset < next {
		return
	}
	m.log.say("committed", answer{"offsets": [][3]any{{claim.Topic(), claim.Partition(), next}}})
}

func saramaMemberMain(brokers []string, options *memberOptions) error {
	config := saramaConfig()
	config.Consumer.Group.Session.Timeout = options.sessionTimeout()
	config.Consumer.Group.Heartbeat.Interval = options.heartbeat()
	config.Consumer.Group.Rebalance.Timeout = 30 * time.Second
	config.Consumer.Group.Rebalance.Retry.Max = 50
	config.Consumer.Group.Rebalance.Retry.Backoff = 200 * time.Millisecond
	config.Consumer.Group.InstanceId = options.InstanceID
	config.Consumer.MaxWaitTime = 100 * time.Millisecond
	config.Metadata.Retry.Max = 50
	config.Metadata.Retry.Backoff = 200 * time.Millisecond
	config.Consumer.Retry.Backoff = 200 * time.Millisecond
	admin, err := sarama.NewClusterAdmin(brokers, config)
	if err != nil {
		return err
	}
	group, err := sarama.NewConsumerGroup(brokers, options.Group, config)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	leaving := askedToLeave()
	go func() {
		<-leaving
		cancel()
	}()
	member := &saramaGroupMember{newMemberLog(), admin, options}
	go func() {
		for err := range group.Errors() {
			member.log.failed("group", err)
		}
	}()
	for ctx.Err() == nil {
		if err := group.Consume(ctx, options.Topics, member); err != nil && ctx.Err() == nil {
			member.log.failed("consume", err)
			time.Sleep(200 * time.Millisecond)
		}
	}
	_ = group.Close()
	member.log.say("left", nil)
	return nil
}
