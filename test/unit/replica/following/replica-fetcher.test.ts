import { describe, expect, test } from "bun:test";
import { ErrorCode } from "#common/error-code.ts";
import {
  type FetchRequest,
  type FetchResponse,
  makeEpochEndOffset,
  makeFetchableTopicResponse,
  makeFetchResponse,
  type PartitionData,
} from "#protocol/generated/fetch.ts";
import {
  makeListOffsetsPartitionResponse,
  makeListOffsetsResponse,
  makeListOffsetsTopicResponse,
} from "#protocol/generated/list-offsets.ts";
import { DEFAULT_FOLLOWING_CONFIG, type FollowingConfig } from "#replica/following/ports.ts";
import { type FetcherStep, ReplicaFetcher } from "#replica/following/replica-fetcher.ts";
import {
  answerOf,
  epochsOf,
  type FollowerUnderTest,
  makeFollower,
  makeLog,
  TOPIC_ID,
} from "./fixture.ts";

const SESSION_ID = 77;

function makeFetcher(config: Partial<FollowingConfig> = {}): ReplicaFetcher {
  return new ReplicaFetcher({
    nodeId: 1,
    brokerEpoch: () => 7,
    config: { ...DEFAULT_FOLLOWING_CONFIG, ...config },
  });
}

/** Adds followers of partitions 0, 1, …, each on an own log with these records. */
function addFollowers(fetcher: ReplicaFetcher, count: number, epochs = "0"): FollowerUnderTest[] {
  return Array.from({ length: count }, (_, partition) => {
    const follower = makeFollower(makeLog(epochs), { partition });
    fetcher.add(follower.partition, 0);
    return follower;
  });
}

function fetchOf(step: FetcherStep): FetchRequest {
  if (step.kind !== "fetch") throw new Error(`expected a fetch: ${JSON.stringify(step)}`);
  return step.request;
}

const named = (request: FetchRequest): number[] =>
  request.topics.flatMap(({ partitions }) => partitions.map(({ partition }) => partition));
const forgotten = (request: FetchRequest): number[] =>
  request.forgottenTopicsData.flatMap(({ partitions }) => partitions);

function respond(
  rows: Readonly<Record<number, PartitionData>>,
  response: Partial<FetchResponse> = {},
): FetchResponse {
  const partitions = Object.entries(rows).map(([partition, row]) => ({
    ...row,
    partitionIndex: Number(partition),
  }));
  return makeFetchResponse({
    sessionId: SESSION_ID,
    responses: [makeFetchableTopicResponse({ topicId: TOPIC_ID, partitions })],
    ...response,
  });
}

describe("a throttle", () => {
  test("leaves out what is throttled and behind, never what is in sync", () => {
    let isExceeded = false;
    const recorded: number[] = [];
    const fetcher = new ReplicaFetcher({
      nodeId: 1,
      brokerEpoch: () => 7,
      config: { ...DEFAULT_FOLLOWING_CONFIG, fetchBackoffMs: 700 },
      throttle: {
        isThrottled: (_topic, partition) => partition < 2,
        isExceeded: () => isExceeded,
        record: (bytes) => recorded.push(bytes),
      },
    });
    addFollowers(fetcher, 3, "");
    expect(named(fetchOf(fetcher.next(0)))).toEqual([0, 1, 2]);
    // One is behind by a record, one in sync; the third is behind and not throttled.
    fetcher.onFetched(
      respond({
        0: { ...answerOf(0, "0"), highWatermark: 5 },
        1: { ...answerOf(0, "0"), highWatermark: 1 },
        2: { ...answerOf(0, "0"), highWatermark: 5 },
      }),
      0,
    );
    expect(recorded.length).toBe(2);
    isExceeded = true;
    const second = fetchOf(fetcher.next(0));
    expect([named(second).toSorted((one, other) => one - other), forgotten(second)]).toEqual([
      [1, 2],
      [0],
    ]);
    fetcher.onFetched(respond({}), 0);
    fetcher.remove(`${TOPIC_ID}-1`);
    fetcher.remove(`${TOPIC_ID}-2`);
    expect(fetcher.next(10)).toEqual({ kind: "wait", untilMs: 710 });
    isExceeded = false;
    expect(named(fetchOf(fetcher.next(710)))).toEqual([0]);
  });
});

