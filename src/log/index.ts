/**
 * The log as a library: `import { openLog } from "sluice/log"`, on Bun and on Node.
 *
 * One directory holds one durable, ordered sequence of records in Kafka's own file format, so Kafka's tools read it and a
 * broker can adopt it. Appending returns when the records are on disk (many appends share one fsync), reading is by
 * offset, and `tail` follows what is appended.
 *
 * ```ts
 * import { openLog } from "sluice/log";
 *
 * await using log = await openLog({ dir: "./data" });
 * const { baseOffset } = await log.append([{ value: "hello" }, { key: "k", value: "world" }]);
 * for (const record of log.read(baseOffset)) console.log(record.offset, record.value);
 * for await (const record of log.tail()) console.log("new", record.offset);
 * ```
 *
 * Where `await using` is not available: `try { … } finally { await log.close(); }`.
 */
import { errorInfo } from "#common/error-code.ts";
import { uuidFromBytes } from "#common/uuid.ts";
import {
  Compression,
  decodeRecordBatches,
  encodeRecordBatch,
  type LogRecord,
  type NewRecord,
} from "#protocol/records/record-batch.ts";
import {
  Columns,
  Isolation,
  type LogConfig,
  LogError,
  NOT_INLINE,
  type LogStore,
  Origin,
  type PartitionHandle,
  type PartitionState,
} from "./log.ts";
import { nativeCodecs, openNativeStore } from "./native-log.ts";
import { WakeBoard } from "./wake-board.ts";

export { LogError, type LogConfig, type PartitionState };

/** Bytes that one step of a read takes from the log, unless a single batch is larger. */
const READ_STEP_BYTES = 1024 * 1024;

/** Largest batch that this library lets through unless `config` says otherwise. */
const DEFAULT_MAX_BATCH_BYTES = 64 * 1024 * 1024;

const ACKS_LEADER = 1;
const ACKS_ALL = -1;
const ANY_EPOCH = -1;

/** Codecs of record batches. */
export type Codec = "none" | "gzip" | "snappy" | "lz4" | "zstd";

const CODEC_IDS: Readonly<Record<Codec, number>> = {
  none: Compression.NONE,
  gzip: Compression.GZIP,
  snappy: Compression.SNAPPY,
  lz4: Compression.LZ4,
  zstd: Compression.ZSTD,
};

/** How a log is opened. */
export interface OpenLogOptions {
  /** Directory of the log, created when absent. One process has it open at a time. */
  readonly dir: string;
  /** Name that the files carry, as a Kafka topic and partition; several logs may share a directory under different names. */
  readonly topic?: string;
  readonly partition?: number;
  /**
   * When `append` resolves: `"disk"`, after an fsync (the default), or `"memory"`, when the records are in the operating
   * system's page cache, which survives a crash of the process and not of the machine.
   */
  readonly durability?: "disk" | "memory";
  /** Kafka's topic settings in camelCase (`segmentBytes`, `retentionMs`, …); what is absent takes Kafka's default. */
  readonly config?: Partial<LogConfig>;
  /** Keep everything in memory: for tests. */
  readonly inMemory?: boolean;
}

/** A record to append. Text is stored as UTF-8. */
export interface AppendRecord {
  readonly key?: string | Uint8Array | null;
  readonly value: string | Uint8Array | null;
  readonly headers?: readonly {
    readonly key: string;
    readonly value: string | Uint8Array | null;
  }[];
  /** Milliseconds since 1970; now when absent. */
  readonly timestamp?: number;
}

/** How records are appended. */
export interface AppendOptions {
  /** How the batch is compressed; not at all unless said. */
  readonly compression?: Codec;
}

/** Where an append landed. */
export interface AppendResult {
  /** Offset of the first record. */
  readonly baseOffset: number;
  /** Offset of the last record. */
  readonly lastOffset: number;
}

/** Bounds of a read. */
export interface ReadOptions {
  /** Stop after this many bytes of record batches; at least one batch is read. Unbounded when absent. */
  readonly maxBytes?: number;
  /** Stop before this offset. The end of the log when absent. */
  readonly endOffset?: number;
}

