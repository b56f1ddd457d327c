/**
 * The files beside the segments, as rows: offset, time and transaction indexes, producer snapshots, checkpoints, identities.
 *
 * ```
 * .index      relative offset int32 · position int32                            an entry each 4 KiB or so
 * .timeindex  timestamp int64 · relative offset int32
 * .txnindex   version int16 · producer id, first, last, last stable offset int64
 * .snapshot   version int16 · crc uint32 over what follows · producers
 * checkpoints version, count, then a row a line, as text
 * ```
 * Indexes are allocated ahead: the entries end where they stop growing.
 */
import { crc32c } from "#log/native-log.ts";
import { Reader } from "#protocol/codec/reader.ts";
import { ProducerSnapshotCodec } from "#protocol/generated/records/producer-snapshot.ts";

/** What a small file holds: rows of one shape, notes, and damage by position. */
export interface FileContents {
  readonly rows: readonly Readonly<Record<string, unknown>>[];
  readonly damage: readonly { readonly position: number; readonly reason: string }[];
  /** Bytes behind the last entry. */
  readonly unusedBytes: number;
}

const INDEX_ENTRY_BYTES = 8;
const TIME_INDEX_ENTRY_BYTES = 12;
const TXN_INDEX_ENTRY_BYTES = 34;
const SNAPSHOT_VERSION = 1;
/** Version and CRC come first. */
const EARLIER_BATCH_BYTES = 32;
const SNAPSHOT_BODY_AT = 6;

/** Offset index of the segment that begins at `baseOffset`. */
export function readOffsetIndex(bytes: Uint8Array, baseOffset: number): FileContents {
  const view = viewOf(bytes);
  return readEntries(bytes, INDEX_ENTRY_BYTES, (at) => {
    const relative = view.getInt32(at);
    return { offset: baseOffset + relative, position: view.getInt32(at + 4), growing: relative };
  });
}

/** Time index of the segment that begins at `baseOffset`. */
export function readTimeIndex(bytes: Uint8Array, baseOffset: number): FileContents {
  const view = viewOf(bytes);
  return readEntries(bytes, TIME_INDEX_ENTRY_BYTES, (at) => {
    const timestamp = Number(view.getBigInt64(at));
    return { timestamp, offset: baseOffset + view.getInt32(at + 8), growing: timestamp };
  });
}

/** Entries up to the zeros that were allocated ahead; one that is smaller than the one before is damage. */
function readEntries(
  bytes: Uint8Array,
  entryBytes: number,
  entryAt: (at: number) => Readonly<Record<string, unknown>> & { readonly growing: number },
): FileContents {
  const rows: Readonly<Record<string, unknown>>[] = [];
  const damage: { position: number; reason: string }[] = [];
  const usedEnd = lastNonZero(bytes) + 1;
  let last = -Infinity;
  let at = 0;
  for (; at + entryBytes <= bytes.length; at += entryBytes) {
    // The first entry may be all zeros and be one; later ones are room.
    if (at >= usedEnd && at > 0) break;
    if (at >= usedEnd && bytes.length > entryBytes) break;
    const { growing, ...row } = entryAt(at);
    if (growing < last)
      damage.push({ position: at, reason: "an entry that is smaller than the one before" });
    last = growing;
    rows.push(row);
  }
  const rest = bytes.length % entryBytes;
  if (rest !== 0)
    damage.push({ position: bytes.length - rest, reason: `${rest} bytes that are no whole entry` });
  return { rows, damage, unusedBytes: Math.max(0, bytes.length - rest - at) };
}

function lastNonZero(bytes: Uint8Array): number {
  let at = bytes.length - 1;
  while (at >= 0 && bytes[at] === 0) at -= 1;
  return at;
}

/** Aborted transactions of a segment. */
export function readTransactionIndex(bytes: Uint8Array): FileContents {
  const view = viewOf(bytes);
  const rows: Readonly<Record<string, unknown>>[] = [];
  const damage: { position: number; reason: string }[] = [];
  let at = 0;
  for (; at + TXN_INDEX_ENTRY_BYTES <= bytes.length; at += TXN_INDEX_ENTRY_BYTES) {
    const version = view.getInt16(at);
    if (version !== 0) damage.push({ position: at, reason: `an entry of version ${version}` });
    rows.push({
      version,
      producerId: view.getBigInt64(at + 2),
      firstOffset: Number(view.getBigInt64(at + 10)),
      lastOffset: Number(view.getBigInt64(at + 18)),
      lastStableOffset: Number(view.getBigInt64(at + 26)),
    });
  }
  if (at < bytes.length)
    damage.push({ position: at, reason: `${bytes.length - at} bytes that are no whole entry` });
  return { rows, damage, unusedBytes: 0 };
}

