/**
 * Configurations of groups against sentences that Kafka 4.4.0 answered to the same values, and the resolution that the
 * coordinator works with.
 */
import { describe, expect, test } from "bun:test";
import { type BrokerConfig, resolveBrokerConfig } from "#config/broker-config.ts";
import { ConfigSource, describeGroupConfig } from "#config/describe-config.ts";
import {
  GroupSettingsCache,
  resolveGroupSettings,
  validateGroupConfig,
} from "#config/group-config.ts";

function broker(values: Readonly<Record<string, string>> = {}): BrokerConfig {
  const { config, errors } = resolveBrokerConfig({ file: new Map(Object.entries(values)) });
  if (config === null) throw new Error(errors.join());
  return config;
}

const of = (values: Readonly<Record<string, string>>): Map<string, string> =>
  new Map(Object.entries(values));

const RESET = (value: string): string =>
  `Invalid value ${value} for configuration share.auto.offset.reset: Invalid value \`${value}\` for configuration share.auto.offset.reset. The value must be either 'earliest', 'latest' or of the format 'by_duration:<PnDTnHnMn.nS>'.`;

describe("validateGroupConfig", () => {
  test.each([
    ["consumer.session.timeout.ms", "50000", null],
    [
      "consumer.session.timeout.ms",
      "0",
      "Invalid value 0 for configuration consumer.session.timeout.ms: Value must be at least 1",
    ],
    [
      "consumer.session.timeout.ms",
      "44999",
      "consumer.session.timeout.ms must be in the range 45000 to 60000 inclusive.",
    ],
    [
      "consumer.heartbeat.interval.ms",
      "15001",
      "consumer.heartbeat.interval.ms must be in the range 5000 to 15000 inclusive.",
    ],
    [
      "consumer.assignment.interval.ms",
      "15001",
      "consumer.assignment.interval.ms must be in the range 0 to 15000 inclusive.",
    ],
    [
      "share.record.lock.duration.ms",
      "14999",
      "share.record.lock.duration.ms must be in the range 15000 to 60000 inclusive.",
    ],
    [
      "share.partition.max.record.locks",
      "10001",
      "share.partition.max.record.locks must be in the range 100 to 4000 inclusive.",
    ],
    ["share.auto.offset.reset", "by_duration:p1dt2h3m4.5s", null],
    ["share.auto.offset.reset", " earliest ", null],
    ["share.auto.offset.reset", "by_duration:PT", RESET("by_duration:PT")],
    ["share.auto.offset.reset", "by_duration:P1DT", RESET("by_duration:P1DT")],
    ["share.auto.offset.reset", "by_duration:-PT1H", RESET("by_duration:-PT1H")],
    ["share.auto.offset.reset", "EARLIEST", RESET("EARLIEST")],
    [
      "streams.num.standby.replicas",
      "3",
      "streams.num.standby.replicas must be less than or equal to 2",
    ],
    [
      "streams.task.offset.interval.ms",
      "1",
      "streams.task.offset.interval.ms must be greater than or equal to 15000",
    ],
    [
      "streams.assignor.name",
      "foo",
      "streams.assignor.name 'foo' is not a registered task assignor. Registered assignors are: [sticky].",
    ],
    [
      "streams.rack.aware.assignment.tags",
      "a, a, b",
      "streams.rack.aware.assignment.tags must not contain duplicate tag keys.",
    ],
    [
      "streams.rack.aware.assignment.tags",
      "a,,b",
      "Configuration 'streams.rack.aware.assignment.tags' values must not be empty.",
    ],
    [
      "errors.deadletterqueue.topic.name",
      "__dlq",
      "errors.deadletterqueue.topic.name: DLQ topic name must not start with '__'",
    ],
    ["unknown.key", "1", "Unknown group config name: unknown.key"],
  ])("%s=%s", (name, value, sentence) => {
    expect(validateGroupConfig(of({ [name]: value }), broker())).toBe(sentence);
  });

  test("tells of the first fault in Kafka's order", () => {
    const values = of({
      "consumer.session.timeout.ms": "1",
      "consumer.heartbeat.interval.ms": "1",
      "share.session.timeout.ms": "1",
    });
    expect(validateGroupConfig(values, broker())).toBe(
      "consumer.heartbeat.interval.ms must be in the range 5000 to 15000 inclusive.",
    );
  });

  test("a session is longer than a heartbeat, the broker's values counted where the group has none", () => {
    const wide = broker({ "group.consumer.max.heartbeat.interval.ms": "60000" });
    expect(validateGroupConfig(of({ "consumer.heartbeat.interval.ms": "46000" }), wide)).toBe(
      "consumer.session.timeout.ms must be greater than consumer.heartbeat.interval.ms",
    );
  });
});

