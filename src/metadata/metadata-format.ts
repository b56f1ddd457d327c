/**
 * Metadata records as bytes, in Kafka's own layout, so that `kafka-dump-log --cluster-metadata-decoder` reads what we write
 * and a Kafka directory can be taken over or handed back.
 *
 * ```
 * log        batch* ; each value is  frame 1 · type · version · message  (three unsigned varints in front)
 *            the first batch of an epoch is a control batch: LeaderChange
 * snapshot   control batch SnapshotHeader · batch* · control batch SnapshotFooter, offsets counted from 0
 *            file name  <end offset, 20 digits>-<epoch, 10 digits>.checkpoint
 * ```
 * @see KIP-595, KIP-630, KIP-631
 */
import { ZERO_UUID } from "#common/uuid.ts";
import {
  makeLeaderChangeMessage,
  LeaderChangeMessageCodec,
} from "#protocol/generated/records/leader-change-message.ts";
import { METADATA_CODECS } from "#protocol/generated/records/metadata-record-table.ts";
import type { MetadataRecord } from "#protocol/generated/records/metadata-record-table.ts";
import { SnapshotFooterRecordCodec } from "#protocol/generated/records/snapshot-footer-record.ts";
import { SnapshotHeaderRecordCodec } from "#protocol/generated/records/snapshot-header-record.ts";
import { Writer } from "#protocol/codec/writer.ts";
import { ControlRecordType, encodeControlKey } from "#protocol/records/control-records.ts";
import { decodeMetadataRecord, encodeMetadataRecord } from "#protocol/records/framing.ts";
import { encodeRecordBatch } from "#protocol/records/record-batch.ts";
import type { RecordBatch } from "#protocol/records/record-batch.ts";

/** Records in one batch of a snapshot. */
const SNAPSHOT_BATCH_RECORDS = 1000;

/** Where and when a batch is written. */
export interface BatchPlace {
  readonly baseOffset: number;
  readonly epoch: number;
  readonly timestampMs: number;
}

/** One batch of metadata records, each at the newest version. */
export function encodeMetadataBatch(
  records: readonly MetadataRecord[],
  place: BatchPlace,
): Uint8Array {
  return encodeRecordBatch({
    records: records.map((record) => ({
      key: null,
      value: encodeMetadataRecord(record, METADATA_CODECS[record.kind].maxVersion),
    })),
    timestamp: place.timestampMs,
    baseOffset: place.baseOffset,
    partitionLeaderEpoch: place.epoch,
  });
}

/** The control batch with which a leader begins its epoch. */
export function encodeLeaderChange(nodeId: number, place: BatchPlace): Uint8Array {
  const message = makeLeaderChangeMessage({
    leaderId: nodeId,
    voters: [{ voterId: nodeId, voterDirectoryId: ZERO_UUID }],
    grantingVoters: [{ voterId: nodeId, voterDirectoryId: ZERO_UUID }],
  });
  const writer = new Writer(64);
  LeaderChangeMessageCodec.encode(writer, message, 0);
  return encodeControl(ControlRecordType.LEADER_CHANGE, writer.toBytes(), place);
}

/** A whole snapshot file. */
export function* encodeSnapshot(
  records: Iterable<MetadataRecord>,
  epoch: number,
  timestampMs: number,
): Generator<Uint8Array> {
  let baseOffset = 0;
  const place = (): BatchPlace => ({ baseOffset, epoch, timestampMs });
  const header = new Writer(32);
  SnapshotHeaderRecordCodec.encode(
    header,
    { version: 0, lastContainedLogTimestamp: timestampMs },
    0,
  );
  yield encodeControl(ControlRecordType.SNAPSHOT_HEADER, header.toBytes(), place());
  baseOffset += 1;
  let pending: MetadataRecord[] = [];
  for (const record of records) {
    pending.push(record);
    if (pending.length < SNAPSHOT_BATCH_RECORDS) continue;
    yield encodeMetadataBatch(pending, place());
    baseOffset += pending.length;
    pending = [];
  }
  if (pending.length > 0) {
    yield encodeMetadataBatch(pending, place());
    baseOffset += pending.length;
  }
  const footer = new Writer(16);
  SnapshotFooterRecordCodec.encode(footer, { version: 0 }, 0);
  yield encodeControl(ControlRecordType.SNAPSHOT_FOOTER, footer.toBytes(), place());
}

function encodeControl(type: number, value: Uint8Array, place: BatchPlace): Uint8Array {
  return encodeRecordBatch({
    records: [{ key: encodeControlKey(type), value }],
    timestamp: place.timestampMs,
    baseOffset: place.baseOffset,
    partitionLeaderEpoch: place.epoch,
    isControl: true,
  });
}

/** Records of a batch, or the reason why they cannot be used. A control batch has none. */
export type DecodedMetadata =
  | { readonly records: readonly MetadataRecord[]; readonly error: null }
  | { readonly records: null; readonly error: string };

/** Reads the records of one batch. A record of an unknown type is an error: leaving it out would change its meaning. */
export function decodeMetadataBatch(batch: RecordBatch): DecodedMetadata {
  if (batch.isControl) return { records: [], error: null };
  const records: MetadataRecord[] = [];
  for (const { value, offset } of batch.records) {
    if (value === null) return { records: null, error: `record at offset ${offset} has no value` };
    const decoded = decodeMetadataRecord(value);
    switch (decoded.kind) {
      case "record":
        records.push(decoded.record);
        break;
      case "unknown":
        return {
          records: null,
          error: `record at offset ${offset} is of unknown type ${decoded.type}`,
        };
      case "failure":
        return { records: null, error: `record at offset ${offset}: ${decoded.reason}` };
    }
  }
  return { records, error: null };
}

/** Name of the log segment that begins at an offset. */
export function segmentName(baseOffset: number): string {
  return `${String(baseOffset).padStart(20, "0")}.log`;
}

/** Base offset of a segment by its file name, or null. */
export function parseSegmentName(name: string): number | null {
  const match = /^(\d{20})\.log$/.exec(name);
  return match === null ? null : Number(match[1]);
}

/** Name of the snapshot of everything before an offset. */
export function snapshotName(endOffset: number, epoch: number): string {
  return `${String(endOffset).padStart(20, "0")}-${String(epoch).padStart(10, "0")}.checkpoint`;
}

/** End offset and epoch of a snapshot by its file name, or null. */
export function parseSnapshotName(name: string): { endOffset: number; epoch: number } | null {
  const match = /^(\d{20})-(\d{10})\.checkpoint$/.exec(name);
  return match === null ? null : { endOffset: Number(match[1]), epoch: Number(match[2]) };
}
