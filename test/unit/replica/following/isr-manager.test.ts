import { describe, expect, test } from "bun:test";
import { ErrorCode } from "#common/error-code.ts";
import {
  type AlterPartitionRequest,
  makeAlterPartitionResponse,
  makeAlterPartitionResponsePartitionData,
  makeAlterPartitionResponseTopicData,
} from "#protocol/generated/alter-partition.ts";
import { IsrManager, type LedPartition } from "#replica/following/isr-manager.ts";
import type { FollowerProgress, LeaderLog, LeaderRole } from "#replica/following/ports.ts";
import { TOPIC_ID } from "./fixture.ts";

/** A leader's log of which only the followers count; remembers what it was told. */
class FollowersOnly implements LeaderLog {
  readonly minIsr = 2;
  readonly told: unknown[] = [];
  progress: FollowerProgress[] = [
    { replicaId: 2, logEndOffset: 9, brokerEpoch: 20, isCaughtUp: true, qualifies: true },
    { replicaId: 3, logEndOffset: 9, brokerEpoch: 30, isCaughtUp: true, qualifies: true },
  ];

  followers(): readonly FollowerProgress[] {
    return this.progress;
  }

  setPendingIsr(leaderEpoch: number, partitionEpoch: number, additions: readonly number[]): void {
    this.told.push(["pending", leaderEpoch, partitionEpoch, ...additions]);
  }

  commitIsr({ leaderEpoch, partitionEpoch, isr }: LeaderRole): void {
    this.told.push(["committed", leaderEpoch, partitionEpoch, ...isr]);
  }

  set(replicaId: number, change: Partial<FollowerProgress>): void {
    this.progress = this.progress.map((one) =>
      one.replicaId === replicaId ? { ...one, ...change } : one,
    );
  }
}

function led(change: Partial<LedPartition> = {}): LedPartition {
  return {
    topic: "orders",
    topicId: TOPIC_ID,
    partition: 0,
    leaderEpoch: 5,
    partitionEpoch: 40,
    replicas: [1, 2, 3],
    isr: [1, 2, 3],
    addingReplicas: [],
    leaderRecoveryState: 0,
    ...change,
  };
}

interface ManagerUnderTest {
  readonly manager: IsrManager;
  readonly log: FollowersOnly;
  readonly changes: unknown[];
}

function makeManager(partition: LedPartition = led()): ManagerUnderTest {
  const changes: unknown[] = [];
  const manager = new IsrManager({
    nodeId: 1,
    brokerEpoch: () => 10,
    events: {
      onChanged: (_, before, after) => changes.push([before.join(","), after.join(",")]),
      onRefused: (_, errorCode) => changes.push(errorCode),
    },
  });
  const log = new FollowersOnly();
  manager.lead(partition, log);
  return { manager, log, changes };
}

function requestOf(manager: IsrManager, nowMs = 0): AlterPartitionRequest {
  const step = manager.next(nowMs);
  if (step.kind !== "send") throw new Error(`expected a request: ${JSON.stringify(step)}`);
  return step.request;
}

const isrOf = (request: AlterPartitionRequest, partition = 0): string | undefined =>
  request.topics[0]?.partitions
    .find(({ partitionIndex }) => partitionIndex === partition)
    ?.newIsrWithEpochs.map(({ brokerId, brokerEpoch }) => `${brokerId}@${brokerEpoch}`)
    .join(" ");

function answer(row: {
  errorCode?: number;
  isr?: number[];
  partitionEpoch?: number;
  partition?: number;
  leaderEpoch?: number;
}) {
  return makeAlterPartitionResponse({
    topics: [
      makeAlterPartitionResponseTopicData({
        topicId: TOPIC_ID,
        partitions: [
          makeAlterPartitionResponsePartitionData({
            partitionIndex: row.partition ?? 0,
            errorCode: row.errorCode ?? 0,
            leaderId: 1,
            leaderEpoch: row.leaderEpoch ?? 5,
            isr: row.isr ?? [],
            partitionEpoch: row.partitionEpoch ?? 41,
          }),
        ],
      }),
    ],
  });
}

const IDLE = { kind: "wait", untilMs: null } as const;

