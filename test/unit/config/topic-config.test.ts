/**
 * Every sentence here is Kafka 4.4's own answer to CreateTopics with the same value.
 */
import { describe, expect, test } from "bun:test";
import { resolveBrokerConfig } from "#config/broker-config.ts";
import type { BrokerConfig } from "#config/broker-config.ts";
import { ConfigSource, describeTopicConfig } from "#config/describe-config.ts";
import {
  defaultLogConfig,
  resolveTopicConfig,
  toLogConfig,
  topicValueText,
  validateTopicConfig,
} from "#config/topic-config.ts";

function broker(values: Record<string, string> = {}): BrokerConfig {
  const { config, errors } = resolveBrokerConfig({ file: new Map(Object.entries(values)) });
  if (config === null) throw new Error(errors.join("; "));
  return config;
}

const check = (values: Record<string, string>): string | null =>
  validateTopicConfig(new Map(Object.entries(values)));

describe("validateTopicConfig", () => {
  const refused: [Record<string, string>, string][] = [
    [
      { "segment.bytes": "1" },
      "Invalid value 1 for configuration segment.bytes: Value must be at least 1048576",
    ],
    [
      { "segment.bytes": "abc" },
      "Invalid value abc for configuration segment.bytes: Not a number of type INT",
    ],
    [
      { "segment.bytes": "" },
      "Invalid value  for configuration segment.bytes: Not a number of type INT",
    ],
    [
      { "segment.bytes": "99999999999" },
      "Invalid value 99999999999 for configuration segment.bytes: Not a number of type INT",
    ],
    [
      { "retention.ms": "-2" },
      "Invalid value -2 for configuration retention.ms: Value must be at least -1",
    ],
    [
      { "retention.ms": "1.5" },
      "Invalid value 1.5 for configuration retention.ms: Not a number of type LONG",
    ],
    [
      { "delete.retention.ms": "9223372036854775808" },
      "Invalid value 9223372036854775808 for configuration delete.retention.ms: Not a number of type LONG",
    ],
    [
      { "min.cleanable.dirty.ratio": "1.1" },
      "Invalid value 1.1 for configuration min.cleanable.dirty.ratio: Value must be no more than 1",
    ],
    [
      { "min.cleanable.dirty.ratio": "x" },
      "Invalid value x for configuration min.cleanable.dirty.ratio: Not a number of type DOUBLE",
    ],
    [
      { "cleanup.policy": "foo" },
      "Invalid value foo for configuration cleanup.policy: String must be one of: compact, delete",
    ],
    [
      { "cleanup.policy": "compact,,delete" },
      "Configuration 'cleanup.policy' values must not be empty.",
    ],
    [
      { "compression.type": "none" },
      "Invalid value none for configuration compression.type: String must be one of: " +
        "uncompressed, zstd, lz4, snappy, gzip, producer",
    ],
    [
      { "compression.gzip.level": "0" },
      "Invalid value 0 for configuration compression.gzip.level: Value must be between 1 and 9 or equal to -1",
    ],
    [
      { "leader.replication.throttled.replicas": "none" },
      "Invalid value [none] for configuration leader.replication.throttled.replicas: " +
        "leader.replication.throttled.replicas must be the literal '*' or a list of replicas in the following format: " +
        "[partitionId]:[brokerId],[partitionId]:[brokerId],...",
    ],
    [
      { preallocate: "yes" },
      "Invalid value yes for configuration preallocate: Expected value to be either true or false",
    ],
    [{ "no.such.key": "1" }, "Unknown topic config name: no.such.key"],
    [
      { "min.compaction.lag.ms": "10", "max.compaction.lag.ms": "5" },
      "conflict topic config setting min.compaction.lag.ms (10) > max.compaction.lag.ms (5)",
    ],
    [
      { "remote.storage.enable": "true" },
      "Tiered Storage functionality is disabled in the broker. Topic cannot be configured with remote log storage.",
    ],
    // The first fault in Kafka's order of keys, not in the order given.
    [
      { "retention.ms": "x", "segment.bytes": "1" },
      "Invalid value 1 for configuration segment.bytes: Value must be at least 1048576",
    ],
  ];
  for (const [values, message] of refused) {
    test(`refuses ${JSON.stringify(values)}`, () => expect(check(values)).toBe(message));
  }

  test("accepts what Kafka accepts", () => {
    const accepted: Record<string, string>[] = [
      { "segment.bytes": " 2097152 " },
      { "segment.bytes": "+2097152" },
      { "cleanup.policy": "compact,compact" },
      { "cleanup.policy": "" },
      { "cleanup.policy": " compact , delete" },
      { "unclean.leader.election.enable": "TRUE" },
      { "leader.replication.throttled.replicas": "*" },
      { "leader.replication.throttled.replicas": "0:1,1:2" },
      { "internal.segment.bytes": "1000" },
      { "min.insync.replicas": "5" },
    ];
    for (const values of accepted) {
      expect({ values, error: check(values) }).toEqual({ values, error: null });
    }
  });
});

