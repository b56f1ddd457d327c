/**
 * DescribeCluster, DescribeLogDirs, InitProducerId, CreateTopics and DeleteTopics at the edges of their versions. Answers are
 * those of Kafka 4.4 on one node.
 */
import { describe, expect, test } from "bun:test";
import {
  CreateTopicsApi,
  makeCreatableTopic,
  makeCreateTopicsRequest,
} from "#protocol/generated/create-topics.ts";
import { DeleteTopicsApi, makeDeleteTopicsRequest } from "#protocol/generated/delete-topics.ts";
import { makeDescribeClusterRequest } from "#protocol/generated/describe-cluster.ts";
import { makeDescribeLogDirsRequest } from "#protocol/generated/describe-log-dirs.ts";
import type { DescribableLogDirTopic } from "#protocol/generated/describe-log-dirs.ts";
import { makeInitProducerIdRequest } from "#protocol/generated/init-producer-id.ts";
import { Reader } from "#protocol/codec/reader.ts";
import { Writer } from "#protocol/codec/writer.ts";
import { createCreateTopicsHandler } from "#server/handlers/create-topics.ts";
import { createDeleteTopicsHandler } from "#server/handlers/delete-topics.ts";
import { createDescribeClusterHandler } from "#server/handlers/describe-cluster.ts";
import { createDescribeLogDirsHandler } from "#server/handlers/describe-log-dirs.ts";
import type { LogDirDescription } from "#server/handlers/describe-log-dirs.ts";
import { createInitProducerIdHandler } from "#server/handlers/init-producer-id.ts";
import { contextOf, startCluster } from "../../controller/cluster-fixture.ts";

describe("DescribeCluster", () => {
  const ask = async (
    version: number,
    init: Parameters<typeof makeDescribeClusterRequest>[0],
  ): Promise<unknown> => {
    const { controller } = await startCluster();
    const handler = createDescribeClusterHandler({
      clusterId: "cluster",
      image: () => controller.image,
    });
    return handler.handle(makeDescribeClusterRequest(init), contextOf(version));
  };

  test("tells brokers and the controller", async () => {
    expect(await ask(1, { includeClusterAuthorizedOperations: true })).toMatchObject({
      errorCode: 0,
      endpointType: 1,
      clusterId: "cluster",
      controllerId: 1,
      brokers: [{ brokerId: 1, host: "127.0.0.1", port: 9092, rack: null, isFenced: false }],
      clusterAuthorizedOperations: 8096,
    });
  });

  test("refuses other endpoints than brokers'", async () => {
    expect(await ask(1, { endpointType: 2 })).toMatchObject({
      errorCode: 114,
      clusterId: "",
      controllerId: -1,
      brokers: [],
    });
    expect(await ask(1, { endpointType: 3 })).toMatchObject({
      errorCode: 115,
      errorMessage: "Unsupported endpoint type 3",
    });
  });
});

describe("DescribeLogDirs", () => {
  const directories: LogDirDescription[] = [
    {
      path: "/one",
      totalBytes: 100,
      usableBytes: 40,
      error: null,
      partitions: [
        { topic: "t", partition: 0, sizeBytes: 7, offsetLag: 0, isFuture: false },
        { topic: "t", partition: 1, sizeBytes: 8, offsetLag: 0, isFuture: false },
        { topic: "u", partition: 0, sizeBytes: 9, offsetLag: 3, isFuture: true },
      ],
    },
    {
      directoryId: "second",
      path: "/two",
      totalBytes: -1,
      usableBytes: -1,
      error: "gone",
      partitions: [],
    },
  ];
  const ask = async (
    version: number,
    topics: DescribableLogDirTopic[] | null,
  ): Promise<unknown> => {
    const handler = createDescribeLogDirsHandler({
      logDirs: { describe: () => directories },
      cordoned: () => ["second"],
    });
    return handler.handle(makeDescribeLogDirsRequest({ topics }), contextOf(version));
  };

  test("tells sizes of what is asked for, and space from v4 on", async () => {
    const partitions = [{ partitionIndex: 1, partitionSize: 8, offsetLag: 0, isFutureKey: false }];
    expect(
      await ask(4, [
        { topic: "t", partitions: [1, 5] },
        { topic: "nope", partitions: [0] },
      ]),
    ).toMatchObject({
      errorCode: 0,
      results: [
        {
          errorCode: 0,
          logDir: "/one",
          topics: [{ name: "t", partitions }],
          totalBytes: 100,
          usableBytes: 40,
        },
        { errorCode: 56, logDir: "/two", topics: [], totalBytes: -1, usableBytes: -1 },
      ],
    });
    expect(await ask(3, [])).toMatchObject({
      results: [{ topics: [], totalBytes: -1, usableBytes: -1 }, {}],
    });
  });

  test("tells which directories take no new partitions from v5 on", async () => {
    expect(await ask(5, [])).toMatchObject({
      results: [{ isCordoned: false }, { isCordoned: true }],
    });
    expect(await ask(4, [])).toMatchObject({
      results: [{ isCordoned: false }, { isCordoned: false }],
    });
  });

  test("null asks for everything", async () => {
    expect(await ask(4, null)).toMatchObject({
      results: [{ topics: [{ name: "t" }, { name: "u" }] }, {}],
    });
  });
});

