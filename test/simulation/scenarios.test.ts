/**
 * The counter-examples that replication has been wrong with before, by name. Each is told twice: with the rule that it is about, and without
 * it, where what was acknowledged is lost or two replicas differ for good.
 *
 * @see KIP-101, KIP-279, KIP-320, KIP-497; hachikuji's Kip101, Kip279, Kip320 and AsyncIsr in TLA+
 */
import { describe, expect, test } from "bun:test";
import { ErrorCode } from "#common/error-code.ts";
import { resolveBrokerConfig } from "#config/broker-config.ts";
import { decideAlterPartition } from "#controller/alter-partition.ts";
import { BrokerLiveness } from "#controller/broker-liveness.ts";
import { ClusterDelta } from "#metadata/cluster-delta.ts";
import { type ClusterImage, EMPTY_IMAGE } from "#metadata/cluster-image.ts";
import {
  type AlterPartitionRequest,
  makeAlterPartitionRequest,
  makeAlterPartitionRequestPartitionData,
  makeAlterPartitionRequestTopicData,
  makeBrokerState,
} from "#protocol/generated/alter-partition.ts";
import { makePartitionRecord } from "#protocol/generated/records/partition-record.ts";
import { makeRegisterBrokerRecord } from "#protocol/generated/records/register-broker-record.ts";
import { makeTopicRecord } from "#protocol/generated/records/topic-record.ts";
import { AlteredRequests } from "./altered-requests.ts";
import { Bench } from "./bench-of-replicas.ts";
import type { SafetyRule } from "./faults.ts";
import { SeededRandom } from "./random.ts";

const BOTH = { leaderEpoch: 0, partitionEpoch: 0, isr: [0, 1] };

/** m2 is committed on both; the follower restarts before it heard so, and leads before it could fetch again. */
function restartAndLead(truncatesToHighWatermark: boolean): string[] {
  using bench = new Bench(2, 2);
  bench.lead(0, BOTH);
  bench.follow(1, { leaderEpoch: 0, leaderId: 0 });
  bench.write(0, "m1");
  bench.catchUp(1);
  bench.write(0, "m2");
  bench.fetch(1);
  // The next request says that it has m2. Its answer is lost: the follower does not know that m2 is committed.
  const { leaderEpoch } = BOTH;
  bench.fetch(1, { currentLeaderEpoch: leaderEpoch });
  expect(bench.highWatermark(0)).toBe(2);
  bench.crash(1, "process");
  bench.follow(1, { leaderEpoch: 0, leaderId: 0, rules: { truncatesToHighWatermark } });
  bench.crash(0, "process");
  bench.lead(1, { leaderEpoch: 1, partitionEpoch: 1, isr: [1] });
  return bench.values(1);
}

describe("KIP-101: a follower restarts, and leads before it fetched again", () => {
  test("keeps what is committed", () => {
    expect(restartAndLead(false)).toEqual(["m1", "m2"]);
  });

  test("loses it where it cuts its log to the high watermark", () => {
    expect(restartAndLead(true)).not.toContain("m2");
  });
});

/** A wrote m2 that nobody got; B led without it and wrote m3; A comes back. */
function comeBack(change: { lastFetchedEpoch?: number }): [string[], string[]] {
  using bench = new Bench(2);
  bench.lead(0, BOTH);
  bench.follow(1, { leaderEpoch: 0, leaderId: 0 });
  bench.write(0, "m1");
  bench.catchUp(1);
  bench.write(0, "m2");
  bench.crash(0, "process");
  bench.lead(1, { leaderEpoch: 1, partitionEpoch: 1, isr: [1] });
  bench.write(1, "m3");
  bench.write(1, "m4");
  bench.follow(0, { leaderEpoch: 1, leaderId: 1 });
  for (let round = 0; round < 5; round += 1) bench.fetch(0, change);
  return [bench.values(0), bench.values(1)];
}

describe("KIP-279: a leader comes back with records of its own", () => {
  test("cuts them where its epochs and the new leader's part", () => {
    const [one, other] = comeBack({});
    expect(other).toEqual(["m1", "m3", "m4"]);
    expect(one).toEqual(other);
  });

  test("keeps them, and differs for good, where fetches do not tell the last epoch", () => {
    const [one, other] = comeBack({ lastFetchedEpoch: -1 });
    expect(one).not.toEqual(other);
  });
});

describe("KIP-279: two leaders in a row without a record in common", () => {
  test("are settled one epoch after the other", () => {
    using bench = new Bench(3);
    const all = [0, 1, 2];
    bench.lead(0, { leaderEpoch: 0, partitionEpoch: 0, isr: all });
    for (const id of [1, 2]) bench.follow(id, { leaderEpoch: 0, leaderId: 0 });
    bench.write(0, "m1");
    for (const id of [1, 2]) bench.catchUp(id);
    bench.write(0, "only on 0, epoch 0");
    bench.lead(1, { leaderEpoch: 1, partitionEpoch: 1, isr: [1, 2] });
    bench.write(1, "only on 1, epoch 1");
    bench.write(1, "only on 1, epoch 1 too");
    bench.lead(2, { leaderEpoch: 2, partitionEpoch: 2, isr: [2] });
    bench.write(2, "m2");
    for (const id of [0, 1]) {
      bench.follow(id, { leaderEpoch: 2, leaderId: 2 });
      bench.catchUp(id);
      expect(bench.values(id)).toEqual(["m1", "m2"]);
    }
  });
});

