/**
 * How a coordinator writes to and reads from the partitions of its internal topic: the adapters behind the ports of
 * `coordinator/runtime/ports.ts`.
 */
import { ErrorCode, errorInfo } from "#common/error-code.ts";
import type { MaybePromise } from "#common/maybe-promise.ts";
import { AppendWait, type LogStore } from "#log/log.ts";
import type { Clock, Scheduler } from "#common/time.ts";
import type { PartitionLoader, PartitionWriter } from "#coordinator/runtime/ports.ts";
import type { Decompressor } from "#protocol/records/record-batch.ts";
import { RecordWalker, type StoredRecord } from "#protocol/records/record-walk.ts";
import { AppendOrigin, FetchColumn } from "#replica/log-port.ts";
import { type FetchParameters, FetchRows, type ReplicaManager } from "#replica/replica-manager.ts";

/** Bytes read at a time while loading. */
const LOAD_BYTES = 1 << 20;
/** How long loading keeps the event loop to itself, ms. */
const LOAD_TURN_MS = 5;
/** How long a batch may take to be flushed before its fate counts as unknown. */
const FLUSH_TIMEOUT_MS = 60_000;
const REPLICATION_RETRY_MS = 100;
const DEFAULT_BATCH_BYTES_MAX = 1_048_588;

/** A failed append or read of an internal partition. The batch may or may not be in the log after a timeout. */
export class CoordinatorLogError extends Error {
  override readonly name = "CoordinatorLogError";
  /** Kafka's error code. */
  readonly errorCode: number;

  constructor(errorCode: number, what: string) {
    super(`${what}: ${errorInfo(errorCode).name}`);
    this.errorCode = errorCode;
  }
}

/** What the adapters work with. */
export interface CoordinatorLogOptions {
  readonly topic: string;
  /** The replica of a partition of the topic, as this broker knows it; undefined where it has none. */
  readonly find: (partition: number) => InternalPartition | undefined;
  /** `max.message.bytes` of a partition; undefined where it is not known. */
  readonly maxMessageBytes: (partition: number) => number | undefined;
  readonly replicas: ReplicaManager;
  readonly log: LogStore;
  readonly decompressor: Decompressor;
  readonly clock: Clock;
  readonly scheduler: Scheduler;
  /** Settles when others had their turn of the event loop. */
  readonly giveWay: () => Promise<void>;
}

/** A replica of an internal topic. */
export interface InternalPartition {
  /** Native handle. */
  readonly handle: number;
  readonly leaderEpoch: number;
}

/** Reads and writes one internal topic. */
export class CoordinatorLog implements PartitionWriter, PartitionLoader {
  readonly #options: CoordinatorLogOptions;
  #loads: Promise<void> = Promise.resolve();
  #turnEndsMs = 0;

  constructor(options: CoordinatorLogOptions) {
    this.#options = options;
  }

  append(partition: number, batch: Uint8Array): MaybePromise<number> {
    const { replicas, topic } = this.#options;
    const what = (): string => `append to ${topic}-${partition}`;
    const entry = this.#entry(partition);
    const outcome = replicas.append(
      entry.handle,
      batch,
      entry.leaderEpoch,
      -1,
      AppendOrigin.COORDINATOR,
    );
    if (outcome.errorCode !== ErrorCode.NONE) {
      throw new CoordinatorLogError(outcome.errorCode, what());
    }
    const { baseOffset, lastOffset, waitsFor } = outcome;
    if (waitsFor === 0) return baseOffset;
    const { handle, leaderEpoch } = entry;
    const pending = {
      handle,
      lastOffset,
      leaderEpoch,
      waitsFor,
      errorCode: ErrorCode.NONE as number,
    };
    return replicas.awaitReplicated([pending], FLUSH_TIMEOUT_MS).then(() => {
      if (pending.errorCode !== ErrorCode.NONE) {
        throw new CoordinatorLogError(pending.errorCode, what());
      }
      return baseOffset;
    });
  }

  maxBatchBytes(partition: number): number {
    return this.#options.maxMessageBytes(partition) ?? DEFAULT_BATCH_BYTES_MAX;
  }

  /** Partitions are loaded one after another, a few milliseconds of the event loop at a time. */
  async load(partition: number, onRecord: (record: StoredRecord) => void): Promise<void> {
    await this.#whenReplicated(partition);
    const loaded = this.#loads.then(() => this.#load(partition, onRecord));
    this.#loads = loaded.catch(() => {});
    return loaded;
  }

  endOffset(partition: number): number {
    return this.#options.log.stateOf(this.#entry(partition).handle)?.highWatermark ?? 0;
  }

