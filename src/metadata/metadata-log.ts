/**
 * The port to the metadata log: an ordered list of batches of records that survive a restart, and snapshots that let its
 * beginning be dropped. `metadata-log-driver.ts` keeps it in files; {@link MemoryMetadataLog} keeps it nowhere.
 */
import type { MetadataRecord } from "#protocol/generated/records/metadata-record-table.ts";

/** Where a record lies: its offset and the leader epoch it was written in. */
export interface LogPosition {
  readonly offset: number;
  readonly epoch: number;
}

/** See the head of the file. Calls of `append` and `writeSnapshot` must not overlap. */
export interface MetadataLog {
  /**
   * Reads everything, oldest first: the newest snapshot, then the log after it. Must be called once, before anything else.
   *
   * @param onBatch - receives the records of a batch and the position of its last one. A snapshot comes as one batch.
   * @throws MetadataLogError when the log cannot be trusted; nothing was changed on disk.
   */
  load(onBatch: (records: readonly MetadataRecord[], last: LogPosition) => void): Promise<void>;
  /**
   * Appends the records as one batch: after a crash either all of them are there or none.
   *
   * @returns the position of the last record, once the batch is on disk.
   * @throws MetadataLogError DISK_FULL when there was no room (or no descriptor): nothing was written, and a later call may succeed.
   * LOG_POISONED when this or an earlier write failed in any other way; the log takes nothing until it is reopened.
   */
  append(records: readonly MetadataRecord[]): Promise<LogPosition>;
  /** Bytes of log written since the newest snapshot. */
  readonly bytesSinceSnapshot: number;
  /**
   * Writes a snapshot of everything up to and including `last` and drops the log before it.
   *
   * @throws MetadataLogError when it could not be written; the log itself is as it was.
   */
  writeSnapshot(records: Iterable<MetadataRecord>, last: LogPosition): Promise<void>;
  /** Closes the files. */
  close(): Promise<void>;
}

/** A failure of the metadata log. */
export class MetadataLogError extends Error {
  override readonly name = "MetadataLogError";
  /** `DISK_FULL`, `LOG_POISONED`, `LOG_CORRUPT`, `SNAPSHOT_CORRUPT` or `IO_ERROR`. */
  readonly code: string;

  constructor(code: string, message: string, cause?: unknown) {
    super(message, { cause });
    this.code = code;
  }
}

/** A metadata log in memory: for tests and for brokers that keep nothing. */
export class MemoryMetadataLog implements MetadataLog {
  readonly #batches: { records: readonly MetadataRecord[]; last: LogPosition }[] = [];
  #nextOffset = 0;
  #bytesSinceSnapshot = 0;

  get bytesSinceSnapshot(): number {
    return this.#bytesSinceSnapshot;
  }

  load(onBatch: (records: readonly MetadataRecord[], last: LogPosition) => void): Promise<void> {
    for (const { records, last } of this.#batches) onBatch(records, last);
    return Promise.resolve();
  }

  append(records: readonly MetadataRecord[]): Promise<LogPosition> {
    this.#nextOffset += records.length;
    // A rough size is enough to make tests of snapshots possible.
    this.#bytesSinceSnapshot += records.length * 100;
    const last = { offset: this.#nextOffset - 1, epoch: 1 };
    this.#batches.push({ records: [...records], last });
    return Promise.resolve(last);
  }

  writeSnapshot(records: Iterable<MetadataRecord>, last: LogPosition): Promise<void> {
    const kept = this.#batches.filter((batch) => batch.last.offset > last.offset);
    this.#batches.splice(0, this.#batches.length, { records: [...records], last }, ...kept);
    this.#bytesSinceSnapshot = 0;
    return Promise.resolve();
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}
