/**
 * Topics the broker creates for itself or on a client's behalf, as rows of a CreateTopics request.
 */
import type { BrokerConfig } from "#config/broker-config.ts";
import { makeCreatableTopic } from "#protocol/generated/create-topics.ts";
import type { CreatableTopic } from "#protocol/generated/create-topics.ts";

/** Name of the topic of committed offsets. */
export const OFFSETS_TOPIC = "__consumer_offsets";

/**
 * The topic to create when a client asks for one that does not exist.
 *
 * @param liveBrokerCount - the topic of committed offsets gets no more replicas than there are brokers.
 * @returns null for an internal topic that belongs to something not offered.
 */
export function automaticTopic(
  name: string,
  config: BrokerConfig,
  liveBrokerCount: number,
): CreatableTopic | null {
  if (name === "__transaction_state" || name === "__share_group_state") return null;
  if (name !== OFFSETS_TOPIC)
    return makeCreatableTopic({ name, numPartitions: -1, replicationFactor: -1 });
  return makeCreatableTopic({
    name,
    numPartitions: config.number("offsets.topic.num.partitions"),
    replicationFactor: Math.min(
      config.number("offsets.topic.replication.factor"),
      Math.max(1, liveBrokerCount),
    ),
    configs: [
      { name: "compression.type", value: "producer" },
      { name: "cleanup.policy", value: "compact" },
      { name: "segment.bytes", value: config.text("offsets.topic.segment.bytes") },
    ],
  });
}
