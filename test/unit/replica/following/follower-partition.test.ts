import { describe, expect, test } from "bun:test";
import { ErrorCode } from "#common/error-code.ts";
import { makeEpochEndOffset, makePartitionData } from "#protocol/generated/fetch.ts";
import { EMPTY_BYTES } from "#protocol/codec/reader.ts";
import {
  answerOf,
  BACKOFF_MS,
  epochsOf,
  follow,
  leaderRole,
  makeFollower,
  makeLog,
} from "./fixture.ts";

const diverging = (epoch: number, endOffset: number) =>
  answerOf(0, "", { divergingEpoch: makeEpochEndOffset({ epoch, endOffset }) });
const refused = (errorCode: number) => makePartitionData({ errorCode, highWatermark: -1 });

describe("the start", () => {
  test("fetches from the log end with the epoch of the last record", () => {
    const { partition } = makeFollower(makeLog("0 0 3 3", { highWatermark: 1 }));
    expect([partition.fetchOffset, partition.lastFetchedEpoch, partition.lag]).toEqual([
      4,
      3,
      null,
    ]);
    expect(partition.isReady(0)).toBe(true);
  });

  test("an empty log has no epoch and nothing to cut", () => {
    const { partition, told } = makeFollower(makeLog(""));
    expect([partition.fetchOffset, partition.lastFetchedEpoch]).toEqual([0, -1]);
    expect(told).toEqual([]);
  });

  test("records without epochs are cut at the high watermark: nothing else is known of them", () => {
    const { partition, told } = makeFollower(makeLog("-1 -1 -1", { highWatermark: 2 }));
    expect(partition.fetchOffset).toBe(2);
    expect(told).toEqual([["truncated", 3, 2]]);
  });

  test("a log whose disk is gone is out", () => {
    const { partition, told } = makeFollower(makeLog("0", { isBroken: true }));
    expect(partition.phase).toBe("failed");
    expect(partition.isReady(0)).toBe(false);
    expect(told).toEqual([["failed", ErrorCode.KAFKA_STORAGE_ERROR]]);
  });
});

describe("records", () => {
  test("are appended, and the high watermark follows as far as the log reaches", () => {
    const { partition, log } = makeFollower(makeLog("0 0"));
    const outcome = partition.onAnswer(answerOf(2, "4 4", { highWatermark: 9 }), 0);
    expect(outcome.bytes).toBeGreaterThan(0);
    expect(epochsOf(log)).toBe("0 0 4 4");
    expect(log.highWatermark).toBe(4);
    expect([partition.fetchOffset, partition.lastFetchedEpoch, partition.lag]).toEqual([4, 4, 5]);
  });

  test("the leader's log start is taken over", () => {
    const { partition, log } = makeFollower(makeLog("0 0 0", { highWatermark: 3 }));
    partition.onAnswer(answerOf(3, "", { highWatermark: 3, logStartOffset: 2 }), 0);
    expect(log.logStartOffset).toBe(2);
    expect(partition.logStartOffset).toBe(2);
  });

  test("bytes without a whole batch are asked for again after a pause, not at once", () => {
    const { partition, told } = makeFollower(makeLog("0"));
    const nothing = new TextEncoder().encode("[]");
    partition.onAnswer(answerOf(1, "", { records: nothing }), 0);
    expect(partition.isReady(9)).toBe(false);
    expect(partition.isReady(10)).toBe(true);
    expect(told).toEqual([["refused", ErrorCode.CORRUPT_MESSAGE]]);
  });

  test("are refused by a log that has moved on to another epoch", () => {
    const { partition, log } = makeFollower(makeLog("0"));
    log.follow(6, 3);
    partition.onAnswer(answerOf(1, "4"), 0);
    expect(epochsOf(log)).toBe("0");
    log.lead(leaderRole({ leaderEpoch: 7 }));
    partition.onAnswer(answerOf(1, "4"), 0);
    expect(epochsOf(log)).toBe("0");
  });
});