/** C follows the new leader; a fetch of it reaches the old one, which counts it or not. */
function fetchFromTheOldLeader(currentLeaderEpoch?: number): {
  code: number;
  highWatermark: number;
} {
  using bench = new Bench(3);
  bench.lead(0, { leaderEpoch: 0, partitionEpoch: 0, isr: [0, 2] });
  bench.follow(2, { leaderEpoch: 0, leaderId: 0 });
  bench.write(0, "m1");
  bench.catchUp(2);
  bench.write(0, "acknowledged by the old leader alone");
  bench.lead(1, { leaderEpoch: 1, partitionEpoch: 1, isr: [1, 2] });
  bench.write(1, "n1");
  bench.write(1, "n2");
  bench.follow(2, { leaderEpoch: 1, leaderId: 1 });
  bench.catchUp(2);
  const change =
    currentLeaderEpoch === undefined ? {} : { currentLeaderEpoch, lastFetchedEpoch: -1 };
  const code = bench.fetch(2, { to: 0, ...change });
  return { code, highWatermark: bench.highWatermark(0) };
}

describe("KIP-320: a fetch for the new leader reaches the old one", () => {
  test("is refused, and moves nothing", () => {
    expect(fetchFromTheOldLeader()).toEqual({
      code: ErrorCode.UNKNOWN_LEADER_EPOCH,
      highWatermark: 1,
    });
  });

  test("commits what only the old leader has, where epochs are not named", () => {
    expect(fetchFromTheOldLeader(-1)).toEqual({ code: ErrorCode.NONE, highWatermark: 2 });
  });
});

/** B has caught up and the controller has taken it into the ISR; A, which asked for it, has not heard so. */
function writeWhileJoining(isCounted: boolean): number {
  using bench = new Bench(2);
  const alone = { leaderEpoch: 0, partitionEpoch: 0, isr: [0] };
  bench.lead(0, alone);
  bench.follow(1, { leaderEpoch: 0, leaderId: 0 });
  bench.write(0, "m1");
  bench.catchUp(1);
  if (isCounted) bench.propose(0, alone, [1]);
  bench.crash(1, "process");
  // Long enough that nobody waits for it as one who has just caught up.
  bench.wait(60_000);
  bench.write(0, "m2");
  return bench.highWatermark(0);
}

describe("KIP-497: a write while somebody joins the ISR", () => {
  test("waits for who is about to join", () => {
    expect(writeWhileJoining(true)).toBe(1);
  });

  test("is committed without it where only the committed ISR counts", () => {
    expect(writeWhileJoining(false)).toBe(2);
  });
});

const TOPIC_ID = "AAAAAAAAAAAAAAAAAAAAZg";

/** Broker 0 leads in epoch 3; broker 1 is back in another life, with epoch 20. */
function imageOfTwo(): ClusterImage {
  const delta = new ClusterDelta(EMPTY_IMAGE);
  for (const [brokerId, brokerEpoch] of [
    [0, 10],
    [1, 20],
  ] as const) {
    const record = makeRegisterBrokerRecord({ brokerId, brokerEpoch, fenced: false });
    delta.replay({ kind: "RegisterBrokerRecord", record });
  }
  delta.replay({ kind: "TopicRecord", record: makeTopicRecord({ name: "t", topicId: TOPIC_ID }) });
  const record = makePartitionRecord({
    partitionId: 0,
    topicId: TOPIC_ID,
    replicas: [0, 1],
    isr: [0],
    leader: 0,
    leaderEpoch: 3,
    partitionEpoch: 5,
  });
  delta.replay({ kind: "PartitionRecord", record });
  return delta.apply(30, 1);
}

/** What the controller answers when broker 0 wants both in sync; with rules switched off. */
function alter(
  change: { leaderEpoch?: number; brokerEpoch?: number },
  switchedOff: readonly SafetyRule[] = [],
): number | undefined {
  const image = imageOfTwo();
  const request: AlterPartitionRequest = makeAlterPartitionRequest({
    brokerId: 0,
    brokerEpoch: 10,
    topics: [
      makeAlterPartitionRequestTopicData({
        topicId: TOPIC_ID,
        partitions: [
          makeAlterPartitionRequestPartitionData({
            partitionIndex: 0,
            leaderEpoch: change.leaderEpoch ?? 3,
            partitionEpoch: 5,
            newIsrWithEpochs: [
              makeBrokerState({ brokerId: 0, brokerEpoch: 10 }),
              makeBrokerState({ brokerId: 1, brokerEpoch: change.brokerEpoch ?? 20 }),
            ],
          }),
        ],
      }),
    ],
  });
  const { config } = resolveBrokerConfig({ file: new Map() });
  if (config === null) throw new Error("the configuration does not read");
  const liveness = new BrokerLiveness(() => 9000);
  const input = {
    image,
    config,
    nodeId: 0,
    random: new SeededRandom(1),
    loggers: new Set<string>(),
    isPattern: () => true,
    cluster: { clusterId: "", liveness },
  };
  const altered = new AlteredRequests(switchedOff, () => image).alterPartition(request);
  return decideAlterPartition(altered, 3, input).response.topics[0]?.partitions[0]?.errorCode;
}

describe("KIP-903: somebody joins the ISR in another life than the leader saw", () => {
  test("is refused", () => {
    expect(alter({})).toBe(ErrorCode.NONE);
    expect(alter({ brokerEpoch: 15 })).toBe(ErrorCode.INELIGIBLE_REPLICA);
  });

  test("is granted where broker epochs are not looked at", () => {
    expect(alter({ brokerEpoch: 15 }, ["broker-epochs"])).toBe(ErrorCode.NONE);
  });
});

describe("KIP-497: a leader that was replaced changes the ISR", () => {
  test("is refused", () => {
    expect(alter({ leaderEpoch: 2 })).toBe(ErrorCode.FENCED_LEADER_EPOCH);
  });

  test("is granted where epochs are not compared", () => {
    expect(alter({ leaderEpoch: 2 }, ["alter-epochs"])).toBe(ErrorCode.NONE);
  });
});
