/**
 * Following on the native log: the same histories as on the model, with the same outcome. What the model says of safety is worth something
 * only as far as the two agree.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import fc from "fast-check";
import { ErrorCode } from "#common/error-code.ts";
import { Columns, type LogStore, Origin } from "#log/log.ts";
import { openNativeStore } from "#log/native-log.ts";
import {
  makeEpochEndOffset,
  makePartitionData,
  type PartitionData,
} from "#protocol/generated/fetch.ts";
import { decodeRecordBatches, encodeRecordBatch } from "#protocol/records/record-batch.ts";
import { FollowerPartition } from "#replica/following/follower-partition.ts";
import { NativeReplicas } from "#replica/following/native-replicas.ts";
import type { LocalReplica } from "#replica/following/ports.ts";
import { FetchColumn } from "#replica/log-port.ts";
import { ManualTime } from "../../../support/manual-time.ts";
import { epochsOf, follow, leaderRole, makeFollower, makeLog, TOPIC_ID } from "./fixture.ts";

const LEADER = 1;
const FOLLOWER = 2;
const TIMEOUT_MS = 60_000;
const time = new ManualTime();

/** A broker's log of one partition after another. */
class NativeBroker {
  readonly store: LogStore;
  readonly #replicas: NativeReplicas;
  handle = -1;
  #count = 0;

  constructor(store: LogStore, nodeId: number) {
    this.store = store;
    this.#replicas = new NativeReplicas({
      log: store,
      nodeId,
      clock: time,
      lagTimeMaxMs: 1_000,
      handleOf: () => this.handle,
    });
    this.#replicas.setBrokers([
      { id: LEADER, epoch: 10, isEligible: true },
      { id: FOLLOWER, epoch: 20, isEligible: true },
    ]);
  }

  /** A new partition with one record for each of these epochs. */
  begin(epochs: readonly number[]): LocalReplica {
    if (this.handle >= 0) this.store.deletePartition(this.handle);
    this.handle = this.store.createPartition({
      topic: "orders",
      partition: this.#count++,
      topicId: TOPIC_ID,
      config: { minInsyncReplicas: 1 },
    });
    let leaderEpoch = -1;
    for (const epoch of epochs) {
      if (epoch !== leaderEpoch) this.store.setLeader(this.handle, epoch);
      leaderEpoch = epoch;
      expect(this.write(epoch)).toBe(ErrorCode.NONE);
    }
    const replica = this.#replicas.find("orders", TOPIC_ID, 0);
    if (replica === null) throw new Error("no replica");
    return replica;
  }

  write(leaderEpoch: number): number {
    const batch = encodeRecordBatch({
      records: [{ key: null, value: Buffer.from("x") }],
      timestamp: 1_000,
    });
    const out = new Float64Array(Columns.APPEND);
    return this.store.append(this.handle, batch, leaderEpoch, 1, Origin.CLIENT, 1_000, out);
  }

  /** Answers a follower's fetch, as the handler of Fetch does. */
  serve(partition: FollowerPartition): PartitionData {
    const { fetchOffset, lastFetchedEpoch, logStartOffset, assignment } = partition;
    const request = [
      this.handle,
      fetchOffset,
      1 << 20,
      assignment.leaderEpoch,
      lastFetchedEpoch,
      logStartOffset,
    ];
    const out = new Float64Array(Columns.FETCH_RESULT);
    const plan = this.store.fetchAsReplica(
      Float64Array.from(request),
      1,
      1 << 20,
      true,
      FOLLOWER,
      20,
      true,
      time.nowMs(),
      out,
    );
    const records = new Uint8Array(out[FetchColumn.BYTES] ?? 0);
    if (plan !== 0) {
      this.store.planCopy(plan, 0, records, 0);
      this.store.planDrop(plan);
    }
    return makePartitionData({
      errorCode: out[FetchColumn.ERROR] ?? 0,
      highWatermark: out[FetchColumn.HIGH_WATERMARK] ?? -1,
      logStartOffset: out[FetchColumn.LOG_START_OFFSET] ?? -1,
      divergingEpoch: makeEpochEndOffset({
        epoch: out[FetchColumn.DIVERGING_EPOCH] ?? -1,
        endOffset: out[FetchColumn.DIVERGING_END_OFFSET] ?? -1,
      }),
      records,
    });
  }

  /** Epochs of all records. */
  epochs(): string {
    const row = [
      this.handle,
      this.store.stateOf(this.handle)?.logStartOffset ?? 0,
      1 << 20,
      -1,
      -1,
      -1,
    ];
    const out = new Float64Array(Columns.FETCH_RESULT);
    const plan = this.store.fetch(Float64Array.from(row), 1, 1 << 20, true, 2, out);
    const bytes = new Uint8Array(out[FetchColumn.BYTES] ?? 0);
    if (plan === 0) return "";
    this.store.planCopy(plan, 0, bytes, 0);
    this.store.planDrop(plan);
    return decodeRecordBatches(bytes)
      .batches.flatMap((batch) => batch.records.map(() => batch.partitionLeaderEpoch))
      .join(" ");
  }
}

