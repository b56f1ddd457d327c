/** Record batches for the produce cases: sound ones, ones with other bytes in places, and compressed ones made by hand. */
import {
  makeProduceRequest,
  makeTopicProduceData,
  ProduceApi,
  type ProduceRequest,
} from "#protocol/generated/produce.ts";
import { crc32c } from "#protocol/records/crc32c.ts";
import { encodeRecordBatch, type NewRecordBatch } from "#protocol/records/record-batch.ts";
import { ask, concat, repeat, unsignedVarint } from "../bytes.ts";
import type { Place, Turn } from "../case.ts";

/** When the corpus was loaded: timestamps that a broker finds plausible. */
export const START_MS: number = Date.now();

export const BATCH_AT = {
  LENGTH: 8,
  LEADER_EPOCH: 12,
  MAGIC: 16,
  CRC: 17,
  ATTRIBUTES: 21,
  LAST_OFFSET_DELTA: 23,
  BASE_TIMESTAMP: 27,
  MAX_TIMESTAMP: 35,
  PRODUCER_ID: 43,
  PRODUCER_EPOCH: 51,
  BASE_SEQUENCE: 53,
  COUNT: 57,
  RECORDS: 61,
} as const;

const VALUE = new TextEncoder().encode("value");

/** A batch of one record, unless `init` says otherwise. */
export function batch(init: Partial<NewRecordBatch> = {}): Uint8Array {
  return encodeRecordBatch({
    records: [{ key: VALUE, value: VALUE }],
    timestamp: START_MS,
    ...init,
  });
}

/** A batch of `count` equal records. */
export function batchOf(count: number, init: Partial<NewRecordBatch> = {}): Uint8Array {
  const records = Array.from({ length: count }, () => ({ key: VALUE, value: VALUE }));
  return batch({ records, ...init });
}

/** Puts the checksum right. */
export function sealed(bytes: Uint8Array): Uint8Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  view.setUint32(BATCH_AT.CRC, crc32c(bytes, BATCH_AT.ATTRIBUTES));
  return bytes;
}

/** A batch with other bytes in places, and a checksum that fits. */
export function altered(
  alter: (view: DataView) => void,
  init: Partial<NewRecordBatch> = {},
): Uint8Array {
  const bytes = batch(init).slice();
  alter(new DataView(bytes.buffer));
  return sealed(bytes);
}

/** A batch whose block of records is these bytes, compressed or not, said to hold `count`. */
export function withBlock(block: Uint8Array, codec: number, count = 1): Uint8Array {
  const bytes = concat(batch().subarray(0, BATCH_AT.RECORDS), block);
  const view = new DataView(bytes.buffer);
  view.setInt32(BATCH_AT.LENGTH, bytes.length - 12);
  view.setInt16(BATCH_AT.ATTRIBUTES, codec);
  view.setInt32(BATCH_AT.LAST_OFFSET_DELTA, count - 1);
  view.setInt32(BATCH_AT.COUNT, count);
  return sealed(bytes);
}

function zigzag(value: number): Uint8Array {
  return unsignedVarint((value << 1) ^ (value >> 31));
}

/** Parts of a record as they are written; whatever is absent is sound. */
export interface RawRecord {
  readonly length?: Uint8Array;
  readonly attributes?: number;
  readonly timestampDelta?: Uint8Array;
  readonly offsetDelta?: number;
  readonly key?: Uint8Array;
  readonly value?: Uint8Array;
  readonly headers?: Uint8Array;
}

/** One record from its parts. */
export function record(parts: RawRecord = {}): Uint8Array {
  const body = concat(
    new Uint8Array([parts.attributes ?? 0]),
    parts.timestampDelta ?? zigzag(0),
    zigzag(parts.offsetDelta ?? 0),
    parts.key ?? zigzag(-1),
    parts.value ?? concat(zigzag(VALUE.length), VALUE),
    parts.headers ?? zigzag(0),
  );
  return concat(parts.length ?? zigzag(body.length), body);
}

/** A signed varint. */
export { zigzag };

/** A record whose value is `count` zeros. */
export function zeros(count: number): Uint8Array {
  return record({ value: concat(zigzag(count), new Uint8Array(count)) });
}

