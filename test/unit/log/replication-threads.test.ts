/** One partition, its followers on threads of their own: all state is native, so any thread may serve or be any replica. */
import { expect, test } from "bun:test";
import { join } from "node:path";
import { AppendWait, Origin } from "#log/log.ts";
import type { Replication } from "#log/replication.ts";
import { type PendingAppend, ReplicaManager } from "#replica/replica-manager.ts";
import { SYSTEM_CLOCK, SYSTEM_SCHEDULER } from "../../../src/broker/system-ports.ts";
import type { FollowOrder } from "./follow-worker.ts";
import { batchOf, openStore, readValues } from "./store.ts";

const TOPIC_ID = "AAAAAAAAAAAAAAAAAAAAAQ";
const LEADER_EPOCH = 3;
const APPEND_COUNT = 200;

test("followers on other threads move the high watermark that appends wait for", async () => {
  await using leading = await openStore({ inMemory: true });
  const replication: Replication = {
    partitionEpoch: 0,
    nodeId: 1,
    replicas: [1, 2, 3],
    isr: [1, 2, 3],
    lagTimeMaxMs: 30_000,
    nowMs: Date.now(),
  };
  const config = { minInsyncReplicas: 3 };
  const partition = { topic: "t", partition: 0, topicId: TOPIC_ID, config };
  const leader = leading.store.createPartition(partition);
  leading.store.setLeader(leader, LEADER_EPOCH, replication);
  await using second = await openStore({ inMemory: true });
  await using third = await openStore({ inMemory: true });
  const workers: Worker[] = [];
  const ends: Promise<number>[] = [];
  const copies = [second, third].map(({ store }, index) => {
    const follower = store.createPartition(partition);
    store.setFollower(follower, LEADER_EPOCH, 1);
    const worker = new Worker(join(import.meta.dir, "follow-worker.ts"));
    workers.push(worker);
    const { promise, resolve, reject } = Promise.withResolvers<number>();
    worker.onmessage = ({ data }) => resolve(data as number);
    worker.onerror = ({ message }) => reject(new Error(message));
    ends.push(promise);
    const replicaId = index + 2;
    const order: FollowOrder = {
      replicaId,
      leader,
      follower,
      leaderEpoch: LEADER_EPOCH,
      endOffset: APPEND_COUNT,
    };
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a Worker has no origin.
    worker.postMessage(order);
    return { store, follower };
  });
  const replicas = new ReplicaManager(leading.store, SYSTEM_CLOCK, SYSTEM_SCHEDULER);
  const waits: Promise<void>[] = [];
  const appends: PendingAppend[] = [];
  for (let at = 0; at < APPEND_COUNT; at++) {
    const records = batchOf(`${at}`);
    const outcome = replicas.append(leader, records, LEADER_EPOCH, -1, Origin.CLIENT);
    expect([outcome.errorCode, outcome.waitsFor]).toEqual([0, AppendWait.HIGH_WATERMARK]);
    const { lastOffset, waitsFor } = outcome;
    const append = {
      handle: leader,
      lastOffset,
      leaderEpoch: LEADER_EPOCH,
      waitsFor,
      errorCode: -99,
    };
    appends.push(append);
    waits.push(replicas.awaitReplicated([append], 60_000));
    if (at % 20 === 0) await waits.at(-1);
  }
  await Promise.all(waits);
  expect(appends.filter(({ errorCode }) => errorCode !== 0)).toEqual([]);
  expect(await Promise.all(ends)).toEqual([APPEND_COUNT, APPEND_COUNT]);
  const values = readValues(leading.store, leader, 0);
  expect(values).toHaveLength(APPEND_COUNT);
  for (const { store, follower } of copies) {
    expect(readValues(store, follower, 0)).toEqual(values);
  }
  replicas.close();
  for (const worker of workers) worker.terminate();
}, 60_000);
