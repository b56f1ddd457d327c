import { describe, expect, test } from "bun:test";
import {
  type DeleteRecordsRequest,
  makeDeleteRecordsRequest,
} from "#protocol/generated/delete-records.ts";
import {
  type ListOffsetsResponse,
  makeListOffsetsPartition,
  makeListOffsetsRequest,
} from "#protocol/generated/list-offsets.ts";
import { LOOKUP_NOT_INLINE } from "#replica/log-port.ts";
import { PartitionDirectory } from "#replica/partition-directory.ts";
import { createDeleteRecordsHandler } from "#server/handlers/delete-records.ts";
import { createListOffsetsHandler } from "#server/handlers/list-offsets.ts";
import { contextOf } from "../../controller/cluster-fixture.ts";

/** Topic "t" with partitions whose handles are their indexes. */
function directoryOf(partitionCount: number): PartitionDirectory {
  const directory = new PartitionDirectory();
  directory.apply({
    kind: "topic",
    name: "t",
    topicId: "AAAAAAAAAAAAAAAAAAAAAQ",
    partitions: Array.from({ length: partitionCount }, (_, index) => ({
      index,
      handle: index,
      leaderEpoch: 0,
    })),
  });
  return directory;
}

describe("ListOffsets", () => {
  const handler = createListOffsetsHandler({
    directory: directoryOf(2),
    log: {
      offsetForTimestamp: (handle, _timestamp, _isolation, _epoch, _inlineBytes, out) => {
        out.set([10 + handle, -1, 0, 0]);
        return 0;
      },
    },
    replicas: {
      lookUpLater: () => {
        throw new Error("nothing is late here");
      },
    },
  });
  const asked = (...topics: readonly (readonly [string, readonly number[]])[]): unknown => {
    const request = makeListOffsetsRequest({
      replicaId: -1,
      topics: topics.map(([name, indexes]) => ({
        name,
        partitions: indexes.map((partitionIndex) =>
          makeListOffsetsPartition({ partitionIndex, timestamp: -1 }),
        ),
      })),
    });
    const answer = handler.handle(request, contextOf(5)) as ListOffsetsResponse;
    return answer.topics.map(({ name, partitions }) => [
      name,
      partitions.map(({ partitionIndex, errorCode, offset }) => [
        partitionIndex,
        errorCode,
        offset,
      ]),
    ]);
  };

  test("what inflates much is looked up elsewhere, one after the other, within one budget a request", async () => {
    const budgets: number[] = [];
    const handed: [number, number, number, number][] = [];
    const waiting: ((errorCode: number, columns: Float64Array) => void)[] = [];
    const late = createListOffsetsHandler({
      directory: directoryOf(4),
      log: {
        offsetForTimestamp: (handle, _timestamp, _isolation, _epoch, inlineBytes, out) => {
          budgets.push(inlineBytes);
          out.set(handle === 0 ? [10, 5, 0, 1_000_000] : [-1, -1, -1, inlineBytes]);
          return handle === 0 ? 0 : LOOKUP_NOT_INLINE;
        },
      },
      replicas: {
        lookUpLater: (handle, timestamp, isolation, epoch, listener) => {
          handed.push([handle, timestamp, isolation, epoch]);
          waiting.push(listener);
        },
      },
    });
    const request = makeListOffsetsRequest({
      replicaId: -1,
      isolationLevel: 1,
      topics: [
        {
          name: "t",
          partitions: [0, 1, 2, 3].map((partitionIndex) =>
            makeListOffsetsPartition({ partitionIndex, timestamp: 5 }),
          ),
        },
      ],
    });
    const answer = late.handle(request, contextOf(5));
    expect(answer).toBeInstanceOf(Promise);
    expect(budgets).toEqual([1_048_576, 48_576, 0, 0]);
    for (const outcome of [
      [0, 11, 6, 0],
      [7, -1, -1, -1],
      [0, -1, -1, -1],
    ]) {
      expect(waiting.length).toBe(1);
      waiting.shift()?.(outcome[0] ?? 0, Float64Array.from(outcome.slice(1)));
      await Promise.resolve();
      await Promise.resolve();
    }
    const { topics } = (await answer) as ListOffsetsResponse;
    expect(
      topics[0]?.partitions.map(({ errorCode, offset, timestamp }) => [
        errorCode,
        offset,
        timestamp,
      ]),
    ).toEqual([
      [0, 10, 5],
      [0, 11, 6],
      [7, -1, -1],
      [0, -1, -1],
    ]);
    expect(handed).toEqual([1, 2, 3].map((handle) => [handle, 5, 5, -1]));
  });

  test("a topic without partitions is left out", () => {
    expect(asked(["t", []], ["t", [1]])).toEqual([["t", [[1, 0, 11]]]]);
  });

  test("a topic named twice is answered once, its repeated partition with INVALID_REQUEST", () => {
    expect(asked(["t", [0]], ["t", [0, 1]])).toEqual([
      [
        "t",
        [
          [0, 42, -1],
          [1, 0, 11],
        ],
      ],
    ]);
  });
});

describe("DeleteRecords", () => {
  const deletions: (readonly [number, number])[] = [];
  const handler = createDeleteRecordsHandler({
    directory: directoryOf(2),
    isInternalTopic: () => false,
    replicas: {
      lowWatermark: () => Number.MAX_SAFE_INTEGER,
      awaitDeleted: () => Promise.resolve(),
    },
    log: {
      deleteRecords: (handle, offset, out) => {
        deletions.push([handle, offset]);
        out[0] = offset;
        return 0;
      },
    },
  });
  const asked = (topics: DeleteRecordsRequest["topics"]): unknown =>
    handler.handle(makeDeleteRecordsRequest({ topics }), contextOf(2));

  test("a topic named twice is one topic, of a repeated partition the last counts, an empty one is left out", () => {
    const answer = asked([
      { name: "none", partitions: [] },
      { name: "t", partitions: [{ partitionIndex: 0, offset: 1 }] },
      { name: "t", partitions: [{ partitionIndex: 0, offset: 2 }] },
    ]);
    expect(answer).toEqual({
      throttleTimeMs: 0,
      topics: [{ name: "t", partitions: [{ partitionIndex: 0, lowWatermark: 2, errorCode: 0 }] }],
    });
    expect(deletions).toEqual([[0, 2]]);
  });
});
