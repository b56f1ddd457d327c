import { describe, expect, test } from "bun:test";
import { BROKER_KEYS } from "#config/broker-keys.ts";
import { TOPIC_KEYS } from "#config/topic-keys.ts";
import {
  DescribeConfigsApi,
  makeDescribeConfigsRequest,
  makeDescribeConfigsResource,
} from "#protocol/generated/describe-configs.ts";
import type {
  DescribeConfigsRequest,
  DescribeConfigsResponse,
  DescribeConfigsResult,
} from "#protocol/generated/describe-configs.ts";
import { Reader } from "#protocol/codec/reader.ts";
import { Writer } from "#protocol/codec/writer.ts";
import { createDescribeConfigsHandler } from "#server/handlers/describe-configs.ts";
import type { Cluster } from "../../controller/cluster-fixture.ts";
import { contextOf, startCluster } from "../../controller/cluster-fixture.ts";

/** Asks for one resource and sends the answer through the codec of the version. */
async function ask(
  cluster: Cluster,
  resourceType: number,
  resourceName: string,
  options: Partial<DescribeConfigsRequest> & { version?: number; keys?: string[] | null } = {},
): Promise<DescribeConfigsResult> {
  const { version = 4, keys = null, ...init } = options;
  const handler = createDescribeConfigsHandler({
    nodeId: 1,
    image: () => cluster.controller.image,
    config: () => cluster.current.config,
    loggers: cluster.loggers,
  });
  const resource = makeDescribeConfigsResource({
    resourceType,
    resourceName,
    configurationKeys: keys,
  });
  const answer = await handler.handle(
    makeDescribeConfigsRequest({ resources: [resource], ...init }),
    contextOf(version),
  );
  const writer = new Writer();
  DescribeConfigsApi.response.encode(writer, answer as DescribeConfigsResponse, version);
  const [result] = DescribeConfigsApi.response.decode(
    new Reader(writer.toBytes()),
    version,
  ).results;
  if (result === undefined) throw new Error("no result");
  return result;
}

const listed = (keys: readonly { name: string; isInternal?: boolean }[]): string[] =>
  keys.filter(({ isInternal }) => isInternal !== true).map(({ name }) => name);

