/**
 * The port to the native log: everything the broker and the library ask of it, as types. `native-log.ts` is the one
 * implementation; tests use it with `inMemory: true`, so there is no second log to keep in step.
 *
 * Two halves. What happens on the path of a request (`LogCalls`) is the addon's own functions: numbers in, numbers out,
 * results in arrays of the caller's. Everything else (`LogStore`) speaks objects.
 */
import type { LogConfig } from "#config/topic-config.ts";
import type { PartitionMoves } from "./moves.ts";
import type { ReplicationCalls, ReplicationRoles } from "./replication.ts";

export type { LogConfig } from "#config/topic-config.ts";

/** A partition of a store: slot and generation. A stale one is answered with UNKNOWN_TOPIC_OR_PARTITION. */
export type PartitionHandle = number;

/** Answer of `append` and `offsetForTimestamp` where they would keep the thread too long; never sent to a client. */
export const NOT_INLINE: number = -32768;

/** Answer of `fetchInto` when the records are with the caller and there is no plan. */
export const COPIED: number = -1;

/** Who appends; decides which checks apply. */
export const Origin = { CLIENT: 0, COORDINATOR: 1, RAW_FOLLOWER: 2 } as const;

/** How far a reader may see: the high watermark, the last stable offset, or all there is. With LEADER_ONLY added, a follower refuses. */
export const Isolation = {
  READ_UNCOMMITTED: 0,
  READ_COMMITTED: 1,
  LOG_END: 2,
  LEADER_ONLY: 4,
} as const;

/** Special timestamps of `offsetForTimestamp`. */
export const OffsetSpec = {
  LATEST: -1,
  EARLIEST: -2,
  MAX_TIMESTAMP: -3,
  EARLIEST_LOCAL: -4,
  LATEST_TIERED: -5,
} as const;

/** What must be beyond the last offset before an append is acknowledged: bits. */
export const AppendWait = { FLUSHED_OFFSET: 1, HIGH_WATERMARK: 2 } as const;

/** Numbers of results and of fetch rows; see the functions of {@link LogCalls} for their order. */
export const Columns = {
  APPEND: 7,
  FETCH_REQUEST: 6,
  FETCH_RESULT: 10,
  OFFSET: 4,
  EPOCH_END: 2,
  STATE: 12,
} as const;

/**
 * Calls on the path of a request. All arrays belong to the caller and are not kept; those that results are written to must not
 * overlap the others.
 */