describe("divergence", () => {
  test("a cut that the own disk refuses is asked for again", () => {
    const { partition, log, told } = makeFollower(makeLog("0 0 1 1 1"));
    const truncateTo = log.truncateTo.bind(log);
    log.truncateTo = () => ErrorCode.KAFKA_STORAGE_ERROR;
    partition.onAnswer(diverging(1, 3), 0);
    expect([partition.phase, partition.fetchOffset, partition.isReady(0)]).toEqual([
      "fetching",
      5,
      false,
    ]);
    log.truncateTo = truncateTo;
    partition.onAnswer(diverging(1, 3), BACKOFF_MS);
    expect(epochsOf(log)).toBe("0 0 1");
    expect(told).toEqual([
      ["refused", ErrorCode.KAFKA_STORAGE_ERROR],
      ["truncated", 5, 3],
    ]);
  });

  test("an epoch both have is cut to the end that is smaller", () => {
    const { partition, log, told } = makeFollower(makeLog("0 0 1 1 1"));
    partition.onAnswer(diverging(1, 3), 0);
    expect(epochsOf(log)).toBe("0 0 1");
    expect(partition.isReady(0)).toBe(true);
    expect(told).toEqual([["truncated", 5, 3]]);
  });

  test("of an older epoch the own end counts where it is smaller", () => {
    const { partition, log } = makeFollower(makeLog("0 0 3 3"));
    partition.onAnswer(diverging(0, 9), 0);
    expect(epochsOf(log)).toBe("0 0");
    expect(partition.lastFetchedEpoch).toBe(0);
  });

  test("an epoch it does not have sends it back to its next older one (KIP-279)", () => {
    const { partition, log } = makeFollower(makeLog("0 0 3 3 3"));
    partition.onAnswer(diverging(2, 4), 0);
    expect(epochsOf(log)).toBe("0 0");
  });

  test("below the high watermark is cut too, where the leader says so", () => {
    const { partition, log } = makeFollower(makeLog("0 0 1", { highWatermark: 3 }));
    partition.onAnswer(diverging(0, 1), 0);
    expect(epochsOf(log)).toBe("0");
    expect(log.highWatermark).toBe(1);
  });

  test("an answer that would change nothing is not asked for without end", () => {
    const { partition, told } = makeFollower(makeLog("0 0"));
    partition.onAnswer(diverging(0, 2), 0);
    expect(partition.isReady(0)).toBe(false);
    expect(told).toEqual([["refused", ErrorCode.UNKNOWN_SERVER_ERROR]]);
    partition.onAnswer(diverging(0, -1), 100);
    expect(partition.fetchOffset).toBe(2);
  });

  test("any two histories agree in the end", () => {
    const follower = makeFollower(makeLog("0 0 1 1 3 3 3"));
    const leader = makeLog("0 0 0 2 2 4");
    leader.lead(leaderRole({ isr: [1] }));
    expect(follow(follower, leader)).toBeLessThan(8);
    expect(epochsOf(follower.log)).toBe("0 0 0 2 2 4");
  });
});

describe("named counter-examples", () => {
  // KIP-101, first scenario: a follower comes back before it has heard the high watermark, cuts committed records off, and then is elected.
  test.each([
    [false, "0 0"],
    [true, "0"],
  ])("restart and fail-over; wrong rule: %p", (truncatesToHighWatermark, survives) => {
    const leader = makeLog("0 0", { highWatermark: 2 });
    leader.lead(leaderRole({ leaderEpoch: 0, isr: [1, 2], replicas: [1, 2] }));
    // It has fetched both records, so both are committed; it was told of one.
    const log = makeLog("0 0", { highWatermark: 1 });
    makeFollower(log, { leaderEpoch: 0 }, { truncatesToHighWatermark });
    log.lead(leaderRole({ leaderEpoch: 1, isr: [2], replicas: [1, 2] }));
    expect(epochsOf(log)).toBe(survives);
  });

  // KIP-101, second scenario: both die, one writes another record at the same offset, the logs must not stay apart.
  test("another record at the same offset, below both high watermarks", () => {
    const leader = makeLog("0 1", { highWatermark: 2 });
    leader.lead(leaderRole({ isr: [1], replicas: [1, 2] }));
    const follower = makeFollower(makeLog("0 0", { highWatermark: 2 }));
    follow(follower, leader);
    expect(epochsOf(follower.log)).toBe("0 1");
  });

  // KIP-279: leaders in quick turns, each with a record of its own, and the epochs of the two logs do not interleave.
  test("fast fail-overs", () => {
    const leader = makeLog("0 2 2");
    leader.lead(leaderRole({ isr: [1], replicas: [1, 2] }));
    const follower = makeFollower(makeLog("0 1 1 1 3"));
    follow(follower, leader);
    expect(epochsOf(follower.log)).toBe("0 2 2");
  });
});

