/**
 * Answers are those of Kafka 4.4 to the same requests on one node, except that a topic created on the way is in the answer.
 */
import { describe, expect, test } from "bun:test";
import { ZERO_UUID } from "#common/uuid.ts";
import { makeMetadataRequest, makeMetadataRequestTopic } from "#protocol/generated/metadata.ts";
import type {
  MetadataRequest,
  MetadataRequestTopic,
  MetadataResponse,
} from "#protocol/generated/metadata.ts";
import { createMetadataHandler } from "#server/handlers/metadata.ts";
import type { Cluster } from "../../controller/cluster-fixture.ts";
import { contextOf, DIRECTORY_ID, startCluster } from "../../controller/cluster-fixture.ts";

const UNKNOWN_ID = "abcdefghijklmnopqrstug";

async function ask(
  cluster: Cluster,
  topics: Partial<MetadataRequestTopic>[] | null,
  version: number,
  options: Partial<MetadataRequest> & {
    autoCreates?: boolean;
    isDirectoryOnline?: (directoryId: string) => boolean;
  } = {},
): Promise<MetadataResponse> {
  const { autoCreates = true, isDirectoryOnline = () => true, ...init } = options;
  const { controller } = cluster;
  const handler = createMetadataHandler({
    clusterId: "cluster",
    image: () => controller.image,
    isDirectoryOnline,
    autoCreatesTopics: () => autoCreates,
    createTopics: (names) => controller.createAutomatically(names),
  });
  const rows = topics?.map((row) => makeMetadataRequestTopic(row)) ?? null;
  const request = makeMetadataRequest({ topics: rows, allowAutoTopicCreation: false, ...init });
  return (await handler.handle(request, contextOf(version))) as MetadataResponse;
}

const brief = ({ topics }: MetadataResponse): unknown[] =>
  topics.map(({ name, errorCode }) => [name, errorCode]);

describe("Metadata", () => {
  test("names no leader for a partition whose log directory failed", async () => {
    const cluster = await startCluster();
    await cluster.createTopic("t");
    const asked: string[] = [];
    const { topics } = await ask(cluster, [{ name: "t" }], 9, {
      isDirectoryOnline: (id) => {
        asked.push(id);
        return false;
      },
    });
    expect(topics[0]?.partitions).toEqual([
      {
        errorCode: 5,
        partitionIndex: 0,
        leaderId: -1,
        leaderEpoch: 0,
        replicaNodes: [1],
        isrNodes: [1],
        offlineReplicas: [1],
      },
    ]);
    expect(new Set(asked)).toEqual(new Set([DIRECTORY_ID]));
  });

  test("tells brokers, controller and partitions", async () => {
    const cluster = await startCluster();
    const id = await cluster.createTopic("t");
    expect(await ask(cluster, [{ name: "t" }], 9)).toEqual({
      throttleTimeMs: 0,
      brokers: [{ nodeId: 1, host: "127.0.0.1", port: 9092, rack: null }],
      clusterId: "cluster",
      controllerId: 1,
      topics: [
        {
          errorCode: 0,
          name: "t",
          topicId: id,
          isInternal: false,
          partitions: [
            {
              errorCode: 0,
              partitionIndex: 0,
              leaderId: 1,
              leaderEpoch: 0,
              replicaNodes: [1],
              isrNodes: [1],
              offlineReplicas: [],
            },
          ],
          topicAuthorizedOperations: -2147483648,
        },
      ],
      clusterAuthorizedOperations: -2147483648,
      errorCode: 0,
    });
  });

  test("an empty list asks for all in v0 and for none later; null always asks for all", async () => {
    const cluster = await startCluster();
    await cluster.createTopic("t");
    expect(brief(await ask(cluster, [], 0))).toEqual([["t", 0]]);
    expect(brief(await ask(cluster, [], 1))).toEqual([]);
    expect(brief(await ask(cluster, null, 1))).toEqual([["t", 0]]);
  });

  test("answers a name given twice once, missing ones behind those that are there", async () => {
    const cluster = await startCluster();
    await cluster.createTopic("t");
    const rows = [{ name: "nope" }, { name: "t" }, { name: "t" }, { name: "a b" }, { name: "" }];
    expect(brief(await ask(cluster, rows, 12))).toEqual([
      ["t", 0],
      ["nope", 3],
      ["a b", 17],
      ["", 17],
    ]);
    const internal = await ask(cluster, [{ name: "__transaction_state" }], 12, {
      allowAutoTopicCreation: true,
    });
    expect(internal.topics).toMatchObject([{ errorCode: 3, isInternal: true }]);
  });

  test("finds topics by id, and then looks at ids only", async () => {
    const cluster = await startCluster();
    const id = await cluster.createTopic("t");
    await cluster.createTopic("u");
    const rows = [{ name: null, topicId: UNKNOWN_ID }, { name: null, topicId: id }, { name: "u" }];
    const { topics } = await ask(cluster, rows, 12);
    expect(topics.map(({ name, topicId, errorCode }) => [name, topicId, errorCode])).toEqual([
      [null, UNKNOWN_ID, 100],
      ["t", id, 0],
    ]);
  });

  test("refuses ids before v12 and rows with neither name nor id after", async () => {
    const cluster = await startCluster();
    const id = await cluster.createTopic("t");
    expect(await ask(cluster, [{ name: "t", topicId: id }], 10)).toMatchObject({
      brokers: [],
      clusterId: null,
      controllerId: -1,
      topics: [{ errorCode: 42, name: "t", topicId: id }],
    });
    expect(await ask(cluster, [{ name: null }], 13)).toMatchObject({
      brokers: [],
      topics: [{ errorCode: -1, name: "", topicId: ZERO_UUID }],
      errorCode: -1,
    });
  });

  test("tells operations where they are asked for", async () => {
    const cluster = await startCluster();
    await cluster.createTopic("t");
    const asked = {
      includeTopicAuthorizedOperations: true,
      includeClusterAuthorizedOperations: true,
    };
    const answer = await ask(cluster, [{ name: "t" }], 8, asked);
    expect([
      answer.clusterAuthorizedOperations,
      answer.topics[0]?.topicAuthorizedOperations,
    ]).toEqual([8096, 3576]);
  });

  describe("creation on the way", () => {
    test("happens when both sides allow it, and the topic is in the answer", async () => {
      const cluster = await startCluster({ config: { "num.partitions": "3" } });
      const wish = { allowAutoTopicCreation: true };
      expect(brief(await ask(cluster, [{ name: "t" }], 12))).toEqual([["t", 3]]);
      expect(
        brief(await ask(cluster, [{ name: "t" }], 12, { ...wish, autoCreates: false })),
      ).toEqual([["t", 3]]);
      const { topics } = await ask(cluster, [{ name: "t" }, { name: "a b" }], 12, wish);
      expect(
        topics.map(({ name, errorCode, partitions }) => [name, errorCode, partitions.length]),
      ).toEqual([
        ["t", 0, 3],
        ["a b", 17, 0],
      ]);
    });

    test("does not for a name that collides", async () => {
      const cluster = await startCluster();
      await cluster.createTopic("x.y");
      const answer = await ask(cluster, [{ name: "x_y" }], 12, { allowAutoTopicCreation: true });
      expect(brief(answer)).toEqual([["x_y", 3]]);
    });
  });
});
