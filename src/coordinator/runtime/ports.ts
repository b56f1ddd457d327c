/**
 * What the coordinator runtime needs from the rest of the broker, as narrow ports. `broker/` supplies the adapters; tests
 * supply memory.
 */
import type { MaybePromise } from "#common/maybe-promise.ts";
import type { StoredRecord } from "#protocol/records/record-walk.ts";

/** Writes to the internal topic of a coordinator. */
export interface PartitionWriter {
  /**
   * Appends one record batch to a partition this broker leads.
   *
   * @param batch - complete v2 batch with base offset 0; valid during the call, in which it may be changed.
   * @returns base offset, once the batch is committed (and flushed, where the topic says so): at once when nothing is left to
   *   wait for. Throws or rejects with an error that carries a Kafka error code as `errorCode` (see {@link errorCodeOf}); the batch may or may
   *   not be in the log then. Its operations were answered with the error; loading may bring them back, as in Kafka.
   */
  append(partition: number, batch: Uint8Array): MaybePromise<number>;
  /** Largest batch that `append` takes, in bytes: `max.message.bytes` of the topic. */
  maxBatchBytes(partition: number): number;
}

/** Reads the internal topic of a coordinator from its log start to its high watermark, and drops what is read no more. */
export interface PartitionLoader {
  /** Calls `onRecord` in offset order, control batches left out; the record is only valid during the call. */
  load(partition: number, onRecord: (record: StoredRecord) => void): Promise<void>;
  /** Offset after the last committed record. */
  endOffset(partition: number): number;
  /** Flushes the log and forgets all records before `offset`. */
  dropBefore(partition: number, offset: number): Promise<void>;
}

/** What went wrong with an append, as a Kafka error code; -1 (UNKNOWN_SERVER_ERROR) for an error without one. */
export function errorCodeOf(error: unknown): number {
  if (typeof error === "object" && error !== null) {
    if ("errorCode" in error && typeof error.errorCode === "number") return error.errorCode;
    if ("code" in error && typeof error.code === "number") return error.code;
  }
  return -1;
}
