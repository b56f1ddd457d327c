/**
 * Walks the batches of a segment file of any size with little memory: headers are read through a window, whole batches only where
 * their inside is asked for.
 *
 * Damage does not end the walk. What is no batch is told with its position; then the file is searched, byte by byte, for the next place
 * that has a header which makes sense, a whole batch behind it, and the right CRC. A rest of zeros is no damage: files are allocated
 * ahead. @see src/protocol/records/record-batch.ts for the layout
 */
import type { FileHandle } from "node:fs/promises";
import { crc32c } from "#log/native-log.ts";
import {
  BATCH_HEADER_BYTES,
  BATCH_PREFIX_BYTES,
  type BatchHeader,
  decodeBatchHeader,
} from "#protocol/records/record-batch.ts";

/** One thing found in a segment. */
export type SegmentItem =
  | {
      readonly kind: "batch";
      readonly position: number;
      readonly header: BatchHeader;
      /** The CRC the batch carries, and whether it is right; null where the inside was not read. */
      readonly crc: number;
      readonly isCrcValid: boolean | null;
      /** The whole batch, where it was asked for and is not larger than `maxBatchBytes`. */
      readonly bytes: Uint8Array | null;
    }
  /** Bytes that are no batch. */
  | {
      readonly kind: "damage";
      readonly position: number;
      readonly bytes: number;
      readonly reason: string;
    }
  /** Zeros up to the end of the file. */
  | { readonly kind: "zeros"; readonly position: number; readonly bytes: number };

/** What to read. */
export interface SegmentReadOptions {
  /** Read each batch whole and compare its CRC. */
  readonly isDeep: boolean;
  /** A batch that claims more than this is not read whole. */
  readonly maxBatchBytes?: number;
}

const WINDOW_BYTES = 1_048_576;
const DEFAULT_MAX_BATCH_BYTES = 268_435_456;
const MAGIC_AT = 16;
const MAGIC = 2;
const CRC_AT = 17;
const ATTRIBUTES_AT = 21;
const KNOWN_ATTRIBUTES = 0x7f;
/** A batch found by the search is no larger. */
const MAX_SEARCHED_BATCH_BYTES = 33_554_432;

/** A file seen through a window that moves forward. */
class FileWindow {
  readonly size: number;
  readonly #file: FileHandle;
  #buffer: Buffer = Buffer.alloc(0);
  #start = 0;

  constructor(file: FileHandle, size: number) {
    this.#file = file;
    this.size = size;
  }

  /** What is at hand from `position` on: a batch header at least, unless the file ends. */
  async readSome(position: number): Promise<Uint8Array> {
    const rest = this.#start + this.#buffer.length - position;
    const isAtHand = position >= this.#start && rest >= BATCH_HEADER_BYTES;
    return isAtHand
      ? this.#buffer.subarray(position - this.#start)
      : this.read(position, WINDOW_BYTES);
  }

  /** Bytes of their own, without moving the window. */
  async readApart(position: number, length: number): Promise<Uint8Array> {
    const buffer = Buffer.allocUnsafe(Math.max(0, Math.min(length, this.size - position)));
    return buffer.subarray(0, await this.#fill(buffer, position));
  }

  /** `length` bytes from `position` on, fewer at the end of the file; a view that the next call may overwrite. */
  async read(position: number, length: number): Promise<Uint8Array> {
    const end = Math.min(position + length, this.size);
    if (position < this.#start || end > this.#start + this.#buffer.length) {
      const wanted = Math.max(WINDOW_BYTES, length);
      const buffer = Buffer.allocUnsafe(Math.max(0, Math.min(wanted, this.size - position)));
      this.#buffer = buffer.subarray(0, await this.#fill(buffer, position));
      this.#start = position;
    }
    return this.#buffer.subarray(position - this.#start, Math.max(position, end) - this.#start);
  }

  async #fill(buffer: Buffer, position: number): Promise<number> {
    let filled = 0;
    while (filled < buffer.length) {
      const { bytesRead } = await this.#file.read(
        buffer,
        filled,
        buffer.length - filled,
        position + filled,
      );
      if (bytesRead === 0) break;
      filled += bytesRead;
    }
    return filled;
  }
}