/** `count` records of a few zeros each. */
export function manyRecords(count: number, valueBytes: number): Uint8Array {
  const value = concat(zigzag(valueBytes), new Uint8Array(valueBytes));
  const records = Array.from({ length: count }, (_, offsetDelta) => record({ offsetDelta, value }));
  // A million of them are too many to be arguments.
  return new Uint8Array(Buffer.concat(records));
}

// ---- codecs

/** An LZ4 frame (independent blocks of at most 64 KiB) of `count` zeros after `head`: written by hand, about 250 to 1. */
export function lz4Zeros(head: Uint8Array, count: number, tail: Uint8Array): Uint8Array {
  const descriptor = new Uint8Array([0x60, 0x40]);
  const check = (Bun.hash.xxHash32(descriptor) >>> 8) & 0xff;
  const parts: Uint8Array[] = [
    new Uint8Array([0x04, 0x22, 0x4d, 0x18]),
    descriptor,
    new Uint8Array([check]),
  ];
  const plain = (bytes: Uint8Array): Uint8Array =>
    concat(littleEndian((bytes.length | 0x80000000) >>> 0), bytes);
  if (head.length > 0) parts.push(plain(head));
  const full = packedZeros(65_536);
  let left = count;
  for (; left >= 65_536; left -= 65_536) parts.push(full);
  if (left > 0) parts.push(plain(new Uint8Array(left)));
  if (tail.length > 0) parts.push(plain(tail));
  parts.push(littleEndian(0));
  return concat(...parts);
}

/** A compressed LZ4 block of `count` zeros: one literal, one long match, five literals. */
function packedZeros(count: number): Uint8Array {
  const matchBytes = count - 6;
  const more = matchBytes - 4 - 15;
  const block = concat(
    new Uint8Array([0x1f, 0, 1, 0]),
    repeat(255, Math.floor(more / 255)),
    new Uint8Array([more % 255, 0x50, 0, 0, 0, 0, 0]),
  );
  return concat(littleEndian(block.length), block);
}

/** A raw Snappy block of `head`, `count` zeros, `tail`: copies of 64 bytes, about 21 to 1. */
export function snappyZeros(head: Uint8Array, count: number, tail: Uint8Array): Uint8Array {
  const literal = (bytes: Uint8Array): Uint8Array =>
    bytes.length === 0
      ? bytes
      : concat(new Uint8Array([61 << 2, (bytes.length - 1) & 255, (bytes.length - 1) >> 8]), bytes);
  const copies = Math.floor((count - 1) / 64);
  const rest = count - 1 - copies * 64;
  const copy = new Uint8Array([(63 << 2) | 2, 1, 0]);
  const body = new Uint8Array(copies * 3);
  for (let index = 0; index < copies; index++) body.set(copy, index * 3);
  return concat(
    unsignedVarint(head.length + count + tail.length),
    literal(head),
    literal(new Uint8Array(1)),
    body,
    literal(new Uint8Array(rest)),
    literal(tail),
  );
}

function littleEndian(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value, true);
  return bytes;
}

// ---- requests

/** What a produce case may want otherwise. */
export interface ProduceOptions extends Partial<ProduceRequest> {
  readonly index?: number;
  readonly name?: string;
  readonly topicId?: string;
  readonly version?: number;
}

/** A Produce of `records` to one partition of the case's topic. */
export function produce(
  records: Uint8Array | null,
  options: ProduceOptions = {},
): (place: Place) => Turn {
  const { index = 0, version = 9, name, topicId, ...request } = options;
  // Nobody waits for an answer to acks=0.
  const replies = request.acks === 0 ? 0 : 1;
  return (place) => ({
    ...ask(
      ProduceApi,
      version,
      makeProduceRequest({
        transactionalId: null,
        acks: 1,
        timeoutMs: 3000,
        topicData: [
          makeTopicProduceData({
            ...(version >= 13
              ? { topicId: topicId ?? place.topicId }
              : { name: name ?? place.topic }),
            partitionData: [{ index, records }],
          }),
        ],
        ...request,
      }),
    ),
    replies,
  });
}
