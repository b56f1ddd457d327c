/**
 * Codes and sentences are those Kafka 4.4 answered to the same requests on one node.
 */
import { describe, expect, test } from "bun:test";
import { ConfigOperation } from "#controller/configs.ts";
import type { ConfigChange } from "#controller/configs.ts";
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
  test.each(["listeners", "num.network.threads", "num.recovery.threads.per.data.dir"])(
    "refuses to store %s, which is read at start only",
    async (name) => {
      const cluster = await startCluster();
      expect(
        await change(cluster, ResourceType.BROKER, "1", [
          [name, SET, name === "listeners" ? "PLAINTEXT://:1" : "9"],
        ]),
      ).toEqual([
        42,
        `Cannot update these configs dynamically: [${name}]. This broker reads them at start: set them in its server.properties and restart it.`,
      ]);
      expect(await change(cluster, ResourceType.BROKER, "1", [[name, DELETE, null]])).toEqual([
        0,
        null,
      ]);
    },
  );

  test("come into force with the answer", async () => {
    const cluster = await startCluster();
    await change(cluster, ResourceType.BROKER, "", [["log.retention.ms", SET, "100"]]);
    expect(cluster.current.config.number("log.retention.ms")).toBe(100);
    await change(cluster, ResourceType.BROKER, "1", [["log.retention.ms", SET, "200"]]);
    expect(cluster.current.config.number("log.retention.ms")).toBe(200);
  });
});
