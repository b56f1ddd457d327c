/**
 * Keys of replication between brokers. On one node they have no effect.
 * Names, types, defaults and ranges are those of Kafka 4.4.
 */
import type { KeyDefinition } from "../key-definition.ts";
import { ONE_MOVER, accepted } from "../key-status.ts";
import { atLeast } from "../valid-values.ts";

/** See the head of the file. */
export const REPLICATION_KEYS: readonly KeyDefinition[] = [
  {
    name: "num.replica.alter.log.dirs.threads",
    type: "int",
    default: null,
    status: accepted(ONE_MOVER),
    doc: "Threads that move partitions between log directories.",
  },
  {
    name: "default.replication.factor",
    type: "int",
    default: "1",
    doc: "Replicas of a topic created without a count.",
  },
  {
    name: "replica.lag.time.max.ms",
    type: "long",
    default: "30000",
    doc: "How long a follower may lag behind before it leaves the in-sync replicas.",
  },
  {
    name: "replica.socket.timeout.ms",
    type: "int",
    default: "30000",
    doc: "How long a follower waits for an answer of its leader.",
  },
  {
    name: "replica.socket.receive.buffer.bytes",
    type: "int",
    default: "65536",
    doc: "Kernel buffer for receiving what a follower fetches; unset or -1 leaves it to the system.",
  },
  {
    name: "replica.fetch.max.bytes",
    type: "int",
    default: "1048576",
    valid: atLeast(0),
    doc: "Bytes a follower asks for from each partition.",
  },
  {
    name: "replica.fetch.wait.max.ms",
    type: "int",
    default: "500",
    doc: "Longest time the leader may hold a follower's fetch open.",
  },
  {
    name: "replica.fetch.backoff.ms",
    type: "int",
    default: "1000",
    valid: atLeast(0),
    doc: "Pause of a follower after a failed fetch.",
  },
  {
    name: "replica.fetch.min.bytes",
    type: "int",
    default: "1",
    doc: "Bytes a leader collects before it answers a follower.",
  },
  {
    name: "replica.fetch.response.max.bytes",
    type: "int",
    default: "10485760",
    valid: atLeast(0),
    doc: "Most bytes in one answer to a follower.",
  },
  {
    name: "num.replica.fetchers",
    type: "int",
    default: "1",
    valid: atLeast(1),
    update: "cluster-wide",
    actsAtStart: true,
    doc: "Connections a broker fetches with from each other broker.",
  },
  {
    name: "replica.high.watermark.checkpoint.interval.ms",
    type: "long",
    default: "5000",
    doc: "How often the high watermarks are written to disk. All checkpoints are written together, at the shortest of the three intervals.",
  },
  {
    name: "auto.leader.rebalance.enable",
    type: "boolean",
    default: "true",
    doc: "Whether leadership is moved back to the preferred replicas from time to time.",
  },
  {
    name: "leader.imbalance.check.interval.seconds",
    type: "long",
    default: "300",
    valid: atLeast(1),
    doc: "How often leaders are compared with the preferred ones.",
  },
  {
    name: "unclean.leader.election.interval.ms",
    type: "long",
    default: "300000",
    valid: atLeast(1),
    isInternal: true,
    doc: "How often partitions without a leader are looked at for an unclean election.",
  },
  {
    name: "unclean.leader.election.enable",
    type: "boolean",
    default: "false",
    update: "cluster-wide",
    doc: "Whether a replica outside the in-sync ones may lead, at the price of losing records. Topics override it.",
  },
  {
    name: "replica.selector.class",
    type: "string",
    default: null,
    doc: "The replica a consumer reads from: unset for the leader, org.apache.kafka.common.replica.RackAwareReplicaSelector for one in the consumer's rack. Another class counts as unset.",
  },
];