describe("requests", () => {
  test("say who asks, in which epochs, and how much", () => {
    const fetcher = makeFetcher({
      fetchMinBytes: 3,
      fetchWaitMaxMs: 400,
      fetchResponseMaxBytes: 5_000_000,
    });
    addFollowers(fetcher, 1, "0 0 4");
    const request = fetchOf(fetcher.next(0));
    expect(request.replicaState).toEqual({ replicaId: 1, replicaEpoch: 7 });
    expect([request.minBytes, request.maxWaitMs, request.maxBytes, request.replicaId]).toEqual([
      3, 400, 5_000_000, -1,
    ]);
    expect([request.sessionId, request.sessionEpoch]).toEqual([0, 0]);
    expect(request.topics[0]?.topicId).toBe(TOPIC_ID);
    expect(request.topics[0]?.partitions[0]).toMatchObject({
      partition: 0,
      currentLeaderEpoch: 5,
      fetchOffset: 3,
      lastFetchedEpoch: 4,
      logStartOffset: 0,
      partitionMaxBytes: 1_048_576,
    });
  });

  test("one at a time, and none without partitions", () => {
    const fetcher = makeFetcher();
    expect(fetcher.next(0)).toEqual({ kind: "wait", untilMs: null });
    addFollowers(fetcher, 1);
    expect(fetcher.next(0).kind).toBe("fetch");
    expect(fetcher.next(0)).toEqual({ kind: "wait", untilMs: null });
  });

  test("in a session name what changed, and what is not wanted any more", () => {
    const fetcher = makeFetcher();
    addFollowers(fetcher, 3);
    expect(named(fetchOf(fetcher.next(0)))).toEqual([0, 1, 2]);
    fetcher.onFetched(respond({ 0: answerOf(1, ""), 1: answerOf(1, "0"), 2: answerOf(1, "") }), 0);
    const second = fetchOf(fetcher.next(0));
    expect([second.sessionId, second.sessionEpoch, named(second), forgotten(second)]).toEqual([
      SESSION_ID,
      1,
      [1],
      [],
    ]);
    fetcher.remove(`${TOPIC_ID}-2`);
    fetcher.onFetched(respond({}), 0);
    const third = fetchOf(fetcher.next(0));
    expect([third.sessionEpoch, named(third), forgotten(third)]).toEqual([2, [], [2]]);
  });

  test("a leader without room for sessions is told everything each time", () => {
    const fetcher = makeFetcher();
    addFollowers(fetcher, 2);
    fetcher.next(0);
    fetcher.onFetched(respond({ 0: answerOf(1, "") }, { sessionId: 0 }), 0);
    const request = fetchOf(fetcher.next(0));
    expect([request.sessionId, request.sessionEpoch, named(request)]).toEqual([0, 0, [0, 1]]);
  });

  test.each([
    [ErrorCode.FETCH_SESSION_ID_NOT_FOUND, 0],
    [ErrorCode.INVALID_FETCH_SESSION_EPOCH, SESSION_ID],
    [ErrorCode.FETCH_SESSION_TOPIC_ID_ERROR, SESSION_ID],
  ])("after session error %i everything is told at once", (errorCode, sessionId) => {
    const fetcher = makeFetcher();
    addFollowers(fetcher, 2);
    fetcher.next(0);
    fetcher.onFetched(respond({}), 0);
    fetcher.next(0);
    fetcher.onFetched(makeFetchResponse({ errorCode }), 0);
    const request = fetchOf(fetcher.next(0));
    expect([request.sessionId, request.sessionEpoch, named(request)]).toEqual([
      sessionId,
      0,
      [0, 1],
    ]);
    // A new session that is refused too is a failure.
    fetcher.onFetched(makeFetchResponse({ errorCode }), 0);
    expect(fetcher.next(0)).toEqual({ kind: "wait", untilMs: 10 });
    expect(fetcher.counters.failureCount).toBe(1);
  });
});