export interface LogCalls extends ReplicationCalls {
  /**
   * Appends record batches, which are validated and patched in place.
   *
   * @param leaderEpoch - epoch under which the caller believes it leads; -1 for any.
   * @param acks - as in Produce: 0, 1 or -1.
   * @param origin - one of {@link Origin}.
   * @param out - base offset, last offset, append time in ms or -1, log start offset, what the answer must wait for (bits of
   * {@link AppendWait}), count of record errors, workers woken.
   * @returns a Kafka error code. With any but 0 nothing was appended, and `takeAppendErrors` says why.
   */
  append(
    handle: PartitionHandle,
    records: Uint8Array,
    leaderEpoch: number,
    acks: number,
    origin: number,
    nowMs: number,
    out: Float64Array,
  ): number;
  /** Opens a place for the outcomes of `appendLater` and `lookUpLater`; `done` runs when the first is there, once until `takeAppended` finds none. */
  openAppender(done: () => void): number;
  /** Ends what `openAppender` began; outcomes still to come are lost. */
  closeAppender(appenderId: number): void;
  /**
   * Appends on another thread what `append` answered with {@link NOT_INLINE}. The records are copied.
   *
   * @returns false when too much waits already: nothing was done.
   * @throws LogError PARTITION_UNKNOWN for a stale handle.
   */
  appendLater(
    appenderId: number,
    token: number,
    handle: PartitionHandle,
    records: Uint8Array,
    leaderEpoch: number,
    acks: number,
    origin: number,
    nowMs: number,
  ): boolean;
  /**
   * Looks up on another thread what `offsetForTimestamp` answered with {@link NOT_INLINE}.
   *
   * @returns false when too much waits already: nothing was done.
   * @throws LogError PARTITION_UNKNOWN for a stale handle.
   */
  lookUpLater(
    appenderId: number,
    token: number,
    handle: PartitionHandle,
    timestamp: number,
    isolation: number,
    leaderEpoch: number,
  ): boolean;
  /** Takes one outcome; `out`: token, error code, the columns of `append` or of `offsetForTimestamp`. False when there is none. */
  takeAppended(appenderId: number, out: Float64Array): boolean;
  /** JSON `{ message, recordErrors: [{ batchIndex, message }] }` of this thread's last refused append. */
  takeAppendErrors(): string;
  /**
   * Plans a read of `count` rows. Request columns: handle, fetch offset, partition max bytes, current leader epoch or -1, last
   * fetched epoch or -1, log start offset of the follower or -1. Result columns: error, high watermark, last stable offset,
   * log start offset, bytes, diverging epoch or -1, its end offset, aborted count, preferred replica (-1), reserved.
   *
   * @param hasMinOneMessage - the first row with records gives a whole batch whatever the limits say (KIP-74).
   * @param isolation - one of {@link Isolation}.
   * @returns the plan, which holds files open until it is sent or dropped; 0 when there is nothing to send.
   */
  fetch(
    requests: Float64Array,
    count: number,
    maxBytes: number,
    hasMinOneMessage: boolean,
    isolation: number,
    out: Float64Array,
  ): number;
  /**
   * As `fetch`; where all records together fit `into` they are copied there, one row's behind the other's, and there is no plan.
   *
   * @returns the plan, 0 for nothing to send, or {@link COPIED}.
   */
  fetchInto(
    requests: Float64Array,
    count: number,
    maxBytes: number,
    hasMinOneMessage: boolean,
    isolation: number,
    out: Float64Array,
    into: Uint8Array,
  ): number;
  /** JSON `[[producer id, first offset], ...]` of a row of a read-committed plan. */
  takeAborted(plan: number, row: number): string;
  /** Copies a row's records into `into` at `at`; returns how many bytes. */
  planCopy(plan: number, row: number, into: Uint8Array, at: number): number;
  /** Ends a plan that is not sent. */
  planDrop(plan: number): void;
  /**
   * The first record at or after `timestamp`, or what a special timestamp means.
   *
   * @param inlineBytes - batches walked on this thread, inflated; where that is not enough the answer is {@link NOT_INLINE}.
   * @param out - offset, timestamp, leader epoch, each -1 for none; bytes walked.
   * @returns a Kafka error code.
   */
  offsetForTimestamp(
    handle: PartitionHandle,
    timestamp: number,
    isolation: number,
    leaderEpoch: number,
    inlineBytes: number,
    out: Float64Array,
  ): number;
  /** `out`: epoch, end offset. Returns a Kafka error code. */
  endOffsetForEpoch(
    handle: PartitionHandle,
    currentLeaderEpoch: number,
    epoch: number,
    out: Float64Array,
  ): number;
  /**
   * `out`: log start offset, log end offset, high watermark, last stable offset, flushed offset, size in bytes, leader epoch,
   * segment count, code with which writes are refused (0: they are not), first epoch of this leadership without a break (-1 where
   * nothing was said, 2^31 - 1 for a follower), 1 when the ISR is smaller than acks=all asks, first offset that a replica which
   * lives still has. Returns 0, or 3 for a stale handle.
   */
  partitionState(handle: PartitionHandle, out: Float64Array): number;
  /** Moves the log start offset up to `offset`, or to the high watermark for -1. `out`: low watermark. Returns a Kafka error code. */
  deleteRecords(handle: PartitionHandle, offset: number, out: Float64Array): number;
  /** Cuts the log so that it ends at `offset`. Returns a Kafka error code. */
  truncateTo(handle: PartitionHandle, offset: number): number;
  /**
   * Registers this thread: `wake` runs after a watched partition moved, once until `drainWakes`. It does not keep the
   * event loop alive. Returns the worker id.
   */
  openWaker(wake: () => void): number;
  /** Ends what `openWaker` began. */
  closeWaker(workerId: number): void;
  /**
   * Wakes the worker once when the partition's high watermark, flushed offset, log start offset or role changes. Look at the
   * state after this call, not before: then no change is missed.
   */
  watch(handle: PartitionHandle, workerId: number): void;
  /** As `watch`, for the log end offset in place of high watermark and flushed offset: what followers wait for. */
  watchLogEnd(handle: PartitionHandle, workerId: number): void;
  /** Takes handles of partitions that moved; call until fewer come than fit. */
  drainWakes(workerId: number, handles: Float64Array): number;
}

