/**
 * Answers are those of Kafka 4.4 to the same requests on one node.
 */
import { describe, expect, test } from "bun:test";
import { makeDescribeTopicPartitionsRequest } from "#protocol/generated/describe-topic-partitions.ts";
import type { DescribeTopicPartitionsResponse } from "#protocol/generated/describe-topic-partitions.ts";
import { createDescribeTopicPartitionsHandler } from "#server/handlers/describe-topic-partitions.ts";
import type { Cluster } from "../../controller/cluster-fixture.ts";
import { contextOf, startCluster } from "../../controller/cluster-fixture.ts";

type Cursor = [topicName: string, partitionIndex: number] | null;

async function ask(
  cluster: Cluster,
  names: string[],
  limit: number,
  cursor: Cursor = null,
): Promise<unknown> {
  const handler = createDescribeTopicPartitionsHandler({
    image: () => cluster.controller.image,
    partitionLimit: () => 4,
  });
  const request = makeDescribeTopicPartitionsRequest({
    topics: names.map((name) => ({ name })),
    responsePartitionLimit: limit,
    cursor: cursor === null ? null : { topicName: cursor[0], partitionIndex: cursor[1] },
  });
  const answer = (await handler.handle(request, contextOf(0))) as DescribeTopicPartitionsResponse;
  return {
    topics: answer.topics.map(({ name, errorCode, partitions }) => [
      name,
      errorCode,
      partitions.map(({ partitionIndex }) => partitionIndex),
    ]),
    next:
      answer.nextCursor === null
        ? null
        : [answer.nextCursor.topicName, answer.nextCursor.partitionIndex],
  };
}

describe("DescribeTopicPartitions", () => {
  const cases: [
    what: string,
    names: string[],
    limit: number,
    cursor: Cursor,
    topics: unknown[],
    next: unknown,
  ][] = [
    [
      "whole topics by name",
      ["c", "a"],
      2000,
      null,
      [
        ["a", 0, [0]],
        ["c", 0, [0, 1, 2]],
      ],
      null,
    ],
    [
      "a page that ends inside a topic",
      ["c", "a"],
      2,
      null,
      [
        ["a", 0, [0]],
        ["c", 0, [0]],
      ],
      ["c", 1],
    ],
    ["a page that ends between topics", ["c", "a"], 1, null, [["a", 0, [0]]], ["c", 0]],
    ["no limit below one", ["c"], 0, null, [["c", 0, [0]]], ["c", 1]],
    ["a negative limit", ["c"], -1, null, [["c", 0, [0]]], ["c", 1]],
    ["from the cursor on", ["c", "a"], 2, ["c", 1], [["c", 0, [1, 2]]], null],
    ["a cursor behind the last partition", ["c"], 2, ["c", 9], [["c", 0, []]], null],
    [
      "a cursor on no asked-for topic",
      ["c", "a"],
      2,
      ["b", 1],
      [
        ["c", 42, []],
        ["a", 42, []],
      ],
      null,
    ],
    ["a negative cursor", ["c"], 2, ["c", -1], [["c", 42, []]], null],
    [
      "a missing topic",
      ["n", "a"],
      2,
      null,
      [
        ["a", 0, [0]],
        ["n", 3, []],
      ],
      null,
    ],
    ["an invalid name", ["a b"], 2, null, [["a b", 17, []]], null],
    ["a name given twice", ["a", "a"], 9, null, [["a", 0, [0]]], null],
    [
      "all topics, within the broker's limit",
      [],
      2000,
      null,
      [
        ["a", 0, [0]],
        ["c", 0, [0, 1, 2]],
      ],
      ["d", 0],
    ],
    ["all topics from a cursor that is gone", [], 2, ["b", 0], [["c", 0, [0, 1]]], ["c", 2]],
  ];
  for (const [what, names, limit, cursor, topics, next] of cases) {
    test(what, async () => {
      const cluster = await startCluster();
      await cluster.createTopic("d");
      await cluster.createTopic("c", 3);
      await cluster.createTopic("a");
      expect(await ask(cluster, names, limit, cursor)).toEqual({ topics, next });
    });
  }
});