describe("answers", () => {
  test("go to their partitions; what was not asked for is not looked at", () => {
    const fetcher = makeFetcher();
    const [first] = addFollowers(fetcher, 1);
    fetcher.next(0);
    fetcher.onFetched(respond({ 0: answerOf(1, "0 0"), 9: answerOf(0, "0") }), 0);
    expect(first && epochsOf(first.log)).toBe("0 0 0");
    expect(fetcher.counters.byteCount).toBeGreaterThan(0);
  });

  test("for a partition that changed its epoch, or left, meanwhile are dropped", () => {
    const fetcher = makeFetcher();
    const [first, second] = addFollowers(fetcher, 2);
    fetcher.next(0);
    const renewed = makeFollower(first?.log ?? makeLog("0"), { partition: 0, leaderEpoch: 6 });
    fetcher.add(renewed.partition, 0);
    fetcher.remove(`${TOPIC_ID}-1`);
    fetcher.onFetched(respond({ 0: answerOf(1, "5"), 1: answerOf(1, "5") }), 0);
    expect(epochsOf(renewed.log)).toBe("0");
    expect(second && epochsOf(second.log)).toBe("0");
    const request = fetchOf(fetcher.next(0));
    expect(request.topics[0]?.partitions).toMatchObject([{ partition: 0, currentLeaderEpoch: 6 }]);
    expect(forgotten(request)).toEqual([1]);
  });

  test("divergence is settled with the next request", () => {
    const fetcher = makeFetcher();
    const [first] = addFollowers(fetcher, 1, "0 0 3");
    fetcher.next(0);
    const divergingEpoch = makeEpochEndOffset({ epoch: 1, endOffset: 2 });
    fetcher.onFetched(respond({ 0: answerOf(0, "", { divergingEpoch }) }), 0);
    expect(first && epochsOf(first.log)).toBe("0 0");
    expect(fetchOf(fetcher.next(0)).topics[0]?.partitions).toMatchObject([
      { fetchOffset: 2, lastFetchedEpoch: 0 },
    ]);
  });

  test("refused partitions rest, the others go on, and no request outlasts the rest", () => {
    const fetcher = makeFetcher();
    addFollowers(fetcher, 2);
    fetcher.next(0);
    const refused = answerOf(0, "", { errorCode: ErrorCode.NOT_LEADER_OR_FOLLOWER });
    fetcher.onFetched(respond({ 0: refused, 1: answerOf(1, "") }), 0);
    const request = fetchOf(fetcher.next(2));
    expect([named(request), forgotten(request), request.maxWaitMs]).toEqual([[], [0], 8]);
    fetcher.onFetched(respond({}), 10);
    const next = fetchOf(fetcher.next(10));
    expect([named(next), next.maxWaitMs]).toEqual([[0], 500]);
  });

  test("with nothing but resting partitions there is a time to wait for", () => {
    const fetcher = makeFetcher();
    addFollowers(fetcher, 1);
    fetcher.next(0);
    const errorCode = ErrorCode.UNKNOWN_LEADER_EPOCH;
    fetcher.onFetched(respond({ 0: answerOf(0, "", { errorCode }) }), 5);
    expect(fetcher.next(6)).toEqual({ kind: "wait", untilMs: 15 });
  });
});

