/**
 * Codes and sentences are those Kafka 4.4 answered to the same requests on one node.
 */
import { describe, expect, test } from "bun:test";
import { ConfigOperation } from "#controller/config-values.ts";
import type { ConfigChange } from "#controller/config-values.ts";
import { configValues, ResourceType } from "#metadata/cluster-image.ts";
import type { Cluster } from "./cluster-fixture.ts";
import { startCluster } from "./cluster-fixture.ts";

const { SET, DELETE, APPEND, SUBTRACT } = ConfigOperation;
type Change = [name: string, operation: number, value: string | null];

const toChanges = (changes: Change[]): ConfigChange[] =>
  changes.map(([name, operation, value]) => ({ name, operation, value }));

async function change(
  cluster: Cluster,
  resourceType: number,
  resourceName: string,
  changes: Change[],
  options: { replacesAll?: boolean; validateOnly?: boolean } = {},
): Promise<unknown> {
  const { replacesAll = false, validateOnly = false } = options;
  const resource = { resourceType, resourceName, replacesAll, changes: toChanges(changes) };
  const [outcome] = await cluster.controller.changeConfigs([resource], validateOnly);
  return [outcome?.errorCode, outcome?.errorMessage];
}

async function withTopic(): Promise<Cluster> {
  const cluster = await startCluster();
  await cluster.createTopic("t");
  return cluster;
}

describe("topic values", () => {
  const refused: [Change[], number, string | null][] = [
    [[["foo", SET, "5"]], 40, "Unknown topic config name: foo"],
    [
      [["retention.ms", SET, "x"]],
      40,
      "Invalid value x for configuration retention.ms: Not a number of type LONG",
    ],
    [[["retention.ms", SET, null]], 42, "Null value not supported for : retention.ms"],
    [
      [["retention.ms", APPEND, "5"]],
      40,
      "Can't APPEND to key retention.ms because its type is not LIST.",
    ],
    [
      [["retention.ms", SUBTRACT, "5"]],
      40,
      "Can't SUBTRACT to key retention.ms because its type is not LIST.",
    ],
    [[["retention.ms", 9, "5"]], -1, null],
    [
      [
        ["retention.ms", SET, "5"],
        ["retention.ms", DELETE, null],
      ],
      42,
      "Error due to duplicate config keys",
    ],
  ];
  for (const [changes, errorCode, message] of refused) {
    test(`refuses ${JSON.stringify(changes)}`, async () => {
      const cluster = await withTopic();
      expect(await change(cluster, ResourceType.TOPIC, "t", changes)).toEqual([errorCode, message]);
      expect(configValues(cluster.controller.image, ResourceType.TOPIC, "t").size).toBe(0);
    });
  }

  test("are set, extended, shortened and deleted", async () => {
    const cluster = await withTopic();
    const values = (): Record<string, string> =>
      Object.fromEntries(configValues(cluster.controller.image, ResourceType.TOPIC, "t"));
    await change(cluster, ResourceType.TOPIC, "t", [
      ["retention.ms", SET, "5"],
      ["cleanup.policy", APPEND, "compact"],
    ]);
    expect(values()).toEqual({ "retention.ms": "5", "cleanup.policy": "delete,compact" });
    await change(cluster, ResourceType.TOPIC, "t", [
      ["retention.ms", DELETE, null],
      ["cleanup.policy", SUBTRACT, "delete"],
    ]);
    expect(values()).toEqual({ "cleanup.policy": "compact" });
    await change(cluster, ResourceType.TOPIC, "t", [["segment.ms", SET, "7"]], {
      replacesAll: true,
    });
    expect(values()).toEqual({ "segment.ms": "7" });
    await change(cluster, ResourceType.TOPIC, "t", [["segment.ms", SET, "8"]], {
      validateOnly: true,
    });
    expect(values()).toEqual({ "segment.ms": "7" });
  });

  test("a resource named twice is refused, another one is served", async () => {
    const cluster = await withTopic();
    const resource = { resourceType: 2, resourceName: "t", replacesAll: false, changes: [] };
    const outcomes = await cluster.controller.changeConfigs(
      [resource, { ...resource, resourceType: 4, resourceName: "" }, resource],
      false,
    );
    expect(outcomes.map(({ errorCode }) => errorCode)).toEqual([42, 0, 42]);
  });
});

