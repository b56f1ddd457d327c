/** ListOffsets, OffsetForLeaderEpoch and DeleteRecords: timestamps that mean something else, epochs, repeated partitions. */
import { DeleteRecordsApi, makeDeleteRecordsRequest } from "#protocol/generated/delete-records.ts";
import {
  ListOffsetsApi,
  type ListOffsetsPartition,
  makeListOffsetsPartition,
  makeListOffsetsRequest,
} from "#protocol/generated/list-offsets.ts";
import {
  makeOffsetForLeaderEpochRequest,
  OffsetForLeaderEpochApi,
  type OffsetForLeaderPartition,
} from "#protocol/generated/offset-for-leader-epoch.ts";
import { ask, concat, frame, header, int16, int32, raw, utf8 } from "../bytes.ts";
import { type Case, type CaseOptions, one, type Place, type Turn } from "../case.ts";

interface ListOptions {
  readonly version?: number;
  readonly name?: string;
  readonly replicaId?: number;
  readonly isolationLevel?: number;
  readonly timeoutMs?: number;
}

function listing(
  place: Place,
  partitions: readonly Partial<ListOffsetsPartition>[],
  { version = 5, name, replicaId = -1, isolationLevel = 0, timeoutMs }: ListOptions,
): Turn {
  return ask(
    ListOffsetsApi,
    version,
    makeListOffsetsRequest({
      replicaId,
      isolationLevel,
      timeoutMs: timeoutMs ?? (version >= 10 ? 1000 : 0),
      topics: [
        {
          name: name ?? place.topic,
          partitions: partitions.map((each) => makeListOffsetsPartition(each)),
        },
      ],
    }),
  );
}

const listed = (
  label: string,
  partition: Partial<ListOffsetsPartition>,
  options: ListOptions = {},
): Case => one(`list-offsets/${label}`, (place) => listing(place, [partition], options));

const LONG_MAX = Number.MAX_SAFE_INTEGER;

/** The body of the version that Kafka no longer serves: how many offsets, beside the timestamp. */
const OLD_LIST = concat(
  int32(-1),
  int32(1),
  int16(6),
  utf8("corpus"),
  int32(1),
  int32(0),
  int32(-1),
  int32(-1),
  int32(1),
);

const LIST_CASES: readonly Case[] = [
  ...[1, 5, 7, 8, 9, 10, 11].flatMap((version) =>
    [-1, -2, -3, -4, -5, -6, -7, -99, 0, LONG_MAX, -LONG_MAX].map((timestamp) =>
      listed(`timestamp ${timestamp} v${version}`, { timestamp }, { version }),
    ),
  ),
  ...[0, 99, -2, -5, 0x7fffffff].map((currentLeaderEpoch) =>
    listed(`leader epoch ${currentLeaderEpoch}`, { timestamp: -1, currentLeaderEpoch }),
  ),
  ...[9, -1, 0x7fffffff].map((partitionIndex) =>
    listed(`partition ${partitionIndex}`, { timestamp: -1, partitionIndex }),
  ),
  ...[1, 2, 9, -1].map((isolationLevel) =>
    listed(`isolation ${isolationLevel}`, { timestamp: -1 }, { isolationLevel }),
  ),
  ...[0, 1, 5, -2, -3].map((replicaId) =>
    listed(`replica ${replicaId}`, { timestamp: -1 }, { replicaId }),
  ),
  ...["corpus-missing", "a/b", "", "__cluster_metadata"].map((name) =>
    listed(`topic '${name}'`, { timestamp: -1 }, { name }),
  ),
  ...[0, -1].map((timeoutMs) =>
    listed(`timeout ${timeoutMs}`, { timestamp: -1 }, { version: 10, timeoutMs }),
  ),
  one("list-offsets/partition twice", (place) =>
    listing(place, [{ timestamp: -1 }, { timestamp: -2 }], {}),
  ),
  one("list-offsets/partition twice and another", (place) =>
    listing(
      place,
      [{ timestamp: -1 }, { timestamp: -1 }, { partitionIndex: 1, timestamp: -1 }],
      {},
    ),
  ),
  one("list-offsets/unknown partition twice", (place) =>
    listing(
      place,
      [
        { partitionIndex: 9, timestamp: -1 },
        { partitionIndex: 9, timestamp: -1 },
      ],
      {},
    ),
  ),
  one("list-offsets/no partitions", (place) => listing(place, [], {})),
  one("list-offsets/no topics", ask(ListOffsetsApi, 5, makeListOffsetsRequest({ replicaId: -1 }))),
  one("list-offsets/topic twice", ({ topic }) => {
    const each = { name: topic, partitions: [makeListOffsetsPartition({ timestamp: -1 })] };
    return ask(ListOffsetsApi, 5, makeListOffsetsRequest({ replicaId: -1, topics: [each, each] }));
  }),
  one("list-offsets/10,000 partitions", (place) =>
    listing(
      place,
      Array.from({ length: 10_000 }, (_, index) => ({ partitionIndex: index, timestamp: -1 })),
      {},
    ),
  ),
  one("list-offsets/v0", raw(frame(header(2, 0, false), OLD_LIST))),
  one("list-offsets/v0 without topics", raw(frame(header(2, 0, false), int32(-1), int32(0)))),
];