describe("offset out of range", () => {
  test("a log beyond the leader's is cut to its end", () => {
    const { partition, log, told } = makeFollower(makeLog("0 0 0"));
    partition.onAnswer(refused(ErrorCode.OFFSET_OUT_OF_RANGE), 0);
    expect(partition.phase).toBe("resetting");
    expect(partition.isReady(0)).toBe(false);
    expect(partition.wantsOffsets(0)).toBe(true);
    partition.onLeaderOffsets(0, 2, 0);
    expect(epochsOf(log)).toBe("0 0");
    expect([partition.phase, partition.fetchOffset, partition.lag]).toEqual(["fetching", 2, 0]);
    expect(told).toEqual([["truncated", 3, 2]]);
  });

  test("a log that ends before the leader's begins starts over there", () => {
    const { partition, log, told } = makeFollower(makeLog("0 0 0", { highWatermark: 3 }));
    partition.onAnswer(refused(ErrorCode.OFFSET_OUT_OF_RANGE), 0);
    partition.onLeaderOffsets(10, 15, 0);
    expect([log.logStartOffset, log.logEndOffset, log.highWatermark]).toEqual([10, 10, 10]);
    expect([partition.fetchOffset, partition.lastFetchedEpoch, partition.lag]).toEqual([10, -1, 5]);
    expect(told).toEqual([["restarted", 3, 10]]);
  });

  test("a leader that has grown past it meanwhile is asked again", () => {
    const { partition, log } = makeFollower(makeLog("0 0 0"));
    partition.onAnswer(refused(ErrorCode.OFFSET_OUT_OF_RANGE), 0);
    partition.onLeaderOffsets(1, 9, 0);
    expect(epochsOf(log)).toBe("0 0 0");
    expect(partition.isReady(10)).toBe(true);
  });

  test("a leader that does not tell is asked again, or is ahead", () => {
    const { partition } = makeFollower(makeLog("0"));
    partition.onAnswer(refused(ErrorCode.OFFSET_OUT_OF_RANGE), 0);
    partition.onLeaderOffsetsRefused(ErrorCode.NOT_LEADER_OR_FOLLOWER, 0);
    expect([partition.phase, partition.wantsOffsets(0), partition.wantsOffsets(10)]).toEqual([
      "resetting",
      false,
      true,
    ]);
    partition.onLeaderOffsetsRefused(ErrorCode.FENCED_LEADER_EPOCH, 10);
    expect(partition.phase).toBe("fenced");
  });
});

describe("refusals", () => {
  test("FENCED_LEADER_EPOCH waits for metadata", () => {
    const { partition } = makeFollower(makeLog("0"));
    partition.onAnswer(refused(ErrorCode.FENCED_LEADER_EPOCH), 0);
    expect(partition.phase).toBe("fenced");
    expect(partition.isReady(1e9)).toBe(false);
  });

  test.each([
    ErrorCode.UNKNOWN_LEADER_EPOCH,
    ErrorCode.NOT_LEADER_OR_FOLLOWER,
    ErrorCode.UNKNOWN_TOPIC_ID,
    ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
    ErrorCode.KAFKA_STORAGE_ERROR,
  ])("the leader's %i is tried again, first soon and then ever later", (errorCode) => {
    const { partition } = makeFollower(makeLog("0"));
    let nowMs = 0;
    const pauses: number[] = [];
    for (let count = 0; count < 6; count += 1) {
      partition.onAnswer(refused(errorCode), nowMs);
      pauses.push(partition.readyAtMs - nowMs);
      nowMs = partition.readyAtMs;
    }
    expect(pauses).toEqual([10, 20, 40, 80, BACKOFF_MS, BACKOFF_MS]);
    partition.onAnswer(answerOf(1, ""), nowMs);
    partition.onAnswer(refused(errorCode), nowMs);
    expect(partition.readyAtMs - nowMs).toBe(10);
  });

  test("an own disk that has failed ends it, want of room does not", () => {
    const short = makeFollower(makeLog("0"));
    short.log.append = () => ErrorCode.KAFKA_STORAGE_ERROR;
    short.partition.onAnswer(answerOf(1, "0"), 0);
    expect(short.partition.isReady(10)).toBe(true);
    const gone = makeFollower(makeLog("0"));
    gone.log.isBroken = true;
    gone.partition.onAnswer(answerOf(1, "0"), 0);
    expect(gone.partition.phase).toBe("failed");
    expect(gone.told).toEqual([["failed", ErrorCode.KAFKA_STORAGE_ERROR]]);
  });

  test("records that cannot be appended are fetched again", () => {
    const { partition, log, told } = makeFollower(makeLog("0"));
    log.append = (_epoch, bytes) => (bytes === EMPTY_BYTES ? 0 : ErrorCode.CORRUPT_MESSAGE);
    partition.onAnswer(answerOf(1, "0"), 0);
    expect([partition.fetchOffset, partition.isReady(10)]).toEqual([1, true]);
    expect(told).toEqual([["refused", ErrorCode.CORRUPT_MESSAGE]]);
  });
});
