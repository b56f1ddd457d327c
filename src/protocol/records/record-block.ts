/**
 * Records on their way into a batch, as bytes in two growing buffers: what a coordinator writes for an operation, and the batch that
 * collects several of them. Nothing is allocated for a record.
 *
 * ```
 *   RecordBlock   key value key value …      written once, in the order of the operation
 *        │ add
 *        ▼
 *   BatchBuilder  header, length attributes deltas key value 0 …     the header is filled in at the end
 * ```
 */
import { Writer } from "../codec/writer.ts";
import { BATCH_HEADER_BYTES, recordSizeBytes, sealRecordBatch } from "./record-batch.ts";

/** Keys and values of the records of one operation. */
export class RecordBlock {
  /** Where the next key or value is written. */
  readonly writer: Writer = new Writer();
  /** For each record: the end of its key, the end of its value or -1 for null. */
  readonly #ends: number[] = [];

  get count(): number {
    return this.#ends.length / 2;
  }

  /** Forgets all records. */
  reset(): void {
    this.writer.reset();
    this.#ends.length = 0;
  }

  /** What was written since the last value is a key. */
  endKey(): void {
    this.#ends.push(this.writer.length);
  }

  /** What was written since the key is its value; nothing, when `isNull`. */
  endValue(isNull: boolean): void {
    this.#ends.push(isNull ? -1 : this.writer.length);
  }

  keyStart(index: number): number {
    if (index === 0) return 0;
    const valueEnd = this.#ends[index * 2 - 1] as number;
    return valueEnd < 0 ? (this.#ends[index * 2 - 2] as number) : valueEnd;
  }

  keyEnd(index: number): number {
    return this.#ends[index * 2] as number;
  }

  /** -1: the value is null. */
  valueEnd(index: number): number {
    return this.#ends[index * 2 + 1] as number;
  }

  /**
   * Writes the newest record's key once more, but for its last bytes; the caller writes those. For records whose keys differ at the
   * end only.
   */
  repeatKey(withoutBytes: number): void {
    const index = this.count - 1;
    const start = this.keyStart(index);
    this.writer.copy(this.writer, start, this.keyEnd(index) - withoutBytes);
  }

  /** Bytes of a record that has `offsetDelta` others before it in its batch. */
  sizeBytes(index: number, offsetDelta: number): number {
    const keyEnd = this.keyEnd(index);
    const valueEnd = this.valueEnd(index);
    const valueBytes = valueEnd < 0 ? -1 : valueEnd - keyEnd;
    return recordSizeBytes(offsetDelta, keyEnd - this.keyStart(index), valueBytes);
  }
}

/** A batch in the making, again and again: the memory is kept for the next one. */
export class BatchBuilder {
  readonly #batch: Writer = new Writer();
  #count = 0;

  constructor() {
    this.reset();
  }

  /** Forgets all records: the next batch begins. */
  reset(): void {
    this.#batch.reset();
    this.#batch.skip(BATCH_HEADER_BYTES);
    this.#count = 0;
  }

  get count(): number {
    return this.#count;
  }

  /** Bytes of the batch, with its header. */
  get sizeBytes(): number {
    return this.#batch.length;
  }

  /** Bytes of the batch once the records `[from, to)` of `block` are added. */
  sizeWith(block: RecordBlock, from: number, to: number): number {
    let bytes = this.sizeBytes;
    for (let index = from; index < to; index++) {
      bytes += block.sizeBytes(index, this.#count + index - from);
    }
    return bytes;
  }

  /** Adds the records `[from, to)` of `block`. */
  add(block: RecordBlock, from: number, to: number): void {
    const body = this.#batch;
    for (let index = from; index < to; index++) {
      const start = block.keyStart(index);
      const keyEnd = block.keyEnd(index);
      const valueEnd = block.valueEnd(index);
      const size = block.sizeBytes(index, this.#count);
      // The length counts what follows it.
      body.varint(size - lengthBytes(size));
      body.int8(0);
      body.varint(0);
      body.varint(this.#count);
      body.varint(keyEnd - start);
      body.copy(block.writer, start, keyEnd);
      body.varint(valueEnd < 0 ? -1 : valueEnd - keyEnd);
      if (valueEnd >= 0) body.copy(block.writer, keyEnd, valueEnd);
      body.varint(0);
      this.#count += 1;
    }
  }

  /** The batch, complete, with base offset 0: a view that is valid until `reset`. */
  build(timestampMs: number): Uint8Array {
    return sealRecordBatch(this.#batch, this.#count, timestampMs);
  }
}

/** Bytes of the length in front of a record that takes `size` bytes with it. */
function lengthBytes(size: number): number {
  let bytes = 1;
  // A zigzag varint of n bytes holds up to 2^(7n - 1) - 1.
  while (size - bytes >= 2 ** (7 * bytes - 1)) bytes += 1;
  return bytes;
}
