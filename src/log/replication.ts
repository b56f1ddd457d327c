/**
 * What the native log does for a partition with several replicas: part of the port in `log.ts`.
 *
 * A partition is one of three things here. Alone (`setLeader` without replicas, or with one): everything is as if there were no
 * replication, and the high watermark is the log end. Leader of several: followers read up to the log end, each fetch says how far
 * its sender is, and the high watermark is the smallest log end offset of the *maximal* ISR, which is the committed one and what was
 * proposed to join it. Follower: only `followerAppend` writes. All of it happens under the partition's own lock, so that any
 * thread may serve any follower, and an answer of an old epoch can do nothing to a partition that has moved on.
 *
 * The bound of acks=all, `min.insync.replicas`, is `minInsyncReplicas` of the partition's settings.
 */
import type { PartitionHandle } from "./log.ts";

/** How a partition with several replicas is led. */
export interface Replication {
  /** Epoch of this state; an older one, or the same again, changes nothing. */
  readonly partitionEpoch: number;
  /** This node. */
  readonly nodeId: number;
  /** All replicas, this node among them. */
  readonly replicas: readonly number[];
  /** The committed ISR, this node in it. */
  readonly isr: readonly number[];
  /** Time a follower may lag and still be waited for (`replica.lag.time.max.ms`). */
  readonly lagTimeMaxMs: number;
  readonly nowMs: number;
}

/** A broker as leaders know it from the cluster's metadata. */
export interface ReplicaBroker {
  readonly id: number;
  /** Fetches of an older epoch are refused. */
  readonly epoch: number;
  /** Unfenced and not in controlled shutdown: it may join an ISR (KIP-841), and its log start offset counts for DeleteRecords. */
  readonly isEligible: boolean;
}

/** Numbers of rows of {@link ReplicationCalls}. */
export const ReplicationColumns = { HEAD: 12, FOLLOWER: 6, FOLLOWER_APPEND: 4 } as const;

/** Most followers that {@link ReplicationCalls.replicationState} tells of. */
export const FOLLOWER_COUNT_MAX = 64;

/** Numbers that an array for {@link ReplicationCalls.replicationState} holds. */
export const REPLICATION_STATE_LENGTH: number =
  ReplicationColumns.HEAD + FOLLOWER_COUNT_MAX * ReplicationColumns.FOLLOWER;

/** What a partition is to this node. */
export const ReplicaRole = { ALONE: 0, LEADER: 1, FOLLOWER: 2 } as const;

/** Columns at the start of a replication state. */
export const ReplicationHead = {
  /** One of {@link ReplicaRole}. */
  ROLE: 0,
  LEADER_EPOCH: 1,
  /** -1 unless leader of several. */
  PARTITION_EPOCH: 2,
  LOG_END_OFFSET: 3,
  HIGH_WATERMARK: 4,
  /** Where the leader's epoch began in this log; -1 unless leader. */
  EPOCH_START_OFFSET: 5,
  /** Size of the committed ISR, and what `min.insync.replicas` asks here (never more than there are replicas). */
  ISR_SIZE: 6,
  MIN_ISR: 7,
  /** For a follower, who leads; -1 for nobody. */
  LEADER_ID: 8,
  FOLLOWER_COUNT: 9,
  LOG_START_OFFSET: 10,
  /** Leader epoch of the last record, what a follower fetches with; -1 for none. */
  LAST_EPOCH: 11,
} as const;

/** Columns of each follower in a replication state. */
export const FollowerColumn = {
  ID: 0,
  /** -1 until it fetched under this leader epoch. */
  LOG_END_OFFSET: 1,
  LOG_START_OFFSET: 2,
  /** When it last had all that the leader had; 0 for never. */
  LAST_CAUGHT_UP_MS: 3,
  /** The epoch that it fetches with; -1 until it does. To be sent with AlterPartition. */
  BROKER_EPOCH: 4,
  /** Bits of {@link FollowerFlag}. */
  FLAGS: 5,
} as const;

export const FollowerFlag = {
  /** In the committed ISR. */
  IN_SYNC: 1,
  /** Proposed to join. */
  PENDING: 2,
  /** May join: has all below the high watermark and the start of the leader's epoch, fetches with the right epoch, is eligible. */
  QUALIFIES: 4,
  /** At the log end, or was no longer ago than the lag that is allowed. */
  CAUGHT_UP: 8,
} as const;

