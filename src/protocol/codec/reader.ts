/**
 * Reads Kafka's primitive types from bytes that nobody vouches for.
 *
 * The idea is one sticky failure instead of exceptions: the first read that cannot be honoured records why, moves the
 * position to the end, and from then on every read gives a zero value and every loop stops. Generated decoders stay
 * straight lines, and their caller looks at `failure` once, when the message is complete.
 *
 * No length is trusted. A count of elements must fit into the bytes that are left at the smallest size an element can
 * have, and all arrays of one reader together stay below `elementBudget`, so memory is bounded by the input.
 */
import { uuidFromBytes, ZERO_UUID } from "#common/uuid.ts";

/**
 * Elements that all arrays of one message may have together, unless the caller says otherwise. More than any request
 * has use for, and few enough to be read in a fraction of a second; a client of a huge cluster raises it.
 */
export const DEFAULT_ELEMENT_BUDGET = 1_048_576;

/** Longest string the protocol can carry, bytes. */
export const MAX_STRING_BYTES = 0x7fff;

/** No bytes: the default of byte fields. */
export const EMPTY_BYTES: Uint8Array = new Uint8Array(0);

/** A cursor over one message. Byte arrays it returns are views into `bytes`, valid as long as those are. */
export class Reader {
  bytes: Uint8Array;
  /** Next byte to read, as an index into `bytes`. */
  position: number;
  /** One past the last byte of this message. */
  end: number;
  /** Why reading stopped, or null while all is well. */
  failure: string | null = null;
  /** Array elements that may still be announced before the reader gives up. */
  elementBudget: number = DEFAULT_ELEMENT_BUDGET;

  /**
   * @param bytes - kept, never written.
   * @param start - index of the first byte to read.
   * @param end - index after the last one.
   */
  constructor(bytes: Uint8Array, start = 0, end: number = bytes.length) {
    this.bytes = bytes;
    this.position = start;
    this.end = end;
  }

  /** Points the reader at other bytes and forgets the failure. */
  reset(bytes: Uint8Array, start = 0, end: number = bytes.length): void {
    this.bytes = bytes;
    this.position = start;
    this.end = end;
    this.failure = null;
    this.elementBudget = DEFAULT_ELEMENT_BUDGET;
  }

  /** Bytes not read yet. */
  get remaining(): number {
    return this.end - this.position;
  }

  /** Records the first failure and makes every later read answer zero. Returns 0 for use in a tail position. */
  fail(reason: string): 0 {
    if (this.failure === null) this.failure = `${reason} at byte ${this.position}`;
    this.position = this.end;
    return 0;
  }

  bool(): boolean {
    return this.int8() !== 0;
  }

  int8(): number {
    const at = this.position;
    if (at >= this.end) return this.fail("message ends inside int8");
    this.position = at + 1;
    return (this.bytes[at]! << 24) >> 24;
  }

  int16(): number {
    const at = this.position;
    if (at + 2 > this.end) return this.fail("message ends inside int16");
    this.position = at + 2;
    return ((this.bytes[at]! << 24) >> 16) | this.bytes[at + 1]!;
  }

  uint16(): number {
    const at = this.position;
    if (at + 2 > this.end) return this.fail("message ends inside uint16");
    this.position = at + 2;
    return (this.bytes[at]! << 8) | this.bytes[at + 1]!;
  }

  int32(): number {
    const at = this.position;
    if (at + 4 > this.end) return this.fail("message ends inside int32");
    this.position = at + 4;
    return wordAt(this.bytes, at);
  }

  uint32(): number {
    const at = this.position;
    if (at + 4 > this.end) return this.fail("message ends inside uint32");
    this.position = at + 4;
    return wordAt(this.bytes, at) >>> 0;
  }

  /** An int64 as a number. Values outside ±(2^53 - 1) saturate there. */
  int64(): number {
    const at = this.position;
    if (at + 8 > this.end) return this.fail("message ends inside int64");
    this.position = at + 8;
    const high = wordAt(this.bytes, at);
    if (high >= 0x200000) return Number.MAX_SAFE_INTEGER;
    if (high < -0x200000) return Number.MIN_SAFE_INTEGER;
    const value = high * 0x100000000 + (wordAt(this.bytes, at + 4) >>> 0);
    return value < Number.MIN_SAFE_INTEGER ? Number.MIN_SAFE_INTEGER : value;
  }

  /** An int64 in full. */
  bigint64(): bigint {
    const at = this.position;
    if (at + 8 > this.end) {
      this.fail("message ends inside int64");
      return 0n;
    }
    this.position = at + 8;
    return this.#view().getBigInt64(at);
  }

  float64(): number {
    const at = this.position;
    if (at + 8 > this.end) return this.fail("message ends inside float64");
    this.position = at + 8;
    return this.#view().getFloat64(at);
  }

  /** A 16-byte id as 22 base64url characters. */
  uuid(): string {
    const at = this.position;
    if (at + 16 > this.end) {
      this.fail("message ends inside uuid");
      return ZERO_UUID;
    }
    this.position = at + 16;
    return uuidFromBytes(this.bytes, at);
  }

