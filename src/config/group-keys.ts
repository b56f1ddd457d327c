/**
 * Every configuration key of a group in Kafka 4.4, in the order in which Kafka reads them (which decides whose error is reported
 * first). A group that does not set a key takes the broker's value beside it; bounds are the broker's too.
 *
 * @see KIP-848 (consumer), KIP-932 (share), KIP-1071 (streams)
 */
import { javaHashMapOrder } from "#common/java-hash.ts";
import type { KeyDefinition } from "./key-definition.ts";
import { NO_POOL, SHARE_GROUPS, STREAMS_GROUPS, accepted, unsupported } from "./key-status.ts";
import { atLeast, NO_EMPTY_ELEMENTS, OFFSET_RESET, oneOf } from "./valid-values.ts";

/** A group key, the broker key whose value it has by default, and the broker keys that bound it, both ends included. */
export interface GroupKeyDefinition extends KeyDefinition {
  readonly synonym?: string;
  readonly bounds?: { readonly min?: string; readonly max?: string };
}

/** See the head of the file. */
export const GROUP_KEYS: readonly GroupKeyDefinition[] = [
  {
    name: "consumer.session.timeout.ms",
    type: "int",
    default: "45000",
    valid: atLeast(1),
    synonym: "group.consumer.session.timeout.ms",
    bounds: {
      min: "group.consumer.min.session.timeout.ms",
      max: "group.consumer.max.session.timeout.ms",
    },
    doc: "Silence after which a member of the group, of the consumer protocol, is removed.",
  },
  {
    name: "consumer.heartbeat.interval.ms",
    type: "int",
    default: "5000",
    valid: atLeast(1),
    synonym: "group.consumer.heartbeat.interval.ms",
    bounds: {
      min: "group.consumer.min.heartbeat.interval.ms",
      max: "group.consumer.max.heartbeat.interval.ms",
    },
    doc: "How often members of the group report, of the consumer protocol.",
  },
  {
    name: "consumer.assignment.interval.ms",
    type: "int",
    default: "1000",
    valid: atLeast(0),
    synonym: "group.consumer.assignment.interval.ms",
    bounds: {
      min: "group.consumer.min.assignment.interval.ms",
      max: "group.consumer.max.assignment.interval.ms",
    },
    doc: "Shortest time between two assignments of the group, of the consumer protocol.",
  },
  {
    name: "consumer.assignor.offload.enable",
    type: "boolean",
    default: "true",
    synonym: "group.consumer.assignor.offload.enable",
    isInternal: true,
    status: accepted(NO_POOL),
    doc: "Whether the group's assignments are computed on a background thread.",
  },
  {
    name: "share.session.timeout.ms",
    type: "int",
    default: "45000",
    valid: atLeast(1),
    synonym: "group.share.session.timeout.ms",
    bounds: {
      min: "group.share.min.session.timeout.ms",
      max: "group.share.max.session.timeout.ms",
    },
    status: unsupported(SHARE_GROUPS),
    doc: "Silence after which a member of the share group is removed.",
  },
  {
    name: "share.heartbeat.interval.ms",
    type: "int",
    default: "5000",
    valid: atLeast(1),
    synonym: "group.share.heartbeat.interval.ms",
    bounds: {
      min: "group.share.min.heartbeat.interval.ms",
      max: "group.share.max.heartbeat.interval.ms",
    },
    status: unsupported(SHARE_GROUPS),
    doc: "How often members of the share group report.",
  },
  {
    name: "share.record.lock.duration.ms",
    type: "int",
    default: "30000",
    valid: atLeast(1000),
    synonym: "group.share.record.lock.duration.ms",
    bounds: {
      min: "group.share.min.record.lock.duration.ms",
      max: "group.share.max.record.lock.duration.ms",
    },
    status: unsupported(SHARE_GROUPS),
    doc: "How long a record is kept for the member that took it.",
  },
  {
    name: "share.delivery.count.limit",
    type: "int",
    default: "5",
    valid: atLeast(2),
    synonym: "group.share.delivery.count.limit",
    bounds: {
      min: "group.share.min.delivery.count.limit",
      max: "group.share.max.delivery.count.limit",
    },
    status: unsupported(SHARE_GROUPS),
    doc: "How often a record is handed out before the share group gives up on it.",
  },
  {
    name: "share.partition.max.record.locks",
    type: "int",
    default: "2000",
    valid: atLeast(100),
    synonym: "group.share.partition.max.record.locks",
    bounds: {
      min: "group.share.min.partition.max.record.locks",
      max: "group.share.max.partition.max.record.locks",
    },
    status: unsupported(SHARE_GROUPS),
    doc: "Most records of a partition that may be taken at a time.",
  },
  {
    name: "share.auto.offset.reset",
    type: "string",
    default: "latest",
    valid: OFFSET_RESET,
    status: unsupported(SHARE_GROUPS),
    doc: "Where the share group begins to read: earliest, latest, or by_duration: and an ISO 8601 duration before now.",
  },
  {
    name: "share.isolation.level",
    type: "string",
    default: "read_uncommitted",
    valid: oneOf("read_committed", "read_uncommitted"),
    status: unsupported(SHARE_GROUPS),
    doc: "Whether records of transactions that are open or aborted are handed out.",
  },
  {
    name: "share.renew.acknowledge.enable",
    type: "boolean",
    default: "true",
    status: unsupported(SHARE_GROUPS),
    doc: "Whether members may prolong their hold on a record.",
  },
  {
    name: "share.assignment.interval.ms",
    type: "int",
    default: "1000",
    valid: atLeast(0),
    synonym: "group.share.assignment.interval.ms",
    bounds: {
      min: "group.share.min.assignment.interval.ms",
      max: "group.share.max.assignment.interval.ms",
    },
    status: unsupported(SHARE_GROUPS),
    doc: "Shortest time between two assignments of the share group.",
  },
  {
    name: "share.assignor.offload.enable",
    type: "boolean",
    default: "true",
    synonym: "group.share.assignor.offload.enable",
    isInternal: true,
    status: unsupported(SHARE_GROUPS),
    doc: "Whether the share group's assignments are computed on a background thread.",
  },
  {
    name: "streams.session.timeout.ms",
    type: "int",
    default: "45000",
    valid: atLeast(1),
    synonym: "group.streams.session.timeout.ms",
    bounds: {
      min: "group.streams.min.session.timeout.ms",
      max: "group.streams.max.session.timeout.ms",
    },
    status: unsupported(STREAMS_GROUPS),
    doc: "Silence after which a member of the streams group is removed.",
  },
  {
    name: "streams.heartbeat.interval.ms",
    type: "int",
    default: "5000",
    valid: atLeast(1),
    synonym: "group.streams.heartbeat.interval.ms",
    bounds: {
      min: "group.streams.min.heartbeat.interval.ms",
      max: "group.streams.max.heartbeat.interval.ms",
    },
    status: unsupported(STREAMS_GROUPS),
    doc: "How often members of the streams group report.",
  },
  {
    name: "streams.num.standby.replicas",
    type: "int",
    default: "0",
    valid: atLeast(0),
    synonym: "group.streams.num.standby.replicas",
    bounds: { max: "group.streams.max.standby.replicas" },
    status: unsupported(STREAMS_GROUPS),
    doc: "Standby copies of each task's state.",
  },
  {
    name: "streams.initial.rebalance.delay.ms",
    type: "int",
    default: "3000",
    valid: atLeast(0),
    synonym: "group.streams.initial.rebalance.delay.ms",
    status: unsupported(STREAMS_GROUPS),
    doc: "How long a new streams group waits for more members before its first assignment.",
  },
  {
    name: "streams.assignment.interval.ms",
    type: "int",
    default: "1000",
    valid: atLeast(0),
    synonym: "group.streams.assignment.interval.ms",
    bounds: {
      min: "group.streams.min.assignment.interval.ms",
      max: "group.streams.max.assignment.interval.ms",
    },
    status: unsupported(STREAMS_GROUPS),
    doc: "Shortest time between two assignments of the streams group.",
  },
  {
    name: "streams.assignor.offload.enable",
    type: "boolean",
    default: "true",
    synonym: "group.streams.assignor.offload.enable",
    isInternal: true,
    status: unsupported(STREAMS_GROUPS),
    doc: "Whether the streams group's assignments are computed on a background thread.",
  },
  {
    name: "streams.task.offset.interval.ms",
    type: "int",
    default: "60000",
    valid: atLeast(1),
    synonym: "group.streams.task.offset.interval.ms",
    bounds: { min: "group.streams.min.task.offset.interval.ms" },
    isInternal: true,
    status: unsupported(STREAMS_GROUPS),
    doc: "How often members report how far their tasks' state has come.",
  },
  {
    name: "streams.num.warmup.replicas",
    type: "int",
    default: "2",
    valid: atLeast(0),
    synonym: "group.streams.num.warmup.replicas",
    bounds: { max: "group.streams.max.warmup.replicas" },
    isInternal: true,
    status: unsupported(STREAMS_GROUPS),
    doc: "Copies of state that may warm up at a time before a task moves to them.",
  },
  {
    name: "streams.rack.aware.assignment.tags",
    type: "list",
    default: "",
    valid: NO_EMPTY_ELEMENTS,
    synonym: "group.streams.rack.aware.assignment.tags",
    status: unsupported(STREAMS_GROUPS),
    doc: "Client tags by which standby copies are kept apart.",
  },
  {
    name: "streams.acceptable.recovery.lag",
    type: "long",
    default: "10000",
    valid: atLeast(0),
    synonym: "group.streams.acceptable.recovery.lag",
    isInternal: true,
    status: unsupported(STREAMS_GROUPS),
    doc: "How far behind a copy may be and still take over a task.",
  },
  {
    name: "streams.assignor.name",
    type: "string",
    default: null,
    synonym: "group.streams.assignors",
    status: unsupported(STREAMS_GROUPS),
    doc: "Strategy by which the group's tasks are shared out; the broker's first one without.",
  },
  {
    name: "errors.deadletterqueue.topic.name",
    type: "string",
    default: "",
    status: unsupported(SHARE_GROUPS),
    doc: "Topic for records the share group gave up on; empty for none.",
  },
  {
    name: "errors.deadletterqueue.copy.record.enable",
    type: "boolean",
    default: "false",
    status: unsupported(SHARE_GROUPS),
    doc: "Whether such a record is copied whole, or only told of.",
  },
];

const KEY_BY_NAME: ReadonlyMap<string, GroupKeyDefinition> = new Map(
  GROUP_KEYS.map((definition) => [definition.name, definition]),
);

/** The row of a group key, or undefined for a name that is none. */
export function groupKey(name: string): GroupKeyDefinition | undefined {
  return KEY_BY_NAME.get(name);
}

/**
 * The keys in the order in which DescribeConfigs lists them: internal ones, which are listed where a group sets them, and then the rest. Kafka
 * walks two maps, the first of 32 buckets.
 */
export const GROUP_KEY_LISTING: readonly GroupKeyDefinition[] = [
  ...javaHashMapOrder(
    GROUP_KEYS.filter(({ isInternal }) => isInternal === true),
    32,
  ),
  ...javaHashMapOrder(GROUP_KEYS.filter(({ isInternal }) => isInternal !== true)),
];
