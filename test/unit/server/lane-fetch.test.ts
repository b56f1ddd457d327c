/**
 * The fast lane's answers to Fetch are those of the handler, byte for byte, or none: random requests go both ways. What the handler
 * answers at once and without an error, to a consumer without a session, the lane must answer too.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import fc from "fast-check";
import { laneAnswer } from "#native";
import { ZERO_UUID } from "#common/uuid.ts";
import type { PartitionHandle } from "#log/log.ts";
import { Writer } from "#protocol/codec/writer.ts";
import {
  FetchApi,
  type FetchRequest,
  makeFetchPartition,
  makeFetchRequest,
  makeFetchTopic,
  makeForgottenTopic,
} from "#protocol/generated/fetch.ts";
import { PartitionDirectory } from "#replica/partition-directory.ts";
import { ReplicaManager } from "#replica/replica-manager.ts";
import { Dispatcher } from "#server/dispatcher.ts";
import { FetchSessionCache } from "#server/fetch-session.ts";
import { erased } from "#server/handler.ts";
import { HandlerTable } from "#server/handler-table.ts";
import { createFetchHandler } from "#server/handlers/fetch.ts";
import { ReplyEncoder } from "#server/reply-encoder.ts";
import type { FrameConnection, ReplyTarget } from "#transport/ports.ts";
import { ManualTime } from "../../support/manual-time.ts";
import { viewOf } from "../../support/replication-view.ts";
import { append, batchOf, openStore, type TestStore } from "../log/store.ts";

const FETCH_MAX_BYTES = 300_000;
const TOPICS = [
  { name: "a", topicId: "AAAAAAAAAAAAAAAAAAAAAQ", partitionCount: 3 },
  { name: "topic.of-more_letters", topicId: "AAAAAAAAAAAAAAAAAAAAAg", partitionCount: 2 },
  { name: "c", topicId: "AAAAAAAAAAAAAAAAAAAAAw", partitionCount: 1 },
] as const;

let opened: TestStore;
let replicas: ReplicaManager;
let dispatcher: Dispatcher;
let laneTopics: string;

const NOBODY: ReplyTarget = {
  reply(): void {},
  replySliced(): void {},
  replyNothing(): void {},
  close(): void {},
};

/** Takes one reply. */
class Replies implements Partial<FrameConnection> {
  attachment: unknown = null;
  readonly canSendSlices = false;
  readonly isClosed = false;
  readonly id = 1;
  readonly address = {
    listenerName: "PLAINTEXT",
    localHost: "127.0.0.1",
    localPort: 9092,
    clientHost: "127.0.0.1",
    clientPort: 50000,
  };
  bytes: Uint8Array | null = null;

  reply(bytes: Uint8Array): void {
    this.bytes = bytes.slice();
  }
  /** A fetch that waits: its answer is not looked at. */
  defer(): ReplyTarget {
    return NOBODY;
  }
}

beforeAll(async () => {
  opened = await openStore();
  const { store } = opened;
  const time = new ManualTime(1_000_000);
  const directory = new PartitionDirectory();
  replicas = new ReplicaManager(store, time, time);
  const known: { name: string; topicId: string; handles: PartitionHandle[] }[] = [];
  for (const { name, topicId, partitionCount } of TOPICS) {
    const handles: PartitionHandle[] = [];
    for (let index = 0; index < partitionCount; index++) {
      const config = { segmentBytes: 200_000 };
      const handle = store.createPartition({ topic: name, partition: index, topicId, config });
      store.setLeader(handle, 3);
      handles.push(handle);
      // Some small batches, and, in every other partition, large ones; one partition stays empty.
      const count = name === "c" ? 0 : 150;
      for (let batch = 0; batch < count; batch++) {
        const size = index === 1 ? (batch % 7) * 900 : batch % 50;
        append(store, handle, batchOf("v".repeat(size), "second"));
      }
    }
    known.push({ name, topicId, handles });
    directory.apply({
      kind: "topic",
      name,
      topicId,
      partitions: handles.map((handle, index) => ({
        index,
        handle,
        leaderEpoch: 3,
        otherLeader: null,
      })),
    });
  }
  laneTopics = JSON.stringify(known);
  const table = new HandlerTable();
  table.add(
    erased(
      createFetchHandler({
        directory,
        replicas,
        sessions: new FetchSessionCache(0, 1000, {
          next: () => 0.5,
          uuid: () => TOPICS[0].topicId,
        }),
        fetchMaxBytes: FETCH_MAX_BYTES,
        view: viewOf(1),
      }),
    ),
  );
  const onHandlerFailure = (error: unknown): void => {
    throw error;
  };
  dispatcher = new Dispatcher(table, new ReplyEncoder(store), { onHandlerFailure }, () => 1);
});

