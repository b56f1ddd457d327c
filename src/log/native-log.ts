/**
 * The native log behind the port: the addon's functions where a request passes, JSON turned into objects elsewhere.
 * Fourth of the files a produce or a fetch goes through, after `replica/`; behind it is `native/crates/binding`.
 *
 * One of the two files that import the addon; the other is `src/transport/sendfile.ts`.
 */
import * as native from "#native";
import type { Compressor, Decompressor } from "#protocol/records/record-batch.ts";
import {
  Columns,
  type DirectoryDescription,
  type DirectoryHealth,
  type LogCalls,
  type LogConfig,
  LogError,
  type LogStore,
  type NewPartition,
  type PartitionHandle,
  type PartitionState,
  type ProducerDescription,
  type RecoveryProgress,
  type RetentionEvent,
  type ScrubStatus,
  type StoreOptions,
  type StoreReport,
  type StoreStatistics,
} from "./log.ts";
import type { MoveEvent } from "./moves.ts";
import type { ReplicaBroker, Replication } from "./replication.ts";

/** The addon's error as ours, code and message unchanged. */
function toLogError(error: unknown): unknown {
  if (!(error instanceof Error)) return error;
  const code = (error as { code?: unknown }).code;
  return typeof code === "string" ? new LogError(code, error.message, { cause: error }) : error;
}

/** Runs a call that may throw the addon's error. */
function coded<T>(call: () => T): T {
  try {
    return call();
  } catch (error) {
    throw toLogError(error);
  }
}

async function codedAsync<T>(call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    throw toLogError(error);
  }
}

/** Raises the process's limit of descriptors as far as the system allows. */
export function raiseOpenFileLimit(): void {
  native.raiseDescriptorLimit();
}

/** How far the store being opened is. Only the latest `openNativeStore` of the process is told about. */
export function recoveryProgress(): RecoveryProgress {
  return JSON.parse(native.recoveryProgress()) as RecoveryProgress;
}

/**
 * Opens log directories and recovers the partitions in them, off this thread.
 *
 * @throws LogError LOG_DIR_LOCKED, LOG_DIR_NOT_WRITABLE, CLUSTER_ID_MISMATCH, NODE_ID_MISMATCH, META_PROPERTIES_INVALID,
 * INVALID_ARGUMENT. Nothing stays locked.
 */
export async function openNativeStore(options: StoreOptions): Promise<NativeLogStore> {
  const opened = await codedAsync(() => native.openStore(JSON.stringify(options)));
  const { storeId, ...report } = JSON.parse(opened) as StoreReport & { storeId: number };
  return new NativeLogStore(storeId, report);
}

/** Offline work of the addon, as JSON; `src/log/maintenance.ts` gives it types. */
export const nativeMaintenance: {
  readonly verify: (paths: readonly string[]) => Promise<string>;
  readonly repair: (directory: string, mode: string, apply: boolean) => Promise<string>;
  readonly progress: () => string;
} = {
  verify: (paths) => codedAsync(() => native.verifyLogs(JSON.stringify(paths))),
  repair: (directory, mode, apply) => codedAsync(() => native.repairLog(directory, mode, apply)),
  progress: () => native.maintenanceProgress(),
};

/** The calls on the path of a request, for a thread that did not open the store: handles are good in every thread. */
export const nativeLogCalls: LogCalls = {
  append: native.append,
  takeAppendErrors: native.takeAppendErrors,
  openAppender: native.openAppender,
  closeAppender: native.closeAppender,
  appendLater: native.appendLater,
  lookUpLater: native.lookUpLater,
  takeAppended: native.takeAppended,
  fetch: native.fetch,
  fetchInto: native.fetchInto,
  takeAborted: native.takeAborted,
  planCopy: native.planCopy,
  planDrop: native.planDrop,
  offsetForTimestamp: native.offsetForTimestamp,
  endOffsetForEpoch: native.endOffsetForEpoch,
  partitionState: native.partitionState,
  deleteRecords: native.deleteRecords,
  truncateTo: native.truncateTo,
  openWaker: native.openWaker,
  closeWaker: native.closeWaker,
  watch: native.watch,
  watchLogEnd: native.watchLogEnd,
  drainWakes: native.drainWakes,
  fetchAsReplica: native.fetchAsReplica,
  followerAppend: native.followerAppend,
  followerTruncate: native.followerTruncate,
  followerStartAt: native.followerStartAt,
  replicationState: native.replicationState,
};

