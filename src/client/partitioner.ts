/**
 * Which partition a record goes to. Keys are hashed as Kafka's own clients do (murmur2, sign bit cleared), so that a key written
 * here lands where every other program looks for it.
 */

const SEED = 0x97_47_b2_8c;
const M = 0x5b_d1_e9_95;
const R = 24;

/** Murmur2, 32 bits, as Kafka's clients compute it; signed. */
export function murmur2(bytes: Uint8Array): number {
  const { length } = bytes;
  const view = new DataView(bytes.buffer, bytes.byteOffset, length);
  let hash = SEED ^ length;
  const whole = length & ~3;
  for (let at = 0; at < whole; at += 4) {
    let k = Math.imul(view.getInt32(at, true), M);
    k = Math.imul(k ^ (k >>> R), M);
    hash = Math.imul(hash, M) ^ k;
  }
  const rest = length - whole;
  if (rest > 2) hash ^= view.getUint8(whole + 2) << 16;
  if (rest > 1) hash ^= view.getUint8(whole + 1) << 8;
  if (rest > 0) hash = Math.imul(hash ^ view.getUint8(whole), M);
  hash = Math.imul(hash ^ (hash >>> 13), M);
  return hash ^ (hash >>> 15);
}

/** Partition of a key in a topic of `partitionCount` partitions. */
export function partitionOfKey(key: Uint8Array, partitionCount: number): number {
  return (murmur2(key) & 0x7f_ff_ff_ff) % partitionCount;
}