describe("DescribeConfigs", () => {
  test("lists every key of a topic and of this broker", async () => {
    const cluster = await startCluster();
    await cluster.createTopic("t");
    const names = ({ configs }: DescribeConfigsResult): string[] => configs.map(({ name }) => name);
    expect(names(await ask(cluster, 2, "t")).toSorted()).toEqual(listed(TOPIC_KEYS).toSorted());
    expect(names(await ask(cluster, 4, "1", { keys: [] })).toSorted()).toEqual(
      listed(BROKER_KEYS).toSorted(),
    );
  });

  test("lists in the order of Kafka's maps, ours at the end", async () => {
    const cluster = await startCluster();
    await cluster.createTopic("t");
    const { configs } = await ask(cluster, 2, "t");
    const names = configs.map(({ name }) => name);
    expect(names.slice(0, 3)).toEqual([
      "compression.type",
      "errors.deadletterqueue.group.enable",
      "remote.copy.lag.bytes",
    ]);
    expect(names.slice(-2)).toEqual(["segment.index.bytes", "sluice.acks.all.fsync"]);
  });

  test("lists what was stored and nobody knows first, as a secret", async () => {
    const cluster = await startCluster();
    const changes = [
      { name: "foo.bar", operation: 0, value: "12" },
      { name: "listener.name.plaintext.max.connections", operation: 0, value: "100" },
    ];
    const resource = { resourceType: 4, resourceName: "1", replacesAll: false, changes };
    await cluster.controller.changeConfigs([resource], false);
    const { configs } = await ask(cluster, 4, "1", { includeSynonyms: true });
    expect(configs.slice(0, 2)).toMatchObject([
      { name: "foo.bar", value: null, configSource: 2, readOnly: true, isSensitive: true },
      {
        name: "listener.name.plaintext.max.connections",
        value: "100",
        configSource: 2,
        readOnly: true,
        isSensitive: false,
        configType: 3,
        documentation: null,
        synonyms: [
          { name: "listener.name.plaintext.max.connections", value: "100", source: 2 },
          { name: "max.connections", value: "2147483647", source: 5 },
        ],
      },
    ]);
  });

  test("tells of subscriptions and loggers", async () => {
    const cluster = await startCluster();
    const subscription = await ask(cluster, 16, "s");
    expect(subscription.configs).toMatchObject([
      { name: "interval.ms", value: "300000", configSource: 5, configType: 3 },
      { name: "match", value: "", configSource: 5, configType: 7 },
      { name: "metrics", value: "", configSource: 5, configType: 7 },
    ]);
    const loggers = await ask(cluster, 8, "1");
    expect(loggers.configs).toMatchObject([
      { name: "root", value: "INFO", configSource: 6, configType: 0, readOnly: false },
    ]);
  });

  test("tells a value, its source, its synonyms, type and documentation in every version that has them", async () => {
    const cluster = await startCluster({ config: { "log.segment.bytes": "2097152" } });
    await cluster.createTopic("t", 1, { "segment.bytes": "3145728" });
    const keys = ["segment.bytes"];
    const asked = { includeSynonyms: true, includeDocumentation: true, keys };
    const base = { name: "segment.bytes", value: "3145728", readOnly: false, isSensitive: false };
    const synonyms = [
      { name: "segment.bytes", value: "3145728", source: 1 },
      { name: "log.segment.bytes", value: "2097152", source: 4 },
      { name: "log.segment.bytes", value: "1073741824", source: 5 },
    ];
    expect((await ask(cluster, 2, "t", { keys, version: 0 })).configs).toMatchObject([
      { ...base, isDefault: false },
    ]);
    for (const version of [1, 2]) {
      const { configs } = await ask(cluster, 2, "t", { keys, includeSynonyms: true, version });
      expect(configs).toMatchObject([{ ...base, configSource: 1, synonyms }]);
    }
    for (const version of [3, 4]) {
      const documentation = "Size at which a segment is closed and a new one begins.";
      const { configs } = await ask(cluster, 2, "t", { ...asked, version });
      expect(configs).toMatchObject([
        { ...base, configSource: 1, synonyms, configType: 3, documentation },
      ]);
    }
  });

  test("v0 tells defaults apart", async () => {
    const cluster = await startCluster();
    await cluster.createTopic("t");
    const { configs } = await ask(cluster, 2, "t", { keys: ["segment.bytes"], version: 0 });
    expect(configs).toMatchObject([{ isDefault: true }]);
  });

  const refused: [number, string, number, string | null][] = [
    [2, "nope", 3, ""],
    [2, "", 17, "Topic name is invalid: the empty string is not allowed"],
    [4, "9", 42, "Unexpected broker id, expected 1 or empty string, but received 9"],
    [4, "x", 42, "Broker id must be an integer, but it is: x"],
    [8, "9", 42, "Unexpected broker id, expected 1 but received 9"],
    [32, "", 42, "Group name must not be empty"],
    [16, "", 42, "Client metrics subscription name must not be empty"],
  ];
  for (const [type, name, errorCode, errorMessage] of refused) {
    test(`refuses ${type}:${name}`, async () => {
      const result = await ask(await startCluster(), type, name);
      expect(result).toMatchObject({
        errorCode,
        errorMessage,
        resourceType: type,
        resourceName: name,
        configs: [],
      });
    });
  }

  test("a broker logger without an id is refused in Kafka's words", async () => {
    const cluster = await startCluster();
    const { errorCode, errorMessage } = await ask(cluster, 8, "");
    expect([errorCode, errorMessage]).toEqual([42, "Broker id must not be empty"]);
  });

  test("a resource asked for many times is described once", async () => {
    const cluster = await startCluster();
    await cluster.createTopic("t");
    let lookedUp = 0;
    const handler = createDescribeConfigsHandler({
      nodeId: 1,
      image: () => {
        lookedUp += 1;
        return cluster.controller.image;
      },
      config: () => cluster.current.config,
      loggers: cluster.loggers,
    });
    const resource = makeDescribeConfigsResource({ resourceType: 2, resourceName: "t" });
    const resources = Array.from({ length: 500 }, () => resource);
    const answer = await handler.handle(makeDescribeConfigsRequest({ resources }), contextOf(4));
    const { results } = answer as DescribeConfigsResponse;
    expect([results.length, lookedUp]).toEqual([500, 1]);
    expect(results[499]).toEqual(results[0] as DescribeConfigsResult);
  });

  test("the defaults of all brokers are those that were set", async () => {
    const cluster = await startCluster();
    expect((await ask(cluster, 4, "")).configs).toEqual([]);
    const change = { name: "log.retention.ms", operation: 0, value: "5" };
    await cluster.controller.changeConfigs(
      [{ resourceType: 4, resourceName: "", replacesAll: false, changes: [change] }],
      false,
    );
    expect((await ask(cluster, 4, "")).configs).toMatchObject([
      { name: "log.retention.ms", value: "5", configSource: 3 },
    ]);
  });
});