/** Where following starts, and when it ends. */
export interface TailOptions {
  /** First offset to give; the log's end at the call when absent. */
  readonly fromOffset?: number;
  /** Ends the iteration when aborted. */
  readonly signal?: AbortSignal;
}

export type { LogRecord };

const UTF8: TextEncoder = new TextEncoder();

function toBytes(value: string | Uint8Array | null | undefined): Uint8Array | null {
  if (value === null || value === undefined) return null;
  return typeof value === "string" ? UTF8.encode(value) : value;
}

function toNewRecord(record: AppendRecord): NewRecord {
  return {
    key: toBytes(record.key),
    value: toBytes(record.value),
    ...(record.timestamp === undefined ? {} : { timestamp: record.timestamp }),
    ...(record.headers === undefined
      ? {}
      : { headers: record.headers.map(({ key, value }) => ({ key, value: toBytes(value) })) }),
  };
}

function newTopicId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return uuidFromBytes(bytes, 0);
}

function failure(code: number, message: string): LogError {
  return new LogError(errorInfo(code).name, message === "" ? errorInfo(code).description : message);
}

/**
 * Opens a log, creating it when the directory is empty, and recovers it when it was not closed in order.
 *
 * @throws LogError LOG_DIR_LOCKED when another process has the directory open, LOG_DIR_NOT_WRITABLE, LOG_QUARANTINED when the
 * files are damaged in the middle (they are kept), INVALID_ARGUMENT for an impossible name.
 */
export async function openLog(options: OpenLogOptions): Promise<Log> {
  const { topic = "log", partition = 0, durability = "disk" } = options;
  const isOnDisk = durability === "disk";
  const config: Partial<LogConfig> = {
    maxMessageBytes: DEFAULT_MAX_BATCH_BYTES,
    retentionMs: -1,
    ...options.config,
    acksAllFsync: isOnDisk,
  };
  const store = await openNativeStore({
    dirs: [options.dir],
    clusterId: null,
    nodeId: 0,
    defaults: config,
    recoveryThreads: 1,
    maxOpenFiles: 256,
    verifyOnRead: false,
    inMemory: options.inMemory ?? false,
  });
  try {
    const found = store.report.partitions.find(
      (candidate) => candidate.topic === topic && candidate.partition === partition,
    );
    if (typeof found?.quarantined === "string")
      throw new LogError("LOG_QUARANTINED", found.quarantined);
    const handle =
      found?.handle ?? store.createPartition({ topic, partition, topicId: newTopicId(), config });
    if (found !== undefined) store.configurePartition(handle, config);
    const leaderEpoch = store.stateOf(handle)?.leaderEpoch ?? -1;
    store.setLeader(handle, Math.max(leaderEpoch, 0));
    return new Log(store, handle, isOnDisk);
  } catch (error) {
    await store.close();
    throw error;
  }
}

/** An open log; made by {@link openLog}. */
export class Log implements AsyncDisposable {
  readonly #store: LogStore;
  readonly #handle: PartitionHandle;
  readonly #acks: number;
  readonly #board: WakeBoard;
  readonly #appendOut: Float64Array = new Float64Array(Columns.APPEND);
  readonly #request: Float64Array = new Float64Array(Columns.FETCH_REQUEST);
  readonly #result: Float64Array = new Float64Array(Columns.FETCH_RESULT);
  #isClosed = false;

  constructor(store: LogStore, handle: PartitionHandle, isOnDisk: boolean) {
    this.#store = store;
    this.#handle = handle;
    this.#acks = isOnDisk ? ACKS_ALL : ACKS_LEADER;
    this.#board = new WakeBoard(store);
  }

  /** Offset of the oldest record. */
  get startOffset(): number {
    return this.state().logStartOffset;
  }

  /** Offset that the next record will have. */
  get endOffset(): number {
    return this.state().logEndOffset;
  }

  /**
   * Offsets and sizes now.
   *
   * @throws LogError LOG_CLOSED.
   */
  state(): PartitionState {
    const state = this.#isClosed ? null : this.#store.stateOf(this.#handle);
    if (state === null) throw new LogError("LOG_CLOSED", "the log is closed");
    return state;
  }

