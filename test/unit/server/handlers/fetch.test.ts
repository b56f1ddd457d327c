import { describe, expect, test } from "bun:test";
import {
  type FetchRequest,
  type FetchResponse,
  makeFetchPartition,
  makeFetchRequest,
  makeFetchTopic,
  makeForgottenTopic,
  type PartitionData,
} from "#protocol/generated/fetch.ts";
import { PartitionDirectory } from "#replica/partition-directory.ts";
import { ReplicaManager } from "#replica/replica-manager.ts";
import { FetchSessionCache } from "#server/fetch-session.ts";
import { type ApiHandler, type RequestContext, SlicedResponse } from "#server/handler.ts";
import { createFetchHandler } from "#server/handlers/fetch.ts";
import { FakeLog } from "../../../support/fake-log.ts";
import { ManualTime } from "../../../support/manual-time.ts";
import { viewOf } from "../../../support/replication-view.ts";

const TOPIC_ID = "AAAAAAAAAAAAAAAAAAAAAQ";

interface Fixture {
  readonly log: FakeLog;
  readonly time: ManualTime;
  readonly directory: PartitionDirectory;
  readonly sessions: FetchSessionCache;
  readonly handler: ApiHandler<FetchRequest, FetchResponse>;
}

/** Topic "t" with three partitions, whose handles are their indexes. */
function fixture(): Fixture {
  const log = new FakeLog();
  const time = new ManualTime();
  const directory = new PartitionDirectory();
  directory.apply({
    kind: "topic",
    name: "t",
    topicId: TOPIC_ID,
    partitions: [0, 1, 2].map((index) => ({ index, handle: log.addPartition(), leaderEpoch: 4 })),
  });
  let seed = 0;
  const sessions = new FetchSessionCache(10, 120_000, {
    next: () => (seed = (seed + 0.31) % 1),
    uuid: () => "",
  });
  const handler = createFetchHandler({
    directory,
    replicas: new ReplicaManager(log, time, time),
    sessions,
    fetchMaxBytes: 1 << 20,
    view: viewOf(1),
  });
  return { log, time, directory, sessions, handler };
}

function context(apiVersion: number): RequestContext {
  return {
    apiKey: 1,
    apiVersion,
    correlationId: 1,
    clientId: "c",
    connection: {
      id: 1,
      listenerName: "PLAINTEXT",
      localHost: "127.0.0.1",
      localPort: 9092,
      clientHost: "127.0.0.1",
      clientPort: 50000,
      clientSoftwareName: "unknown",
      clientSoftwareVersion: "unknown",
      peerNodeId: -1,
    },
    receivedMonotonicMs: 1_000_000,
  };
}

/** A request for `partitions` of topic t: index → fetch offset. */
function request(
  partitions: Record<number, number>,
  init: Partial<FetchRequest> = {},
): FetchRequest {
  return makeFetchRequest({
    maxWaitMs: 500,
    maxBytes: 1 << 20,
    topics: [
      makeFetchTopic({
        topic: "t",
        partitions: Object.entries(partitions).map(([index, fetchOffset]) =>
          makeFetchPartition({ partition: Number(index), fetchOffset, partitionMaxBytes: 1 << 20 }),
        ),
      }),
    ],
    ...init,
  });
}

/** What a response says, in short; its plan is given back. */
function summary(log: FakeLog, result: unknown): unknown {
  const isSliced = result instanceof SlicedResponse;
  const response = (isSliced ? result.response : result) as FetchResponse;
  if (isSliced) log.planDrop(result.plan);
  return {
    error: response.errorCode,
    session: response.sessionId !== 0,
    partitions: response.responses.flatMap(({ partitions }) =>
      partitions.map(({ partitionIndex, errorCode, records }) => [
        partitionIndex,
        errorCode,
        recordBytes(records),
      ]),
    ),
  };
}

/** Bytes of records, copied or still in their file; -1 for null. */
function recordBytes(records: PartitionData["records"]): number {
  if (records === null) return -1;
  return records instanceof Uint8Array ? records.length : records.lengthBytes;
}