  async dropBefore(partition: number, offset: number): Promise<void> {
    const { log, topic } = this.#options;
    const { handle } = this.#entry(partition);
    // Where commits do not wait for a flush, the copies must be on the disk before the originals go.
    await log.flush(handle);
    const errorCode = log.deleteRecords(handle, offset, new Float64Array(1));
    if (errorCode !== ErrorCode.NONE)
      throw new CoordinatorLogError(errorCode, `drop records of ${topic}-${partition}`);
  }

  async #load(partition: number, onRecord: (record: StoredRecord) => void): Promise<void> {
    const { replicas, log, topic, clock } = this.#options;
    const { handle } = this.#entry(partition);
    const what = `load ${topic}-${partition}`;
    const state = log.stateOf(handle);
    if (state === null) throw new CoordinatorLogError(ErrorCode.NOT_LEADER_OR_FOLLOWER, what);
    let nextOffset = state.logStartOffset;
    let endOffset = state.highWatermark;
    const walker = new RecordWalker(this.#options.decompressor);
    const rows = new FetchRows();
    const parameters: FetchParameters = {
      minBytes: 0,
      maxBytes: LOAD_BYTES,
      hasMinOneMessage: true,
      isolation: 0,
    };
    while (nextOffset < endOffset) {
      rows.clear();
      rows.add(handle, nextOffset, LOAD_BYTES, -1, -1, -1);
      const plan = replicas.read(rows, parameters);
      const bytes = new Uint8Array(rows.result(0, FetchColumn.BYTES));
      if (plan !== 0) {
        log.planCopy(plan, 0, bytes, 0);
        replicas.drop(plan);
      }
      const errorCode = rows.result(0, FetchColumn.ERROR);
      if (errorCode === ErrorCode.CORRUPT_MESSAGE) throw damaged(what, nextOffset);
      if (errorCode !== ErrorCode.NONE) throw new CoordinatorLogError(errorCode, what);
      endOffset = Math.max(endOffset, rows.result(0, FetchColumn.HIGH_WATERMARK));
      const chunkOffset = nextOffset;
      // A batch may begin before the offset asked for.
      const visit = (record: StoredRecord): void => {
        if (record.offset >= chunkOffset) onRecord(record);
      };
      for (let at = 0; at < bytes.length;) {
        const batch = walker.walkBatch(bytes, at, visit);
        if (typeof batch === "string") throw damaged(what, nextOffset);
        if (batch.sizeBytes === 0) break;
        at += batch.sizeBytes;
        nextOffset = batch.nextOffset;
        if (clock.monotonicMs() < this.#turnEndsMs) continue;
        // Clients get their turn.
        await this.#options.giveWay();
        this.#turnEndsMs = clock.monotonicMs() + LOAD_TURN_MS;
      }
      if (nextOffset <= chunkOffset) throw damaged(what, nextOffset);
    }
  }

  /**
   * Settles when everything that the log held when this broker began to lead it is replicated: all of it may be committed, and counts.
   *
   * @throws CoordinatorLogError when this broker leads no more.
   */
  async #whenReplicated(partition: number): Promise<void> {
    const { log, replicas, topic, scheduler } = this.#options;
    const { handle, leaderEpoch } = this.#entry(partition);
    const state = log.stateOf(handle);
    if (state === null || state.highWatermark >= state.logEndOffset) return;
    const waitsFor = AppendWait.HIGH_WATERMARK;
    for (;;) {
      const lastOffset = state.logEndOffset - 1;
      const pending = { handle, lastOffset, leaderEpoch, waitsFor, errorCode: 0 as number };
      await replicas.awaitReplicated([pending], FLUSH_TIMEOUT_MS);
      const { errorCode } = pending;
      if (errorCode === ErrorCode.NONE) return;
      // Too few replicas are in sync, or none has asked yet: the groups wait with it.
      const waitsOn =
        errorCode === ErrorCode.REQUEST_TIMED_OUT ||
        errorCode === ErrorCode.NOT_ENOUGH_REPLICAS_AFTER_APPEND;
      if (!waitsOn) throw new CoordinatorLogError(errorCode, `load ${topic}-${partition}`);
      await new Promise<void>((resolve) => void scheduler.after(REPLICATION_RETRY_MS, resolve));
    }
  }

  #entry(partition: number): InternalPartition {
    const { find, topic } = this.#options;
    const entry = find(partition);
    if (entry === undefined) {
      throw new CoordinatorLogError(ErrorCode.NOT_LEADER_OR_FOLLOWER, `${topic}-${partition}`);
    }
    return entry;
  }
}

/** Committed offsets would be missing without a word: the groups of the partition wait until somebody decides. */
function damaged(what: string, offset: number): CoordinatorLogError {
  return new CoordinatorLogError(
    ErrorCode.CORRUPT_MESSAGE,
    `${what}: offset ${offset} is damaged, so its groups are not served; stop the broker, then bring the file back from a copy or run "sluice log repair" on the log directory`,
  );
}