let leader: NativeBroker;
let follower: NativeBroker;

async function openBroker(nodeId: number): Promise<NativeBroker> {
  const store = await openNativeStore({
    dirs: [`/memory/${nodeId}`],
    clusterId: null,
    nodeId,
    defaults: {},
    recoveryThreads: 1,
    maxOpenFiles: 100,
    verifyOnRead: false,
    inMemory: true,
  });
  return new NativeBroker(store, nodeId);
}

beforeAll(async () => {
  leader = await openBroker(LEADER);
  follower = await openBroker(FOLLOWER);
});
afterAll(async () => {
  await leader.store.close();
  await follower.store.close();
});

function makeNativeFollower(replica: LocalReplica, leaderEpoch: number): FollowerPartition {
  replica.follow(leaderEpoch, LEADER);
  const partition = new FollowerPartition(
    { topic: "orders", topicId: TOPIC_ID, partition: 0, leaderId: LEADER, leaderEpoch },
    replica.followerLog,
    { onTruncated() {}, onRestarted() {}, onFailed() {}, onRefused() {} },
    100,
  );
  partition.start();
  return partition;
}

/** A leader with these records, and a follower with those. */
function pair(leaderEpochs: readonly number[], followerEpochs: readonly number[], isr = [LEADER]) {
  const leaderEpoch = Math.max(0, ...leaderEpochs, ...followerEpochs) + 1;
  const led = leader.begin(leaderEpochs);
  led.lead({ leaderEpoch, partitionEpoch: 1, replicas: [LEADER, FOLLOWER], isr });
  const followed = follower.begin(followerEpochs);
  return { led, followed, partition: makeNativeFollower(followed, leaderEpoch), leaderEpoch };
}

/** Two logs as they can be: the same up to some point, then records of epochs that only one of them has. */
const histories = fc
  .tuple(
    fc.array(fc.nat(2), { maxLength: 4 }),
    fc.array(fc.nat(2), { maxLength: 4 }),
    fc.array(fc.nat(2), { maxLength: 4 }),
    fc.nat(2),
    fc.nat(2),
  )
  .map(([shared, led, followed, ledMore, followedMore]) => {
    const common = shared.toSorted((a, b) => a - b);
    const last = common.slice(-1);
    const own = (count: number, epochs: number[], parity: number): number[] => [
      ...common,
      ...Array.from({ length: count }, () => last).flat(),
      ...epochs.toSorted((a, b) => a - b).map((epoch) => 4 + 2 * epoch + parity),
    ];
    return [own(ledMore, led, 0), own(followedMore, followed, 1)] as const;
  });

