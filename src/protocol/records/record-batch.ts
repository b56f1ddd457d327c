/**
 * Record batches of format 2, for batches the broker or a tool looks into: the coordinators' logs, the metadata log,
 * control records. What clients produce and fetch passes through as bytes.
 *
 * ```
 *  0  base offset        int64     offset of the first record
 *  8  length             int32     bytes after this field
 * 12  leader epoch       int32     set by the leader, outside the CRC
 * 16  magic              int8      2
 * 17  crc                uint32    CRC-32C of everything from byte 21 on
 * 21  attributes         int16     0-2 codec · 3 log append time · 4 transactional · 5 control · 6 delete horizon
 * 23  last offset delta  int32     survives compaction, so it may exceed count - 1
 * 27  base timestamp     int64     or the delete horizon
 * 35  max timestamp      int64
 * 43  producer id        int64     -1: none
 * 51  producer epoch     int16
 * 53  base sequence      int32
 * 57  record count       int32
 * 61  records                      compressed as one block
 *
 * record: length varint · attributes int8 · timestamp delta varlong · offset delta varint · key (varint length, bytes) ·
 *         value (the same) · header count varint · headers (key: varint length, UTF-8; value: varint length, bytes)
 * ```
 * @see KIP-98, KIP-32
 */
import { EMPTY_BYTES, decodeText, Reader } from "../codec/reader.ts";
import { EncodeError, Writer } from "../codec/writer.ts";
import { crc32c } from "./crc32c.ts";

/** Codec numbers as attributes carry them. */
export const Compression = { NONE: 0, GZIP: 1, SNAPPY: 2, LZ4: 3, ZSTD: 4 } as const;

/** Bytes of the header in front of the records. */
export const BATCH_HEADER_BYTES = 61;

/** Bytes of base offset and length, which the length itself does not count. */
export const BATCH_PREFIX_BYTES = 12;

const MAGIC = 2;
const LENGTH_AT = 8;
const MAGIC_AT = 16;
const CRC_AT = 17;
const ATTRIBUTES_AT = 21;
const CODEC_MASK = 0x07;
const LOG_APPEND_TIME_BIT = 0x08;
const TRANSACTIONAL_BIT = 0x10;
const CONTROL_BIT = 0x20;
const DELETE_HORIZON_BIT = 0x40;

/** A record takes at least a byte for each of its seven parts. */
const MINIMUM_RECORD_BYTES = 7;

/** Decompressed size of one batch beyond which decoding stops, unless the caller says otherwise. */
export const DEFAULT_MAX_DECOMPRESSED_BYTES = 134_217_728;

/** Unpacks a compressed block. */
export interface Decompressor {
  /**
   * @param codec - as in `Compression`.
   * @returns at most `maxBytes` bytes, or null when the block is damaged or larger.
   */
  decompress(codec: number, block: Uint8Array, maxBytes: number): Uint8Array | null;
}

/** Packs a block of records. */
export interface Compressor {
  compress(codec: number, block: Uint8Array): Uint8Array;
}

/** A header of a record. */
export interface RecordHeader {
  readonly key: string;
  readonly value: Uint8Array | null;
}

/** A record as it goes into a batch. */
export interface NewRecord {
  readonly key: Uint8Array | null;
  readonly value: Uint8Array | null;
  readonly headers?: readonly RecordHeader[];
  /** Milliseconds; the batch's `timestamp` when absent. */
  readonly timestamp?: number;
}

/** A record as it comes out of a batch; its bytes are views into the batch or its decompressed block. */
export interface LogRecord {
  readonly offset: number;
  readonly timestamp: number;
  readonly key: Uint8Array | null;
  readonly value: Uint8Array | null;
  readonly headers: readonly RecordHeader[];
}

/** What the header of a batch says. */
export interface BatchHeader {
  readonly baseOffset: number;
  /** Whole size, with the prefix. */
  readonly sizeBytes: number;
  readonly partitionLeaderEpoch: number;
  /** As in `Compression`. */
  readonly compression: number;
  readonly isLogAppendTime: boolean;
  readonly isTransactional: boolean;
  readonly isControl: boolean;
  readonly hasDeleteHorizon: boolean;
  readonly lastOffsetDelta: number;
  readonly baseTimestamp: number;
  readonly maxTimestamp: number;
  readonly producerId: bigint;
  readonly producerEpoch: number;
  readonly baseSequence: number;
  readonly recordCount: number;
}

