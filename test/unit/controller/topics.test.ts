/**
 * Codes and sentences are those Kafka 4.4 answered to the same requests on one node.
 */
import { describe, expect, test } from "bun:test";
import { ZERO_UUID } from "#common/uuid.ts";
import { decideCreateTopics } from "#controller/topics.ts";
import { makeCreatableTopic, makeCreateTopicsRequest } from "#protocol/generated/create-topics.ts";
import type { CreatableTopic } from "#protocol/generated/create-topics.ts";
import {
  makeDeleteTopicsRequest,
  makeDeleteTopicState,
} from "#protocol/generated/delete-topics.ts";
import type { DeleteTopicState } from "#protocol/generated/delete-topics.ts";
import type { Cluster } from "./cluster-fixture.ts";
import { CountingRandom, DIRECTORY_ID, startCluster } from "./cluster-fixture.ts";

const row = (init: Partial<CreatableTopic>): CreatableTopic =>
  makeCreatableTopic({ name: "t", numPartitions: 1, replicationFactor: 1, ...init });

async function validate(cluster: Cluster, ...rows: Partial<CreatableTopic>[]): Promise<unknown[]> {
  const request = makeCreateTopicsRequest({
    topics: rows.map(row),
    timeoutMs: 1000,
    validateOnly: true,
  });
  const { topics } = await cluster.controller.createTopics(request);
  return topics.map(({ name, errorCode, errorMessage }) => [name, errorCode, errorMessage]);
}

