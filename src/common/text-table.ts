/**
 * One string for equal bytes: names that come again and again in stored records (groups, topics) are made once and shared.
 *
 * A table of strings with open addressing, found by a hash of the bytes and compared character by character, so a known name costs
 * no allocation. Only ASCII is kept; other names are decoded each time, by whoever is given to do it.
 */
const FIRST_SIZE = 256;
/** Longer ones are decoded: hashing them byte by byte is slower than making them. */
const LONGEST = 255;

/** Strings by their bytes. */
export class TextTable {
  readonly #decode: (bytes: Uint8Array, start: number, end: number) => string;
  #texts: (string | undefined)[] = new Array<string | undefined>(FIRST_SIZE);
  #count = 0;

  /** @param decode - makes a string of bytes. */
  constructor(decode: (bytes: Uint8Array, start: number, end: number) => string) {
    this.#decode = decode;
  }

  /** The string whose bytes are `[start, end)`. */
  intern(bytes: Uint8Array, start: number, end: number): string {
    if (end - start > LONGEST) return this.#decode(bytes, start, end);
    let hash = 0x811c9dc5;
    for (let at = start; at < end; at++) {
      const byte = bytes[at] as number;
      if (byte >= 0x80) return this.#decode(bytes, start, end);
      hash = Math.imul(hash ^ byte, 0x01000193);
    }
    const mask = this.#texts.length - 1;
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      const text = this.#texts[slot];
      if (text === undefined) return this.#add(slot, this.#decode(bytes, start, end));
      if (isSame(text, bytes, start, end)) return text;
    }
  }

  #add(slot: number, text: string): string {
    this.#texts[slot] = text;
    this.#count += 1;
    if (this.#count * 2 > this.#texts.length) this.#grow();
    return text;
  }

  #grow(): void {
    const texts = new Array<string | undefined>(this.#texts.length * 2);
    const mask = texts.length - 1;
    for (const text of this.#texts) {
      if (text === undefined) continue;
      let hash = 0x811c9dc5;
      for (let at = 0; at < text.length; at++)
        hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
      let slot = hash & mask;
      while (texts[slot] !== undefined) slot = (slot + 1) & mask;
      texts[slot] = text;
    }
    this.#texts = texts;
  }
}

function isSame(text: string, bytes: Uint8Array, start: number, end: number): boolean {
  if (text.length !== end - start) return false;
  for (let at = start; at < end; at++) {
    if (text.charCodeAt(at - start) !== bytes[at]) return false;
  }
  return true;
}
