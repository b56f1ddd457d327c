/**
 * 16-byte ids in the form Kafka prints them: unpadded base64url, always 22 characters. Ids travel through the whole
 * broker as these strings, so that they compare with `===`, key a Map, and print as tools show them.
 *
 * ```
 * bytes  0 1 2 | 3 4 5 | … | 12 13 14 | 15      five groups of three bytes and one byte
 * text   4     | 4     | … | 4        | 2       = 22 characters; the last one carries only two bits
 * ```
 */

/** The id that stands for "none". */
export const ZERO_UUID = "AAAAAAAAAAAAAAAAAAAAAA";
/** Kafka keeps it for the topic of the metadata. */
export const ONE_UUID = "AAAAAAAAAAAAAAAAAAAAAQ";

/** Topic id of the cluster metadata log (bytes 0…0, 1). */
export const METADATA_TOPIC_UUID = "AAAAAAAAAAAAAAAAAAAAAQ";

/** Characters of an id. */
export const UUID_TEXT_LENGTH = 22;

/** Bytes of an id. */
export const UUID_BYTES = 16;

const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/** Character code of each six-bit value. */
const CODES: Uint8Array = Uint8Array.from(ALPHABET, (character) => character.charCodeAt(0));

/** Six-bit value of each character code below 128; 255 marks a character outside the alphabet. */
const VALUES: Uint8Array = new Uint8Array(128).fill(255);
for (let value = 0; value < 64; value += 1) VALUES[ALPHABET.charCodeAt(value)] = value;

/**
 * Reads the id at `position`.
 *
 * @param bytes - at least `position + 16` bytes; not kept.
 * @returns 22 characters.
 */
export function uuidFromBytes(bytes: Uint8Array, position: number): string {
  const b = bytes;
  const p = position;
  const w0 = (b[p]! << 16) | (b[p + 1]! << 8) | b[p + 2]!;
  const w1 = (b[p + 3]! << 16) | (b[p + 4]! << 8) | b[p + 5]!;
  const w2 = (b[p + 6]! << 16) | (b[p + 7]! << 8) | b[p + 8]!;
  const w3 = (b[p + 9]! << 16) | (b[p + 10]! << 8) | b[p + 11]!;
  const w4 = (b[p + 12]! << 16) | (b[p + 13]! << 8) | b[p + 14]!;
  const last = b[p + 15]!;
  if ((w0 | w1 | w2 | w3 | w4 | last) === 0) return ZERO_UUID;
  const c = CODES;
  // prettier-ignore
  return String.fromCharCode(
    c[w0 >> 18]!, c[(w0 >> 12) & 63]!, c[(w0 >> 6) & 63]!, c[w0 & 63]!,
    c[w1 >> 18]!, c[(w1 >> 12) & 63]!, c[(w1 >> 6) & 63]!, c[w1 & 63]!,
    c[w2 >> 18]!, c[(w2 >> 12) & 63]!, c[(w2 >> 6) & 63]!, c[w2 & 63]!,
    c[w3 >> 18]!, c[(w3 >> 12) & 63]!, c[(w3 >> 6) & 63]!, c[w3 & 63]!,
    c[w4 >> 18]!, c[(w4 >> 12) & 63]!, c[(w4 >> 6) & 63]!, c[w4 & 63]!,
    c[last >> 2]!, c[(last & 3) << 4]!,
  );
}

/**
 * Writes an id as 16 bytes at `position`.
 *
 * @param text - 22 base64url characters.
 * @returns false, with nothing written, when `text` is not an id.
 */
export function uuidToBytes(text: string, into: Uint8Array, position: number): boolean {
  if (!isUuid(text)) return false;
  let at = position;
  for (let index = 0; index < 20; index += 4) {
    const word =
      (valueAt(text, index) << 18) |
      (valueAt(text, index + 1) << 12) |
      (valueAt(text, index + 2) << 6) |
      valueAt(text, index + 3);
    into[at] = word >> 16;
    into[at + 1] = (word >> 8) & 255;
    into[at + 2] = word & 255;
    at += 3;
  }
  into[at] = (valueAt(text, 20) << 2) | (valueAt(text, 21) >> 4);
  return true;
}

/** Tells whether `text` is the canonical form of an id: 22 characters, nothing in the four unused bits. */
export function isUuid(text: string): boolean {
  if (text.length !== UUID_TEXT_LENGTH) return false;
  for (let index = 0; index < UUID_TEXT_LENGTH; index += 1) {
    const code = text.charCodeAt(index);
    if (code > 127 || VALUES[code] === 255) return false;
  }
  return (valueAt(text, 21) & 15) === 0;
}

function valueAt(text: string, index: number): number {
  return VALUES[text.charCodeAt(index)]!;
}