/** Calls on the path of replica fetches. Arrays belong to the caller. */
export interface ReplicationCalls {
  /**
   * `fetch` by a follower: the same rows, up to the log end. The fetch offset of a row is the follower's log end offset; with `isNoted`
   * it moves the follower's progress, and with it perhaps the high watermark, which the answer then has already.
   *
   * Refused, and nothing noted: NOT_LEADER_OR_FOLLOWER where this node does not lead, for an old broker epoch, and for a replica that
   * is not assigned (UNKNOWN_LEADER_EPOCH if the row has an epoch: the leader may be the one behind); FENCED_LEADER_EPOCH,
   * UNKNOWN_LEADER_EPOCH, OFFSET_OUT_OF_RANGE. A diverging epoch notes nothing either.
   *
   * @param isNoted - false for another look for a fetch that waits.
   */
  fetchAsReplica(
    requests: Float64Array,
    count: number,
    maxBytes: number,
    hasMinOneMessage: boolean,
    replicaId: number,
    brokerEpoch: number,
    isNoted: boolean,
    nowMs: number,
    out: Float64Array,
  ): number;
  /**
   * Appends batches of the leader as they are: offsets must continue the log, epochs may not go back, CRCs are checked. Batches of a later
   * epoch than `leaderEpoch` are left out, as is what is no whole batch at the end. Then the high watermark goes up to the leader's and the log start offset to the leader's, as far as this log
   * allows. Empty `records` only does that.
   *
   * @param leaderEpoch - the epoch under which the fetch was sent; FENCED_LEADER_EPOCH where this partition is past it.
   * @param records - not changed, not kept.
   * @param highWatermark - the leader's; -1 for unknown. @param logStartOffset - the leader's; -1 for unknown.
   * @param out - log end offset, high watermark, log start offset, leader epoch of the last record (-1 for none).
   * @returns a Kafka error code: NOT_LEADER_OR_FOLLOWER, FENCED_LEADER_EPOCH, OFFSET_OUT_OF_RANGE (a gap backwards), CORRUPT_MESSAGE,
   * KAFKA_STORAGE_ERROR, UNKNOWN_TOPIC_OR_PARTITION. With any but 0 nothing was appended; `takeAppendErrors` says why.
   */
  followerAppend(
    handle: PartitionHandle,
    records: Uint8Array,
    leaderEpoch: number,
    highWatermark: number,
    logStartOffset: number,
    nowMs: number,
    out: Float64Array,
  ): number;
  /**
   * Cuts a follower's log so that it ends at `offset`; nothing where it ends before. The leader's epochs say where
   * (`endOffsetForEpoch`, or a diverging epoch of a fetch), never the high watermark.
   *
   * @returns a Kafka error code: NOT_LEADER_OR_FOLLOWER, FENCED_LEADER_EPOCH or UNKNOWN_LEADER_EPOCH (role or epoch are others by now;
   * nothing is cut), KAFKA_STORAGE_ERROR.
   */
  followerTruncate(handle: PartitionHandle, leaderEpoch: number, offset: number): number;
  /** Drops all of a follower's log, which then starts at `offset`: the leader begins beyond our end. Codes as `followerTruncate`. */
  followerStartAt(handle: PartitionHandle, leaderEpoch: number, offset: number): number;
  /**
   * What the ISR manager and the fetchers look at: the columns of {@link ReplicationHead}, then for each follower those of
   * {@link FollowerColumn}. Also lets go of a high watermark that waited for a follower which lags too long now.
   *
   * @param out - {@link REPLICATION_STATE_LENGTH} numbers.
   * @returns 0, or 3 for a stale handle.
   */
  replicationState(handle: PartitionHandle, nowMs: number, out: Float64Array): number;
}

/** Calls that change roles: from the publisher of metadata and the ISR manager. */
export interface ReplicationRoles {
  /**
   * This replica leads from `leaderEpoch` on. At a new epoch the log end is where the epoch begins, the high watermark stays, and what was
   * known of followers is forgotten. At the same epoch a newer `partitionEpoch` replaces the committed ISR and ends what was pending.
   * Without `replication`, or with one replica, the partition is alone.
   *
   * @throws LogError INVALID_ARGUMENT for an epoch older than the one in force.
   */
  setLeader(handle: PartitionHandle, leaderEpoch: number, replication?: Replication): void;
  /**
   * This replica follows `leaderId` (-1: nobody leads now) from `leaderEpoch` on. Appends of clients are refused with
   * NOT_LEADER_OR_FOLLOWER, and who waits for the partition is woken.
   *
   * @throws LogError INVALID_ARGUMENT for an epoch older than the one in force.
   */
  setFollower(handle: PartitionHandle, leaderEpoch: number, leaderId: number): void;
  /**
   * Counts `additions` to the maximal ISR from now on: to be called before AlterPartition is sent. They count until a newer partition epoch
   * arrives with `setLeader`, or until this is called with none, which is only right when the controller refused for certain.
   *
   * @returns false, and nothing is done, where the partition is not led at these epochs.
   */
  setPendingIsr(
    handle: PartitionHandle,
    leaderEpoch: number,
    partitionEpoch: number,
    additions: readonly number[],
    nowMs: number,
  ): boolean;
  /** Replaces what all leaders of this store know of brokers. */
  setBrokers(brokers: readonly ReplicaBroker[]): void;
}
