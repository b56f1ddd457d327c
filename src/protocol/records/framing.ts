/**
 * How stored messages say which message they are.
 *
 * ```
 * coordinator key      type int16 · message at version 0        the type number is the message's api key
 * coordinator value    version int16 · message                  null bytes: a tombstone
 * metadata record      frame 1 varint · type varint · version varint · message, and nothing after it
 * consumer protocol    version int16 · message                  a version from the future is read as the highest known
 * ```
 *
 * Decoding gives the message or the reason it is none. A type this broker does not know is no failure: a newer broker
 * may have written it, and loading goes on without it.
 */
import type { RecordMessages } from "../api.ts";
import { Reader } from "../codec/reader.ts";
import { Writer } from "../codec/writer.ts";
import {
  type CoordinatorCodecs,
  GROUP_COORDINATOR_CODECS,
  type GroupCoordinatorRecord,
  SHARE_COORDINATOR_CODECS,
  type ShareCoordinatorRecord,
  TRANSACTION_COORDINATOR_CODECS,
  type TransactionCoordinatorRecord,
} from "../generated/records/coordinator-record-table.ts";
import {
  type ConsumerProtocolAssignment,
  ConsumerProtocolAssignmentCodec,
} from "../generated/records/consumer-protocol-assignment.ts";
import {
  type ConsumerProtocolSubscription,
  ConsumerProtocolSubscriptionCodec,
} from "../generated/records/consumer-protocol-subscription.ts";
import {
  METADATA_CODECS,
  type MetadataRecord,
  metadataRecordKind,
} from "../generated/records/metadata-record-table.ts";

/** A stored record's two parts. */
export interface KeyValueBytes {
  readonly key: Uint8Array;
  readonly value: Uint8Array | null;
}

/** What came out of stored bytes. */
export type Decoded<T> =
  | { readonly kind: "record"; readonly record: T }
  /** A record type from a newer broker. */
  | { readonly kind: "unknown"; readonly type: number }
  | { readonly kind: "failure"; readonly reason: string };

// ---- messages with a version in front

/** `version int16 · message`. */
export function encodeVersioned<T>(
  codec: RecordMessages<T>,
  message: T,
  version: number,
): Uint8Array {
  const writer = new Writer(128);
  writer.int16(version);
  codec.encode(writer, message, version);
  return writer.toBytes();
}

/** Reads `version int16 · message`; a version outside the codec's range is a failure. */
export function decodeVersioned<T>(codec: RecordMessages<T>, bytes: Uint8Array): Decoded<T> {
  const reader = new Reader(bytes);
  const version = reader.int16();
  if (reader.failure === null && (version < codec.minVersion || version > codec.maxVersion)) {
    reader.fail(`${codec.name} has no version ${version}`);
  }
  return finish(reader, codec.decode(reader, version), codec.name);
}

function finish<T>(reader: Reader, record: T, name: string): Decoded<T> {
  return reader.failure === null
    ? { kind: "record", record }
    : { kind: "failure", reason: `${name}: ${reader.failure}` };
}

// ---- coordinator records

/** A record of any coordinator, as the erased tables see it. */
interface AnyCoordinatorRecord {
  readonly kind: string;
  readonly key: unknown;
  readonly value: unknown;
}

/** Bytes of a group coordinator record; `version` is the value's. */
export function encodeGroupRecord(record: GroupCoordinatorRecord, version: number): KeyValueBytes {
  return encodeCoordinatorRecord(GROUP_COORDINATOR_CODECS, record, version);
}

const GROUP_CODECS_BY_KIND: ReadonlyMap<string, CoordinatorCodecs> = new Map(
  Array.from(GROUP_COORDINATOR_CODECS.values(), (codecs) => [codecs.kind, codecs]),
);

/** Codecs of a kind of group coordinator record, for a writer that puts key and value where they go. */
export function groupRecordCodecs(kind: GroupCoordinatorRecord["kind"]): CoordinatorCodecs {
  const codecs = GROUP_CODECS_BY_KIND.get(kind);
  if (codecs === undefined) throw new TypeError(`no coordinator record is called ${kind}`);
  return codecs;
}

/** Reads a record of `__consumer_offsets`. */
export function decodeGroupRecord(
  key: Uint8Array,
  value: Uint8Array | null,
): Decoded<GroupCoordinatorRecord> {
  return decodeCoordinatorRecord(
    GROUP_COORDINATOR_CODECS,
    key,
    value,
  ) as Decoded<GroupCoordinatorRecord>;
}

/** Bytes of a transaction coordinator record; `version` is the value's. */
export function encodeTransactionRecord(
  record: TransactionCoordinatorRecord,
  version: number,
): KeyValueBytes {
  return encodeCoordinatorRecord(TRANSACTION_COORDINATOR_CODECS, record, version);
}

/** Reads a record of `__transaction_state`. */
export function decodeTransactionRecord(
  key: Uint8Array,
  value: Uint8Array | null,
): Decoded<TransactionCoordinatorRecord> {
  return decodeCoordinatorRecord(
    TRANSACTION_COORDINATOR_CODECS,
    key,
    value,
  ) as Decoded<TransactionCoordinatorRecord>;
}

/** Bytes of a share coordinator record; `version` is the value's. */
export function encodeShareRecord(record: ShareCoordinatorRecord, version: number): KeyValueBytes {
  return encodeCoordinatorRecord(SHARE_COORDINATOR_CODECS, record, version);
}

