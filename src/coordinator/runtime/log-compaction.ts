/**
 * Keeps a coordinator's log in proportion to what is in it, while requests go on: what is still true is written once more at the end,
 * and everything before that is dropped. Loading then reads a few times the live state at most, however long a broker runs.
 *
 * ```
 *   start                    mark                end
 *     │ a1 b1 a2 c1 b† a3 … │ d1 (written since)  │ a3 c1 (again) │ …
 *     └───── dropped ───────┘
 * ```
 * - Nothing may be lost: a key is written again unless an operation has written it since the mark, and nothing is dropped before all
 *   of it is committed and flushed. A failed append of anybody ends the attempt, and the log stays as it was.
 * - Order is that of the last write of each key, as compaction by Kafka's cleaner leaves it. Tombstones need no second copy.
 * - A crash in between leaves both copies, which say the same.
 */
import type { StoredRecord } from "#protocol/records/record-walk.ts";

/** Keys and values to write again: at most so many bytes an operation, so that others find their place between them. */
const REWRITE_BYTES = 128 * 1024;

/** One record to write again. */
export interface LiveRecord {
  /** Bytes of the key, each a character. */
  readonly key: string;
  readonly value: Uint8Array;
}

/** What a compaction does to its partition. */
export interface CompactionTarget {
  /** Waits until all that was decided so far is committed. @returns false when the attempt is over. */
  settle(): Promise<boolean>;
  /** Offset after the last committed record. */
  endOffset(): number;
  read(onRecord: (record: StoredRecord) => void): Promise<void>;
  /** Writes records again, but those whose keys were written since the start. @returns false when the attempt is over. */
  rewrite(records: readonly LiveRecord[]): Promise<boolean>;
  /** Forgets all before `offset`, once what is behind it is safe. */
  dropBefore(offset: number): Promise<void>;
}

/**
 * Compacts a log. Its writes since before the call must be known to `target`.
 *
 * @returns bytes of keys and values that were live, or null when the attempt ended early.
 */
export async function compactLog(target: CompactionTarget): Promise<number | null> {
  // What is under way was decided before anybody noted keys: it has to be read below, not missed.
  if (!(await target.settle())) return null;
  const mark = target.endOffset();
  // Read twice: most of a log that is due is dead, and a look at its keys costs far less than a copy of each value.
  const newest = new Map<string, number>();
  await target.read(({ offset, bytes, keyStart, keyEnd, valueEnd }) => {
    if (offset >= mark || keyEnd < 0) return;
    const key = keyText(bytes, keyStart, keyEnd);
    if (valueEnd >= 0) newest.set(key, offset);
    else newest.delete(key);
  });
  const offsets = new Set(newest.values());
  newest.clear();
  const live: LiveRecord[] = [];
  await target.read(({ offset, bytes, keyStart, keyEnd, valueStart, valueEnd }) => {
    if (!offsets.has(offset)) return;
    const value = bytes.slice(valueStart, valueEnd);
    live.push({ key: keyText(bytes, keyStart, keyEnd), value });
  });
  // The log is not what it was at the first look.
  if (live.length !== offsets.size) return null;
  let liveBytes = 0;
  let part: LiveRecord[] = [];
  let partBytes = 0;
  for (const { key, value } of live) {
    part.push({ key, value });
    partBytes += key.length + value.length;
    if (partBytes < REWRITE_BYTES) continue;
    if (!(await target.rewrite(part))) return null;
    liveBytes += partBytes;
    part = [];
    partBytes = 0;
  }
  if (!(await target.rewrite(part)) || !(await target.settle())) return null;
  await target.dropBefore(mark);
  return liveBytes + partBytes;
}

/** The bytes `[start, end)` as a string to find them by, a character each. */
export function keyText(bytes: Uint8Array, start: number, end: number): string {
  return latin1Slice.call(bytes, start, end);
}

/** The bytes that {@link keyText} made a string of. */
export function keyBytes(text: string): Uint8Array {
  return Buffer.from(text, "latin1");
}

// Called on plain arrays of bytes: a Buffer around each would cost as much as the string.
const latin1Slice: (this: Uint8Array, start: number, end: number) => string =
  Buffer.prototype.latin1Slice;
