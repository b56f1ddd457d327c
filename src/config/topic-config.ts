/**
 * The configuration of a topic: its own values over the broker's over the defaults. `toLogConfig` turns it into what the
 * native log takes.
 */
import { javaHashMapOrder } from "#common/java-hash.ts";
import type { BrokerConfig, ConfigValues } from "./broker-config.ts";
import { clampToNumber } from "./broker-config.ts";
import { formatValue, parseValue } from "./parse-value.ts";
import type { TopicKeyDefinition } from "./topic-keys.ts";
import { TOPIC_KEYS, topicKey } from "./topic-keys.ts";
import type { ParsedValue } from "./valid-values.ts";

/** All values of a topic in force, by key. */
export type TopicConfig = ReadonlyMap<string, ParsedValue>;

/**
 * Settings of one partition log as the native log reads them from JSON. Long values are cut to 2^53-1, which
 * stands for "never" and "no limit".
 */
export interface LogConfig {
  readonly segmentBytes: number;
  readonly segmentMs: number;
  readonly segmentJitterMs: number;
  readonly segmentIndexBytes: number;
  readonly indexIntervalBytes: number;
  readonly retentionMs: number;
  readonly retentionBytes: number;
  readonly maxMessageBytes: number;
  /** Largest record of a compressed batch, decompressed. */
  readonly maxDecompressedMessageBytes: number;
  readonly messageTimestampType: "CreateTime" | "LogAppendTime";
  readonly messageTimestampBeforeMaxMs: number;
  readonly messageTimestampAfterMaxMs: number;
  readonly compressionType: string;
  readonly compressionGzipLevel: number;
  readonly compressionLz4Level: number;
  readonly compressionZstdLevel: number;
  readonly flushMessages: number;
  readonly flushMs: number;
  readonly fileDeleteDelayMs: number;
  readonly preallocate: boolean;
  readonly cleanupPolicy: readonly string[];
  /** acks=all waits for the disk where there is one replica, and where there are several. */
  readonly acksAllFsync: boolean;
  readonly acksAllFsyncReplicated: boolean;
  readonly minInsyncReplicas: number;
  readonly producerIdExpirationMs: number;
}

/** Resolves every topic key: the topic's own text where it parses, else what the broker gives. */
export function resolveTopicConfig(broker: BrokerConfig, overrides: ConfigValues): TopicConfig {
  const values = new Map<string, ParsedValue>();
  for (const definition of TOPIC_KEYS) {
    const text = overrides.get(definition.name);
    const parsed = text === undefined ? null : parseValue(definition, text);
    values.set(
      definition.name,
      parsed !== null && parsed.error === null ? parsed.value : brokerDefault(broker, definition),
    );
  }
  return values;
}

/** What the broker gives a topic that does not set the key. */
export function brokerDefault(broker: BrokerConfig, definition: TopicKeyDefinition): ParsedValue {
  for (const synonym of definition.synonyms ?? []) {
    const value = broker.value(synonym.name);
    if (value === null) continue;
    if (typeof value !== "number") return value;
    // Any negative retention means "for ever", whatever its unit.
    if (definition.name === "retention.ms" && value < 0) return -1;
    return value * synonym.factor;
  }
  return definition.default === null ? null : parseValue(definition, definition.default).value;
}

/** The value of a key in force, as DescribeConfigs shows it. */
export function topicValueText(config: TopicConfig, name: string): string | null {
  return formatValue(topicKey(name)?.type ?? "string", config.get(name) ?? null);
}

/**
 * Checks values somebody wants to give a topic.
 *
 * @returns null when they may be stored, otherwise Kafka's sentence for the first fault: unknown names first, then values
 * in the order of the table, then what concerns several keys.
 */