/** A store in the addon; made by {@link openNativeStore}. Usable from the thread that opened it. */
export class NativeLogStore implements LogStore {
  readonly report: StoreReport;

  // The addon's own functions: a wrapper would cost as much as some of them do.
  readonly append: LogStore["append"] = native.append;
  readonly takeAppendErrors: LogStore["takeAppendErrors"] = native.takeAppendErrors;
  readonly openAppender: LogStore["openAppender"] = native.openAppender;
  readonly closeAppender: LogStore["closeAppender"] = native.closeAppender;
  readonly appendLater: LogStore["appendLater"] = native.appendLater;
  readonly lookUpLater: LogStore["lookUpLater"] = native.lookUpLater;
  readonly takeAppended: LogStore["takeAppended"] = native.takeAppended;
  readonly fetch: LogStore["fetch"] = native.fetch;
  readonly fetchInto: LogStore["fetchInto"] = native.fetchInto;
  readonly takeAborted: LogStore["takeAborted"] = native.takeAborted;
  readonly planCopy: LogStore["planCopy"] = native.planCopy;
  readonly planDrop: LogStore["planDrop"] = native.planDrop;
  readonly offsetForTimestamp: LogStore["offsetForTimestamp"] = native.offsetForTimestamp;
  readonly endOffsetForEpoch: LogStore["endOffsetForEpoch"] = native.endOffsetForEpoch;
  readonly partitionState: LogStore["partitionState"] = native.partitionState;
  readonly deleteRecords: LogStore["deleteRecords"] = native.deleteRecords;
  readonly truncateTo: LogStore["truncateTo"] = native.truncateTo;
  readonly openWaker: LogStore["openWaker"] = native.openWaker;
  readonly closeWaker: LogStore["closeWaker"] = native.closeWaker;
  readonly watch: LogStore["watch"] = native.watch;
  readonly watchLogEnd: LogStore["watchLogEnd"] = native.watchLogEnd;
  readonly drainWakes: LogStore["drainWakes"] = native.drainWakes;
  readonly fetchAsReplica: LogStore["fetchAsReplica"] = native.fetchAsReplica;
  readonly followerAppend: LogStore["followerAppend"] = native.followerAppend;
  readonly followerTruncate: LogStore["followerTruncate"] = native.followerTruncate;
  readonly followerStartAt: LogStore["followerStartAt"] = native.followerStartAt;
  readonly replicationState: LogStore["replicationState"] = native.replicationState;

  readonly #storeId: number;
  readonly #state: Float64Array = new Float64Array(Columns.STATE);
  #closing: Promise<void> | null = null;

  constructor(storeId: number, report: StoreReport) {
    this.#storeId = storeId;
    this.report = report;
  }

  createPartition(partition: NewPartition): PartitionHandle {
    const config = JSON.stringify(partition.config);
    return coded(() =>
      native.createPartition(
        this.#storeId,
        partition.topic,
        partition.partition,
        partition.topicId,
        partition.dir ?? -1,
        config,
      ),
    );
  }

  deletePartition(handle: PartitionHandle): void {
    coded(() => native.deletePartition(handle));
  }

  movePartition(handle: PartitionHandle, dir: number): void {
    coded(() => native.movePartition(handle, dir));
  }

  directoryOf(handle: PartitionHandle): number {
    return coded(() => native.partitionDirectory(handle));
  }