describe("offsets of the leader", () => {
  const tell = (offset: number, errorCode: number = ErrorCode.NONE) =>
    makeListOffsetsResponse({
      topics: [
        makeListOffsetsTopicResponse({
          name: "orders",
          partitions: [makeListOffsetsPartitionResponse({ partitionIndex: 0, errorCode, offset })],
        }),
      ],
    });
  const outOfRange = (): { fetcher: ReplicaFetcher; follower: FollowerUnderTest } => {
    const fetcher = makeFetcher();
    const [follower] = addFollowers(fetcher, 1, "0 0 0");
    if (follower === undefined) throw new Error("no follower");
    fetcher.next(0);
    const errorCode = ErrorCode.OFFSET_OUT_OF_RANGE;
    fetcher.onFetched(respond({ 0: answerOf(0, "", { errorCode }) }), 0);
    return { fetcher, follower };
  };

  test("are asked for after OFFSET_OUT_OF_RANGE, as a replica of this epoch", () => {
    const { fetcher, follower } = outOfRange();
    const step = fetcher.next(0);
    if (step.kind !== "offsets") throw new Error(step.kind);
    expect(step.ends).toMatchObject({
      replicaId: 1,
      topics: [
        {
          name: "orders",
          partitions: [{ partitionIndex: 0, currentLeaderEpoch: 5, timestamp: -1 }],
        },
      ],
    });
    expect(step.starts.topics[0]?.partitions[0]?.timestamp).toBe(-2);
    fetcher.onOffsets(tell(2), tell(0), 0);
    expect(epochsOf(follower.log)).toBe("0 0");
    expect(fetchOf(fetcher.next(0)).topics[0]?.partitions[0]?.fetchOffset).toBe(2);
  });

  test("that are refused, missing or nonsense are asked for again", () => {
    for (const [ends, starts] of [
      [tell(-1, ErrorCode.NOT_LEADER_OR_FOLLOWER), tell(0)],
      [tell(9), makeListOffsetsResponse()],
      [tell(-5), tell(0)],
    ] as const) {
      const { fetcher, follower } = outOfRange();
      fetcher.next(0);
      fetcher.onOffsets(ends, starts, 0);
      expect(epochsOf(follower.log)).toBe("0 0 0");
      expect(fetcher.next(0)).toEqual({ kind: "wait", untilMs: 10 });
      expect(fetcher.next(10).kind).toBe("offsets");
    }
  });
});

describe("who is served first", () => {
  /** Half a dozen partitions in sync, and a dozen far behind, in one answer. */
  const behind = (fetcher: ReplicaFetcher): void => {
    addFollowers(fetcher, 18);
    fetcher.next(0);
    const rows: Record<number, PartitionData> = {};
    for (let partition = 0; partition < 18; partition += 1)
      rows[partition] = answerOf(1, "", { highWatermark: partition < 6 ? 1 : 1_000 });
    fetcher.onFetched(respond(rows), 0);
  };

  test("all that is in sync, and a share of what is catching up, in turns", () => {
    const fetcher = makeFetcher({ fetchMaxBytes: 1_000, fetchResponseMaxBytes: 8_000 });
    behind(fetcher);
    const told = new Set(Array.from({ length: 18 }, (_, partition) => partition));
    const seen: number[] = [];
    for (let round = 0; round < 3; round += 1) {
      const request = fetchOf(fetcher.next(0));
      for (const partition of forgotten(request)) told.delete(partition);
      for (const partition of named(request)) told.add(partition);
      expect([0, 1, 2, 3, 4, 5].every((partition) => told.has(partition))).toBe(true);
      const catchingUp = [...told].filter((partition) => partition >= 6);
      expect(catchingUp).toHaveLength(4);
      seen.push(...catchingUp);
      fetcher.onFetched(respond({}), 0);
    }
    expect(new Set(seen).size).toBe(12);
  });

  test("what has caught up is in every request from then on", () => {
    const fetcher = makeFetcher({ fetchMaxBytes: 1_000, fetchResponseMaxBytes: 2_000 });
    behind(fetcher);
    const first = fetchOf(fetcher.next(0));
    expect(forgotten(first)).toHaveLength(11);
    const chosen = [6, 7, 8, 9].find((partition) => !forgotten(first).includes(partition));
    if (chosen === undefined) throw new Error("none chosen");
    fetcher.onFetched(respond({ [chosen]: answerOf(1, "0 0 0", { highWatermark: 4 }) }), 0);
    for (let round = 0; round < 12; round += 1) {
      expect(forgotten(fetchOf(fetcher.next(0)))).not.toContain(chosen);
      fetcher.onFetched(respond({}), 0);
    }
  });

  test("while nothing is in sync the whole answer is for those catching up", () => {
    const fetcher = makeFetcher({ fetchMaxBytes: 1_000, fetchResponseMaxBytes: 8_000 });
    addFollowers(fetcher, 12);
    fetcher.next(0);
    const rows: Record<number, PartitionData> = {};
    for (let partition = 0; partition < 12; partition += 1)
      rows[partition] = answerOf(1, "", { highWatermark: 1_000 });
    fetcher.onFetched(respond(rows), 0);
    expect(forgotten(fetchOf(fetcher.next(0)))).toHaveLength(4);
  });
});

