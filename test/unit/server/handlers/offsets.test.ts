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
import { PartitionDirectory } from "#replica/partition-directory.ts";
import { createDeleteRecordsHandler } from "#server/handlers/delete-records.ts";
import { createListOffsetsHandler } from "#server/handlers/list-offsets.ts";
import { contextOf } from "../../controller/cluster-fixture.ts";

/** Topic "t" with two partitions, whose handles are their indexes. */
function directoryOfOne(): PartitionDirectory {
  const directory = new PartitionDirectory();
  directory.apply({
    kind: "topic",
    name: "t",
    topicId: "AAAAAAAAAAAAAAAAAAAAAQ",
    partitions: [0, 1].map((index) => ({ index, handle: index, leaderEpoch: 0 })),
  });
  return directory;
}

describe("ListOffsets", () => {
  const handler = createListOffsetsHandler({
    directory: directoryOfOne(),
    log: {
      offsetForTimestamp: (handle, _timestamp, _isolation, _epoch, out) => {
        out.set([10 + handle, -1, 0]);
        return 0;
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
    directory: directoryOfOne(),
    isInternalTopic: () => false,
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
