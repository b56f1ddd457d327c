/**
 * What a quorum carries, as bytes: the records of one commit, who its members are, and the whole state.
 *
 * ```
 * commit   one Kafka record batch of metadata records; its offsets mean nothing, they are counted when it is applied. Its first byte is 0
 * members  a byte 1 · members (quorum-members.ts); has no offset
 * state    version int16 (2) · offset int64 · epoch int32 · length int32 · members · Kafka's snapshot format (metadata-format.ts)
 * ```
 */
import { Reader } from "#protocol/codec/reader.ts";
import { Writer } from "#protocol/codec/writer.ts";
import type { MetadataRecord } from "#protocol/generated/records/metadata-record-table.ts";
import { decodeRecordBatches } from "#protocol/records/record-batch.ts";
import {
  decodeMembers,
  encodeMembers,
  NO_MEMBERS,
  type QuorumMembers,
} from "#quorum/quorum-members.ts";
import type { ClusterImage } from "./cluster-image.ts";
import { imageRecords } from "./image-records.ts";
import { decodeMetadataBatch, encodeMetadataBatch, encodeSnapshot } from "./metadata-format.ts";
import { MetadataLogError } from "./metadata-log.ts";

const STATE_VERSION = 2;
const STATE_HEADER_BYTES = 18;
const MEMBERS_MARK = 1;

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

/** Who the members of the quorum are from now on. */
export function encodeMembersCommit(members: QuorumMembers): Uint8Array {
  const writer = new Writer(1024);
  writer.int8(MEMBERS_MARK);
  encodeMembers(writer, members);
  return writer.toBytes();
}

/**
 * Reads who the members are; null for a commit of records.
 *
 * @throws MetadataLogError LOG_CORRUPT, as {@link decodeCommit}.
 */
export function decodeMembersCommit(bytes: Uint8Array): QuorumMembers | null {
  if (bytes[0] !== MEMBERS_MARK) return null;
  const members = decodeMembers(bytes.subarray(1));
  if (members === null) throw new MetadataLogError("LOG_CORRUPT", "members cannot be read");
  return members;
}

/** The state that an image stands for, and the members of the quorum. */
export function encodeState(
  image: ClusterImage,
  timestampMs: number,
  members: QuorumMembers = NO_MEMBERS,
): Uint8Array {
  const inner = new Writer(1024);
  encodeMembers(inner, members);
  const writer = new Writer(64 * 1024);
  writer.int16(STATE_VERSION);
  writer.int64(image.offset);
  writer.int32(image.epoch);
  writer.byteArray(inner.toBytes());
  for (const batch of encodeSnapshot(imageRecords(image), image.epoch, timestampMs))
    writer.raw(batch);
  return writer.toBytes();
}

/** The records that lead from nothing to a state, and where it stands. */
export interface DecodedState {
  readonly offset: number;
  readonly epoch: number;
  readonly members: QuorumMembers;
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
  const memberBytes = reader.byteArray();
  const members = reader.failure === null ? decodeMembers(memberBytes) : null;
  if (members === null) throw new MetadataLogError("SNAPSHOT_CORRUPT", "members cannot be read");
  const records = decodeAll(
    bytes.subarray(STATE_HEADER_BYTES + memberBytes.length),
    "SNAPSHOT_CORRUPT",
    "the metadata state",
  );
  return { offset, epoch, members, records };
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