describe("without a session", () => {
  test("answers at once when there is enough", () => {
    const { log, handler } = fixture();
    log.appendBytes(0, 100);
    log.appendBytes(2, 50);
    const result = handler.handle(request({ 0: 0, 1: 0, 2: 0 }, { minBytes: 150 }), context(11));
    expect(summary(log, result)).toEqual({
      error: 0,
      session: false,
      partitions: [
        [0, 0, 100],
        [1, 0, 0],
        [2, 0, 50],
      ],
    });
    expect(log.plans.size).toBe(0);
  });

  test("waits for the bytes it wants and hears of them", async () => {
    const { log, time, handler } = fixture();
    log.appendBytes(0, 100);
    const result = handler.handle(request({ 0: 0, 1: 0 }, { minBytes: 180 }), context(11));
    expect(result).toBeInstanceOf(Promise);
    expect(log.plans.size).toBe(0);
    log.appendBytes(1, 50);
    await Bun.sleep(0);
    log.appendBytes(1, 50);
    expect(summary(log, await result)).toEqual({
      error: 0,
      session: false,
      partitions: [
        [0, 0, 100],
        [1, 0, 100],
      ],
    });
    expect([log.plans.size, time.pendingCount]).toEqual([0, 0]);
  });

  test("answers by its deadline with what there is", async () => {
    const { log, time, handler } = fixture();
    log.appendBytes(0, 100);
    const result = handler.handle(request({ 0: 0 }, { minBytes: 1000 }), context(11));
    time.advance(500);
    expect(summary(log, await result)).toEqual({
      error: 0,
      session: false,
      partitions: [[0, 0, 100]],
    });
  });

  test("an error ends the waiting, also one that comes later", async () => {
    const { log, handler } = fixture();
    const now = handler.handle(request({ 0: 99, 1: 0 }, { minBytes: 1 }), context(11));
    expect(summary(log, now)).toEqual({
      error: 0,
      session: false,
      partitions: [
        [0, 1, 0],
        [1, 0, 0],
      ],
    });
    const later = handler.handle(request({ 1: 0 }, { minBytes: 1 }), context(11));
    log.remove(1);
    expect(summary(log, await later)).toEqual({
      error: 0,
      session: false,
      partitions: [[1, 3, 0]],
    });
  });

  test.each([
    ["an unknown partition", request({ 7: 0 }), 11, 3],
    ["a follower that is none", request({ 0: 0 }, { replicaId: 5 }), 11, 6],
    ["a negative size", request({ 0: 0 }, { maxBytes: -1 }), 11, -1],
    ["an unknown topic id", request({ 0: 0 }), 13, 100],
  ])("%s is answered with an error", (_name, wanted, version, errorCode) => {
    const { log, handler } = fixture();
    expect(summary(log, handler.handle(wanted, context(version)))).toEqual({
      error: 0,
      session: false,
      partitions: [[wanted.topics[0]?.partitions[0]?.partition, errorCode, 0]],
    });
  });

  test("an unknown isolation level is an error for the whole and each part", () => {
    const { log, handler } = fixture();
    const result = handler.handle(request({ 0: 0 }, { isolationLevel: 9 }), context(11));
    expect(summary(log, result)).toEqual({ error: -1, session: false, partitions: [[0, -1, 0]] });
  });

  test("what is unknown is answered after what was read", () => {
    const { log, handler } = fixture();
    const asked = request({}, { maxWaitMs: 0 });
    asked.topics[0]?.partitions.push(
      makeFetchPartition({ partition: 9, partitionMaxBytes: 100 }),
      makeFetchPartition({ partition: 0, partitionMaxBytes: 100 }),
    );
    expect(summary(log, handler.handle(asked, context(11)))).toMatchObject({
      partitions: [
        [0, 0, 0],
        [9, 3, 0],
      ],
    });
  });

  test("a follower is told who leads, and not where", () => {
    const { handler } = fixture();
    const asked = request(
      { 0: 0 },
      { maxWaitMs: 0, replicaState: { replicaId: 5, replicaEpoch: 1 } },
    );
    for (const topic of asked.topics) topic.topicId = TOPIC_ID;
    const { responses, nodeEndpoints } = handler.handle(asked, context(17)) as FetchResponse;
    const { errorCode, currentLeader } = responses[0]?.partitions[0] ?? {};
    expect({ errorCode, currentLeader, nodeEndpoints }).toEqual({
      errorCode: 6,
      currentLeader: { leaderId: 1, leaderEpoch: 4 },
      nodeEndpoints: [],
    });
  });

  test("of a partition named twice the last mention counts", () => {
    const { log, handler } = fixture();
    log.appendBytes(0, 10);
    log.appendBytes(0, 20);
    const wanted = request({ 0: 0 });
    wanted.topics[0]?.partitions.push(
      makeFetchPartition({ partition: 0, fetchOffset: 1, partitionMaxBytes: 1 << 20 }),
    );
    expect(summary(log, handler.handle(wanted, context(11)))).toEqual({
      error: 0,
      session: false,
      partitions: [[0, 0, 20]],
    });
  });
});