/** What a partition knew of its producers. */
export function readProducerSnapshot(bytes: Uint8Array): FileContents {
  const reader = new Reader(bytes);
  const version = reader.int16();
  if (version !== SNAPSHOT_VERSION && reader.failure === null)
    return { rows: [], damage: [{ position: 0, reason: `version ${version}` }], unusedBytes: 0 };
  const snapshot = ProducerSnapshotCodec.decode(reader, version);
  const damage: { position: number; reason: string }[] = [];
  if (reader.failure !== null) damage.push({ position: reader.position, reason: reader.failure });
  else if (crc32c(bytes.subarray(SNAPSHOT_BODY_AT)) !== snapshot.crc)
    damage.push({ position: 2, reason: "the CRC is wrong" });
  const earlier = damage.length === 0 ? readEarlierBatches(reader) : new Map<bigint, string[]>();
  return {
    rows: snapshot.producerEntries.map((entry) => {
      const batches = earlier.get(entry.producerId);
      return batches === undefined ? { ...entry } : { ...entry, earlierBatches: batches.join(" ") };
    }),
    damage,
    unusedBytes: reader.remaining,
  };
}

/** Each producer's batches before its last, which our own files have behind Kafka's fields, as `FIRST..LAST SEQUENCE@LAST OFFSET`. */
function readEarlierBatches(reader: Reader): Map<bigint, string[]> {
  const earlier = new Map<bigint, string[]>();
  if (reader.remaining < 4) return earlier;
  const count = reader.int32();
  for (let at = 0; at < count && reader.remaining >= EARLIER_BATCH_BYTES; at += 1) {
    const producerId = reader.bigint64();
    const lastSequence = reader.int32();
    const lastOffset = reader.int64();
    const firstSequence = lastSequence - reader.int32();
    reader.int64();
    const batches = earlier.get(producerId) ?? [];
    batches.push(`${firstSequence}..${lastSequence}@${lastOffset}`);
    earlier.set(producerId, batches);
  }
  return earlier;
}

/** Names of the columns of each checkpoint by the number of them. */
const CHECKPOINT_COLUMNS: Readonly<Record<number, readonly string[]>> = {
  2: ["epoch", "startOffset"],
  3: ["topic", "partition", "offset"],
};

/** A checkpoint: of leader epochs, or of an offset for each partition. */
export function readCheckpoint(text: string): FileContents {
  const lines = text.split("\n");
  if (lines.at(-1) === "") lines.pop();
  const rows: Readonly<Record<string, unknown>>[] = [];
  const damage: { position: number; reason: string }[] = [];
  let position = 0;
  for (const [index, line] of lines.entries()) {
    const words = line.split(" ");
    const columns = CHECKPOINT_COLUMNS[words.length];
    if (index === 0 && line !== "0") damage.push({ position, reason: `version '${line}'` });
    if (index === 1 && Number(line) !== lines.length - 2)
      damage.push({ position, reason: `a count of ${line} before ${lines.length - 2} rows` });
    if (index >= 2) {
      const isGood =
        columns !== undefined &&
        words.slice(words.length === 3 ? 1 : 0).every((word) => /^-?\d+$/.test(word));
      if (isGood) {
        rows.push(
          Object.fromEntries(
            columns.map((name, at) => [name, name === "topic" ? words[at] : Number(words[at])]),
          ),
        );
      } else damage.push({ position, reason: `a line that is no row: ${JSON.stringify(line)}` });
    }
    position += Buffer.byteLength(line) + 1;
  }
  if (lines.length < 2) damage.push({ position, reason: "version and count are missing" });
  return { rows, damage, unusedBytes: 0 };
}

/** `key=value` and `key: value` lines. */
export function readKeyValues(text: string): FileContents {
  const row: Record<string, string> = {};
  const damage: { position: number; reason: string }[] = [];
  let position = 0;
  for (const line of text.split("\n")) {
    const match = /^([\w.]+)\s*[=:]\s*(.*)$/.exec(line);
    if (match?.[1] !== undefined) row[match[1]] = match[2] ?? "";
    else if (line.trim() !== "" && !line.startsWith("#"))
      damage.push({ position, reason: `a line that is no pair: ${JSON.stringify(line)}` });
    position += Buffer.byteLength(line) + 1;
  }
  return { rows: [row], damage, unusedBytes: 0 };
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