/** A batch with its records. */
export interface RecordBatch extends BatchHeader {
  readonly records: readonly LogRecord[];
}

/** What `encodeRecordBatch` writes; everything but the records and their time has a default. */
export interface NewRecordBatch {
  readonly records: readonly NewRecord[];
  /** Milliseconds, for the records that have none of their own. */
  readonly timestamp: number;
  readonly baseOffset?: number;
  readonly partitionLeaderEpoch?: number;
  readonly isTransactional?: boolean;
  readonly isControl?: boolean;
  readonly isLogAppendTime?: boolean;
  readonly producerId?: bigint;
  readonly producerEpoch?: number;
  readonly baseSequence?: number;
  readonly compression?: { readonly codec: number; readonly compressor: Compressor };
}

/**
 * Writes one batch of format 2.
 *
 * @returns bytes of their own, ready to append.
 * @throws EncodeError when there is no record.
 */
export function encodeRecordBatch(batch: NewRecordBatch): Uint8Array {
  const { records } = batch;
  if (records.length === 0) throw new EncodeError("a batch needs a record");
  const baseTimestamp = records[0]?.timestamp ?? batch.timestamp;
  let maxTimestamp = baseTimestamp;
  const body = new Writer(256);
  const one = new Writer(128);
  records.forEach((record, index) => {
    const timestamp = record.timestamp ?? batch.timestamp;
    maxTimestamp = Math.max(maxTimestamp, timestamp);
    one.reset();
    writeRecord(one, record, index, timestamp - baseTimestamp);
    body.varint(one.length);
    body.raw(one.bytes());
  });
  const packed =
    batch.compression?.compressor.compress(batch.compression.codec, body.bytes()) ?? body.bytes();
  return seal(batch, packed, records.length, baseTimestamp, maxTimestamp);
}

/**
 * Completes an ordinary batch, uncompressed and of one time, in the writer that holds its records.
 *
 * @param writer - `BATCH_HEADER_BYTES` of room for the header, then the records, one behind another.
 * @returns a view of the writer's bytes.
 */
export function sealRecordBatch(writer: Writer, count: number, timestampMs: number): Uint8Array {
  const end = writer.length;
  const ordinary = { records: [], timestamp: timestampMs };
  writer.length = 0;
  writeHeader(writer, ordinary, end - BATCH_HEADER_BYTES, count, timestampMs, timestampMs);
  writer.length = end;
  return withCrc(writer);
}

function seal(
  batch: NewRecordBatch,
  packed: Uint8Array,
  count: number,
  baseTimestamp: number,
  maxTimestamp: number,
): Uint8Array {
  const writer = new Writer(BATCH_HEADER_BYTES + packed.length);
  writeHeader(writer, batch, packed.length, count, baseTimestamp, maxTimestamp);
  writer.raw(packed);
  return withCrc(writer).slice();
}

/** Everything in front of the records; the CRC is still to come. */
function writeHeader(
  writer: Writer,
  batch: NewRecordBatch,
  packedBytes: number,
  count: number,
  baseTimestamp: number,
  maxTimestamp: number,
): void {
  writer.int64(batch.baseOffset ?? 0);
  writer.int32(BATCH_HEADER_BYTES - BATCH_PREFIX_BYTES + packedBytes);
  writer.int32(batch.partitionLeaderEpoch ?? -1);
  writer.int8(MAGIC);
  writer.uint32(0);
  writer.int16(attributesOf(batch));
  writer.int32(count - 1);
  writer.int64(baseTimestamp);
  writer.int64(maxTimestamp);
  if (batch.producerId === undefined) writer.int64(-1);
  else writer.bigint64(batch.producerId);
  writer.int16(batch.producerEpoch ?? -1);
  writer.int32(batch.baseSequence ?? -1);
  writer.int32(count);
}

/** Puts the CRC of a batch into it. */
function withCrc(writer: Writer): Uint8Array {
  const bytes = writer.bytes();
  const end = writer.length;
  writer.length = CRC_AT;
  writer.uint32(crc32c(bytes, ATTRIBUTES_AT));
  writer.length = end;
  return bytes;
}

