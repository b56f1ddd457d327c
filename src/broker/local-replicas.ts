/**
 * The replicas on this broker as following knows them (`src/replica/following/ports.ts`): the native log behind its ports.
 */
import { ErrorCode } from "#common/error-code.ts";
import type { Clock } from "#common/time.ts";
import { Columns, type LogStore, type PartitionHandle } from "#log/log.ts";
import {
  FollowerColumn,
  FollowerFlag,
  REPLICATION_STATE_LENGTH,
  ReplicationColumns,
  ReplicationHead,
} from "#log/replication.ts";
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
} from "#replica/following/ports.ts";

/** What the replicas are reached with. */
export interface LocalReplicasOptions {
  readonly store: LogStore;
  readonly nodeId: number;
  readonly clock: Clock;
  /** `replica.lag.time.max.ms` */
  readonly lagTimeMaxMs: number;
  /** Handle of a partition of a topic with this id; undefined when this broker does not have it. */
  readonly handleOf: (topic: string, topicId: string, partition: number) => number | undefined;
}

/** See the head of the file. */
export class StoreReplicas implements LocalReplicas {
  readonly #options: LocalReplicasOptions;
  readonly #state: Float64Array = new Float64Array(REPLICATION_STATE_LENGTH);

  constructor(options: LocalReplicasOptions) {
    this.#options = options;
  }

  find(topic: string, topicId: string, partition: number): LocalReplica | null {
    const handle = this.#options.handleOf(topic, topicId, partition);
    return handle === undefined ? null : new StoreReplica(this.#options, handle, this.#state);
  }

  setBrokers(brokers: readonly BrokerStanding[]): void {
    this.#options.store.setBrokers(brokers);
  }
}

class StoreReplica implements LocalReplica, FollowerLog, LeaderLog {
  readonly #options: LocalReplicasOptions;
  readonly #handle: PartitionHandle;
  /** Shared by all replicas: read at once after each call. */
  readonly #state: Float64Array;

  constructor(options: LocalReplicasOptions, handle: PartitionHandle, state: Float64Array) {
    this.#options = options;
    this.#handle = handle;
    this.#state = state;
  }

  get followerLog(): FollowerLog {
    return this;
  }

  get leaderLog(): LeaderLog {
    return this;
  }

  lead({ leaderEpoch, partitionEpoch, replicas, isr }: LeaderRole): void {
    const { store, nodeId, clock, lagTimeMaxMs } = this.#options;
    const nowMs = clock.nowMs();
    const replication = { partitionEpoch, nodeId, replicas, isr, lagTimeMaxMs, nowMs };
    store.setLeader(this.#handle, leaderEpoch, replication);
  }

  follow(leaderEpoch: number, leaderId: number): void {
    this.#options.store.setFollower(this.#handle, leaderEpoch, leaderId);
  }

  // ---- as a follower's log

  offsets(): FollowerOffsets | null {
    if (!this.#look()) return null;
    const state = this.#state;
    return {
      logStartOffset: state[ReplicationHead.LOG_START_OFFSET] ?? 0,
      logEndOffset: state[ReplicationHead.LOG_END_OFFSET] ?? 0,
      highWatermark: state[ReplicationHead.HIGH_WATERMARK] ?? 0,
      lastEpoch: state[ReplicationHead.LAST_EPOCH] ?? -1,
    };
  }

  isWritable(): boolean {
    const out = new Float64Array(Columns.STATE);
    const errorCode = this.#options.store.partitionState(this.#handle, out);
    return errorCode === ErrorCode.NONE && out[WRITE_REFUSAL_COLUMN] === ErrorCode.NONE;
  }

  endOffsetForEpoch(epoch: number): EpochEnd | null {
    const out = new Float64Array(Columns.EPOCH_END);
    const errorCode = this.#options.store.endOffsetForEpoch(this.#handle, epoch, -1, out);
    const found = out[0] ?? -1;
    return errorCode !== ErrorCode.NONE || found < 0
      ? null
      : { epoch: found, endOffset: out[1] ?? -1 };
  }

  append(
    leaderEpoch: number,
    records: Uint8Array,
    highWatermark: number,
    logStartOffset: number,
  ): number {
    const { store, clock } = this.#options;
    return store.followerAppend(
      this.#handle,
      records,
      leaderEpoch,
      highWatermark,
      logStartOffset,
      clock.nowMs(),
      APPEND_OUT,
    );
  }

  truncateTo(leaderEpoch: number, offset: number): number {
    return this.#options.store.followerTruncate(this.#handle, leaderEpoch, offset);
  }

  restartAt(leaderEpoch: number, offset: number): number {
    return this.#options.store.followerStartAt(this.#handle, leaderEpoch, offset);
  }

  // ---- as a leader's log

  get minIsr(): number {
    return this.#look() ? (this.#state[ReplicationHead.MIN_ISR] ?? 1) : 1;
  }

  followers(): readonly FollowerProgress[] {
    if (!this.#look()) return [];
    const state = this.#state;
    const count = state[ReplicationHead.FOLLOWER_COUNT] ?? 0;
    const followers: FollowerProgress[] = [];
    for (let index = 0; index < count; index += 1) {
      const at = ReplicationColumns.HEAD + index * ReplicationColumns.FOLLOWER;
      const flags = state[at + FollowerColumn.FLAGS] ?? 0;
      followers.push({
        replicaId: state[at + FollowerColumn.ID] ?? -1,
        logEndOffset: state[at + FollowerColumn.LOG_END_OFFSET] ?? -1,
        brokerEpoch: state[at + FollowerColumn.BROKER_EPOCH] ?? -1,
        isCaughtUp: (flags & FollowerFlag.CAUGHT_UP) !== 0,
        qualifies: (flags & FollowerFlag.QUALIFIES) !== 0,
      });
    }
    return followers;
  }

  setPendingIsr(leaderEpoch: number, partitionEpoch: number, additions: readonly number[]): void {
    const { store, clock } = this.#options;
    store.setPendingIsr(this.#handle, leaderEpoch, partitionEpoch, additions, clock.nowMs());
  }

  commitIsr(role: LeaderRole): void {
    this.lead(role);
  }

  #look(): boolean {
    const { store, clock } = this.#options;
    return store.replicationState(this.#handle, clock.nowMs(), this.#state) === ErrorCode.NONE;
  }
}

/** Column of a partition's state that holds the code with which writes are refused. */
const WRITE_REFUSAL_COLUMN = 8;
const APPEND_OUT: Float64Array = new Float64Array(ReplicationColumns.FOLLOWER_APPEND);