describe("with a session", () => {
  function open({ handler, log }: Fixture, partitions: Record<number, number>): number {
    const result = handler.handle(
      request(partitions, { sessionEpoch: 0, maxWaitMs: 0 }),
      context(11),
    );
    const response = (result instanceof SlicedResponse ? result.response : result) as FetchResponse;
    summary(log, result);
    return response.sessionId;
  }

  test("only what changed is asked and answered", () => {
    const all = fixture();
    const { handler, log } = all;
    const sessionId = open(all, { 0: 0, 1: 0 });
    const next = (epoch: number, partitions: Record<number, number> = {}): unknown =>
      summary(
        log,
        handler.handle(
          request(partitions, { sessionId, sessionEpoch: epoch, maxWaitMs: 0 }),
          context(11),
        ),
      );
    expect(next(1)).toEqual({ error: 0, session: true, partitions: [] });
    log.appendBytes(1, 30);
    expect(next(2)).toEqual({ error: 0, session: true, partitions: [[1, 0, 30]] });
    // The consumer moves on in partition 1 and adds partition 2.
    expect(next(3, { 1: 1, 2: 0 })).toEqual({ error: 0, session: true, partitions: [[2, 0, 0]] });
    expect(next(4, { 0: 50 })).toEqual({ error: 0, session: true, partitions: [[0, 1, 0]] });
    // An error is repeated until it is gone, and its end is news.
    expect(next(5)).toEqual({ error: 0, session: true, partitions: [[0, 1, 0]] });
    expect(next(6, { 0: 0 })).toEqual({ error: 0, session: true, partitions: [[0, 0, 0]] });
  });

  test("little is copied with the call that finds it, and more left in its file", () => {
    const { handler, log } = fixture();
    for (const handle of [0, 1]) log.appendBytes(handle, 32 * 1024);
    const small = handler.handle(request({ 0: 0, 1: 0 }), context(11)) as FetchResponse;
    const [first, second] = small.responses.flatMap(({ partitions }) => partitions);
    expect(first?.records).toEqual(log.partitions[0]?.batches[0] as Uint8Array);
    expect(second?.records).toEqual(log.partitions[1]?.batches[0] as Uint8Array);
    expect(log.plans.size).toBe(0);
    log.appendBytes(1, 1);
    const large = handler.handle(request({ 0: 0, 1: 0 }), context(11));
    expect(large).toBeInstanceOf(SlicedResponse);
    expect(summary(log, large)).toEqual({
      error: 0,
      session: false,
      partitions: [
        [0, 0, 32 * 1024],
        [1, 0, 32 * 1024 + 1],
      ],
    });
  });

  test("a partition that returned records goes to the end of the line", () => {
    const all = fixture();
    const { handler, log } = all;
    const sessionId = open(all, { 0: 0, 1: 0, 2: 0 });
    for (const handle of [0, 1, 2]) log.appendBytes(handle, 10);
    const order = (epoch: number, partitions: Record<number, number>): unknown => {
      const result = handler.handle(
        request(partitions, { sessionId, sessionEpoch: epoch, maxWaitMs: 0, maxBytes: 10 }),
        context(11),
      ) as FetchResponse;
      return result.responses.flatMap(({ partitions: answered }) =>
        answered
          .filter(({ records }) => recordBytes(records) > 0)
          .map(({ partitionIndex }) => partitionIndex),
      );
    };
    expect([order(1, {}), order(2, { 0: 1 }), order(3, { 1: 1 })]).toEqual([[0], [1], [2]]);
  });

  test("wrong epochs, unknown sessions and a change to topic ids are refused", () => {
    const all = fixture();
    const sessionId = open(all, { 0: 0 });
    const error = (init: Partial<FetchRequest>, version = 11): number =>
      (all.handler.handle(request({}, init), context(version)) as FetchResponse).errorCode;
    expect([
      error({ sessionId: sessionId + 1, sessionEpoch: 1 }),
      error({ sessionId, sessionEpoch: 2 }),
      error({ sessionId, sessionEpoch: 1 }, 13),
    ]).toEqual([70, 71, 106]);
  });

  test("a partition asked for and forgotten at once is answered as it ends", () => {
    const { log, handler } = fixture();
    const opened = handler.handle(
      request({ 0: 0 }, { sessionEpoch: 0, maxWaitMs: 0 }),
      context(11),
    );
    const { sessionId } = opened as FetchResponse;
    expect(sessionId).not.toBe(0);
    const forgottenTopicsData = [makeForgottenTopic({ topic: "t", partitions: [0] })];
    const init = { sessionId, sessionEpoch: 1, maxWaitMs: 0, forgottenTopicsData };
    expect(summary(log, handler.handle(request({ 0: 0 }, init), context(11)))).toEqual({
      error: 0,
      session: false,
      partitions: [[0, 0, 0]],
    });
  });

  test("forgetting the last partition, or a full request, ends it", () => {
    const all = fixture();
    const first = open(all, { 0: 0 });
    const forget = request(
      {},
      {
        sessionId: first,
        sessionEpoch: 1,
        maxWaitMs: 0,
        topics: [],
        forgottenTopicsData: [{ topic: "t", topicId: TOPIC_ID, partitions: [0] }],
      },
    );
    expect(summary(all.log, all.handler.handle(forget, context(11)))).toEqual({
      error: 0,
      session: false,
      partitions: [],
    });
    const second = open(all, { 0: 0 });
    void all.handler.handle(
      request({ 0: 0 }, { sessionId: second, sessionEpoch: -1, maxWaitMs: 0 }),
      context(11),
    );
    expect(all.sessions.size).toBe(0);
  });

  test("a topic that goes away is an error, one that comes back under another id too", () => {
    const all = fixture();
    const { directory, handler, log } = all;
    const sessionId = open(all, { 0: 0 });
    const next = (epoch: number): unknown =>
      summary(
        log,
        handler.handle(request({}, { sessionId, sessionEpoch: epoch, maxWaitMs: 0 }), context(11)),
      );
    directory.apply({ kind: "topic-removed", name: "t", topicId: TOPIC_ID });
    expect(next(1)).toEqual({ error: 0, session: true, partitions: [[0, 3, 0]] });
  });
});
