/** DescribeProducers over a log that is not there: what a partition cannot tell, and how long an answer may get. */
import { expect, test } from "bun:test";
import { makeDescribeProducersRequest } from "#protocol/generated/describe-producers.ts";
import type { DescribeProducersResponse } from "#protocol/generated/describe-producers.ts";
import { PartitionDirectory } from "#replica/partition-directory.ts";
import { createDescribeProducersHandler } from "#server/handlers/describe-producers.ts";
import type { RememberedProducer } from "#server/handlers/describe-producers.ts";
import { contextOf } from "../../controller/cluster-fixture.ts";

function ask(
  producersOf: () => readonly RememberedProducer[] | null,
  partitionIndexes: number[],
): DescribeProducersResponse {
  const directory = new PartitionDirectory();
  directory.apply({
    kind: "topic",
    name: "t",
    topicId: "AAAAAAAAAAAAAAAAAAAAcw",
    partitions: [{ index: 0, handle: 5, leaderEpoch: 0 }],
  });
  const handler = createDescribeProducersHandler({ directory, producersOf });
  return handler.handle(
    makeDescribeProducersRequest({ topics: [{ name: "t", partitionIndexes }] }),
    contextOf(0),
  ) as DescribeProducersResponse;
}

const producer = (producerId: string): RememberedProducer => ({
  producerId,
  producerEpoch: 1,
  lastSequence: 2,
  lastTimestamp: 3,
  coordinatorEpoch: -1,
  currentTxnStartOffset: -1,
});

test("ids beyond 2^53 stay what they are", () => {
  const answer = ask(() => [producer("9223372036854775807")], [0]);
  expect(answer.topics[0]?.partitions[0]?.activeProducers[0]?.producerId).toBe(
    9223372036854775807n,
  );
});

test("a partition that is going says so, and nothing fails", () => {
  const answer = ask(() => null, [0]);
  expect(answer.topics[0]?.partitions[0]).toMatchObject({ errorCode: 6, activeProducers: [] });
});

test("one partition named a hundred times is looked at once, and told until the answer is full", () => {
  let lookCount = 0;
  const many = Array.from({ length: 30_000 }, (_, index) => producer(String(index)));
  const answer = ask(
    () => {
      lookCount += 1;
      return many;
    },
    Array.from({ length: 100 }, () => 0),
  );
  expect(lookCount).toBe(1);
  const codes = answer.topics[0]?.partitions.map(({ errorCode }) => errorCode) ?? [];
  expect(codes.filter((code) => code === 0).length).toBe(33);
  expect(codes.filter((code) => code === 44).length).toBe(67);
});