describe("resolveTopicConfig", () => {
  test("takes the most specific unit a broker sets", () => {
    const of = (values: Record<string, string>): string | null =>
      topicValueText(resolveTopicConfig(broker(values), new Map()), "retention.ms");
    expect(of({})).toBe("604800000");
    expect(of({ "log.retention.hours": "2" })).toBe("7200000");
    expect(of({ "log.retention.hours": "2", "log.retention.minutes": "3" })).toBe("180000");
    expect(
      of({ "log.retention.hours": "2", "log.retention.minutes": "3", "log.retention.ms": "5" }),
    ).toBe("5");
    expect(of({ "log.retention.hours": "-1" })).toBe("-1");
  });

  test("a topic's own value wins", () => {
    const config = resolveTopicConfig(
      broker({ "log.segment.bytes": "2097152" }),
      new Map([["segment.bytes", " 3145728 "]]),
    );
    expect(topicValueText(config, "segment.bytes")).toBe("3145728");
  });
});

describe("toLogConfig", () => {
  test("gives the native log every setting", () => {
    expect(defaultLogConfig(broker())).toEqual({
      segmentBytes: 1073741824,
      segmentMs: 604800000,
      segmentJitterMs: 0,
      segmentIndexBytes: 10485760,
      indexIntervalBytes: 4096,
      retentionMs: 604800000,
      retentionBytes: -1,
      maxMessageBytes: 1048588,
      maxDecompressedMessageBytes: 2147483639,
      messageTimestampType: "CreateTime",
      messageTimestampBeforeMaxMs: Number.MAX_SAFE_INTEGER,
      messageTimestampAfterMaxMs: 3600000,
      compressionType: "producer",
      compressionGzipLevel: -1,
      compressionLz4Level: 9,
      compressionZstdLevel: 3,
      flushMessages: Number.MAX_SAFE_INTEGER,
      flushMs: Number.MAX_SAFE_INTEGER,
      fileDeleteDelayMs: 60000,
      preallocate: false,
      cleanupPolicy: ["delete"],
      acksAllFsync: true,
      acksAllFsyncReplicated: false,
      minInsyncReplicas: 1,
      producerIdExpirationMs: 86400000,
    });
    const changed = toLogConfig(
      resolveTopicConfig(
        broker(),
        new Map([
          ["cleanup.policy", "compact, delete,compact"],
          ["sluice.acks.all.fsync", "false"],
          ["internal.segment.bytes", "1000"],
        ]),
      ),
      broker(),
    );
    expect([changed.cleanupPolicy, changed.acksAllFsync, changed.segmentBytes]).toEqual([
      ["compact", "delete"],
      false,
      1000,
    ]);
  });
});

describe("describeTopicConfig", () => {
  test("names every layer that has a say, best first", () => {
    const described = describeTopicConfig(
      broker({
        "log.retention.ms": "9",
        "log.retention.hours": "1",
        "log.segment.bytes": "2097152",
      }).withDynamic(new Map([["log.segment.bytes", "4194304"]]), new Map()),
      new Map([["retention.ms", "1000"]]),
    );
    const of = (name: string): unknown => {
      const found = described.find((config) => config.name === name);
      return [
        found?.value,
        found?.source,
        found?.synonyms.map((layer) => `${layer.source}:${layer.name}=${layer.value}`),
      ];
    };
    expect(of("retention.ms")).toEqual([
      "1000",
      ConfigSource.TOPIC_CONFIG,
      [
        "1:retention.ms=1000",
        "4:log.retention.ms=9",
        "4:log.retention.hours=1",
        "5:log.retention.hours=168",
      ],
    ]);
    expect(of("segment.bytes")).toEqual([
      "4194304",
      ConfigSource.DYNAMIC_DEFAULT_BROKER_CONFIG,
      [
        "3:log.segment.bytes=4194304",
        "4:log.segment.bytes=2097152",
        "5:log.segment.bytes=1073741824",
      ],
    ]);
    expect(of("segment.ms")).toEqual(["604800000", ConfigSource.DEFAULT_CONFIG, []]);
  });
});
