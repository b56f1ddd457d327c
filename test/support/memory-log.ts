/**
 * An internal topic in memory, for coordinators under test: what was appended can be read back, appends can be held and
 * made to fail.
 *
 * ```ts
 * const log = new MemoryInternalTopic();
 * log.hold();                       // appends wait from here on
 * log.release();                    // … and are committed now
 * log.failNext(ErrorCode.KAFKA_STORAGE_ERROR);
 * ```
 */
import type { MaybePromise } from "#common/maybe-promise.ts";
import type { PartitionLoader, PartitionWriter } from "#coordinator/runtime/ports.ts";
import { decodeRecordBatches } from "#protocol/records/record-batch.ts";
import type { StoredRecord } from "#protocol/records/record-walk.ts";

interface HeldAppend {
  readonly partition: number;
  readonly batch: Uint8Array;
  resolve(offset: number): void;
}

/** A record in the log. */
export interface LoggedRecord {
  readonly offset: number;
  readonly timestampMs: number;
  readonly key: Uint8Array | null;
  readonly value: Uint8Array | null;
}

/** Partitions of one internal topic. */
export class MemoryInternalTopic implements PartitionWriter, PartitionLoader {
  /** Records in the log, by partition. */
  readonly records: Map<number, LoggedRecord[]> = new Map();
  /** Number of batches appended. */
  batchCount = 0;
  /** Number of times that old records were dropped. */
  dropCount = 0;
  maxBytes = 1_048_588;
  /** Appends that are not held end at once, as where no flush is waited for. */
  isImmediate = false;
  readonly #held: HeldAppend[] = [];
  readonly #failures: number[] = [];
  readonly #endOffsets = new Map<number, number>();
  #isHolding = false;
  #reads: Promise<void> = Promise.resolve();

  append(partition: number, bytes: Uint8Array): MaybePromise<number> {
    const batch = bytes.slice();
    const errorCode = this.#failures.shift();
    if (errorCode !== undefined) {
      const error = Object.assign(new Error("append failed"), { errorCode });
      if (this.isImmediate) throw error;
      return Promise.reject(error);
    }
    if (!this.#isHolding) {
      const offset = this.#store(partition, batch);
      return this.isImmediate ? offset : Promise.resolve(offset);
    }
    return new Promise((resolve) => this.#held.push({ partition, batch, resolve }));
  }

  maxBatchBytes(): number {
    return this.maxBytes;
  }

  async load(partition: number, onRecord: (record: StoredRecord) => void): Promise<void> {
    await this.#reads;
    for (const { offset, key, value } of this.records.get(partition) ?? []) {
      const keyBytes = key ?? new Uint8Array(0);
      const bytes = new Uint8Array(Buffer.concat([keyBytes, value ?? new Uint8Array(0)]));
      onRecord({
        offset,
        bytes,
        keyStart: 0,
        keyEnd: key === null ? -1 : keyBytes.length,
        valueStart: keyBytes.length,
        valueEnd: value === null ? -1 : bytes.length,
      });
    }
  }

  /** Keeps reads waiting until the function that is returned is called. */
  holdReads(): () => void {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#reads = promise;
    return resolve;
  }

  endOffset(partition: number): number {
    return this.#endOffsets.get(partition) ?? 0;
  }

  dropBefore(partition: number, offset: number): Promise<void> {
    const kept = (this.records.get(partition) ?? []).filter((record) => record.offset >= offset);
    this.records.set(partition, kept);
    this.dropCount += 1;
    return Promise.resolve();
  }

  /** Keeps appends waiting until `release`. */
  hold(): void {
    this.#isHolding = true;
  }

  /** Commits what waits, and everything after it. */
  release(): void {
    this.#isHolding = false;
    for (const held of this.#held.splice(0)) {
      held.resolve(this.#store(held.partition, held.batch));
    }
  }

  /** Makes the next append fail with a Kafka error code. */
  failNext(errorCode: number): void {
    this.#failures.push(errorCode);
  }

  #store(partition: number, batch: Uint8Array): number {
    const { batches, failure } = decodeRecordBatches(batch);
    const [decoded] = batches;
    if (decoded === undefined || failure !== null) throw new Error(`bad batch: ${failure}`);
    const log = this.records.get(partition) ?? [];
    this.records.set(partition, log);
    const baseOffset = this.endOffset(partition);
    for (const { offset, timestamp, key, value } of decoded.records) {
      log.push({ offset: baseOffset + offset, timestampMs: timestamp, key, value });
    }
    this.#endOffsets.set(partition, baseOffset + decoded.records.length);
    this.batchCount += 1;
    return baseOffset;
  }
}