/** How a store is opened. */
export interface StoreOptions {
  /** Log directories, created when absent. One that fails is left out; all failing is an error. */
  readonly dirs: readonly string[];
  /** Cluster id to expect or to write; null takes what the directories say, or makes one. */
  readonly clusterId: string | null;
  readonly nodeId: number;
  /** Settings of partitions found on disk until they are configured; what is absent takes Kafka's default. */
  readonly defaults: Partial<LogConfig>;
  readonly recoveryThreads: number;
  readonly maxOpenFiles: number;
  /** Bytes of each disk that ordinary partitions leave free; at most a twentieth of the file system. */
  readonly diskReserveBytes?: number;
  /** Check each batch's CRC when it is read. */
  readonly verifyOnRead: boolean;
  /** Keep everything in memory: for tests. */
  readonly inMemory?: boolean;
  /** Bytes that the background check reads a second; 0 or absent for none. */
  readonly scrubBytesPerSecond?: number;
  /** Rest between two passes of the background check; 0 or absent for none. */
  readonly scrubIntervalMs?: number;
}

/** Something damaged on disk, or that was until it was made anew. */
export interface Finding {
  /** Ascending in the order of discovery; 0 from the offline tools. */
  readonly id: number;
  /** What is damaged. Only `batch` and `unreadable` keep records from being read. */
  readonly kind:
    | "batch"
    | "torn-tail"
    | "epoch"
    | "offset-index"
    | "time-index"
    | "transaction-index"
    | "snapshot"
    | "epoch-checkpoint"
    | "offset-checkpoint"
    | "partition-metadata"
    | "meta-properties"
    | "unreadable";
  /** `topic-partition`; empty for files of the whole directory. */
  readonly partition: string;
  readonly file: string;
  /** First byte, and the one after the last; -1 where the whole file is meant. */
  readonly position: number;
  readonly endPosition: number;
  /** Offsets that cannot be read; -1 when nothing is lost. */
  readonly firstOffset: number;
  readonly lastOffset: number;
  readonly detail: string;
  /** What was done about it, or can be. */
  readonly reaction: string;
  readonly foundBy: "recovery" | "scrub" | "read" | "verify";
}

/** How far the background check is, and what everybody found. */
export interface ScrubStatus {
  readonly isEnabled: boolean;
  /** Passes over everything, and bytes read, since the start. */
  readonly passes: number;
  readonly bytes: number;
  /** Empty between two passes. */
  readonly currentPartition: string;
  /** -1 for never. */
  readonly lastPassEndedMs: number;
  /** Findings since the start, also those no longer kept. */
  readonly findingCount: number;
  /** Those after the id asked for, oldest first. */
  readonly findings: readonly Finding[];
}

/** One configured log directory. */
export interface LogDirectory {
  readonly path: string;
  readonly directoryId: string;
  /** Why it is not in use. */
  readonly error: string | null;
}

/** A partition found when the store was opened. */
export interface FoundPartition {
  readonly handle: PartitionHandle;
  readonly topic: string;
  readonly partition: number;
  /** 22 characters; the zero id when the file that holds it is missing. */
  readonly topicId: string;
  readonly dir: string;
  readonly logStartOffset: number;
  readonly logEndOffset: number;
  /** Why it is neither read nor written: a bad batch with valid data after it. Its files are kept. */
  readonly quarantined: string | null;
}