export function validateTopicConfig(overrides: ConfigValues): string | null {
  const unknown = [...overrides.keys()]
    .filter((name) => topicKey(name) === undefined)
    .map((name) => ({ name }));
  const [first] = javaHashMapOrder(unknown);
  if (first !== undefined) return `Unknown topic config name: ${first.name}`;
  const values = new Map<string, ParsedValue>();
  for (const definition of TOPIC_KEYS) {
    const text = overrides.get(definition.name);
    if (text === undefined) continue;
    const parsed = parseValue(definition, text);
    if (parsed.error !== null) return parsed.error;
    values.set(definition.name, parsed.value);
  }
  const minLagMs = clampToNumber(values.get("min.compaction.lag.ms") ?? 0) ?? 0;
  const maxLagMs =
    clampToNumber(values.get("max.compaction.lag.ms") ?? null) ?? Number.MAX_SAFE_INTEGER;
  if (minLagMs > maxLagMs) {
    return (
      `conflict topic config setting min.compaction.lag.ms (${minLagMs}) > ` +
      `max.compaction.lag.ms (${maxLagMs})`
    );
  }
  if (values.get("remote.storage.enable") === true) {
    return "Tiered Storage functionality is disabled in the broker. Topic cannot be configured with remote log storage.";
  }
  return null;
}

/**
 * Checks a broker value against the range of the topic key it is the default of, where its own range is wider
 * (`log.roll.ms` may be read as 0, and no topic may have that).
 *
 * @returns null when it may serve as a default, otherwise what is wrong.
 */
export function topicDefaultError(brokerName: string, value: ParsedValue): string | null {
  if (typeof value !== "number") return null;
  for (const { name, valid, synonyms } of TOPIC_KEYS) {
    const synonym = synonyms?.find((candidate) => candidate.name === brokerName);
    // Any negative retention counts as -1.
    if (synonym === undefined || valid?.kind !== "range" || name === "retention.ms") continue;
    if (value * synonym.factor < valid.min) {
      return `requirement failed: ${brokerName} must be greater than or equal to ${valid.min}`;
    }
  }
  return null;
}

/** The native log's view of a topic's configuration, and of what `broker` sets for all its partitions. */
export function toLogConfig(config: TopicConfig, broker: BrokerConfig): LogConfig {
  const number = (name: string): number => clampToNumber(config.get(name) ?? null) ?? 0;
  const string = (name: string): string => String(config.get(name) ?? "");
  const policy = config.get("cleanup.policy");
  return {
    segmentBytes: number(
      config.get("internal.segment.bytes") == null ? "segment.bytes" : "internal.segment.bytes",
    ),
    segmentMs: number("segment.ms"),
    segmentJitterMs: number("segment.jitter.ms"),
    segmentIndexBytes: number("segment.index.bytes"),
    indexIntervalBytes: number("index.interval.bytes"),
    retentionMs: number("retention.ms"),
    retentionBytes: number("retention.bytes"),
    maxMessageBytes: number("max.message.bytes"),
    maxDecompressedMessageBytes: number("max.decompressed.message.bytes"),
    messageTimestampType:
      string("message.timestamp.type") === "LogAppendTime" ? "LogAppendTime" : "CreateTime",
    messageTimestampBeforeMaxMs: number("message.timestamp.before.max.ms"),
    messageTimestampAfterMaxMs: number("message.timestamp.after.max.ms"),
    compressionType: string("compression.type"),
    compressionGzipLevel: number("compression.gzip.level"),
    compressionLz4Level: number("compression.lz4.level"),
    compressionZstdLevel: number("compression.zstd.level"),
    flushMessages: number("flush.messages"),
    flushMs: number("flush.ms"),
    fileDeleteDelayMs: number("file.delete.delay.ms"),
    preallocate: config.get("preallocate") === true,
    cleanupPolicy: Array.isArray(policy) ? [...new Set<string>(policy)] : [],
    acksAllFsync: config.get("sluice.acks.all.fsync") !== false,
    acksAllFsyncReplicated: config.get("sluice.acks.all.fsync") === true,
    minInsyncReplicas: number("min.insync.replicas"),
    producerIdExpirationMs: broker.number("producer.id.expiration.ms"),
  };
}

/** The native log's settings for a topic that sets nothing itself. */
export function defaultLogConfig(broker: BrokerConfig): LogConfig {
  return toLogConfig(resolveTopicConfig(broker, new Map()), broker);
}