describe("resources", () => {
  const refused: [number, string, number, string][] = [
    [2, "nope", 3, "The topic 'nope' does not exist."],
    [2, "", 42, "Default topic resources are not allowed."],
    [4, "9", 42, "Unexpected broker id, expected 1, but received 9"],
    [4, "x", 42, "Node id must be an integer, but it is: x"],
    [8, "9", 42, "Unexpected node id. Expected 1, but received 9"],
    [8, "1", 40, "Logger retention.ms does not exist!"],
    [1, "x", 42, "Unknown resource type 1"],
    [77, "x", 42, "Unknown resource type 77"],
  ];
  for (const [type, name, errorCode, message] of refused) {
    test(`${type}:${name}`, async () => {
      expect(await change(await withTopic(), type, name, [["retention.ms", SET, "5"]])).toEqual([
        errorCode,
        message,
      ]);
    });
  }
});

describe("broker values", () => {
  const refused: [string, Change, number, string][] = [
    [
      "1",
      ["num.partitions", SET, "5"],
      42,
      "Cannot update these configs dynamically: [num.partitions]",
    ],
    [
      "1",
      ["message.max.bytes", SET, "x"],
      42,
      "Invalid value x for configuration message.max.bytes: Not a number of type INT",
    ],
    [
      "1",
      ["log.roll.ms", SET, "0"],
      42,
      "requirement failed: log.roll.ms must be greater than or equal to 1",
    ],
    [
      "1",
      ["message.max.bytes", APPEND, "5"],
      40,
      "Config value append is not allowed for config key: message.max.bytes",
    ],
    ["1", ["foo.bar", APPEND, "5"], 40, "Unknown config name: foo.bar"],
    [
      "",
      ["cordoned.log.dirs", SET, "*"],
      42,
      "Cannot update these configs at default cluster level, broker id must be specified: [cordoned.log.dirs]",
    ],
    [
      "1",
      ["ssl.key.password", SET, "x"],
      42,
      "These security configs can be dynamically updated only per-listener using the listener prefix: [ssl.key.password]",
    ],
  ];
  for (const [name, row, errorCode, message] of refused) {
    test(`refuses ${JSON.stringify(row)} of '${name}'`, async () => {
      expect(await change(await startCluster(), ResourceType.BROKER, name, [row])).toEqual([
        errorCode,
        message,
      ]);
    });
  }

  // Kafka changes these while running; here they are read at start, and storing one would be a promise not kept.
  test.each([
    ["listeners", "PLAINTEXT://:1"],
    ["num.recovery.threads.per.data.dir", "3"],
    ["num.network.threads", "2"],
    ["listener.security.protocol.map", "PLAINTEXT:PLAINTEXT,FOO:PLAINTEXT"],
  ])("refuses to store %s, which is read at start only", async (name, value) => {
    const cluster = await startCluster();
    expect(await change(cluster, ResourceType.BROKER, "1", [[name, SET, value]])).toEqual([
      42,
      `Cannot update these configs dynamically: [${name}]. This broker reads them at start: set them in its server.properties and restart it.`,
    ]);
    expect(await change(cluster, ResourceType.BROKER, "1", [[name, DELETE, null]])).toEqual([
      0,
      null,
    ]);
  });

  const wrapped = (sentence: string): string =>
    `Invalid value org.apache.kafka.common.config.ConfigException: ${sentence} for configuration Invalid dynamic configuration`;
  test.each([
    [
      "num.io.threads",
      "100",
      wrapped(
        "Dynamic thread count update validation failed for num.io.threads=100, value should not be greater than double the current value 8",
      ),
    ],
    [
      "background.threads",
      "1",
      wrapped(
        "Dynamic thread count update validation failed for background.threads=1, value should be at least half the current value 10",
      ),
    ],
    [
      "metric.reporters",
      "a.b.C",
      wrapped(
        "Validation of dynamic config update of Set(metric.reporters) failed with class class kafka.server.DynamicMetricsReporters",
      ),
    ],
    ["max.connection.creation.rate", "0", wrapped("Invalid max.connection.creation.rate 0")],
    [
      "log.local.retention.ms",
      "99999999999",
      wrapped(
        "Invalid value 99999999999 for configuration log.local.retention.ms: Value must not be more than log.retention.ms property value: 604800000",
      ),
    ],
    ["log.cleaner.threads", "0", "/ by zero"],
    [
      "log.cleaner.dedupe.buffer.size",
      "1",
      "requirement failed: log.cleaner.dedupe.buffer.size must be at least 1MB per cleaner thread.",
    ],
    [
      "log.cleanup.policy",
      "compact,compact",
      "Configuration 'log.cleanup.policy' values must not be duplicated.",
    ],
    [
      "group.consumer.assignment.interval.ms",
      "20000",
      "group.consumer.assignment.interval.ms must be less than or equal to group.consumer.max.assignment.interval.ms",
    ],
    [
      "max.connections.per.ip.overrides",
      "127.0.0.1",
      "Error parsing configuration property 'max.connections.per.ip.overrides': begin 0, end -1, length 9",
    ],
    [
      "listener.name.plaintext.max.connections",
      "x",
      "Invalid value x for configuration max.connections: Not a number of type INT",
    ],
    [
      "principal.builder.class",
      "foo",
      "Invalid value foo for configuration principal.builder.class: Class foo could not be found.",
    ],
  ])("refuses %s=%s in Kafka's words", async (name, value, message) => {
    const cluster = await startCluster();
    const answer = await change(cluster, ResourceType.BROKER, "1", [[name, SET, value]]);
    expect(answer).toEqual([42, message]);
  });

  test("the value in force is stored, read at start or not", async () => {
    const cluster = await startCluster({ config: { listeners: "PLAINTEXT://:1" } });
    const row: Change = ["listeners", SET, "PLAINTEXT://:1"];
    expect(await change(cluster, ResourceType.BROKER, "1", [row])).toEqual([0, null]);
  });

  test("a list that grows beyond what a record holds is refused, and the broker goes on", async () => {
    const cluster = await withTopic();
    const name = "follower.replication.throttled.replicas";
    const rows = (broker: number): string =>
      Array.from({ length: 4500 }, (_, partition) => `${partition}:${broker}`).join(",");
    expect(await change(cluster, ResourceType.TOPIC, "t", [[name, SET, rows(1)]])).toEqual([
      0,
      null,
    ]);
    expect(await change(cluster, ResourceType.TOPIC, "t", [[name, APPEND, rows(2)]])).toEqual([
      40,
      "The configuration value cannot be added because it exceeds the maximum value size of 32767 bytes.",
    ]);
    expect(await change(cluster, ResourceType.TOPIC, "t", [[name, DELETE, null]])).toEqual([
      0,
      null,
    ]);
  });

  test("a request of more records than one batch may hold is refused as a whole", async () => {
    const cluster = await startCluster();
    const rows = (count: number): Change[] =>
      Array.from({ length: count }, (_, index) => [`k${index}.x`, SET, "1"]);
    expect(await change(cluster, ResourceType.BROKER, "1", rows(10_001))).toEqual([
      44,
      "Unable to perform excessively large batch operation.",
    ]);
    expect(cluster.current.config.dynamicValues.size).toBe(0);
    expect(await change(cluster, ResourceType.BROKER, "1", rows(9_999))).toEqual([0, null]);
  });

  test("come into force with the answer", async () => {
    const cluster = await startCluster();
    await change(cluster, ResourceType.BROKER, "", [["log.retention.ms", SET, "100"]]);
    expect(cluster.current.config.number("log.retention.ms")).toBe(100);
    await change(cluster, ResourceType.BROKER, "1", [["log.retention.ms", SET, "200"]]);
    expect(cluster.current.config.number("log.retention.ms")).toBe(200);
  });
});

