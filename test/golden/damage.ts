/**
 * Ways to spoil a message that is well formed: what a broken or hostile peer may send.
 */

/** Uniform in [0, 1), repeatable from its seed. */
export type Random = () => number;

/** A small generator (mulberry32). */
export function randomFrom(seed: number): Random {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 0x100000000;
  };
}

/** Bytes that mean something to the format: nulls, large counts, varints that do not end. */
const LOADED: readonly (readonly number[])[] = [
  [0xff],
  [0x00],
  [0x01],
  [0x7f],
  [0x80],
  [0xff, 0xff],
  [0x7f, 0xff],
  [0xff, 0xff, 0xff, 0xff],
  [0x7f, 0xff, 0xff, 0xff],
  [0xff, 0xff, 0xff, 0xff, 0x07],
  [0xff, 0xff, 0xff, 0xff, 0x0f],
  [0x80, 0x80, 0x80, 0x80, 0x08],
  [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
  [0x01, 0x63, 0x02, 0x2a, 0x2b],
];

/** A copy of `bytes` with one to three things wrong. */
export function damaged(bytes: Uint8Array, random: Random): Uint8Array {
  let result: Uint8Array = bytes.slice();
  for (let count = 1 + Math.floor(random() * 3); count > 0; count -= 1) result = spoil(result, random);
  return result;
}

function spoil(bytes: Uint8Array, random: Random): Uint8Array {
  const at = Math.floor(random() * (bytes.length + 1));
  const loaded = LOADED[Math.floor(random() * LOADED.length)] ?? [0];
  switch (Math.floor(random() * 6)) {
    case 0: // one byte changed
      if (at < bytes.length) bytes[at] = Math.floor(random() * 256);
      return bytes;
    case 1: // one bit flipped
      if (at < bytes.length) bytes[at] = (bytes[at] ?? 0) ^ (1 << Math.floor(random() * 8));
      return bytes;
    case 2: // cut off
      return bytes.slice(0, at);
    case 3: // something meaningful written over it
      bytes.set(loaded.slice(0, Math.max(0, bytes.length - at)), at);
      return bytes;
    case 4: // something put in
      return Uint8Array.from([...bytes.subarray(0, at), ...loaded, ...bytes.subarray(at)]);
    default: // a piece taken out
      return Uint8Array.from([...bytes.subarray(0, at), ...bytes.subarray(at + 1 + Math.floor(random() * 8))]);
  }
}
