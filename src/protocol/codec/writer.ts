/**
 * Writes Kafka's primitive types into a buffer that grows and is used again and again.
 *
 * Encoding is our own side of the wire, so what cannot be written is a mistake in the caller and throws `EncodeError`.
 * Tagged fields carry their size in front of them: `beginTag` leaves one byte for it, and `endTag` fills it in, moving
 * the content only when the size needs more than that.
 */
import { UUID_BYTES, uuidToBytes, ZERO_UUID } from "#common/uuid.ts";

/** A message that the asked version cannot carry: null where none is allowed, or a value the version lacks. */
export class EncodeError extends Error {
  override readonly name = "EncodeError";
}

/**
 * Stands for record bytes that stay in a file: the encoder writes their length and leaves out the bytes, noting in
 * `Writer.cuts` where they belong, so that the transport sends them straight from the file.
 */
export interface RecordsCut {
  /** What the sender knows the bytes by: the row of a fetch plan. */
  readonly row: number;
  readonly lengthBytes: number;
}

const INITIAL_BYTES = 1024;

/** Largest buffer that is kept for the next message. */
const KEPT_BYTES = 1_048_576;

/** Up to so many bytes are copied one by one, without a view of them. */
const SHORT_COPY_BYTES = 200;

const TWO_POW_32 = 0x100000000;

/** The id written last, and its bytes: ids come in runs, a topic's with each of its rows. */
let lastUuid: string = ZERO_UUID;
const LAST_UUID_BYTES: Uint8Array = new Uint8Array(UUID_BYTES);

/** A growing buffer and its cursor. */
export class Writer {
  /** Bytes written so far. */
  length = 0;
  /** Pairs of (position in the written bytes, row) for each `RecordsCut`, in order. */
  cuts: number[] = [];
  #bytes: Uint8Array;
  #view: DataView;

  constructor(capacityBytes: number = INITIAL_BYTES) {
    this.#bytes = new Uint8Array(capacityBytes);
    this.#view = new DataView(this.#bytes.buffer);
  }

