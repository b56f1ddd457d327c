/**
 * What a quorum carries, as bytes: the records of one commit, and the whole state.
 *
 * ```
 * commit  one Kafka record batch of metadata records; its offsets mean nothing, they are counted when it is applied
 * state   version int16 (1) · offset int64 · epoch int32 · Kafka's snapshot format (metadata-format.ts)
 * ```
 */
import { Reader } from "#protocol/codec/reader.ts";
import { Writer } from "#protocol/codec/writer.ts";
import type { MetadataRecord } from "#protocol/generated/records/metadata-record-table.ts";
import { decodeRecordBatches } from "#protocol/records/record-batch.ts";
import type { ClusterImage } from "./cluster-image.ts";
import { imageRecords } from "./image-records.ts";
import { decodeMetadataBatch, encodeMetadataBatch, encodeSnapshot } from "./metadata-format.ts";
import { MetadataLogError } from "./metadata-log.ts";

const STATE_VERSION = 1;
const STATE_HEADER_BYTES = 14;

/** The records of one commit, all at their newest versions. */
export function encodeCommit(records: readonly MetadataRecord[], timestampMs: number): Uint8Array {
  return encodeMetadataBatch(records, { baseOffset: 0, epoch: 0, timestampMs });
}

/**
 * Reads a commit.
 *
 * @throws MetadataLogError LOG_CORRUPT: this build cannot apply it, and must not go on without it.
 */
export function decodeCommit(bytes: Uint8Array): readonly MetadataRecord[] {
  return decodeAll(bytes, "LOG_CORRUPT", "a commit");
}

/** The state that an image stands for. */
export function encodeState(image: ClusterImage, timestampMs: number): Uint8Array {
  const writer = new Writer(64 * 1024);
  writer.int16(STATE_VERSION);
  writer.int64(image.offset);
  writer.int32(image.epoch);
  for (const batch of encodeSnapshot(imageRecords(image), image.epoch, timestampMs))
    writer.raw(batch);
  return writer.toBytes();
}

/** The records that lead from nothing to a state, and where it stands. */
export interface DecodedState {
  readonly offset: number;
  readonly epoch: number;
  readonly records: readonly MetadataRecord[];
}

/** Reads a state. @throws MetadataLogError SNAPSHOT_CORRUPT. */
export function decodeState(bytes: Uint8Array): DecodedState {
  const reader = new Reader(bytes);
  const version = reader.int16();
  const offset = reader.int64();
  const epoch = reader.int32();
  if (reader.failure !== null || version !== STATE_VERSION) {
    throw new MetadataLogError("SNAPSHOT_CORRUPT", `metadata state of version ${version}`);
  }
  const records = decodeAll(
    bytes.subarray(STATE_HEADER_BYTES),
    "SNAPSHOT_CORRUPT",
    "the metadata state",
  );
  return { offset, epoch, records };
}

function decodeAll(bytes: Uint8Array, code: string, what: string): readonly MetadataRecord[] {
  const { batches, validBytes, failure } = decodeRecordBatches(bytes);
  if (failure !== null || validBytes !== bytes.length)
    throw new MetadataLogError(code, `${what} cannot be read: ${failure ?? "it is cut off"}`);
  const all: MetadataRecord[] = [];
  for (const batch of batches) {
    const { records, error } = decodeMetadataBatch(batch);
    if (error !== null) throw new MetadataLogError(code, `${what} cannot be read: ${error}`);
    all.push(...records);
  }
  return all;
}