  /**
   * Appends records as one batch: all of them or none. Appends need not be awaited one by one; they land in the order of the
   * calls and share fsyncs.
   *
   * @param records - at least one record; or bytes of one batch in Kafka's format, which are patched in place.
   * @returns where they landed, once they are as safe as the log's `durability` asks.
   * @throws LogError (a rejection) MESSAGE_TOO_LARGE, CORRUPT_MESSAGE, INVALID_RECORD, INVALID_TIMESTAMP: nothing was appended.
   * KAFKA_STORAGE_ERROR: the disk failed; the log takes no more appends until it is opened again.
   */
  async append(
    records: readonly AppendRecord[] | Uint8Array,
    options: AppendOptions = {},
  ): Promise<AppendResult> {
    const batch =
      records instanceof Uint8Array
        ? records
        : this.#encode(records, options.compression ?? "none");
    this.state();
    const out = this.#appendOut;
    const nowMs = Date.now();
    let code = this.#store.append(
      this.#handle,
      batch,
      ANY_EPOCH,
      this.#acks,
      Origin.CLIENT,
      nowMs,
      out,
    );
    if (code === NOT_INLINE) code = await this.#appendLater(batch, nowMs, out);
    if (code !== 0) {
      const { message } = JSON.parse(this.#store.takeAppendErrors()) as { message: string };
      throw failure(code, message);
    }
    const landed: AppendResult = { baseOffset: out[0] as number, lastOffset: out[1] as number };
    if (out[4] === 1) await this.#flushed(landed.lastOffset);
    return landed;
  }