  setMoveRate(bytesPerSecond: number): void {
    coded(() => native.setMoveRate(this.#storeId, bytesPerSecond));
  }

  takeMoveEvents(): readonly MoveEvent[] {
    return JSON.parse(coded(() => native.takeMoveEvents(this.#storeId))) as MoveEvent[];
  }

  configurePartition(handle: PartitionHandle, config: Partial<LogConfig>): void {
    coded(() => native.configurePartition(handle, JSON.stringify(config)));
  }

  setLeader(handle: PartitionHandle, leaderEpoch: number, replication?: Replication): void {
    const json = replication === undefined ? null : JSON.stringify(replication);
    coded(() => native.setLeader(handle, leaderEpoch, json));
  }

  setFollower(handle: PartitionHandle, leaderEpoch: number, leaderId: number): void {
    coded(() => native.setFollower(handle, leaderEpoch, leaderId));
  }

  setPendingIsr(
    handle: PartitionHandle,
    leaderEpoch: number,
    partitionEpoch: number,
    additions: readonly number[],
    nowMs: number,
  ): boolean {
    return coded(() =>
      native.setPendingIsr(handle, leaderEpoch, partitionEpoch, [...additions], nowMs),
    );
  }

  setBrokers(brokers: readonly ReplicaBroker[]): void {
    coded(() => native.setBrokers(this.#storeId, JSON.stringify(brokers)));
  }

  stateOf(handle: PartitionHandle): PartitionState | null {
    const out = this.#state;
    if (native.partitionState(handle, out) !== 0) return null;
    return {
      logStartOffset: out[0] as number,
      logEndOffset: out[1] as number,
      highWatermark: out[2] as number,
      lastStableOffset: out[3] as number,
      flushedOffset: out[4] as number,
      sizeBytes: out[5] as number,
      leaderEpoch: out[6] as number,
      segmentCount: out[7] as number,
    };
  }

  flush(handle: PartitionHandle): Promise<void> {
    return codedAsync(() => native.flushPartition(handle));
  }

  checkpoint(): Promise<void> {
    return codedAsync(() => native.checkpointStore(this.#storeId));
  }

  async runRetention(nowMs: number): Promise<readonly RetentionEvent[]> {
    const events = await codedAsync(() => native.runRetention(this.#storeId, nowMs));
    return JSON.parse(events) as RetentionEvent[];
  }

  reopenPartitions(): Promise<number> {
    return codedAsync(() => native.reopenPartitions(this.#storeId));
  }

  scrubStatus(afterId = 0): ScrubStatus {
    return JSON.parse(coded(() => native.scrubStatus(this.#storeId, afterId))) as ScrubStatus;
  }

  adoptTopicId(handle: PartitionHandle, topicId: string): void {
    coded(() => native.adoptTopicId(handle, topicId));
  }

  describe(): readonly DirectoryDescription[] {
    return JSON.parse(coded(() => native.describeStore(this.#storeId))) as DirectoryDescription[];
  }

  statistics(): StoreStatistics {
    return JSON.parse(coded(() => native.storeStatistics(this.#storeId))) as StoreStatistics;
  }

  health(): readonly DirectoryHealth[] {
    return JSON.parse(coded(() => native.storeHealth(this.#storeId))) as DirectoryHealth[];
  }

  describeProducers(handle: PartitionHandle): readonly ProducerDescription[] {
    return JSON.parse(coded(() => native.describeProducers(handle))) as ProducerDescription[];
  }

  close(brokerEpoch = -1): Promise<void> {
    this.#closing ??= codedAsync(() => native.closeStore(this.#storeId, brokerEpoch));
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/** CRC-32C of bytes, unsigned. */
export const crc32c: (bytes: Uint8Array) => number = native.crc32c;

/** The addon's codecs, for whoever decodes or encodes record batches in TypeScript. */
export const nativeCodecs: Compressor & Decompressor = {
  compress(codec: number, block: Uint8Array): Uint8Array {
    return coded(() => native.compress(codec, null, block));
  },
  decompress(codec: number, block: Uint8Array, maxBytes: number): Uint8Array | null {
    try {
      return native.decompress(codec, block, maxBytes);
    } catch {
      // Damaged or too large; the caller of a Decompressor is told no more than that.
      return null;
    }
  },
};

/** Compresses with a level of the codec's own scale. */
export function compress(codec: number, level: number | null, bytes: Uint8Array): Uint8Array {
  return coded(() => native.compress(codec, level, bytes));
}

/**
 * Decompresses.
 *
 * @throws LogError CORRUPT_DATA; TOO_LARGE beyond `maxBytes`, before more than that is held.
 */
export function decompress(codec: number, bytes: Uint8Array, maxBytes: number): Uint8Array {
  return coded(() => native.decompress(codec, bytes, maxBytes));
}
