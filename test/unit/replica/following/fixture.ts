/** Logs, followers and answers for the tests of following. */
import { makePartitionData, type PartitionData } from "#protocol/generated/fetch.ts";
import {
  type FollowerAssignment,
  FollowerPartition,
  type FollowerRules,
} from "#replica/following/follower-partition.ts";
import type { LeaderRole } from "#replica/following/ports.ts";
import { encodeRecords, ModelLog } from "../../../support/replication/model-log.ts";

export const TOPIC_ID = "AAAAAAAAAAAAAAAAAAAABQ";
export const BACKOFF_MS = 100;

/** A log that holds records of these epochs, in order: `"0 0 1"`. */
export function makeLog(epochs: string, overrides: Partial<ModelLog> = {}): ModelLog {
  const log = new ModelLog({
    nodeId: 1,
    minIsr: 1,
    lagTimeMaxMs: 1_000,
    nowMs: () => 0,
    standing: (id) => ({ id, epoch: 7, isEligible: true }),
    answerRecords: 100,
  });
  log.records = epochs
    .split(" ")
    .filter((epoch) => epoch !== "")
    .map((epoch, index) => ({ epoch: Number(epoch), value: `${epoch}-${index}` }));
  return Object.assign(log, overrides);
}

/** Epochs of a log's records. */
export function epochsOf(log: ModelLog): string {
  return log.records.map(({ epoch }) => epoch).join(" ");
}

/** What was told to an operator. */
export type Told = readonly [what: string, ...rest: number[]];

export interface FollowerUnderTest {
  readonly partition: FollowerPartition;
  readonly log: ModelLog;
  readonly told: Told[];
}

/** A follower of `leaderEpoch` on a log, started. */
export function makeFollower(
  log: ModelLog,
  assignment: Partial<FollowerAssignment> = {},
  rules?: FollowerRules,
): FollowerUnderTest {
  const told: Told[] = [];
  const whole: FollowerAssignment = {
    topic: "orders",
    topicId: TOPIC_ID,
    partition: 0,
    leaderId: 2,
    leaderEpoch: 5,
    ...assignment,
  };
  log.follow(whole.leaderEpoch, whole.leaderId);
  const partition = new FollowerPartition(
    whole,
    log,
    {
      onTruncated: (_, from, to) => told.push(["truncated", from, to]),
      onRestarted: (_, from, to) => told.push(["restarted", from, to]),
      onFailed: (_, errorCode) => told.push(["failed", errorCode]),
      onRefused: (_, errorCode) => told.push(["refused", errorCode]),
    },
    BACKOFF_MS,
    rules,
  );
  partition.start();
  return { partition, log, told };
}

/** The role of a leader with two followers. */
export function leaderRole(role: Partial<LeaderRole> = {}): LeaderRole {
  return { leaderEpoch: 5, partitionEpoch: 1, replicas: [1, 2, 3], isr: [1, 2, 3], ...role };
}

/** An answer that brings records of these epochs from an offset on. */
export function answerOf(
  baseOffset: number,
  epochs: string,
  row: Partial<PartitionData> = {},
): PartitionData {
  const records = epochs
    .split(" ")
    .filter((epoch) => epoch !== "")
    .map((epoch, index) => ({ epoch: Number(epoch), value: `${epoch}-${baseOffset + index}` }));
  return makePartitionData({
    highWatermark: 0,
    logStartOffset: 0,
    records: records.length === 0 ? null : encodeRecords(baseOffset, records),
    ...row,
  });
}

/** Lets a follower fetch from a leader's log until nothing changes; how many answers that took. */
export function follow(follower: FollowerUnderTest, leader: ModelLog, replicaId = 2): number {
  const { partition, log } = follower;
  let before = "";
  for (let count = 1; count < 50; count += 1) {
    const row = leader.serve(
      {
        partition: 0,
        currentLeaderEpoch: partition.assignment.leaderEpoch,
        fetchOffset: partition.fetchOffset,
        lastFetchedEpoch: partition.lastFetchedEpoch,
        logStartOffset: partition.logStartOffset,
        partitionMaxBytes: 1_000,
        replicaDirectoryId: "",
        highWatermark: 0,
      },
      replicaId,
      7,
    );
    partition.onAnswer(row, 0);
    const now = JSON.stringify([log.records, log.highWatermark]);
    if (now === before) return count;
    before = now;
  }
  return Infinity;
}