// ---- epochs

const ended = (
  label: string,
  partition: Partial<OffsetForLeaderPartition>,
  version = 4,
  replicaId = -1,
  name?: string,
): Case =>
  one(`epochs/${label}`, ({ topic }) =>
    ask(
      OffsetForLeaderEpochApi,
      version,
      makeOffsetForLeaderEpochRequest({
        ...(version >= 3 && { replicaId }),
        topics: [
          {
            topic: name ?? topic,
            partitions: [{ partition: 0, currentLeaderEpoch: -1, leaderEpoch: 0, ...partition }],
          },
        ],
      }),
    ),
  );

const OLD_EPOCHS = concat(int32(1), int16(6), utf8("corpus"), int32(1), int32(0), int32(0));

const EPOCH_CASES: readonly Case[] = [
  ...[2, 3, 4].map((version) => ended(`v${version}`, {}, version)),
  ...[1, 99, -1, -2, -7, 0x7fffffff].map((leaderEpoch) =>
    ended(`epoch ${leaderEpoch}`, { leaderEpoch }),
  ),
  ...[0, 99, -2, -7].map((currentLeaderEpoch) =>
    ended(`current epoch ${currentLeaderEpoch}`, { currentLeaderEpoch }),
  ),
  ...[9, -1].map((partition) => ended(`partition ${partition}`, { partition })),
  ...[0, 5, -2, -3].map((replicaId) => ended(`replica ${replicaId}`, {}, 4, replicaId)),
  ...["corpus-missing", "a/b", "", "__cluster_metadata"].map((name) =>
    ended(`topic '${name}'`, {}, 4, -1, name),
  ),
  one("epochs/partition twice", ({ topic }) =>
    ask(
      OffsetForLeaderEpochApi,
      4,
      makeOffsetForLeaderEpochRequest({
        replicaId: -1,
        topics: [
          {
            topic,
            partitions: [0, 0].map((partition) => ({
              partition,
              currentLeaderEpoch: -1,
              leaderEpoch: 0,
            })),
          },
        ],
      }),
    ),
  ),
  one("epochs/topic twice", ({ topic }) => {
    const each = { topic, partitions: [{ partition: 0, currentLeaderEpoch: -1, leaderEpoch: 0 }] };
    return ask(
      OffsetForLeaderEpochApi,
      4,
      makeOffsetForLeaderEpochRequest({ replicaId: -1, topics: [each, each] }),
    );
  }),
  one(
    "epochs/none",
    ask(OffsetForLeaderEpochApi, 4, makeOffsetForLeaderEpochRequest({ replicaId: -1 })),
  ),
  ...[0, 1].map((version) =>
    one(`epochs/v${version}`, raw(frame(header(23, version, false), OLD_EPOCHS))),
  ),
];

// ---- deletion

const deleted = (
  label: string,
  offsets: readonly (readonly [number, number])[],
  options: CaseOptions = {},
  name?: string,
  timeoutMs = 1000,
): Case =>
  one(
    `delete-records/${label}`,
    ({ topic }) =>
      ask(
        DeleteRecordsApi,
        2,
        makeDeleteRecordsRequest({
          timeoutMs,
          topics: [
            {
              name: name ?? topic,
              partitions: offsets.map(([partitionIndex, offset]) => ({ partitionIndex, offset })),
            },
          ],
        }),
      ),
    options,
  );

const DELETE_CASES: readonly Case[] = [
  ...[-2, 1, 9999, LONG_MAX, -LONG_MAX].map((offset) =>
    deleted(`to ${offset}`, [[0, offset]], { own: {} }),
  ),
  deleted("to 0", [[0, 0]], { own: {} }),
  deleted("to -1", [[0, -1]], { own: {} }),
  deleted("unknown partition", [[9, 0]]),
  deleted("negative partition", [[-1, 0]]),
  deleted("unknown topic", [[0, 0]], {}, "corpus-missing"),
  deleted("empty topic", [[0, 0]], {}, ""),
  deleted("__consumer_offsets", [[0, 0]], {}, "__consumer_offsets"),
  deleted("__cluster_metadata", [[0, 0]], {}, "__cluster_metadata"),
  deleted(
    "partition twice",
    [
      [0, 0],
      [0, 9],
    ],
    { own: {} },
  ),
  deleted("nothing", []),
  one("delete-records/topic twice", ({ topic }) => {
    const each = { name: topic, partitions: [{ partitionIndex: 9, offset: 0 }] };
    return ask(
      DeleteRecordsApi,
      2,
      makeDeleteRecordsRequest({ timeoutMs: 1000, topics: [each, each] }),
    );
  }),
  deleted("timeout 0", [[0, 0]], { own: {} }, undefined, 0),
  deleted("timeout -1", [[0, 0]], { own: {} }, undefined, -1),
];

/** All of them. */
export const OFFSET_CASES: readonly Case[] = [...LIST_CASES, ...EPOCH_CASES, ...DELETE_CASES];