describe("groups", () => {
  test("need not exist, and keep what they were given", async () => {
    const cluster = await startCluster();
    const row: Change = ["consumer.session.timeout.ms", SET, "50000"];
    expect(await change(cluster, ResourceType.GROUP, "g", [row])).toEqual([0, null]);
    expect([...configValues(cluster.controller.image, ResourceType.GROUP, "g")]).toEqual([
      ["consumer.session.timeout.ms", "50000"],
    ]);
  });

  test.each<[string, Change, number, string]>([
    [
      "g",
      ["consumer.session.timeout.ms", SET, "1"],
      40,
      "consumer.session.timeout.ms must be in the range 45000 to 60000 inclusive.",
    ],
    [
      "g",
      ["streams.rack.aware.assignment.tags", APPEND, "c"],
      40,
      "Can't APPEND to key streams.rack.aware.assignment.tags because its type is not LIST.",
    ],
    ["", ["x", SET, "1"], 42, "Default group resources are not allowed."],
  ])("refuses what Kafka refuses of '%s': %p", async (name, row, code, message) => {
    const cluster = await startCluster();
    expect(await change(cluster, ResourceType.GROUP, name, [row])).toEqual([code, message]);
  });
});

describe("client metrics", () => {
  test.each<[Change, number, string | null]>([
    [["interval.ms", SET, "100"], 0, null],
    [
      ["interval.ms", SET, "99"],
      42,
      "Invalid value 99 for interval.ms, interval must be between 100 and 3600000 (1 hour)",
    ],
    [
      ["interval.ms", SET, "abc"],
      40,
      "Invalid value abc for configuration interval.ms: Not a number of type INT",
    ],
    [["metrics", SET, "a,,b"], 40, "Configuration 'metrics' values must not be empty."],
    [["metrics", APPEND, "c"], 40, "Can't APPEND to key metrics because its type is not LIST."],
    [["match", SET, "foo=bar"], 40, "Illegal client matching pattern: foo=bar"],
    [["match", SET, "client_id=["], 40, "Illegal client matching pattern: client_id=["],
    [["match", SET, "client_id=a=b"], 40, "Illegal client matching pattern: client_id=a=b"],
    [["match", SET, "client_id="], 40, "Illegal client matching pattern: client_id="],
    [["match", SET, "client_id=a=,client_source_port=9.*"], 0, null],
    [["foo", SET, "1"], 42, "Unknown client metrics configuration: foo"],
    [["foo", DELETE, null], 0, null],
  ])("%p", async (row, code, message) => {
    const cluster = await startCluster();
    const answer = await change(cluster, ResourceType.CLIENT_METRICS, "s", [row]);
    expect(answer).toEqual([code, message]);
  });

  test("a subscription has a name", async () => {
    const cluster = await startCluster();
    const row: Change = ["interval.ms", SET, "1000"];
    expect(await change(cluster, ResourceType.CLIENT_METRICS, "", [row])).toEqual([
      42,
      "Subscription name can't be empty",
    ]);
  });
});