describe("CreateTopics", () => {
  const single: [Partial<CreatableTopic>, number, string | null][] = [
    [{}, 0, null],
    [{ numPartitions: -1, replicationFactor: -1 }, 0, null],
    [{ name: "" }, 17, "Topic name is invalid: the empty string is not allowed"],
    [{ name: "." }, 17, "Topic name is invalid: '.' is not allowed"],
    [
      { name: "a/b" },
      17,
      "Topic name is invalid: 'a/b' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'",
    ],
    [{ name: "a".repeat(249) }, 0, null],
    [
      { name: "a".repeat(250) },
      17,
      `Topic name is invalid: the length of '${"a".repeat(250)}' is longer than the max allowed length 249`,
    ],
    [{ numPartitions: 0 }, 37, "Number of partitions was set to an invalid non-positive value."],
    [
      { replicationFactor: -2 },
      38,
      "Replication factor must be larger than 0, or -1 to use the default value.",
    ],
    [
      { replicationFactor: 2 },
      38,
      "Unable to replicate the partition 2 time(s): The target replication factor of 2 cannot be reached because only " +
        "1 broker(s) are registered or some brokers have all their log directories cordoned.",
    ],
    [{ numPartitions: 9999 }, 0, null],
    [{ numPartitions: 10_000 }, 44, "Unable to perform excessively large batch operation."],
    [{ numPartitions: 10_001 }, 44, "Excessively large number of partitions per request."],
    [{ numPartitions: 2 ** 31 - 1 }, 44, "Excessively large number of partitions per request."],
    [{ configs: [{ name: "foo", value: "1" }] }, 40, "Unknown topic config name: foo"],
    [
      { configs: [{ name: "segment.bytes", value: null }] },
      40,
      "Null value not supported for topic configs: segment.bytes",
    ],
    [
      { numPartitions: 2, assignments: [{ partitionIndex: 0, brokerIds: [1] }] },
      42,
      "A manual partition assignment was specified, but replication factor was not set to -1.",
    ],
    [
      { replicationFactor: -1, assignments: [{ partitionIndex: 0, brokerIds: [1] }] },
      42,
      "A manual partition assignment was specified, but numPartitions was not set to -1.",
    ],
    [{ name: "taken" }, 36, "Topic 'taken' already exists."],
    [{ name: "x.y" }, 17, "Topic 'x.y' collides with existing topic: x_y"],
    [
      { name: "__cluster_metadata" },
      42,
      "Creation of internal topic __cluster_metadata is prohibited.",
    ],
  ];
  for (const [init, errorCode, message] of single) {
    test(JSON.stringify(init).slice(0, 70), async () => {
      const cluster = await startCluster();
      await cluster.createTopic("taken");
      await cluster.createTopic("x_y");
      expect(await validate(cluster, init)).toEqual([[init.name ?? "t", errorCode, message]]);
    });
  }

  const assignments: [{ partitionIndex: number; brokerIds: number[] }[], number, string | null][] =
    [
      [[{ partitionIndex: 0, brokerIds: [1] }], 0, null],
      [
        [{ partitionIndex: 0, brokerIds: [9] }],
        39,
        "The manual partition assignment includes broker 9, but no such broker is registered.",
      ],
      [
        [{ partitionIndex: 0, brokerIds: [1, 1] }],
        39,
        "The manual partition assignment includes the broker 1 more than once.",
      ],
      [
        [{ partitionIndex: 0, brokerIds: [] }],
        39,
        "The manual partition assignment includes an empty replica list.",
      ],
      [
        [{ partitionIndex: 1, brokerIds: [1] }],
        39,
        "partitions should be a consecutive 0-based integer sequence",
      ],
      [
        [{ partitionIndex: 2 ** 31 - 1, brokerIds: [1] }],
        39,
        "partitions should be a consecutive 0-based integer sequence",
      ],
      [
        [
          { partitionIndex: 0, brokerIds: [1] },
          { partitionIndex: 0, brokerIds: [1] },
        ],
        39,
        "Found multiple manual partition assignments for partition 0",
      ],
    ];
  for (const [rows, errorCode, message] of assignments) {
    test(`by hand ${JSON.stringify(rows)}`, async () => {
      const cluster = await startCluster();
      const outcome = await validate(cluster, {
        numPartitions: -1,
        replicationFactor: -1,
        assignments: rows,
      });
      expect(outcome).toEqual([["t", errorCode, message]]);
    });
  }

  test("a name given twice is answered once, the others are served", async () => {
    const outcome = await validate(
      await startCluster(),
      { name: "d" },
      { name: "e" },
      { name: "d" },
    );
    expect(outcome).toEqual([
      ["e", 0, null],
      ["d", 42, "Duplicate topic name."],
    ]);
  });

  test("too many partitions over several topics refuse them all", async () => {
    const outcome = await validate(
      await startCluster(),
      { name: "d", numPartitions: 6000 },
      { name: "e", numPartitions: 4000 },
    );
    expect(outcome).toEqual([
      ["d", 44, "Unable to perform excessively large batch operation."],
      ["e", 44, "Unable to perform excessively large batch operation."],
    ]);
  });

  test("writes the topic, its values and its partitions, and tells what was made", async () => {
    const cluster = await startCluster({
      config: { "num.partitions": "3", "log.retention.hours": "1" },
    });
    const input = {
      image: cluster.controller.image,
      config: cluster.current.config,
      nodeId: 1,
      random: new CountingRandom(),
      loggers: new Set<string>(),
      isPattern: () => true,
      cluster: null,
    };
    const request = makeCreateTopicsRequest({
      topics: [
        row({
          numPartitions: -1,
          replicationFactor: -1,
          configs: [{ name: "segment.ms", value: " 9 " }],
        }),
      ],
    });
    const { response, records } = decideCreateTopics(request, input);
    expect(records.map(({ kind }) => kind)).toEqual([
      "TopicRecord",
      "ConfigRecord",
      "PartitionRecord",
      "PartitionRecord",
      "PartitionRecord",
    ]);
    expect(records[2]?.record).toMatchObject({
      replicas: [1],
      isr: [1],
      leader: 1,
      leaderEpoch: 0,
      directories: [DIRECTORY_ID],
    });
    const [topic] = response.topics;
    expect(topic).toMatchObject({ numPartitions: 3, replicationFactor: 1, errorCode: 0 });
    const configs = topic?.configs ?? [];
    expect(configs.map(({ name }) => name)).toEqual(configs.map(({ name }) => name).sort());
    expect(configs.find(({ name }) => name === "segment.ms")).toMatchObject({
      value: " 9 ",
      configSource: 1,
    });
    expect(configs.find(({ name }) => name === "retention.ms")).toMatchObject({
      value: "3600000",
      configSource: 4,
    });
  });

  test("a timeout of 0 is over before anything is done", async () => {
    const cluster = await startCluster();
    const { topics } = await cluster.controller.createTopics(
      makeCreateTopicsRequest({ topics: [row({})], timeoutMs: 0 }),
    );
    expect(topics).toMatchObject([{ errorCode: 7, errorMessage: null }]);
    expect(cluster.controller.image.topicsByName.size).toBe(0);
  });
});

