/**
 * Goes through the records of stored batches without making an object for any of them: what a coordinator reads when it loads its
 * topic, where a hundred thousand records come in one go.
 *
 * The visitor is shown one record after another in the same `StoredRecord`, whose ranges lie in the batch, or in its decompressed
 * block. Batches are checked as by `decodeRecordBatches`: length, format, CRC, counts.
 */
import { Reader } from "../codec/reader.ts";
import { crc32c } from "./crc32c.ts";
import {
  BATCH_HEADER_BYTES,
  type BatchHeader,
  Compression,
  decodeBatchHeader,
  type Decompressor,
  DEFAULT_MAX_DECOMPRESSED_BYTES,
} from "./record-batch.ts";

const CRC_AT = 17;
const ATTRIBUTES_AT = 21;

/** One record as ranges of bytes. Reused from record to record: copy what is to be kept. */
export interface StoredRecord {
  readonly offset: number;
  readonly bytes: Uint8Array;
  readonly keyStart: number;
  /** One past the key; -1: the key is null. */
  readonly keyEnd: number;
  readonly valueStart: number;
  /** One past the value; -1: the value is null. */
  readonly valueEnd: number;
}

/** Bytes of a record's key, or null: a view. */
export function keyOf(record: StoredRecord): Uint8Array | null {
  return record.keyEnd < 0 ? null : record.bytes.subarray(record.keyStart, record.keyEnd);
}

/** Bytes of a record's value, or null for a tombstone: a view. */
export function valueOf(record: StoredRecord): Uint8Array | null {
  return record.valueEnd < 0 ? null : record.bytes.subarray(record.valueStart, record.valueEnd);
}

/** What became of a walk over one batch. */
export interface WalkedBatch {
  /** Bytes of the batch; 0 when it is cut off. */
  readonly sizeBytes: number;
  /** Offset after the batch, -1 when it is cut off. */
  readonly nextOffset: number;
}

/** Walks batches. Keeps its cursor, so that a walk allocates a handful of objects a batch. */
export class RecordWalker {
  readonly #decompressor: Decompressor | null;
  readonly #reader = new Reader(new Uint8Array(0));
  readonly #record = {
    offset: 0,
    bytes: new Uint8Array(0) as Uint8Array,
    keyStart: 0,
    keyEnd: -1,
    valueStart: 0,
    valueEnd: -1,
  };

  /** @param decompressor - needed for compressed batches, which count as damaged without it. */
  constructor(decompressor: Decompressor | null = null) {
    this.#decompressor = decompressor;
  }

  /**
   * Shows `visit` the records of the batch at `at`; those of control batches are left out.
   *
   * @returns the batch, or the reason why it is damaged; records before the damage may have been shown.
   */
  walkBatch(
    bytes: Uint8Array,
    at: number,
    visit: (record: StoredRecord) => void,
  ): WalkedBatch | string {
    const header = decodeBatchHeader(bytes, at);
    if (header === null) return { sizeBytes: 0, nextOffset: -1 };
    if (typeof header === "string") return header;
    const end = at + header.sizeBytes;
    const expected = new Reader(bytes, at + CRC_AT).uint32();
    if (crc32c(bytes, at + ATTRIBUTES_AT, end) !== expected)
      return `batch at byte ${at} fails its CRC`;
    const failure = header.isControl ? null : this.#walk(bytes, at, header, visit);
    if (failure !== null) return `batch at byte ${at}: ${failure}`;
    return {
      sizeBytes: header.sizeBytes,
      nextOffset: header.baseOffset + header.lastOffsetDelta + 1,
    };
  }

  #walk(
    bytes: Uint8Array,
    at: number,
    header: BatchHeader,
    visit: (record: StoredRecord) => void,
  ): string | null {
    const reader = this.#reader;
    const record = this.#record;
    const end = at + header.sizeBytes;
    if (header.compression === Compression.NONE) {
      reader.reset(bytes, at + BATCH_HEADER_BYTES, end);
      record.bytes = bytes;
    } else {
      const block = this.#decompressor?.decompress(
        header.compression,
        bytes.subarray(at + BATCH_HEADER_BYTES, end),
        DEFAULT_MAX_DECOMPRESSED_BYTES,
      );
      if (block === undefined || block === null)
        return `codec ${header.compression} cannot be decompressed`;
      reader.reset(block);
      record.bytes = block;
    }
    for (let index = 0; index < header.recordCount; index++) {
      const length = reader.varint();
      const recordEnd = reader.position + length;
      if (length < 0 || recordEnd > reader.end) return `record ${index} runs past its batch`;
      reader.int8();
      reader.varlong();
      record.offset = header.baseOffset + reader.varint();
      record.keyEnd = this.#skipSized();
      record.keyStart = this.#sizedStart;
      record.valueEnd = this.#skipSized();
      record.valueStart = this.#sizedStart;
      if (reader.failure !== null) return `record ${index}: ${reader.failure}`;
      if (reader.position > recordEnd) return `record ${index} is longer than it says`;
      visit(record);
      // Headers mean nothing to a coordinator.
      reader.position = recordEnd;
    }
    return reader.remaining > 0 ? `${reader.remaining} bytes after the records` : null;
  }

  #sizedStart = 0;

  /** Steps over a length and as many bytes; returns their end, -1 for null. */
  #skipSized(): number {
    const reader = this.#reader;
    const length = reader.varint();
    this.#sizedStart = reader.position;
    if (length < 0) return -1;
    reader.skip(length);
    return reader.position;
  }
}