/** What opening a store found. */
export interface StoreReport {
  readonly clusterId: string;
  readonly nodeId: number;
  readonly dirs: readonly LogDirectory[];
  /** Every directory had been closed in order. */
  readonly wasClean: boolean;
  /** Epoch of the broker that closed every directory in order; -1 when they do not all tell of the same one (KIP-966). */
  readonly closedBrokerEpoch: number;
  readonly partitions: readonly FoundPartition[];
}

/** How far recovery is. */
export interface RecoveryProgress {
  readonly total: number;
  readonly done: number;
  /** `topic-partition`, empty before and after. */
  readonly currentPartition: string;
}

/** A partition to create. */
export interface NewPartition {
  readonly topic: string;
  readonly partition: number;
  /** 22 characters of base64url. */
  readonly topicId: string;
  /** Index into the store's directories; absent for the one with the fewest partitions. */
  readonly dir?: number;
  readonly config: Partial<LogConfig>;
}

/** What retention did to a partition. */
export interface RetentionEvent {
  readonly topic: string;
  readonly partition: number;
  readonly deletedSegments: number;
  readonly newLogStartOffset: number;
  readonly reason: string;
}

/** Sizes of a log directory, for DescribeLogDirs. */
export interface DirectoryDescription extends LogDirectory {
  /** Of the file system; -1 when unknown. */
  readonly totalBytes: number;
  readonly usableBytes: number;
  readonly partitions: readonly {
    readonly topic: string;
    readonly partition: number;
    readonly sizeBytes: number;
    readonly offsetLag: number;
    /** On its way into the directory: the lag is to the replica that it will replace. */
    readonly isFuture: boolean;
  }[];
}

/** How a log directory is; see `LogStore.health`. */
export interface DirectoryHealth extends LogDirectory {
  /** Bytes that could be written at the last look; -1 when unknown. */
  readonly freeBytes: number;
  /** How many of them ordinary partitions leave. */
  readonly reserveBytes: number;
  /** Ordinary partitions are refused for want of room. */
  readonly isShort: boolean;
  /** Appends refused for want of room so far. */
  readonly refusedCount: number;
}

/** A producer that a partition remembers, for DescribeProducers. */
export interface ProducerDescription {
  /** As text: it may be beyond 2^53. */
  readonly producerId: string;
  readonly producerEpoch: number;
  readonly lastSequence: number;
  readonly lastTimestamp: number;
  readonly coordinatorEpoch: number;
  readonly currentTxnStartOffset: number;
}

/** Offsets and sizes of a partition at one moment. */
export interface PartitionState {
  readonly logStartOffset: number;
  readonly logEndOffset: number;
  readonly highWatermark: number;
  readonly lastStableOffset: number;
  /** Records below this are on disk. */
  readonly flushedOffset: number;
  readonly sizeBytes: number;
  /** -1 before the first `setLeader`. */
  readonly leaderEpoch: number;
  readonly segmentCount: number;
}

/** A partition some of whose records cannot be read. */
export interface DamagedPartition {
  readonly topic: string;
  readonly partition: number;
  readonly rangeCount: number;
  /** First and last offset that cannot be read; between two ranges there are good ones. -1 without ranges. */
  readonly firstOffset: number;
  readonly lastOffset: number;
  /** Segments that the disk did not give when they were last checked. */
  readonly unreadableCount: number;
}

/** What a store counted since it was opened, and how it is now. */
export interface StoreStatistics {
  /** Segment files open now. */
  readonly openFileCount: number;
  /** Flushes of segment files: how many by bucket of `common/latency-histogram.ts`, how long together, how many failed. */
  readonly flush: {
    readonly counts: readonly number[];
    readonly sumUs: number;
    readonly failedCount: number;
  };
  readonly quarantinedCount: number;
  /** At most 100 of them. */
  readonly quarantined: readonly {
    readonly topic: string;
    readonly partition: number;
    readonly reason: string;
  }[];
  /** Partitions some of whose records cannot be read now; the others are served. */
  readonly damagedCount: number;
  /** At most 100 of them. */
  readonly damaged: readonly DamagedPartition[];
  /** Appends and lookups that inflate much, done beside the event loops; of the whole process. */
  readonly later: {
    readonly waitingCount: number;
    /** Of batches that wait or are worked on. */
    readonly waitingBytes: number;
    readonly doneCount: number;
    readonly refusedCount: number;
  };
  /** How often a thread had to wait for a lock that others take too, by lock; of the whole process. */
  readonly contention: {
    /** A partition's, by an append and by a read. */
    readonly append: number;
    readonly read: number;
    /** A directory's queue of syncs. */
    readonly syncQueue: number;
    /** The tables of partition handles and of fetch plans. */
    readonly partitions: number;
    readonly plans: number;
    /** A thread's queue of partitions that moved. */
    readonly wakes: number;
  };
  /** In the order of the configuration. */
  readonly directories: readonly {
    readonly path: string;
    /** Why it refuses work. */
    readonly error: string | null;
    /** Of the file system; -1 when unknown. */
    readonly totalBytes: number;
    readonly usableBytes: number;
  }[];
}