/** The batches of a file in order, and whatever is between them. */
export async function* readSegment(
  file: FileHandle,
  size: number,
  options: SegmentReadOptions,
): AsyncGenerator<SegmentItem> {
  const window = new FileWindow(file, size);
  const maxBatchBytes = options.maxBatchBytes ?? DEFAULT_MAX_BATCH_BYTES;
  let previous: number | null = null;
  for (let position = 0; position < size;) {
    const header = await headerAt(window, position);
    if (typeof header !== "string") {
      const isRead = options.isDeep && header.sizeBytes <= maxBatchBytes;
      const bytes = isRead ? await window.read(position, header.sizeBytes) : null;
      const head = bytes ?? (await window.read(position, BATCH_HEADER_BYTES));
      const crc = storedCrc(head);
      const isCrcValid = bytes === null ? null : crc32c(bytes.subarray(ATTRIBUTES_AT)) === crc;
      yield { kind: "batch", position, header, crc, isCrcValid, bytes };
      previous = position;
      position += header.sizeBytes;
      continue;
    }
    // A batch that lied about its length led here: the next good one may begin inside of what it claimed.
    const isLost = previous !== null && !(await isGoodBatch(window, previous, maxBatchBytes));
    if (!isLost && (await isZeroUntilEnd(window, position))) {
      yield { kind: "zeros", position, bytes: size - position };
      return;
    }
    if (isLost && previous !== null) position = previous;
    previous = null;
    const next = await findBatch(window, position + 1);
    yield { kind: "damage", position, bytes: next - position, reason: header };
    position = next;
  }
}

const storedCrc = (bytes: Uint8Array): number =>
  new DataView(bytes.buffer, bytes.byteOffset).getUint32(CRC_AT);

/** The header of a batch that lies whole in the file, or why there is none. */
async function headerAt(window: FileWindow, position: number): Promise<BatchHeader | string> {
  const left = window.size - position;
  if (left < BATCH_HEADER_BYTES) return `only ${left} bytes are left, less than a batch header`;
  // The decoder wants to see the whole batch; a copy of the header with room claimed behind it is the same to it.
  const bytes = await window.read(position, BATCH_HEADER_BYTES);
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const sizeBytes = view.getInt32(8) + BATCH_PREFIX_BYTES;
  if (bytes[MAGIC_AT] !== MAGIC) {
    return bytes[MAGIC_AT] === 0 || bytes[MAGIC_AT] === 1
      ? `message format ${bytes[MAGIC_AT]}, which Kafka 4 no longer reads, or bytes that are no batch`
      : `no batch: format ${bytes[MAGIC_AT]}`;
  }
  if (sizeBytes < BATCH_HEADER_BYTES) return `a batch that claims ${sizeBytes} bytes`;
  if (sizeBytes > left) return `a batch that claims ${sizeBytes} bytes where ${left} are left`;
  const header = decodeHeaderAlone(bytes);
  if (header.baseOffset < 0 || header.lastOffsetDelta < 0)
    return `a batch with base offset ${header.baseOffset} and last offset delta ${header.lastOffsetDelta}`;
  return header;
}

function decodeHeaderAlone(bytes: Uint8Array): BatchHeader {
  const copy = new Uint8Array(bytes);
  const view = new DataView(copy.buffer);
  const sizeBytes = view.getInt32(8) + BATCH_PREFIX_BYTES;
  view.setInt32(8, BATCH_HEADER_BYTES - BATCH_PREFIX_BYTES);
  const header = decodeBatchHeader(copy);
  if (header === null || typeof header === "string") throw new Error("a header that was checked");
  return { ...header, sizeBytes };
}

async function isZeroUntilEnd(window: FileWindow, position: number): Promise<boolean> {
  for (let at = position; at < window.size;) {
    const bytes = await window.read(at, WINDOW_BYTES);
    if (bytes.some((byte) => byte !== 0)) return false;
    at += bytes.length;
    if (bytes.length === 0) break;
  }
  return true;
}

/** Position of the next good batch from `start` on, or the end of the file. */
async function findBatch(window: FileWindow, start: number): Promise<number> {
  for (let at = start; at + BATCH_HEADER_BYTES <= window.size;) {
    const bytes = await window.readSome(at);
    const found = bytes.indexOf(MAGIC, MAGIC_AT);
    if (found < 0) {
      at += Math.max(1, bytes.length - MAGIC_AT);
      continue;
    }
    at += found - MAGIC_AT;
    // Most candidates are told apart by two bytes, without a look at the rest.
    const attributes = found - MAGIC_AT + ATTRIBUTES_AT;
    const isPlausible =
      attributes + 1 >= bytes.length ||
      (bytes[attributes] === 0 && (bytes[attributes + 1] ?? 0) <= KNOWN_ATTRIBUTES);
    if (isPlausible && (await isGoodBatch(window, at))) return at;
    at += 1;
  }
  return window.size;
}

async function isGoodBatch(
  window: FileWindow,
  position: number,
  maxBytes: number = MAX_SEARCHED_BATCH_BYTES,
): Promise<boolean> {
  const header = await headerAt(window, position);
  if (typeof header === "string") return false;
  const head = await window.read(position, BATCH_HEADER_BYTES);
  if (head[ATTRIBUTES_AT] !== 0 || (head[ATTRIBUTES_AT + 1] ?? 0) > KNOWN_ATTRIBUTES) return false;
  if (header.recordCount < 0 || header.sizeBytes > maxBytes) return false;
  const bytes = await window.readApart(position, header.sizeBytes);
  return crc32c(bytes.subarray(ATTRIBUTES_AT)) === storedCrc(bytes);
}