afterAll(async () => {
  replicas.finishFetches();
  replicas.close();
  await opened[Symbol.asyncDispose]();
});

const usually = <T>(value: T, other: fc.Arbitrary<T>): fc.Arbitrary<T> =>
  fc.oneof({ weight: 40, arbitrary: fc.constant(value) }, { weight: 1, arbitrary: other });

const anyPartition = fc.record({
  partition: usually(0, fc.integer({ min: -1, max: 3 })),
  fetchOffset: fc.oneof(
    { weight: 40, arbitrary: fc.integer({ min: 0, max: 300 }) },
    { weight: 1, arbitrary: fc.constantFrom(-1, 301, 2 ** 53 - 1) },
  ),
  currentLeaderEpoch: fc.oneof(
    { weight: 40, arbitrary: fc.constantFrom(-1, 3) },
    { weight: 1, arbitrary: fc.constantFrom(-2, 2, 4) },
  ),
  lastFetchedEpoch: usually(-1, fc.constantFrom(0, 3, 4)),
  logStartOffset: fc.constantFrom(-1, 5),
  partitionMaxBytes: fc.oneof(
    { weight: 40, arbitrary: fc.constantFrom(1, 100, 1000, 20_000, 70_000, 1 << 20) },
    { weight: 1, arbitrary: fc.constantFrom(0, -1) },
  ),
});

const anyRequest = fc.record({
  version: fc.integer({ min: 4, max: 18 }),
  request: fc.record({
    replicaId: usually(-1, fc.constantFrom(-2, 0, 1)),
    maxWaitMs: fc.constantFrom(0, 500),
    minBytes: fc.constantFrom(0, 1, 1, 1, 100_000),
    maxBytes: usually(1 << 20, fc.constantFrom(-1, 0, 1, 500, 10_000)),
    isolationLevel: usually(0, fc.constantFrom(1, 1, 2)),
    sessionId: usually(0, fc.constant(7)),
    sessionEpoch: usually(-1, fc.constantFrom(0, 1)),
    rackId: usually("", fc.constant("r1")),
    forgets: usually(false, fc.constant(true)),
    clusterId: usually<string | null>(null, fc.constant("cluster")),
  }),
  topics: fc.array(
    fc.record({
      which: usually(0, fc.constantFrom(0, 1, 2, 3)),
      partitions: fc.oneof(
        { weight: 40, arbitrary: fc.array(anyPartition, { minLength: 1, maxLength: 4 }) },
        { weight: 1, arbitrary: fc.array(anyPartition, { maxLength: 0 }) },
      ),
    }),
    { minLength: 1, maxLength: 3 },
  ),
  spread: usually(true, fc.constant(false)),
  rest: usually(0, fc.constant(1)),
});
type AnyRequest = typeof anyRequest extends fc.Arbitrary<infer T> ? T : never;

function requestOf({ version, request, topics, spread }: AnyRequest): FetchRequest {
  const named = topics.map(({ which, partitions }, place) => {
    // Mostly different topics and partitions; what is named twice is among the others.
    const topic = TOPICS[spread ? (which + place) % 3 : which];
    return makeFetchTopic({
      topic: version < 13 ? (topic?.name ?? "nobody") : "",
      topicId: version < 13 ? ZERO_UUID : (topic?.topicId ?? "AAAAAAAAAAAAAAAAAAAACQ"),
      partitions: partitions.map(({ partition, lastFetchedEpoch, logStartOffset, ...wanted }, at) =>
        makeFetchPartition({
          ...wanted,
          partition: spread ? partition + at : partition,
          lastFetchedEpoch: version < 12 ? -1 : lastFetchedEpoch,
          logStartOffset: version < 5 ? -1 : logStartOffset,
          currentLeaderEpoch: version < 9 ? -1 : wanted.currentLeaderEpoch,
        }),
      ),
    });
  });
  const { replicaId, forgets, clusterId, sessionId, sessionEpoch, rackId, ...plain } = request;
  return makeFetchRequest({
    ...plain,
    topics: named,
    clusterId: version < 12 ? null : clusterId,
    replicaId: version < 15 ? replicaId : -1,
    replicaState: { replicaId: version < 15 ? -1 : replicaId, replicaEpoch: -1 },
    sessionId: version < 7 ? 0 : sessionId,
    sessionEpoch: version < 7 ? -1 : sessionEpoch,
    rackId: version < 11 ? "" : rackId,
    forgottenTopicsData:
      forgets && version >= 7
        ? [makeForgottenTopic({ topic: version < 13 ? "a" : "", partitions: [0] })]
        : [],
  });
}