/**
 * Bytes of a record without headers, written at the time of its batch.
 *
 * @param offsetDelta - how many records come before it in its batch.
 * @param valueBytes - -1: null.
 */
export function recordSizeBytes(offsetDelta: number, keyBytes: number, valueBytes: number): number {
  // Attributes, timestamp delta and header count are a byte each.
  const body =
    3 +
    varintBytes(offsetDelta) +
    varintBytes(keyBytes) +
    keyBytes +
    varintBytes(valueBytes) +
    Math.max(0, valueBytes);
  return varintBytes(body) + body;
}

/** Bytes of a zigzag varint. */
function varintBytes(value: number): number {
  let rest = ((value << 1) ^ (value >> 31)) >>> 0;
  let bytes = 1;
  for (; rest >= 0x80; rest >>>= 7) bytes += 1;
  return bytes;
}

function attributesOf(batch: NewRecordBatch): number {
  return (
    (batch.compression?.codec ?? Compression.NONE) |
    (batch.isLogAppendTime === true ? LOG_APPEND_TIME_BIT : 0) |
    (batch.isTransactional === true ? TRANSACTIONAL_BIT : 0) |
    (batch.isControl === true ? CONTROL_BIT : 0)
  );
}

function writeRecord(
  writer: Writer,
  record: NewRecord,
  offsetDelta: number,
  timestampDelta: number,
): void {
  writer.int8(0);
  writer.varlong(timestampDelta);
  writer.varint(offsetDelta);
  writeSized(writer, record.key);
  writeSized(writer, record.value);
  const headers = record.headers ?? [];
  writer.varint(headers.length);
  for (const header of headers) {
    writeSized(writer, UTF8.encode(header.key));
    writeSized(writer, header.value);
  }
}

const UTF8: { encode(text: string): Uint8Array } = new TextEncoder();

function writeSized(writer: Writer, value: Uint8Array | null): void {
  if (value === null) {
    writer.varint(-1);
  } else {
    writer.varint(value.length);
    writer.raw(value);
  }
}

/** How `decodeRecordBatches` works. */
export interface DecodeOptions {
  /** Needed for compressed batches; without it they end the decoding. */
  readonly decompressor?: Decompressor;
  /** Compare each batch's CRC; true unless said otherwise. */
  readonly verifyCrc?: boolean;
  readonly maxDecompressedBytes?: number;
}

/** Batches up to the end, or up to the first one that could not be read. */
export interface DecodedBatches {
  readonly batches: readonly RecordBatch[];
  /** Bytes of the batches above; what follows is an incomplete or damaged batch. */
  readonly validBytes: number;
  /** Why decoding stopped early; null also when the last batch was merely cut off. */
  readonly failure: string | null;
}

/**
 * Reads batch after batch from `bytes`.
 *
 * A last batch that is cut off is left out without complaint: fetches and log reads end anywhere.
 */
export function decodeRecordBatches(
  bytes: Uint8Array,
  options: DecodeOptions = {},
): DecodedBatches {
  const batches: RecordBatch[] = [];
  const reader = new Reader(bytes);
  let at = 0;
  while (bytes.length - at >= BATCH_PREFIX_BYTES) {
    const header = readHeader(reader, bytes, at);
    if (header === null) break;
    if (typeof header === "string") return { batches, validBytes: at, failure: header };
    const batch = decodeBatch(bytes, at, header, options);
    if (typeof batch === "string") return { batches, validBytes: at, failure: batch };
    batches.push(batch);
    at += header.sizeBytes;
  }
  return { batches, validBytes: at, failure: null };
}

/**
 * Reads the header of the batch at `at`, without its records.
 *
 * @returns the header; null when the batch is cut off; the reason when it is damaged.
 */
export function decodeBatchHeader(bytes: Uint8Array, at = 0): BatchHeader | string | null {
  return readHeader(new Reader(bytes), bytes, at);
}

