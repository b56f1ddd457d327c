/**
 * Every configuration key of a topic in Kafka 4.4, in Kafka's order (which decides whose error is reported first), then
 * ours. A topic that does not set a key takes the broker's value, read through the broker keys listed beside it: the
 * first that is set wins, and hours and minutes are turned into milliseconds.
 */
import type { KeyDefinition } from "./key-definition.ts";
import {
  COMPACTION,
  GROWING_FILES,
  ONE_LZ4_LEVEL,
  SHARE_GROUPS,
  TIERED,
  accepted,
  unsupported,
} from "./key-status.ts";
import { atLeast, between, betweenOr, listOf, oneOf, THROTTLED_REPLICAS } from "./valid-values.ts";

/** A broker key that gives topics their default, and what one unit of it is worth. */
export interface BrokerSynonym {
  readonly name: string;
  readonly factor: number;
}

/** A topic key: a key and the broker keys behind it, best first. */
export interface TopicKeyDefinition extends KeyDefinition {
  readonly synonyms?: readonly BrokerSynonym[];
}

const HOUR_MS = 3_600_000;
const MINUTE_MS = 60_000;

function from(name: string): readonly BrokerSynonym[] {
  return [{ name, factor: 1 }];
}

/** See the head of the file. */
export const TOPIC_KEYS: readonly TopicKeyDefinition[] = [
  {
    name: "segment.bytes",
    type: "int",
    default: "1073741824",
    valid: atLeast(1048576),
    synonyms: from("log.segment.bytes"),
    doc: "Size at which a segment is closed and a new one begins.",
  },
  {
    name: "segment.ms",
    type: "long",
    default: "604800000",
    valid: atLeast(1),
    synonyms: [
      { name: "log.roll.ms", factor: 1 },
      { name: "log.roll.hours", factor: HOUR_MS },
    ],
    doc: "Age at which a segment is closed even if small, so that retention can take it.",
  },
  {
    name: "segment.jitter.ms",
    type: "long",
    default: "0",
    valid: atLeast(0),
    synonyms: [
      { name: "log.roll.jitter.ms", factor: 1 },
      { name: "log.roll.jitter.hours", factor: HOUR_MS },
    ],
    doc: "Largest random part taken off segment.ms, so that partitions do not all roll at once.",
  },
  {
    name: "segment.index.bytes",
    type: "int",
    default: "10485760",
    valid: atLeast(4),
    synonyms: from("log.index.size.max.bytes"),
    doc: "Size of an index file; a full index rolls the segment.",
  },
  {
    name: "flush.messages",
    type: "long",
    default: "9223372036854775807",
    valid: atLeast(1),
    synonyms: from("log.flush.interval.messages"),
    doc: "Records after which the partition is fsynced.",
  },
  {
    name: "flush.ms",
    type: "long",
    default: "9223372036854775807",
    valid: atLeast(0),
    synonyms: [
      { name: "log.flush.interval.ms", factor: 1 },
      { name: "log.flush.scheduler.interval.ms", factor: 1 },
    ],
    doc: "Longest time records stay unsynced.",
  },
  {
    name: "retention.bytes",
    type: "long",
    default: "-1",
    synonyms: from("log.retention.bytes"),
    doc: "Size of a partition above which its oldest segments are deleted; -1 sets no limit.",
  },
  {
    name: "retention.ms",
    type: "long",
    default: "604800000",
    valid: atLeast(-1),
    synonyms: [
      { name: "log.retention.ms", factor: 1 },
      { name: "log.retention.minutes", factor: MINUTE_MS },
      { name: "log.retention.hours", factor: HOUR_MS },
    ],
    doc: "How long records are kept; -1 keeps them for ever.",
  },
  {
    name: "max.message.bytes",
    type: "int",
    default: "1048588",
    valid: atLeast(0),
    synonyms: from("message.max.bytes"),
    doc: "Largest record batch accepted, after compression.",
  },
  {
    name: "max.decompressed.message.bytes",
    type: "int",
    default: "2147483639",
    valid: between(1, 2147483639),
    synonyms: from("max.decompressed.message.bytes"),
    doc: "Largest record accepted in a compressed batch, once decompressed. A larger one is refused with INVALID_RECORD.",
  },
  {
    name: "index.interval.bytes",
    type: "int",
    default: "4096",
    valid: atLeast(0),
    synonyms: from("log.index.interval.bytes"),
    doc: "Bytes of log between two entries of the offset index.",
  },
  {
    name: "delete.retention.ms",
    type: "long",
    default: "86400000",
    valid: atLeast(0),
    synonyms: from("log.cleaner.delete.retention.ms"),
    status: accepted(COMPACTION),
    doc: "How long the markers of deleted keys stay in a compacted topic.",
  },
  {
    name: "min.compaction.lag.ms",
    type: "long",
    default: "0",
    valid: atLeast(0),
    synonyms: from("log.cleaner.min.compaction.lag.ms"),
    status: accepted(COMPACTION),
    doc: "Age a record must reach before compaction may touch it.",
  },
  {
    name: "max.compaction.lag.ms",
    type: "long",
    default: "9223372036854775807",
    valid: atLeast(1),
    synonyms: from("log.cleaner.max.compaction.lag.ms"),
    status: accepted(COMPACTION),
    doc: "Age at which a record must have been looked at by compaction.",
  },
  {
    name: "file.delete.delay.ms",
    type: "long",
    default: "60000",
    valid: atLeast(0),
    synonyms: from("log.segment.delete.delay.ms"),
    doc: "Time between taking a segment out of use and removing its files.",
  },
  {
    name: "min.cleanable.dirty.ratio",
    type: "double",
    default: "0.5",
    valid: between(0, 1),
    synonyms: from("log.cleaner.min.cleanable.ratio"),
    status: accepted(COMPACTION),
    doc: "Share of uncompacted log from which on compaction is worth its cost.",
  },
  {
    name: "cleanup.policy",
    type: "list",
    default: "delete",
    valid: listOf("compact", "delete"),
    synonyms: from("log.cleanup.policy"),
    doc: "What happens to old segments: delete, compact, both, or nothing when empty. With compact alone the log is kept whole until compaction is offered.",
  },
  {
    name: "unclean.leader.election.enable",
    type: "boolean",
    default: "false",
    synonyms: from("unclean.leader.election.enable"),
    doc: "Whether a replica outside the ISR may lead, at the price of losing records.",
  },
  {
    name: "min.insync.replicas",
    type: "int",
    default: "1",
    valid: atLeast(1),
    synonyms: from("min.insync.replicas"),
    doc: "In-sync replicas there must be for acks=all, where there are several.",
  },
  {
    name: "compression.type",
    type: "string",
    default: "producer",
    valid: oneOf("uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"),
    synonyms: from("compression.type"),
    doc: "Codec in which the topic is stored; producer keeps what the producer sent.",
  },
  {
    name: "compression.gzip.level",
    type: "int",
    default: "-1",
    valid: betweenOr(1, 9, -1),
    synonyms: from("compression.gzip.level"),
    doc: "Level when compression.type is gzip; -1 is the codec's default.",
  },
  {
    name: "compression.lz4.level",
    type: "int",
    default: "9",
    valid: between(1, 17),
    synonyms: from("compression.lz4.level"),
    doc: "Level when compression.type is lz4.",
    status: accepted(ONE_LZ4_LEVEL),
  },
  {
    name: "compression.zstd.level",
    type: "int",
    default: "3",
    valid: between(-131072, 22),
    synonyms: from("compression.zstd.level"),
    doc: "Level when compression.type is zstd.",
  },
  {
    name: "preallocate",
    type: "boolean",
    default: "false",
    synonyms: from("log.preallocate"),
    doc: "Whether new segments get their full size on disk at once.",
    status: accepted(GROWING_FILES),
  },
  {
    name: "message.timestamp.type",
    type: "string",
    default: "CreateTime",
    valid: oneOf("CreateTime", "LogAppendTime"),
    synonyms: from("log.message.timestamp.type"),
    doc: "Whether a record keeps its producer's time or gets the broker's.",
  },
  {
    name: "message.timestamp.before.max.ms",
    type: "long",
    default: "9223372036854775807",
    valid: atLeast(0),
    synonyms: from("log.message.timestamp.before.max.ms"),
    doc: "How far in the past a record's timestamp may lie.",
  },
  {
    name: "message.timestamp.after.max.ms",
    type: "long",
    default: "3600000",
    valid: atLeast(0),
    synonyms: from("log.message.timestamp.after.max.ms"),
    doc: "How far in the future a record's timestamp may lie.",
  },
  {
    name: "leader.replication.throttled.replicas",
    type: "list",
    default: "",
    valid: THROTTLED_REPLICAS,
    doc: "Replicas, as partition:broker, whose leader limits what it sends; * for all.",
  },
  {
    name: "follower.replication.throttled.replicas",
    type: "list",
    default: "",
    valid: THROTTLED_REPLICAS,
    doc: "Replicas, as partition:broker, whose follower limits what it fetches; * for all.",
  },
  {
    name: "remote.storage.enable",
    type: "boolean",
    default: "false",
    status: unsupported(TIERED),
    doc: "Whether older segments move to remote storage.",
  },
  {
    name: "local.retention.ms",
    type: "long",
    default: "-2",
    valid: atLeast(-2),
    synonyms: from("log.local.retention.ms"),
    status: unsupported(TIERED),
    doc: "How long segments stay local once they are in remote storage; -2 follows retention.ms.",
  },
  {
    name: "local.retention.bytes",
    type: "long",
    default: "-2",
    valid: atLeast(-2),
    synonyms: from("log.local.retention.bytes"),
    status: unsupported(TIERED),
    doc: "Size kept local once segments are in remote storage; -2 follows retention.bytes.",
  },
  {
    name: "remote.log.copy.disable",
    type: "boolean",
    default: "false",
    status: unsupported(TIERED),
    doc: "Whether copying to remote storage is stopped.",
  },
  {
    name: "remote.copy.lag.ms",
    type: "long",
    default: "0",
    valid: atLeast(-1),
    synonyms: from("log.remote.copy.lag.ms"),
    status: unsupported(TIERED),
    doc: "Age a segment must reach before it is copied to remote storage.",
  },
  {
    name: "remote.copy.lag.bytes",
    type: "long",
    default: "-1",
    valid: atLeast(-1),
    synonyms: from("log.remote.copy.lag.bytes"),
    status: unsupported(TIERED),
    doc: "Bytes that must follow a segment before it is copied to remote storage.",
  },
  {
    name: "remote.log.delete.on.disable",
    type: "boolean",
    default: "false",
    status: unsupported(TIERED),
    doc: "Whether remote segments are deleted when remote storage is switched off.",
  },
  {
    name: "errors.deadletterqueue.group.enable",
    type: "boolean",
    default: "false",
    status: unsupported(SHARE_GROUPS),
    doc: "Whether the topic may receive records that share groups gave up on.",
  },
  {
    name: "internal.segment.bytes",
    type: "int",
    default: null,
    isInternal: true,
    doc: "Segment size without a lower bound, for tests; goes before segment.bytes.",
  },
  {
    name: "sluice.acks.all.fsync",
    type: "boolean",
    default: null,
    synonyms: from("sluice.acks.all.fsync"),
    doc: "Whether acks=all is answered only once the records are on the leader's disk, not merely in memory. Unset: where a partition has one replica, not where it has several.",
  },
];

const KEY_BY_NAME: ReadonlyMap<string, TopicKeyDefinition> = new Map(
  TOPIC_KEYS.map((definition) => [definition.name, definition]),
);

/** The row of a topic key, or undefined for a name that is none. */
export function topicKey(name: string): TopicKeyDefinition | undefined {
  return KEY_BY_NAME.get(name);
}