  /** A view of what was written; it is overwritten by the next use of the writer after `reset`. */
  bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.length);
  }

  /** A copy of what was written. */
  toBytes(): Uint8Array {
    return this.#bytes.slice(0, this.length);
  }

  /** Forgets what was written and keeps the buffer, unless a rare large message made it grow far. */
  reset(): void {
    this.length = 0;
    if (this.#bytes.length > KEPT_BYTES) {
      this.#bytes = new Uint8Array(INITIAL_BYTES);
      this.#view = new DataView(this.#bytes.buffer);
    }
    if (this.cuts.length > 0) this.cuts = [];
  }

  /** Leaves room for bytes that are written later; what is there until then is undefined. */
  skip(count: number): void {
    this.#advance(count);
  }

  bool(value: boolean): void {
    this.int8(value ? 1 : 0);
  }

  int8(value: number): void {
    const at = this.#advance(1);
    this.#view.setInt8(at, value);
  }

  int16(value: number): void {
    const at = this.#advance(2);
    this.#view.setInt16(at, value);
  }

  uint16(value: number): void {
    const at = this.#advance(2);
    this.#view.setUint16(at, value);
  }

  int32(value: number): void {
    const at = this.#advance(4);
    this.#view.setInt32(at, value);
  }

  uint32(value: number): void {
    const at = this.#advance(4);
    this.#view.setUint32(at, value);
  }

  /** An int64 from a number; ±(2^53 - 1) and beyond stand for the ends of the range, the reverse of how they are read. */
  int64(value: number): void {
    const at = this.#advance(8);
    const view = this.#view;
    if (value >= Number.MAX_SAFE_INTEGER) {
      view.setInt32(at, 0x7fffffff);
      view.setInt32(at + 4, -1);
    } else if (value <= Number.MIN_SAFE_INTEGER) {
      view.setInt32(at, -0x80000000);
      view.setInt32(at + 4, 0);
    } else {
      const high = Math.floor(value / TWO_POW_32);
      view.setInt32(at, high);
      view.setUint32(at + 4, value - high * TWO_POW_32);
    }
  }

  /** An int64 in full. */
  bigint64(value: bigint): void {
    const at = this.#advance(8);
    this.#view.setBigInt64(at, value);
  }

  float64(value: number): void {
    const at = this.#advance(8);
    this.#view.setFloat64(at, value);
  }

  /** @throws EncodeError when `value` is not an id of 22 base64url characters. */
  uuid(value: string): void {
    const at = this.#advance(16);
    if (value !== lastUuid) {
      if (!uuidToBytes(value, LAST_UUID_BYTES, 0)) throw new EncodeError(`not an id: ${value}`);
      lastUuid = value;
    }
    for (let index = 0; index < UUID_BYTES; index++)
      this.#bytes[at + index] = LAST_UUID_BYTES[index] as number;
  }

  unsignedVarint(value: number): void {
    let rest = value >>> 0;
    let at = this.#advance(5);
    const bytes = this.#bytes;
    while (rest >= 0x80) {
      bytes[at++] = (rest & 0x7f) | 0x80;
      rest >>>= 7;
    }
    bytes[at++] = rest;
    this.length = at;
  }

  /** A zigzag varint from an int32. */
  varint(value: number): void {
    this.unsignedVarint((value << 1) ^ (value >> 31));
  }

  /** A zigzag varint from a safe integer. */
  varlong(value: number): void {
    // Zigzag in two halves of 32 bits, since the doubled value may not be exact as a number.
    const folded = value < 0 ? -(value + 1) : value;
    let high = Math.floor(folded / 0x80000000);
    let low = ((folded % 0x80000000) * 2 + (value < 0 ? 1 : 0)) >>> 0;
    let at = this.#advance(10);
    const bytes = this.#bytes;
    while (high > 0 || low >= 0x80) {
      bytes[at++] = (low & 0x7f) | 0x80;
      low = ((low >>> 7) | (high << 25)) >>> 0;
      high = Math.floor(high / 0x80);
    }
    bytes[at++] = low;
    this.length = at;
  }

  /** @throws EncodeError when the string takes more than 32767 bytes. */
  string(value: string): void {
    const at = this.length;
    this.int16(0);
    // The text may replace the buffer, so the view is looked up after it.
    const length = this.#text(value);
    this.#view.setInt16(at, length);
  }

  nullableString(value: string | null): void {
    if (value === null) this.int16(-1);
    else this.string(value);
  }

  compactString(value: string): void {
    // One byte of length serves up to 126 bytes of text; a longer text is moved to make room.
    const at = this.#advance(1);
    const length = this.#text(value);
    this.#prefix(at, length + 1);
  }

  compactNullableString(value: string | null): void {
    if (value === null) this.int8(0);
    else this.compactString(value);
  }

  byteArray(value: Uint8Array): void {
    this.int32(value.length);
    this.raw(value);
  }

  nullableBytes(value: Uint8Array | null): void {
    if (value === null) this.int32(-1);
    else this.byteArray(value);
  }

  compactBytes(value: Uint8Array): void {
    this.unsignedVarint(value.length + 1);
    this.raw(value);
  }

  compactNullableBytes(value: Uint8Array | null): void {
    if (value === null) this.int8(0);
    else this.compactBytes(value);
  }

  /** Records with an int32 length; a cut leaves the bytes to the sender. */
  records(value: Uint8Array | RecordsCut | null): void {
    if (value === null) this.int32(-1);
    else if (value instanceof Uint8Array) this.byteArray(value);
    else {
      this.int32(value.lengthBytes);
      this.#cut(value);
    }
  }

  compactRecords(value: Uint8Array | RecordsCut | null): void {
    if (value === null) this.int8(0);
    else if (value instanceof Uint8Array) this.compactBytes(value);
    else {
      this.unsignedVarint(value.lengthBytes + 1);
      this.#cut(value);
    }
  }

  /** Count of an array; -1 writes null. */
  arrayCount(count: number): void {
    this.int32(count);
  }

  /** Count of an array in compact form; -1 writes null. */
  compactArrayCount(count: number): void {
    this.unsignedVarint(count + 1);
  }

  /** Bytes as they are, without a length. */
  raw(value: Uint8Array): void {
    const at = this.#advance(value.length);
    this.#bytes.set(value, at);
  }

  /** The bytes `[start, end)` of another writer, or of this one, as they are. */
  copy(from: Writer, start: number, end: number): void {
    const count = end - start;
    const at = this.#advance(count);
    const source = from.#bytes;
    if (count > SHORT_COPY_BYTES) {
      this.#bytes.set(source.subarray(start, end), at);
      return;
    }
    const target = this.#bytes;
    for (let index = 0; index < count; index++)
      target[at + index] = source[start + index] as number;
  }

  /** Opens a tagged field; hand the result to `endTag` once its content is written. */
  beginTag(tag: number): number {
    this.unsignedVarint(tag);
    return this.#advance(1);
  }

  /** Closes a tagged field by writing its size in front of it. */
  endTag(mark: number): void {
    this.#prefix(mark, this.length - mark - 1);
  }

  /** Puts `value` as varint into the one byte kept at `at`, moving what follows when it needs more. */
  #prefix(at: number, value: number): void {
    if (value < 0x80) {
      this.#bytes[at] = value;
      return;
    }
    const end = this.length;
    const extra = value < 0x4000 ? 1 : value < 0x200000 ? 2 : value < 0x10000000 ? 3 : 4;
    this.#advance(extra);
    this.#bytes.copyWithin(at + 1 + extra, at + 1, end);
    if (this.cuts.length > 0) this.#moveCuts(at, extra);
    this.length = at;
    this.unsignedVarint(value);
    this.length = end + extra;
  }

  #moveCuts(at: number, by: number): void {
    for (let index = 0; index < this.cuts.length; index += 2) {
      if (this.cuts[index]! > at) this.cuts[index]! += by;
    }
  }

  #cut(cut: RecordsCut): void {
    this.cuts.push(this.length, cut.row);
  }

  /** Writes UTF-8 and returns its length. A lone surrogate becomes "?", as in Java. */
  #text(value: string): number {
    const count = value.length;
    if (count > 0x7fff) throw new EncodeError("string is longer than 32767 bytes");
    const start = this.#advance(count * 3);
    const bytes = this.#bytes;
    let at = start;
    for (let index = 0; index < count; index += 1) {
      const code = value.charCodeAt(index);
      if (code < 0x80) {
        bytes[at++] = code;
      } else if (code < 0x800) {
        bytes[at++] = 0xc0 | (code >> 6);
        bytes[at++] = 0x80 | (code & 0x3f);
      } else if (code < 0xd800 || code > 0xdfff) {
        bytes[at++] = 0xe0 | (code >> 12);
        bytes[at++] = 0x80 | ((code >> 6) & 0x3f);
        bytes[at++] = 0x80 | (code & 0x3f);
      } else {
        const low = code < 0xdc00 && index + 1 < count ? value.charCodeAt(index + 1) : 0;
        if (low >= 0xdc00 && low <= 0xdfff) {
          index += 1;
          const point = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
          bytes[at++] = 0xf0 | (point >> 18);
          bytes[at++] = 0x80 | ((point >> 12) & 0x3f);
          bytes[at++] = 0x80 | ((point >> 6) & 0x3f);
          bytes[at++] = 0x80 | (point & 0x3f);
        } else {
          bytes[at++] = 0x3f;
        }
      }
    }
    this.length = at;
    const length = at - start;
    if (length > 0x7fff) throw new EncodeError("string is longer than 32767 bytes");
    return length;
  }

  /** Makes room for `count` bytes and returns where they start. */
  #advance(count: number): number {
    const at = this.length;
    const needed = at + count;
    if (needed > this.#bytes.length) this.#grow(needed);
    this.length = needed;
    return at;
  }

  #grow(needed: number): void {
    const grown = new Uint8Array(Math.max(this.#bytes.length * 2, needed));
    grown.set(this.#bytes.subarray(0, this.length));
    this.#bytes = grown;
    this.#view = new DataView(grown.buffer);
  }
}

/** Insists on a value where the version allows no null. */
export function required<T>(value: T | null, field: string): T {
  if (value === null) throw new EncodeError(`${field} is null where the version allows no null`);
  return value;
}

/** Reports a value that the version cannot carry. */
export function refuse(field: string, version: number): never {
  throw new EncodeError(`version ${version} cannot carry ${field}`);
}