function readHeader(reader: Reader, bytes: Uint8Array, at: number): BatchHeader | string | null {
  if (bytes.length - at < BATCH_PREFIX_BYTES) return null;
  reader.reset(bytes, at + LENGTH_AT);
  const sizeBytes = reader.int32() + BATCH_PREFIX_BYTES;
  if (sizeBytes < BATCH_HEADER_BYTES) return `batch at byte ${at} claims ${sizeBytes} bytes`;
  if (bytes.length - at > MAGIC_AT && bytes[at + MAGIC_AT] !== MAGIC) {
    return `batch at byte ${at} has format ${bytes[at + MAGIC_AT]}`;
  }
  if (sizeBytes > bytes.length - at) return null;
  reader.reset(bytes, at);
  const baseOffset = reader.int64();
  reader.int32();
  const partitionLeaderEpoch = reader.int32();
  reader.int8();
  reader.uint32();
  const attributes = reader.int16();
  return {
    baseOffset,
    sizeBytes,
    partitionLeaderEpoch,
    compression: attributes & CODEC_MASK,
    isLogAppendTime: (attributes & LOG_APPEND_TIME_BIT) !== 0,
    isTransactional: (attributes & TRANSACTIONAL_BIT) !== 0,
    isControl: (attributes & CONTROL_BIT) !== 0,
    hasDeleteHorizon: (attributes & DELETE_HORIZON_BIT) !== 0,
    lastOffsetDelta: reader.int32(),
    baseTimestamp: reader.int64(),
    maxTimestamp: reader.int64(),
    producerId: reader.bigint64(),
    producerEpoch: reader.int16(),
    baseSequence: reader.int32(),
    recordCount: reader.int32(),
  };
}

function decodeBatch(
  bytes: Uint8Array,
  at: number,
  header: BatchHeader,
  options: DecodeOptions,
): RecordBatch | string {
  const end = at + header.sizeBytes;
  if (options.verifyCrc !== false) {
    const expected = new Reader(bytes, at + CRC_AT).uint32();
    if (crc32c(bytes, at + ATTRIBUTES_AT, end) !== expected)
      return `batch at byte ${at} fails its CRC`;
  }
  let block = bytes.subarray(at + BATCH_HEADER_BYTES, end);
  if (header.compression !== Compression.NONE) {
    const limit = options.maxDecompressedBytes ?? DEFAULT_MAX_DECOMPRESSED_BYTES;
    const unpacked = options.decompressor?.decompress(header.compression, block, limit) ?? null;
    if (unpacked === null)
      return `batch at byte ${at} cannot be decompressed (codec ${header.compression})`;
    block = unpacked;
  }
  if (header.recordCount < 0 || header.recordCount > block.length / MINIMUM_RECORD_BYTES) {
    return `batch at byte ${at} claims ${header.recordCount} records`;
  }
  const records: LogRecord[] = [];
  const reader = new Reader(block);
  for (let index = 0; index < header.recordCount; index += 1) {
    const record = readRecord(reader, header);
    if (reader.failure !== null) return `batch at byte ${at}, record ${index}: ${reader.failure}`;
    records.push(record);
  }
  if (reader.remaining > 0)
    return `batch at byte ${at} has ${reader.remaining} bytes after its records`;
  return { ...header, records };
}

function readRecord(reader: Reader, header: BatchHeader): LogRecord {
  const length = reader.varint();
  const start = reader.position;
  if (length < 0 || length > reader.remaining) reader.fail("record runs past its batch");
  reader.int8();
  const timestampDelta = reader.varlong();
  const offsetDelta = reader.varint();
  const key = readSized(reader);
  const value = readSized(reader);
  const headerCount = reader.varint();
  // A header takes at least two bytes.
  if (headerCount < 0 || headerCount > reader.remaining / 2)
    reader.fail("header count runs past the record");
  const headers: RecordHeader[] = [];
  for (let index = 0; index < headerCount && reader.failure === null; index += 1) {
    const name = readSized(reader);
    if (name === null) reader.fail("header without a key");
    headers.push({
      key: name === null ? "" : decodeText(name, 0, name.length),
      value: readSized(reader),
    });
  }
  if (reader.failure === null && reader.position !== start + length) {
    reader.fail(`record says ${length} bytes and has ${reader.position - start}`);
  }
  return {
    offset: header.baseOffset + offsetDelta,
    timestamp: header.isLogAppendTime ? header.maxTimestamp : header.baseTimestamp + timestampDelta,
    key,
    value,
    headers,
  };
}

function readSized(reader: Reader): Uint8Array | null {
  const length = reader.varint();
  if (reader.failure !== null) return EMPTY_BYTES;
  return length < 0 ? null : reader.take(length);
}