test(
  "any two histories agree in the end, as those of the model do, in as many answers",
  () => {
    fc.assert(
      fc.property(histories, ([leaderEpochs, followerEpochs]) => {
        const { partition, leaderEpoch } = pair(leaderEpochs, followerEpochs);
        const model = makeLog(leaderEpochs.join(" "));
        model.lead(leaderRole({ leaderEpoch, isr: [1], replicas: [1, 2] }));
        const modelFollower = makeFollower(makeLog(followerEpochs.join(" ")), { leaderEpoch });
        const answers = follow(modelFollower, model);
        for (let count = 0; count < answers; count += 1) {
          partition.onAnswer(leader.serve(partition), 0);
        }
        expect(follower.epochs()).toBe(leaderEpochs.join(" "));
        expect(follower.epochs()).toBe(epochsOf(modelFollower.log));
        expect(partition.phase).toBe("fetching");
      }),
      { numRuns: 150, seed: 5 },
    );
  },
  TIMEOUT_MS,
);

test("progress of the follower moves the high watermark, and it qualifies for the ISR", () => {
  const { partition, led, leaderEpoch } = pair([0, 0], [0]);
  expect(leader.write(leaderEpoch)).toBe(ErrorCode.NONE);
  const qualifies = (): boolean => led.leaderLog.followers().some((one) => one.qualifies);
  expect([partition.fetchOffset, qualifies()]).toEqual([1, false]);
  partition.onAnswer(leader.serve(partition), 0);
  expect([partition.fetchOffset, qualifies()]).toEqual([3, false]);
  led.leaderLog.setPendingIsr(leaderEpoch, 1, [FOLLOWER]);
  partition.onAnswer(leader.serve(partition), 0);
  expect(qualifies()).toBe(true);
  expect(led.leaderLog.followers()[0]).toMatchObject({
    replicaId: FOLLOWER,
    logEndOffset: 3,
    brokerEpoch: 20,
    isCaughtUp: true,
  });
  // The maximal ISR counts at once; once committed it still does.
  expect(leader.write(leaderEpoch)).toBe(ErrorCode.NONE);
  expect(leader.store.stateOf(leader.handle)?.highWatermark).toBe(3);
  led.leaderLog.commitIsr({
    leaderEpoch,
    partitionEpoch: 2,
    replicas: [LEADER, FOLLOWER],
    isr: [LEADER, FOLLOWER],
  });
  expect(leader.store.stateOf(leader.handle)?.highWatermark).toBe(3);
  partition.onAnswer(leader.serve(partition), 0);
  partition.onAnswer(leader.serve(partition), 0);
  expect(leader.store.stateOf(leader.handle)?.highWatermark).toBe(4);
  expect([partition.fetchOffset, partition.lag]).toEqual([4, 0]);
});

test("a log that has moved on refuses what was fetched in an older epoch", () => {
  const { partition, followed, leaderEpoch } = pair([0, 0], [0]);
  const answer = leader.serve(partition);
  followed.follow(leaderEpoch + 1, 3);
  partition.onAnswer(answer, 0);
  expect(follower.epochs()).toBe("0");
  followed.lead({ leaderEpoch: leaderEpoch + 2, partitionEpoch: 1, replicas: [1, 2], isr: [2] });
  partition.onAnswer(answer, 0);
  expect(follower.epochs()).toBe("0");
  expect(followed.followerLog.truncateTo(leaderEpoch, 0)).toBe(ErrorCode.FENCED_LEADER_EPOCH);
  expect(followed.followerLog.isWritable()).toBe(true);
});

test("a log that ends before the leader's begins starts over there", () => {
  const { partition } = pair([0, 0, 0], [0]);
  expect(leader.store.deleteRecords(leader.handle, 2, new Float64Array(1))).toBe(ErrorCode.NONE);
  const answer = leader.serve(partition);
  expect(answer.errorCode).toBe(ErrorCode.OFFSET_OUT_OF_RANGE);
  partition.onAnswer(answer, 0);
  partition.onLeaderOffsets(2, 3, 0);
  expect([partition.phase, partition.fetchOffset, partition.logStartOffset]).toEqual([
    "fetching",
    2,
    2,
  ]);
  partition.onAnswer(leader.serve(partition), 0);
  expect([partition.fetchOffset, partition.lag]).toEqual([3, 0]);
});