describe("shrinking", () => {
  test("proposes the ISR without who is late, under its epochs", () => {
    const { manager, log, changes } = makeManager();
    manager.checkShrink();
    expect(manager.next(0)).toEqual(IDLE);
    log.set(3, { isCaughtUp: false });
    manager.checkShrink();
    const request = requestOf(manager);
    expect([request.brokerId, request.brokerEpoch]).toEqual([1, 10]);
    expect(request.topics[0]?.partitions[0]).toMatchObject({ leaderEpoch: 5, partitionEpoch: 40 });
    expect(isrOf(request)).toBe("1@10 2@20");
    // Nothing counts before the controller has said so.
    expect(log.told).toEqual([]);
    manager.onAnswer(answer({ isr: [1, 2] }), 0);
    expect(log.told).toEqual([["committed", 5, 41, 1, 2]]);
    expect(changes).toEqual([["1,2,3", "1,2"]]);
    expect(manager.counters).toEqual({ shrinkCount: 1, expandCount: 0, failedUpdateCount: 0 });
    expect(manager.get(`${TOPIC_ID}-0`)?.partitionEpoch).toBe(41);
  });

  test("a member that has never fetched in this epoch goes along without an epoch", () => {
    const { manager, log } = makeManager();
    log.set(2, { brokerEpoch: -1 });
    log.set(3, { isCaughtUp: false });
    manager.checkShrink();
    expect(isrOf(requestOf(manager))).toBe("1@10 2@-1");
  });
});

describe("growing", () => {
  const short = led({ isr: [1, 2] });

  test("counts the addition before the request leaves", () => {
    const { manager, log } = makeManager(short);
    manager.checkExpand(0);
    expect(log.told).toEqual([["pending", 5, 40, 3]]);
    expect(isrOf(requestOf(manager))).toBe("1@10 2@20 3@30");
    manager.onAnswer(answer({ isr: [1, 2, 3] }), 0);
    expect(manager.counters.expandCount).toBe(1);
    expect(manager.hasIncomplete).toBe(false);
  });

  test("takes who qualifies, is assigned, and nobody twice", () => {
    const { manager, log } = makeManager(led({ isr: [1], replicas: [1, 2] }));
    log.set(2, { qualifies: false });
    manager.checkExpand(0);
    expect(manager.next(0)).toEqual(IDLE);
    log.set(2, { qualifies: true });
    manager.checkExpandOf(`${TOPIC_ID}-0`, 0);
    manager.checkExpand(0);
    expect(log.told).toEqual([["pending", 5, 40, 2]]);
    expect(isrOf(requestOf(manager))).toBe("1@10 2@20");
  });

  test("does not take who has stopped fetching, whatever it had then", () => {
    const { manager, log } = makeManager(led({ isr: [1] }));
    log.set(2, { isCaughtUp: false });
    log.set(3, { isCaughtUp: false });
    manager.checkExpand(0);
    expect(manager.next(0).kind).toBe("wait");
  });

  test("after an unclean election says that there is nothing to recover", () => {
    const { manager } = makeManager(led({ isr: [1], leaderRecoveryState: 1 }));
    manager.checkExpand(0);
    expect(requestOf(manager).topics[0]?.partitions[0]?.leaderRecoveryState).toBe(0);
  });

  test("a fresh change waits until the pending one is settled", () => {
    const { manager, log } = makeManager(short);
    manager.checkExpand(0);
    requestOf(manager);
    log.set(2, { isCaughtUp: false });
    manager.checkShrink();
    manager.onAnswer(answer({ isr: [1, 2, 3] }), 0);
    expect(manager.next(0)).toEqual(IDLE);
    manager.checkShrink();
    expect(requestOf(manager).topics[0]?.partitions[0]?.partitionEpoch).toBe(41);
  });
});