describe("failures", () => {
  test("pause longer and longer, start a new session, and end with new metadata", () => {
    const fetcher = makeFetcher({ fetchBackoffMs: 40 });
    addFollowers(fetcher, 1);
    fetcher.next(0);
    fetcher.onFetched(respond({}), 0);
    const pauses: number[] = [];
    let nowMs = 0;
    for (let count = 0; count < 4; count += 1) {
      fetcher.next(nowMs);
      fetcher.onFailure(nowMs);
      const step = fetcher.next(nowMs);
      if (step.kind !== "wait" || step.untilMs === null) throw new Error(step.kind);
      pauses.push(step.untilMs - nowMs);
      nowMs = step.untilMs;
    }
    expect(pauses).toEqual([10, 20, 40, 40]);
    expect(fetcher.counters.failureCount).toBe(4);
    fetcher.onFailure(nowMs);
    fetcher.add(makeFollower(makeLog("0"), { partition: 1 }).partition, nowMs);
    const request = fetchOf(fetcher.next(nowMs));
    // The old session is named, so that the leader ends it.
    expect([request.sessionId, request.sessionEpoch, named(request)]).toEqual([
      SESSION_ID,
      0,
      [0, 1],
    ]);
  });

  test("partitions that come while a request waits make it be given up", () => {
    const fetcher = makeFetcher();
    addFollowers(fetcher, 1);
    fetcher.next(0);
    expect(fetcher.abandonAtMs).toBeNull();
    fetcher.add(makeFollower(makeLog("0"), { partition: 1 }).partition, 100);
    expect(fetcher.abandonAtMs).toBe(120);
    fetcher.add(makeFollower(makeLog("0"), { partition: 2 }).partition, 110);
    expect(fetcher.abandonAtMs).toBe(120);
    fetcher.onAbandoned(120);
    expect(named(fetchOf(fetcher.next(120)))).toEqual([0, 1, 2]);
    expect([
      fetcher.abandonAtMs,
      fetcher.counters.abandonedCount,
      fetcher.counters.failureCount,
    ]).toEqual([null, 1, 0]);
  });

  test("requests are not given up one after the other, however many partitions come", () => {
    const fetcher = makeFetcher();
    addFollowers(fetcher, 1);
    fetcher.next(0);
    const addAt = (partition: number, nowMs: number): number | null => {
      fetcher.add(makeFollower(makeLog("0"), { partition }).partition, nowMs);
      return fetcher.abandonAtMs;
    };
    expect(addAt(1, 100)).toBe(120);
    fetcher.onAbandoned(120);
    fetcher.next(120);
    expect(addAt(2, 130)).toBe(370);
  });

  test("an answer that comes in time is taken", () => {
    const fetcher = makeFetcher();
    addFollowers(fetcher, 1);
    fetcher.next(0);
    fetcher.add(makeFollower(makeLog("0"), { partition: 1 }).partition, 100);
    fetcher.onFetched(respond({ 0: answerOf(1, "0") }), 105);
    expect(fetcher.abandonAtMs).toBeNull();
    expect(named(fetchOf(fetcher.next(105)))).toEqual([1, 0]);
  });
});