/** Log directories and the partitions in them. */
export interface LogStore extends LogCalls, ReplicationRoles, PartitionMoves, AsyncDisposable {
  /** What opening found. */
  readonly report: StoreReport;
  /**
   * Creates an empty partition.
   *
   * @throws LogError PARTITION_EXISTS, INVALID_ARGUMENT, LOG_POISONED, LOG_IO. Nothing was created.
   */
  createPartition(partition: NewPartition): PartitionHandle;
  /** Renames the partition's directory and removes it after `file.delete.delay.ms`. The handle is stale from here on. */
  deletePartition(handle: PartitionHandle): void;
  /** Replaces a partition's settings. */
  configurePartition(handle: PartitionHandle, config: Partial<LogConfig>): void;
  /** Offsets and sizes now, or null for a stale handle. */
  stateOf(handle: PartitionHandle): PartitionState | null;
  /** Makes everything appended so far durable. */
  flush(handle: PartitionHandle): Promise<void>;
  /** Writes the checkpoints of every directory. */
  checkpoint(): Promise<void>;
  /** Applies retention, rolls segments that are due, forgets expired producers. */
  runRetention(nowMs: number): Promise<readonly RetentionEvent[]>;
  describe(): readonly DirectoryDescription[];
  /** Counters and health, without anything that grows with the number of partitions. */
  statistics(): StoreStatistics;
  /** State of each log directory, in the order of the report. Cheap: no look at the disk. A directory with an error stays so until a restart. */
  health(): readonly DirectoryHealth[];
  /**
   * Opens anew what was set aside at the start only because its disk was full, where there is room again. What is damaged stays set aside.
   *
   * @returns how many partitions are in use again.
   */
  reopenPartitions(): Promise<number>;
  /** How far the background check is, with the findings after the one of this id (0: all that are kept). */
  scrubStatus(afterId?: number): ScrubStatus;
  /**
   * Takes the topic id of the cluster's metadata where the partition's own file is damaged, and writes it there.
   *
   * @throws LogError LOG_IO: it could not be written, and is used nevertheless.
   */
  adoptTopicId(handle: PartitionHandle, topicId: string): void;
  describeProducers(handle: PartitionHandle): readonly ProducerDescription[];
  /**
   * Flushes, writes checkpoints and the clean-shutdown marker, unlocks. All handles are stale afterwards. Twice is once.
   *
   * @param brokerEpoch - the life that ends, for the marker; -1 unless given.
   */
  close(brokerEpoch?: number): Promise<void>;
}

/**
 * An operating failure of the log. `code` is the native log's own: LOG_DIR_LOCKED, LOG_DIR_NOT_WRITABLE,
 * CLUSTER_ID_MISMATCH, NODE_ID_MISMATCH, META_PROPERTIES_INVALID, LOG_POISONED, LOG_QUARANTINED, LOG_IO, LOG_CORRUPT,
 * PARTITION_EXISTS, PARTITION_UNKNOWN, LOG_CLOSED, INVALID_ARGUMENT, OFFSET_OUT_OF_RANGE, NATIVE_PANIC; or, from the
 * library in `index.ts`, the name of a Kafka error.
 */
export class LogError extends Error {
  override readonly name = "LogError";
  readonly code: string;

  constructor(code: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