describe("what the controller says", () => {
  const short = led({ isr: [1, 2] });
  const asked = (): ManagerUnderTest => {
    const whole = makeManager(short);
    whole.manager.checkExpand(0);
    requestOf(whole.manager);
    return whole;
  };

  test.each([ErrorCode.INELIGIBLE_REPLICA, ErrorCode.OPERATION_NOT_ATTEMPTED])(
    "%i takes the change back for certain, for a moment",
    (errorCode) => {
      const { manager, log } = asked();
      manager.onAnswer(answer({ errorCode }), 1_000);
      expect(log.told.at(-1)).toEqual(["pending", 5, 40]);
      manager.checkExpand(1_000);
      expect(manager.next(1_000)).toEqual(IDLE);
      manager.checkExpand(1_100);
      expect(manager.next(1_100).kind).toBe("send");
      expect(manager.counters.failedUpdateCount).toBe(1);
    },
  );

  test.each([
    ErrorCode.FENCED_LEADER_EPOCH,
    ErrorCode.INVALID_UPDATE_VERSION,
    ErrorCode.INVALID_REQUEST,
    ErrorCode.UNKNOWN_TOPIC_ID,
    ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
    ErrorCode.NEW_LEADER_ELECTED,
  ])("%i leaves it pending until metadata comes", (errorCode) => {
    const { manager, log } = asked();
    manager.onAnswer(answer({ errorCode }), 0);
    manager.checkExpand(1e6);
    expect(manager.next(1e6)).toEqual(IDLE);
    expect(log.told).toEqual([["pending", 5, 40, 3]]);
    expect(manager.lead(led({ isr: [1, 2], partitionEpoch: 42 }), log)).toBe(true);
    manager.checkExpand(1e6);
    expect(manager.next(1e6).kind).toBe("send");
  });

  test.each([
    ErrorCode.UNKNOWN_SERVER_ERROR,
    ErrorCode.REQUEST_TIMED_OUT,
    ErrorCode.NOT_CONTROLLER,
  ])("%i is asked again with the same change", (errorCode) => {
    const { manager } = asked();
    manager.onAnswer(answer({ errorCode }), 0);
    expect(manager.next(0)).toEqual({ kind: "wait", untilMs: 50 });
    expect(isrOf(requestOf(manager, 50))).toBe("1@10 2@20 3@30");
  });

  test.each([ErrorCode.STALE_BROKER_EPOCH, ErrorCode.NOT_CONTROLLER])(
    "%i of the whole request, and no answer at all, are asked again",
    (errorCode) => {
      const { manager } = asked();
      manager.onAnswer(makeAlterPartitionResponse({ errorCode }), 0);
      expect(manager.next(49)).toEqual({ kind: "wait", untilMs: 50 });
      requestOf(manager, 50);
      manager.onFailure(60);
      expect(manager.next(60)).toEqual({ kind: "wait", untilMs: 110 });
      expect(isrOf(requestOf(manager, 110))).toBe("1@10 2@20 3@30");
    },
  );

  test("a partition that the answer leaves out is asked for again", () => {
    const { manager } = asked();
    manager.onAnswer(makeAlterPartitionResponse(), 0);
    expect(manager.next(0)).toEqual({ kind: "wait", untilMs: 50 });
  });

  test("an answer of another leader epoch, or an older partition epoch, changes nothing", () => {
    for (const row of [{ leaderEpoch: 6 }, { partitionEpoch: 39 }]) {
      const { manager, log } = asked();
      manager.onAnswer(answer({ isr: [1, 2, 3], ...row }), 0);
      expect(log.told).toHaveLength(1);
      expect(manager.next(1e6)).toEqual(IDLE);
    }
  });
});

describe("metadata", () => {
  const short = led({ isr: [1, 2] });

  test("overrides what is pending; the late answer means nothing", () => {
    const { manager, log } = makeManager(short);
    manager.checkExpand(0);
    requestOf(manager);
    expect(manager.lead(led({ isr: [1, 2, 3], partitionEpoch: 41 }), log)).toBe(true);
    manager.onAnswer(answer({ isr: [1, 2, 3] }), 0);
    expect(log.told).toEqual([["pending", 5, 40, 3]]);
    expect(manager.counters.expandCount).toBe(0);
    expect(manager.next(0)).toEqual(IDLE);
  });

  test("that is not newer than what is known changes nothing", () => {
    const { manager, log } = makeManager(short);
    manager.checkExpand(0);
    requestOf(manager);
    manager.onAnswer(answer({ isr: [1, 2, 3] }), 0);
    for (const older of [
      short,
      led({ partitionEpoch: 41 }),
      led({ leaderEpoch: 4, partitionEpoch: 99 }),
    ])
      expect(manager.lead(older, log)).toBe(false);
    expect(manager.get(`${TOPIC_ID}-0`)?.isr).toEqual([1, 2, 3]);
  });

  test("of a partition that is led no more ends it", () => {
    const { manager, log } = makeManager(short);
    manager.checkExpand(0);
    requestOf(manager);
    manager.resign(`${TOPIC_ID}-0`);
    manager.onAnswer(answer({ isr: [1, 2, 3] }), 0);
    expect(log.told).toHaveLength(1);
    expect([...manager.partitions()]).toEqual([]);
  });
});

test("one request has all that is pending, and what comes meanwhile goes with the next", () => {
  const { manager } = makeManager(led({ isr: [1, 2] }));
  manager.lead(led({ isr: [1, 3], partition: 1 }), new FollowersOnly());
  manager.checkExpand(0);
  const request = requestOf(manager);
  expect([isrOf(request, 0), isrOf(request, 1)]).toEqual(["1@10 2@20 3@30", "1@10 2@20 3@30"]);
  manager.lead(led({ isr: [1], partition: 2 }), new FollowersOnly());
  manager.checkExpand(0);
  expect(manager.next(0)).toEqual(IDLE);
  manager.onAnswer(answer({ isr: [1, 2, 3], partition: 0 }), 0);
  // The second of the first request was left out of the answer, and the third is new.
  const next = requestOf(manager, 50);
  expect(next.topics[0]?.partitions.map(({ partitionIndex }) => partitionIndex)).toEqual([1, 2]);
});