  /**
   * An unsigned varint of at most five bytes, in the range of a signed int32 as Kafka reads it: a value of 2^31 and
   * more comes out negative, which the callers take for null.
   */
  unsignedVarint(): number {
    const bytes = this.bytes;
    const end = this.end;
    let at = this.position;
    if (at >= end) return this.fail("message ends inside varint");
    let byte = bytes[at++]!;
    let value = byte & 0x7f;
    for (let shift = 7; byte >= 0x80; shift += 7) {
      if (shift > 28) return this.fail("varint is longer than five bytes");
      if (at >= end) return this.fail("message ends inside varint");
      byte = bytes[at++]!;
      value |= (byte & 0x7f) << shift;
    }
    this.position = at;
    return value;
  }

  /** A zigzag varint: int32. */
  varint(): number {
    const value = this.unsignedVarint();
    return (value >>> 1) ^ -(value & 1);
  }

  /** A zigzag varint of at most ten bytes: int64 as a number, saturating like `int64`. */
  varlong(): number {
    const bytes = this.bytes;
    const end = this.end;
    let at = this.position;
    // Seven bits a byte, collected in three parts of 28, 28 and 8 bits: each stays an exact int32.
    let low = 0;
    let middle = 0;
    let high = 0;
    for (let index = 0; ; index += 1) {
      if (index === 10) return this.fail("varint is longer than ten bytes");
      if (at >= end) return this.fail("message ends inside varint");
      const byte = bytes[at++]!;
      const bits = byte & 0x7f;
      if (index < 4) low |= bits << (7 * index);
      else if (index < 8) middle |= bits << (7 * (index - 4));
      else high |= bits << (7 * (index - 8));
      if (byte < 0x80) break;
    }
    this.position = at;
    // The magnitude is the value shifted right by one: bits 1..63. More than 53 of them saturate.
    const isNegative = (low & 1) === 1;
    if ((high & 0xff) >= 0x40 || (high & 0xff) >> 6 !== 0) {
      return isNegative ? Number.MIN_SAFE_INTEGER : Number.MAX_SAFE_INTEGER;
    }
    const magnitude = (low >>> 1) + middle * 0x8000000 + (high & 0x3f) * 0x80000000000000;
    if (magnitude > Number.MAX_SAFE_INTEGER - 1) {
      return isNegative ? Number.MIN_SAFE_INTEGER : Number.MAX_SAFE_INTEGER;
    }
    return isNegative ? -magnitude - 1 : magnitude;
  }

  /** A string that must not be null. */
  string(): string {
    const length = this.int16();
    if (length >= 0) return this.#text(length);
    this.fail("string that must not be null is null");
    return "";
  }

  nullableString(): string | null {
    const length = this.int16();
    return length < 0 ? null : this.#text(length);
  }

  compactString(): string {
    const length = (this.unsignedVarint() - 1) | 0;
    if (length >= 0) return this.#text(length);
    this.fail("string that must not be null is null");
    return "";
  }

  compactNullableString(): string | null {
    const length = (this.unsignedVarint() - 1) | 0;
    return length < 0 ? null : this.#text(length);
  }

  /** Bytes that must not be null: a view into the message. */
  byteArray(): Uint8Array {
    return this.#blob(this.int32());
  }

  nullableBytes(): Uint8Array | null {
    const length = this.int32();
    return length < 0 ? null : this.#blob(length);
  }

  compactBytes(): Uint8Array {
    return this.#blob((this.unsignedVarint() - 1) | 0);
  }

  compactNullableBytes(): Uint8Array | null {
    const length = (this.unsignedVarint() - 1) | 0;
    return length < 0 ? null : this.#blob(length);
  }

  /**
   * Count of an array that must not be null.
   *
   * @param elementBytes - the fewest bytes an element can take; at least 1.
   */
  arrayCount(elementBytes: number): number {
    const count = this.int32();
    return count < 0
      ? this.fail("array that must not be null is null")
      : this.#count(count, elementBytes);
  }

  /** Count of an array, or -1 for null. */
  nullableArrayCount(elementBytes: number): number {
    const count = this.int32();
    return count < 0 ? -1 : this.#count(count, elementBytes);
  }

  compactArrayCount(elementBytes: number): number {
    const count = (this.unsignedVarint() - 1) | 0;
    return count < 0
      ? this.fail("array that must not be null is null")
      : this.#count(count, elementBytes);
  }

  compactNullableArrayCount(elementBytes: number): number {
    const count = (this.unsignedVarint() - 1) | 0;
    return count < 0 ? -1 : this.#count(count, elementBytes);
  }

  /** Number of tagged fields that follow. Each takes two bytes or more. */
  tagCount(): number {
    const count = this.unsignedVarint();
    if (count < 0) return this.fail("number of tagged fields is negative");
    if (count > (this.end - this.position) >> 1) return this.fail("more tagged fields than bytes");
    return count;
  }

  /** Steps over a tagged section of which no field is known. */
  skipTags(): void {
    for (let count = this.tagCount(); count > 0 && this.failure === null; count -= 1) {
      this.unsignedVarint();
      this.skip(this.unsignedVarint());
    }
  }