  /** Has a native thread check and write a batch that inflates to more than a moment's work. */
  #appendLater(batch: Uint8Array, nowMs: number, out: Float64Array): Promise<number> {
    return new Promise((resolve, reject) => {
      const store = this.#store;
      const row = new Float64Array(2 + out.length);
      // The appender's callback alone would not keep the process alive.
      const keepAlive = setInterval(() => {}, 60_000);
      const appenderId = store.openAppender(() => {
        clearInterval(keepAlive);
        store.takeAppended(appenderId, row);
        store.closeAppender(appenderId);
        out.set(row.subarray(2));
        resolve(row[1] as number);
      });
      const acks = this.#acks;
      const isTaken = store.appendLater(
        appenderId,
        0,
        this.#handle,
        batch,
        ANY_EPOCH,
        acks,
        Origin.CLIENT,
        nowMs,
      );
      if (!isTaken) {
        clearInterval(keepAlive);
        store.closeAppender(appenderId);
        reject(new LogError("QUEUE_FULL", "too many large batches are being checked; try again"));
      }
    });
  }

  /**
   * Reads records from `offset` to the end of the log as it is when the iteration gets there. Keys and values are views of
   * memory that nobody else writes to; they may be kept.
   *
   * @throws LogError OFFSET_OUT_OF_RANGE before the start or beyond the end of the log; CORRUPT_MESSAGE when what is on disk
   * is damaged.
   */
  *read(offset: number, options: ReadOptions = {}): Generator<LogRecord, void, undefined> {
    const endOffset = options.endOffset ?? Number.POSITIVE_INFINITY;
    let budgetBytes = options.maxBytes ?? Number.POSITIVE_INFINITY;
    let next = offset;
    let isFirst = true;
    while (next < endOffset && (isFirst || budgetBytes > 0)) {
      const bytes = this.#readBytes(
        next,
        Math.min(READ_STEP_BYTES, budgetBytes),
        isFirst || budgetBytes === Infinity,
      );
      if (bytes.length === 0) return;
      const { batches, failure: problem } = decodeRecordBatches(bytes, {
        decompressor: nativeCodecs,
      });
      for (const batch of batches) {
        if (!batch.isControl) {
          for (const record of batch.records) {
            if (record.offset >= endOffset) return;
            if (record.offset >= next) yield record;
          }
        }
        next = batch.baseOffset + batch.lastOffsetDelta + 1;
      }
      if (problem !== null || batches.length === 0) {
        throw new LogError("CORRUPT_MESSAGE", problem ?? `the log is damaged at offset ${next}`);
      }
      budgetBytes -= bytes.length;
      isFirst = false;
    }
  }

  /**
   * Follows the log: gives the records from `fromOffset` on and waits for more, until the signal aborts, the loop is left or
   * the log is closed. Records removed meanwhile by `deleteRecords` or retention are passed over.
   */
  async *tail(options: TailOptions = {}): AsyncGenerator<LogRecord, void, undefined> {
    const { signal } = options;
    let next = options.fromOffset ?? this.endOffset;
    const isOver = (): boolean => this.#isClosed || signal?.aborted === true;
    const whenAborted = signal === undefined ? null : aborted(signal);
    while (!isOver()) {
      next = Math.max(next, this.startOffset);
      for (const record of this.read(next)) {
        if (isOver()) return;
        yield record;
        next = record.offset + 1;
      }
      if (isOver()) return;
      const from = next;
      const whenMoved = this.#board.waitFor(
        this.#handle,
        () => isOver() || this.state().highWatermark > from,
      );
      await (whenAborted === null ? whenMoved : Promise.race([whenMoved, whenAborted]));
    }
  }

  /**
   * Cuts the end of the log: records from `offset` on are gone and their offsets will be given again.
   *
   * @throws LogError OFFSET_OUT_OF_RANGE, KAFKA_STORAGE_ERROR.
   */
  truncate(offset: number): void {
    this.state();
    const code = this.#store.truncateTo(this.#handle, offset);
    if (code !== 0) throw failure(code, "");
  }

  /**
   * Drops the records before `offset`; without one, all records. Whole segments are removed from disk, after a while.
   *
   * @returns the start offset now.
   * @throws LogError OFFSET_OUT_OF_RANGE beyond the end of the log.
   */
  deleteRecords(offset = -1): number {
    this.state();
    const out = new Float64Array(1);
    const code = this.#store.deleteRecords(this.#handle, offset, out);
    if (code !== 0) throw failure(code, "");
    return out[0] as number;
  }

  /** Resolves when everything appended so far is on disk. */
  flush(): Promise<void> {
    this.state();
    return this.#store.flush(this.#handle);
  }

  /** Flushes and closes. Appends that still wait are settled first; iterations end. Calling it twice is calling it once. */
  async close(): Promise<void> {
    if (this.#isClosed) return this.#store.close();
    await this.flush();
    this.#isClosed = true;
    this.#board.close();
    return this.#store.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #encode(records: readonly AppendRecord[], compression: Codec): Uint8Array {
    const codec = CODEC_IDS[compression];
    return encodeRecordBatch({
      records: records.map(toNewRecord),
      timestamp: Date.now(),
      ...(codec === Compression.NONE ? {} : { compression: { codec, compressor: nativeCodecs } }),
    });
  }

  async #flushed(lastOffset: number): Promise<void> {
    let state: PartitionState | null = null;
    await this.#board.waitFor(this.#handle, () => {
      state = this.#store.stateOf(this.#handle);
      return state === null || state.flushedOffset > lastOffset;
    });
    if (state === null)
      throw new LogError("LOG_CLOSED", "the log was closed before the records were on disk");
  }

  #readBytes(offset: number, maxBytes: number, hasMinOneMessage: boolean): Uint8Array {
    this.state();
    const request = this.#request;
    request.set([this.#handle, offset, maxBytes, -1, -1, -1]);
    const result = this.#result;
    const plan = this.#store.fetch(
      request,
      1,
      maxBytes,
      hasMinOneMessage,
      Isolation.READ_UNCOMMITTED,
      result,
    );
    const code = result[0] as number;
    if (code !== 0) {
      if (plan !== 0) this.#store.planDrop(plan);
      throw failure(code, code === 1 ? `offset ${offset} is not in the log` : "");
    }
    if (plan === 0) return new Uint8Array(0);
    try {
      const bytes = new Uint8Array(result[4] as number);
      return bytes.subarray(0, this.#store.planCopy(plan, 0, bytes, 0));
    } finally {
      this.#store.planDrop(plan);
    }
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