function frameOf(any: AnyRequest, request: FetchRequest): Uint8Array {
  const writer = new Writer();
  writer.int16(1);
  writer.int16(any.version);
  writer.int32(1234567);
  writer.nullableString("a client");
  if (any.version >= 12) writer.int8(0);
  FetchApi.request.encode(writer, request, any.version);
  for (let count = any.rest; count > 0; count--) writer.int8(0);
  return writer.toBytes();
}

/** True for what the lane is for: a request like those of consumers without a session. */
function isPlain({ version, request, topics, rest, spread }: AnyRequest): boolean {
  const { replicaId, forgets, clusterId, sessionId, sessionEpoch, rackId } = request;
  return (
    rest === 0 &&
    replicaId < 0 &&
    (version < 15 || replicaId === -1) &&
    (!forgets || version < 7) &&
    (clusterId === null || version < 12) &&
    (version < 7 || (sessionId === 0 && sessionEpoch === -1)) &&
    (rackId === "" || version < 11) &&
    topics.length > 0 &&
    topics.every(({ partitions }) => partitions.length > 0) &&
    // Nothing is named twice.
    (topics.length === 1 || spread) &&
    new Set(topics.map(({ which }, place) => (spread ? (which + place) % 3 : which))).size ===
      topics.length &&
    topics.every(
      ({ partitions }) =>
        new Set(partitions.map(({ partition }, at) => (spread ? partition + at : partition)))
          .size === partitions.length,
    )
  );
}

test("the lane answers as the handler does, or not at all", () => {
  let servedCount = 0;
  let plainCount = 0;
  fc.assert(
    fc.property(anyRequest, (any) => {
      const request = requestOf(any);
      const frame = frameOf(any, request);
      const lane = laneAnswer(laneTopics, FETCH_MAX_BYTES, frame, 1_000_000);
      const connection = new Replies();
      dispatcher.onOpen(connection as unknown as FrameConnection);
      const errorsBefore = errorCount();
      dispatcher.onFrame(connection as unknown as FrameConnection, frame, 0, frame.length);
      const hasErrors = errorCount() !== errorsBefore;
      if (lane !== null) {
        servedCount++;
        expect(hasErrors).toBe(false);
        expect(Buffer.from(lane).equals(connection.bytes ?? new Uint8Array(0))).toBe(true);
      }
      if (connection.bytes !== null && !hasErrors && isPlain(any) && !isDiverging(any)) {
        plainCount++;
        expect(lane).not.toBeNull();
      }
    }),
    { numRuns: 2000, seed: 7 },
  );
  expect(plainCount).toBeGreaterThan(300);
  expect(servedCount).toBeGreaterThanOrEqual(plainCount);
});

test("every way to cut a frame short is left to the handler", () => {
  const any: AnyRequest = {
    version: 13,
    request: {
      replicaId: -1,
      maxWaitMs: 0,
      minBytes: 1,
      maxBytes: 1000,
      isolationLevel: 0,
      sessionId: 0,
      sessionEpoch: -1,
      rackId: "",
      forgets: false,
      clusterId: null,
    },
    topics: [
      {
        which: 0,
        partitions: [
          {
            partition: 0,
            fetchOffset: 0,
            currentLeaderEpoch: 3,
            lastFetchedEpoch: -1,
            logStartOffset: -1,
            partitionMaxBytes: 1000,
          },
        ],
      },
    ],
    spread: false,
    rest: 0,
  };
  const frame = frameOf(any, requestOf(any));
  expect(laneAnswer(laneTopics, FETCH_MAX_BYTES, frame, 0)).not.toBeNull();
  for (let length = 0; length < frame.length; length++) {
    expect(laneAnswer(laneTopics, FETCH_MAX_BYTES, frame.subarray(0, length), 0)).toBeNull();
  }
  // A lane that was not told `fetch.max.bytes` serves none.
  expect(laneAnswer(laneTopics, -1, frame, 0)).toBeNull();
});

/** Error codes that the dispatcher has counted. */
function errorCount(): number {
  const fetches = dispatcher.statistics.snapshot().apis.find(({ apiKey }) => apiKey === 1);
  return fetches?.errors.reduce((sum, [, count]) => sum + count, 0) ?? 0;
}

/** Its answer may name a diverging epoch, which is no error and not the lane's. */
function isDiverging({ version, topics }: AnyRequest): boolean {
  return (
    version >= 12 &&
    topics.some(({ partitions }) =>
      partitions.some(({ lastFetchedEpoch }) => lastFetchedEpoch >= 0),
    )
  );
}
