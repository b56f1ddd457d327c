/**
 * Control records: what the broker writes into a log about the log. Their key says what they are.
 *
 * ```
 * key    version int16 · type int16
 * value  version int16 · …                       transaction markers: coordinator epoch int32
 * ```
 * @see KIP-98 (transaction markers), KIP-595 and KIP-630 (metadata log)
 */
import { Reader } from "../codec/reader.ts";
import { Writer } from "../codec/writer.ts";

/** Types of control records. */
export const ControlRecordType = {
  ABORT: 0,
  COMMIT: 1,
  LEADER_CHANGE: 2,
  SNAPSHOT_HEADER: 3,
  SNAPSHOT_FOOTER: 4,
  KRAFT_VERSION: 5,
  KRAFT_VOTERS: 6,
} as const;

const KEY_VERSION = 0;

/** Type of a control record, or null when its key is too short or of a version below 0. */
export function controlRecordType(key: Uint8Array | null): number | null {
  if (key === null) return null;
  const reader = new Reader(key);
  const version = reader.int16();
  const type = reader.int16();
  return reader.failure === null && version >= KEY_VERSION ? type : null;
}

/** Key of a control record. */
export function encodeControlKey(type: number): Uint8Array {
  const writer = new Writer(4);
  writer.int16(KEY_VERSION);
  writer.int16(type);
  return writer.toBytes();
}