/** Reads a record of `__share_group_state`. */
export function decodeShareRecord(
  key: Uint8Array,
  value: Uint8Array | null,
): Decoded<ShareCoordinatorRecord> {
  return decodeCoordinatorRecord(
    SHARE_COORDINATOR_CODECS,
    key,
    value,
  ) as Decoded<ShareCoordinatorRecord>;
}

/** `type int16 · key message`. */
export function encodeCoordinatorKey<T>(codec: RecordMessages<T>, key: T): Uint8Array {
  const writer = new Writer(64);
  writer.int16(codec.type);
  codec.encode(writer, key, 0);
  return writer.toBytes();
}

/** Reads a coordinator key, picking its message by the type in front. */
export function decodeCoordinatorKey(
  codecs: ReadonlyMap<number, CoordinatorCodecs>,
  bytes: Uint8Array,
): Decoded<{ readonly codecs: CoordinatorCodecs; readonly key: unknown }> {
  const reader = new Reader(bytes);
  const type = reader.int16();
  if (reader.failure !== null)
    return { kind: "failure", reason: `coordinator key: ${reader.failure}` };
  const found = codecs.get(type);
  if (found === undefined) return { kind: "unknown", type };
  return finish(reader, { codecs: found, key: found.key.decode(reader, 0) }, found.key.name);
}

function encodeCoordinatorRecord(
  codecs: ReadonlyMap<number, CoordinatorCodecs>,
  record: AnyCoordinatorRecord,
  version: number,
): KeyValueBytes {
  for (const candidate of codecs.values()) {
    if (candidate.kind !== record.kind) continue;
    const value =
      record.value === null ? null : encodeVersioned(candidate.value, record.value, version);
    return { key: encodeCoordinatorKey(candidate.key, record.key), value };
  }
  throw new TypeError(`no coordinator record is called ${record.kind}`);
}

function decodeCoordinatorRecord(
  codecs: ReadonlyMap<number, CoordinatorCodecs>,
  keyBytes: Uint8Array,
  valueBytes: Uint8Array | null,
): Decoded<AnyCoordinatorRecord> {
  const key = decodeCoordinatorKey(codecs, keyBytes);
  if (key.kind !== "record") return key;
  const { kind } = key.record.codecs;
  if (valueBytes === null)
    return { kind: "record", record: { kind, key: key.record.key, value: null } };
  const value = decodeVersioned(key.record.codecs.value, valueBytes);
  if (value.kind !== "record") return value;
  return { kind: "record", record: { kind, key: key.record.key, value: value.record } };
}

// ---- metadata records

const FRAME_VERSION = 1;

/** A metadata record and the version it was written in. */
export type VersionedMetadataRecord = MetadataRecord & { readonly version: number };

/** Bytes of a metadata record: the value of a record in `__cluster_metadata-0`. */
export function encodeMetadataRecord(record: MetadataRecord, version: number): Uint8Array {
  // The union pairs each kind with its own message; TypeScript cannot follow that through the table.
  const codec = METADATA_CODECS[record.kind] as RecordMessages<unknown>;
  const writer = new Writer(128);
  writer.unsignedVarint(FRAME_VERSION);
  writer.unsignedVarint(codec.type);
  writer.unsignedVarint(version);
  codec.encode(writer, record.record, version);
  return writer.toBytes();
}

/** Reads a metadata record; bytes left over are a failure, as in Kafka. */
export function decodeMetadataRecord(bytes: Uint8Array): Decoded<VersionedMetadataRecord> {
  const reader = new Reader(bytes);
  const frame = reader.unsignedVarint();
  if (reader.failure === null && frame !== FRAME_VERSION) reader.fail(`frame version ${frame}`);
  const type = reader.unsignedVarint();
  const version = reader.unsignedVarint();
  if (reader.failure !== null)
    return { kind: "failure", reason: `metadata record: ${reader.failure}` };
  const kind = metadataRecordKind(type);
  if (kind === undefined) return { kind: "unknown", type };
  const codec = METADATA_CODECS[kind] as RecordMessages<unknown>;
  if (version < codec.minVersion || version > codec.maxVersion) {
    return { kind: "failure", reason: `${kind} has no version ${version}` };
  }
  const record = codec.decode(reader, version);
  if (reader.failure === null && reader.remaining > 0) reader.fail("bytes after the record");
  return finish(reader, { kind, record, version } as VersionedMetadataRecord, kind);
}

// ---- consumer protocol

/** What a member of a classic consumer group subscribes to: the metadata of its JoinGroup. */
export function decodeConsumerSubscription(
  bytes: Uint8Array,
): Decoded<ConsumerProtocolSubscription> {
  return decodeTolerant(ConsumerProtocolSubscriptionCodec, bytes);
}

/** What a member of a classic consumer group was assigned: the bytes of its SyncGroup. */
export function decodeConsumerAssignment(bytes: Uint8Array): Decoded<ConsumerProtocolAssignment> {
  return decodeTolerant(ConsumerProtocolAssignmentCodec, bytes);
}

function decodeTolerant<T>(codec: RecordMessages<T>, bytes: Uint8Array): Decoded<T> {
  const reader = new Reader(bytes);
  const version = reader.int16();
  if (reader.failure === null && version < codec.minVersion) reader.fail(`version ${version}`);
  return finish(reader, codec.decode(reader, Math.min(version, codec.maxVersion)), codec.name);
}