describe("InitProducerId", () => {
  const cases: [Parameters<typeof makeInitProducerIdRequest>[0], number][] = [
    [{ transactionalId: null }, 0],
    [{ transactionalId: null, producerId: 5n, producerEpoch: -1 }, 42],
    [{ transactionalId: null, producerId: -1n, producerEpoch: 1 }, 42],
    [{ transactionalId: null, producerId: 5n, producerEpoch: 32767 }, 0],
    [{ transactionalId: "" }, 42],
    [{ transactionalId: "mine" }, 35],
  ];
  for (const [init, errorCode] of cases) {
    test(`${init?.transactionalId} ${init?.producerId} ${init?.producerEpoch}`, async () => {
      const handler = createInitProducerIdHandler({
        producerIds: { next: () => Promise.resolve(77n) },
      });
      const answer = await handler.handle(makeInitProducerIdRequest(init), contextOf(5));
      const expected =
        errorCode === 0
          ? { producerId: 77n, producerEpoch: 0 }
          : { producerId: -1n, producerEpoch: -1 };
      expect(answer).toMatchObject({ errorCode, ...expected });
    });
  }

  test("says so when no id can be reserved", async () => {
    const handler = createInitProducerIdHandler({
      producerIds: { next: () => Promise.reject(new Error("disk")) },
    });
    const answer = await handler.handle(
      makeInitProducerIdRequest({ transactionalId: null }),
      contextOf(5),
    );
    expect(answer).toMatchObject({ errorCode: -1, producerId: -1n });
  });
});

test("CreateTopics and DeleteTopics answer in every version, also those Kafka 4 dropped", async () => {
  const { controller } = await startCluster();
  const create = createCreateTopicsHandler({ controller });
  const remove = createDeleteTopicsHandler({ controller });
  for (let version = 0; version <= 7; version++) {
    const row = makeCreatableTopic({ name: "t", numPartitions: 1, replicationFactor: 1 });
    const request = makeCreateTopicsRequest({ topics: [row], timeoutMs: 1000 });
    const created = await create.handle(request, contextOf(version));
    const writer = new Writer();
    CreateTopicsApi.response.encode(writer, created as never, version);
    const answer = CreateTopicsApi.response.decode(new Reader(writer.toBytes()), version);
    expect(answer.topics).toMatchObject([{ name: "t", errorCode: 0 }]);
    const removalVersion = Math.min(version, 6);
    const deletion = makeDeleteTopicsRequest({
      topics: [{ name: "t", topicId: "AAAAAAAAAAAAAAAAAAAAAA" }],
      topicNames: ["t"],
      timeoutMs: 1000,
    });
    const removed = await remove.handle(deletion, contextOf(removalVersion));
    writer.reset();
    DeleteTopicsApi.response.encode(writer, removed as never, removalVersion);
    const reply = DeleteTopicsApi.response.decode(new Reader(writer.toBytes()), removalVersion);
    expect(reply.responses).toMatchObject([{ name: "t", errorCode: 0 }]);
  }
});