describe("loggers", () => {
  const LOGGER = ResourceType.BROKER_LOGGER;

  test("root takes a level until the broker stops, and only when it is meant", async () => {
    const cluster = await startCluster();
    const row: Change = ["root", SET, "DEBUG"];
    expect(await change(cluster, LOGGER, "1", [row], { validateOnly: true })).toEqual([0, null]);
    expect([...cluster.loggers.levels()]).toEqual([["root", "INFO"]]);
    expect(await change(cluster, LOGGER, "1", [row])).toEqual([0, null]);
    expect([...cluster.loggers.levels()]).toEqual([["root", "DEBUG"]]);
    expect(cluster.controller.image.configs.size).toBe(0);
  });

  test.each<[string, Change, number, string]>([
    [
      "1",
      ["root", SET, "debug"],
      40,
      "Cannot set the log level of root to debug as it is not a supported log level. Valid log levels are DEBUG, ERROR, FATAL, INFO, TRACE, WARN",
    ],
    ["1", ["a.B", SET, "INFO"], 40, "Logger a.B does not exist!"],
    ["1", ["root", DELETE, null], 42, "Removing the log level of the root logger is not allowed"],
    [
      "1",
      ["root", APPEND, "INFO"],
      42,
      "APPEND operation is not allowed for the BROKER_LOGGER resource",
    ],
    [
      "1",
      ["root", 9, "INFO"],
      42,
      "Unknown operation type 9 is not allowed for the BROKER_LOGGER resource",
    ],
    ["", ["root", SET, "INFO"], 42, "Node id must be an integer, but it is: "],
    ["2", ["root", SET, "INFO"], 42, "Unexpected node id. Expected 1, but received 2"],
  ])("of broker '%s': %p", async (name, row, code, message) => {
    expect(await change(await startCluster(), LOGGER, name, [row])).toEqual([code, message]);
  });

  test("the older AlterConfigs knows no loggers", async () => {
    const row: Change = ["root", SET, "INFO"];
    const answer = await change(await startCluster(), LOGGER, "1", [row], { replacesAll: true });
    expect(answer).toEqual([42, "Unknown resource type 8"]);
  });
});
