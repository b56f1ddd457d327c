/**
 * The native log behind the ports of following: one object a partition, which holds nothing but the handle. What native code counts time
 * by is the wall clock, the same that replica fetches are noted with.
 */
import { ErrorCode } from "#common/error-code.ts";
import type { Clock } from "#common/time.ts";
import { Columns, type LogCalls } from "#log/log.ts";
import {
  FollowerColumn,
  FollowerFlag,
  REPLICATION_STATE_LENGTH,
  ReplicationColumns,
  type ReplicationCalls,
  ReplicationHead,
  type ReplicationRoles,
} from "#log/replication.ts";
import { STATE_COLUMNS, StateColumn } from "../log-port.ts";
import type {
  BrokerStanding,
  EpochEnd,
  FollowerLog,
  FollowerOffsets,
  FollowerProgress,
  LeaderLog,
  LeaderRole,
  LocalReplica,
  LocalReplicas,
} from "./ports.ts";

/** What is used of the native log. */
export type ReplicatedLog = Pick<LogCalls, "endOffsetForEpoch" | "partitionState"> &
  Pick<
    ReplicationCalls,
    "followerAppend" | "followerTruncate" | "followerStartAt" | "replicationState"
  > &
  Pick<ReplicationRoles, "setLeader" | "setFollower" | "setBrokers"> & {
    setPendingIsr(
      handle: number,
      leaderEpoch: number,
      partitionEpoch: number,
      additions: readonly number[],
      nowMs: number,
    ): boolean;
  };

/** What the adapter works with. */
export interface NativeReplicasOptions {
  readonly log: ReplicatedLog;
  readonly nodeId: number;
  readonly clock: Clock;
  /** `replica.lag.time.max.ms` */
  readonly lagTimeMaxMs: number;
  /** Handle of a partition of this topic id, undefined where it is not here. */
  readonly handleOf: (topic: string, topicId: string, partition: number) => number | undefined;
}

/** Scratch of one thread: each call is over before the next begins. */
interface Scratch {
  readonly replication: Float64Array;
  readonly state: Float64Array;
  readonly appended: Float64Array;
  readonly epochEnd: Float64Array;
}

/** See the head of the file. */
export class NativeReplicas implements LocalReplicas {
  readonly #options: NativeReplicasOptions;
  readonly #scratch: Scratch = {
    replication: new Float64Array(REPLICATION_STATE_LENGTH),
    state: new Float64Array(STATE_COLUMNS),
    appended: new Float64Array(ReplicationColumns.FOLLOWER_APPEND),
    epochEnd: new Float64Array(Columns.EPOCH_END),
  };

  constructor(options: NativeReplicasOptions) {
    this.#options = options;
  }

  find(topic: string, topicId: string, partition: number): LocalReplica | null {
    const handle = this.#options.handleOf(topic, topicId, partition);
    return handle === undefined ? null : new NativeReplica(this.#options, this.#scratch, handle);
  }

  setBrokers(brokers: readonly BrokerStanding[]): void {
    this.#options.log.setBrokers(brokers);
  }
}

class NativeReplica implements LocalReplica, FollowerLog, LeaderLog {
  readonly #options: NativeReplicasOptions;
  readonly #scratch: Scratch;
  readonly #handle: number;

  constructor(options: NativeReplicasOptions, scratch: Scratch, handle: number) {
    this.#options = options;
    this.#scratch = scratch;
    this.#handle = handle;
  }

  get followerLog(): FollowerLog {
    return this;
  }

  get leaderLog(): LeaderLog {
    return this;
  }