describe("DeleteTopics", () => {
  async function remove(
    cluster: Cluster,
    ...rows: Partial<DeleteTopicState>[]
  ): Promise<unknown[]> {
    const request = makeDeleteTopicsRequest({
      topics: rows.map((init) => makeDeleteTopicState(init)),
      timeoutMs: 1000,
    });
    const { responses } = await cluster.controller.deleteTopics(request, 6);
    return responses.map(({ name, topicId, errorCode, errorMessage }) => [
      name,
      topicId,
      errorCode,
      errorMessage,
    ]);
  }
  const UNKNOWN_ID = "abcdefghijklmnopqrstug";

  test("refuses as Kafka does", async () => {
    const cluster = await startCluster();
    const id = await cluster.createTopic("t");
    const missing = "This server does not host this topic-partition.";
    expect(await remove(cluster, { name: "nope" })).toEqual([["nope", ZERO_UUID, 3, missing]]);
    expect(await remove(cluster, { topicId: UNKNOWN_ID })).toEqual([
      [null, UNKNOWN_ID, 100, "This server does not host this topic ID."],
    ]);
    expect(await remove(cluster, { name: "t", topicId: id })).toEqual([
      ["t", id, 42, "You may not specify both topic name and topic id."],
    ]);
    const neither = [null, ZERO_UUID, 42, "Neither topic name nor id were specified."];
    expect(await remove(cluster, {}, {})).toEqual([neither, neither]);
    expect(await remove(cluster, { name: "t" }, { name: "t" })).toEqual([
      ["t", ZERO_UUID, 42, "Duplicate topic name."],
    ]);
    expect(await remove(cluster, { topicId: id }, { topicId: id })).toEqual([
      [null, id, 42, "Duplicate topic id."],
    ]);
    expect(await remove(cluster, { name: "t" }, { topicId: id })).toEqual([
      ["t", id, 42, "The provided topic name maps to an ID that was already supplied."],
    ]);
    expect(cluster.controller.image.topicsByName.has("t")).toBe(true);
  });

  test("deletes the topic and its values; the name is free again", async () => {
    const cluster = await startCluster();
    const id = await cluster.createTopic("t", 1, { "retention.ms": "5" });
    expect(await remove(cluster, { topicId: id })).toEqual([["t", id, 0, null]]);
    expect(cluster.controller.image.configs.size).toBe(0);
    expect(await cluster.createTopic("t")).not.toBe(id);
  });

  test("can be switched off", async () => {
    const cluster = await startCluster({ config: { "delete.topic.enable": "false" } });
    await cluster.createTopic("t");
    const request = makeDeleteTopicsRequest({ topicNames: ["t"], timeoutMs: 1000 });
    for (const [version, errorCode] of [
      [1, 42],
      [5, 73],
    ] as const) {
      const { responses } = await cluster.controller.deleteTopics(request, version);
      expect(responses).toMatchObject([{ name: "t", errorCode }]);
    }
  });
});