  /** Steps over `length` bytes. */
  skip(length: number): void {
    if (length < 0 || length > this.end - this.position) this.fail("length runs past the message");
    else this.position += length;
  }

  /** A view of the next `length` bytes. */
  take(length: number): Uint8Array {
    return this.#blob(length);
  }

  /** Made where it is needed: asking a small array for its buffer allocates one, and no common message needs it. */
  #view(): DataView {
    const { bytes } = this;
    return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  #blob(length: number): Uint8Array {
    const start = this.position;
    if (length < 0) {
      this.fail("bytes that must not be null are null");
      return EMPTY_BYTES;
    }
    if (length > this.end - start) {
      this.fail("bytes run past the message");
      return EMPTY_BYTES;
    }
    this.position = start + length;
    return this.bytes.subarray(start, start + length);
  }

  #count(count: number, elementBytes: number): number {
    if (count > (this.end - this.position) / elementBytes) {
      return this.fail("array count runs past the message");
    }
    if (count > this.elementBudget) return this.fail("message has too many array elements");
    this.elementBudget -= count;
    return count;
  }

  #text(length: number): string {
    const start = this.position;
    if (length > this.end - start) {
      this.fail("string runs past the message");
      return "";
    }
    if (length > MAX_STRING_BYTES) {
      this.fail("string is longer than 32767 bytes");
      return "";
    }
    this.position = start + length;
    return length <= KNOWN_TEXT_BYTES
      ? knownText(this.bytes, start, start + length)
      : decodeText(this.bytes, start, start + length);
  }
}

/** Four bytes as an int32. */
function wordAt(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!;
}

/** Longest string that is remembered: ids of members are a client id and a UUID. */
const KNOWN_TEXT_BYTES = 128;

/** Strings read lately, each in the place that its hash says; a power of two. */
const KNOWN_TEXTS: string[] = Array.from({ length: 2048 }, () => "");

/**
 * Decodes a short string, or finds it among those read lately: names of topics, groups, members and clients come again with every
 * request. One that is found costs no allocation, and a Map need not hash it anew.
 */
function knownText(bytes: Uint8Array, start: number, end: number): string {
  let hash = 0x811c9dc5;
  let bits = 0;
  for (let at = start; at < end; at += 1) {
    const byte = bytes[at]!;
    bits |= byte;
    hash = Math.imul(hash ^ byte, 0x01000193);
  }
  // Only of ASCII is a character a byte.
  if (bits >= 0x80) return decodeText(bytes, start, end);
  const slot = (hash ^ (hash >>> 15)) & (KNOWN_TEXTS.length - 1);
  const known = KNOWN_TEXTS[slot]!;
  if (known.length === end - start) {
    let at = start;
    while (at < end && known.charCodeAt(at - start) === bytes[at]) at += 1;
    if (at === end) return known;
  }
  const text = decodeText(bytes, start, end);
  KNOWN_TEXTS[slot] = text;
  return text;
}

/** Kafka keeps a byte order mark, and reads malformed UTF-8 as U+FFFD. */
const UTF8: { decode(bytes: Uint8Array): string } = new TextDecoder("utf-8", { ignoreBOM: true });

/** Strings up to this many bytes are cheaper to build a character at a time than to hand to the decoder. */
const SHORT_TEXT_BYTES = 24;

/** Decodes UTF-8 as Java does; malformed bytes become U+FFFD. */
export function decodeText(bytes: Uint8Array, start: number, end: number): string {
  if (end - start <= SHORT_TEXT_BYTES) {
    let text = "";
    let at = start;
    for (; at < end; at += 1) {
      const byte = bytes[at]!;
      if (byte >= 0x80) break;
      text += String.fromCharCode(byte);
    }
    if (at === end) return text;
  }
  return UTF8.decode(withoutSurrogates(bytes.subarray(start, end)));
}

const SURROGATE_LEAD = 0xed;

/**
 * Java replaces an encoded surrogate (ED, A0 to BF, one more byte) by one U+FFFD, a text decoder by one for each byte.
 * Putting a single invalid byte in its place makes them agree. Returns `bytes` itself where there is none.
 */
function withoutSurrogates(bytes: Uint8Array): Uint8Array {
  let found = bytes.indexOf(SURROGATE_LEAD);
  if (found < 0) return bytes;
  let result = bytes;
  let length = 0;
  let copied = 0;
  for (; found >= 0; found = bytes.indexOf(SURROGATE_LEAD, found + 1)) {
    const second = bytes[found + 1] ?? 0;
    if (second < 0xa0 || second > 0xbf) continue;
    if (result === bytes) result = new Uint8Array(bytes.length);
    result.set(bytes.subarray(copied, found), length);
    length += found - copied;
    result[length++] = 0xff;
    const third = bytes[found + 2] ?? 0;
    copied = found + (third >= 0x80 && third <= 0xbf ? 3 : 2);
  }
  if (result === bytes) return bytes;
  result.set(bytes.subarray(copied), length);
  return result.subarray(0, length + bytes.length - copied);
}