  lead({ leaderEpoch, partitionEpoch, replicas, isr }: LeaderRole): void {
    const { log, nodeId, lagTimeMaxMs } = this.#options;
    log.setLeader(this.#handle, leaderEpoch, {
      partitionEpoch,
      nodeId,
      replicas,
      isr,
      lagTimeMaxMs,
      nowMs: this.#nowMs,
    });
  }

  follow(leaderEpoch: number, leaderId: number): void {
    this.#options.log.setFollower(this.#handle, leaderEpoch, leaderId);
  }

  get minIsr(): number {
    const state = this.#replicationState();
    return state === null ? 1 : (state[ReplicationHead.MIN_ISR] as number);
  }

  followers(): readonly FollowerProgress[] {
    const state = this.#replicationState();
    if (state === null) return [];
    const followers: FollowerProgress[] = [];
    const count = state[ReplicationHead.FOLLOWER_COUNT] as number;
    for (let row = 0; row < count; row += 1) {
      const at = ReplicationColumns.HEAD + row * ReplicationColumns.FOLLOWER;
      const flags = state[at + FollowerColumn.FLAGS] as number;
      followers.push({
        replicaId: state[at + FollowerColumn.ID] as number,
        logEndOffset: state[at + FollowerColumn.LOG_END_OFFSET] as number,
        brokerEpoch: state[at + FollowerColumn.BROKER_EPOCH] as number,
        isCaughtUp: (flags & FollowerFlag.CAUGHT_UP) !== 0,
        qualifies: (flags & FollowerFlag.QUALIFIES) !== 0,
      });
    }
    return followers;
  }

  setPendingIsr(leaderEpoch: number, partitionEpoch: number, additions: readonly number[]): void {
    const { log } = this.#options;
    log.setPendingIsr(this.#handle, leaderEpoch, partitionEpoch, additions, this.#nowMs);
  }

  commitIsr(role: LeaderRole): void {
    this.lead(role);
  }

  offsets(): FollowerOffsets | null {
    const state = this.#replicationState();
    if (state === null) return null;
    return {
      logStartOffset: state[ReplicationHead.LOG_START_OFFSET] as number,
      logEndOffset: state[ReplicationHead.LOG_END_OFFSET] as number,
      highWatermark: state[ReplicationHead.HIGH_WATERMARK] as number,
      lastEpoch: state[ReplicationHead.LAST_EPOCH] as number,
    };
  }

  isWritable(): boolean {
    const { state } = this.#scratch;
    const errorCode = this.#options.log.partitionState(this.#handle, state);
    return errorCode === ErrorCode.NONE && state[StateColumn.WRITE_REFUSAL] === ErrorCode.NONE;
  }

  endOffsetForEpoch(epoch: number): EpochEnd | null {
    const { epochEnd } = this.#scratch;
    const errorCode = this.#options.log.endOffsetForEpoch(this.#handle, -1, epoch, epochEnd);
    const [known = -1, endOffset = -1] = epochEnd;
    return errorCode !== ErrorCode.NONE || endOffset < 0 ? null : { epoch: known, endOffset };
  }

  append(
    leaderEpoch: number,
    records: Uint8Array,
    highWatermark: number,
    logStartOffset: number,
  ): number {
    return this.#options.log.followerAppend(
      this.#handle,
      records,
      leaderEpoch,
      highWatermark,
      logStartOffset,
      this.#nowMs,
      this.#scratch.appended,
    );
  }

  appendedOffsets(): FollowerOffsets {
    const [logEndOffset = 0, highWatermark = 0, logStartOffset = 0, lastEpoch = -1] =
      this.#scratch.appended;
    return { logStartOffset, logEndOffset, highWatermark, lastEpoch };
  }

  truncateTo(leaderEpoch: number, offset: number): number {
    return this.#options.log.followerTruncate(this.#handle, leaderEpoch, offset);
  }

  restartAt(leaderEpoch: number, offset: number): number {
    return this.#options.log.followerStartAt(this.#handle, leaderEpoch, offset);
  }

  get #nowMs(): number {
    return this.#options.clock.nowMs();
  }

  #replicationState(): Float64Array | null {
    const { replication } = this.#scratch;
    const { log } = this.#options;
    const errorCode = log.replicationState(this.#handle, this.#nowMs, replication);
    return errorCode === ErrorCode.NONE ? replication : null;
  }
}