describe("settings of a group", () => {
  test("are its own, else the broker's", () => {
    const config = broker({ "group.consumer.heartbeat.interval.ms": "6000" });
    expect(resolveGroupSettings(config, of({ "consumer.session.timeout.ms": "50000" }))).toEqual({
      consumerSessionTimeoutMs: 50_000,
      consumerHeartbeatIntervalMs: 6_000,
      consumerAssignmentIntervalMs: 1_000,
    });
  });

  test("keep within bounds that moved after they were stored", () => {
    const narrow = broker({ "group.consumer.max.session.timeout.ms": "46000" });
    const stored = of({
      "consumer.session.timeout.ms": "60000",
      "consumer.heartbeat.interval.ms": "1",
    });
    expect(resolveGroupSettings(narrow, stored)).toMatchObject({
      consumerSessionTimeoutMs: 46_000,
      consumerHeartbeatIntervalMs: 5_000,
    });
  });

  test("are resolved once for the same values, and anew when the broker's change", () => {
    let config = broker();
    const cache = new GroupSettingsCache(() => config);
    const stored = of({});
    const first = cache.of(stored);
    expect(cache.of(stored)).toBe(first);
    config = config.withDynamic(of({ "group.consumer.assignment.interval.ms": "7" }), of({}));
    expect(cache.of(stored).consumerAssignmentIntervalMs).toBe(7);
  });
});

describe("describeGroupConfig", () => {
  test("lists what is not internal, with the broker's value as synonym", () => {
    const described = describeGroupConfig(broker(), of({}));
    expect(described).toHaveLength(21);
    expect(described[0]).toMatchObject({
      name: "consumer.session.timeout.ms",
      value: "45000",
      source: ConfigSource.DEFAULT_CONFIG,
      synonyms: [{ name: "group.consumer.session.timeout.ms", value: "45000", source: 5 }],
    });
  });

  test("lists own values, internal ones among them", () => {
    const own = of({ "streams.task.offset.interval.ms": "20000" });
    const [first, ...rest] = describeGroupConfig(broker(), own);
    expect(rest).toHaveLength(21);
    expect(first).toMatchObject({
      name: "streams.task.offset.interval.ms",
      value: "20000",
      source: ConfigSource.GROUP_CONFIG,
      synonyms: [
        { name: "streams.task.offset.interval.ms", value: "20000", source: 8 },
        { name: "group.streams.task.offset.interval.ms", value: "60000", source: 5 },
      ],
    });
  });

  test("lists in Kafka's order", () => {
    const names = describeGroupConfig(broker(), of({})).map(({ name }) => name);
    expect(names).toEqual([
      "consumer.session.timeout.ms",
      "streams.assignor.name",
      "consumer.assignment.interval.ms",
      "errors.deadletterqueue.copy.record.enable",
      "share.auto.offset.reset",
      "streams.rack.aware.assignment.tags",
      "share.renew.acknowledge.enable",
      "streams.initial.rebalance.delay.ms",
      "share.session.timeout.ms",
      "streams.assignment.interval.ms",
      "share.heartbeat.interval.ms",
      "streams.heartbeat.interval.ms",
      "share.delivery.count.limit",
      "errors.deadletterqueue.topic.name",
      "consumer.heartbeat.interval.ms",
      "share.record.lock.duration.ms",
      "share.assignment.interval.ms",
      "share.isolation.level",
      "streams.session.timeout.ms",
      "share.partition.max.record.locks",
      "streams.num.standby.replicas",
    ]);
  });
});
