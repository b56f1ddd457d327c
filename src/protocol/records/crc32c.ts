/**
 * CRC-32C (Castagnoli) for the small batches the broker writes and reads itself: coordinator and metadata records.
 * Eight table look-ups take eight bytes at a time. Client batches never come here; the native log checks those.
 */

const POLYNOMIAL = 0x82f63b78;

/** Eight tables of 256: table `k` gives the effect of a byte that has `k` more bytes behind it. */
const TABLES: Int32Array = buildTables();

function buildTables(): Int32Array {
  const tables = new Int32Array(8 * 256);
  for (let byte = 0; byte < 256; byte += 1) {
    let value = byte;
    for (let bit = 0; bit < 8; bit += 1)
      value = value & 1 ? (value >>> 1) ^ POLYNOMIAL : value >>> 1;
    tables[byte] = value;
  }
  for (let byte = 0; byte < 256; byte += 1) {
    for (let table = 1; table < 8; table += 1) {
      const before = tables[(table - 1) * 256 + byte]!;
      tables[table * 256 + byte] = (before >>> 8) ^ tables[before & 255]!;
    }
  }
  return tables;
}

/**
 * The CRC-32C of `bytes[start, end)`.
 *
 * @returns an unsigned 32-bit number.
 */
export function crc32c(bytes: Uint8Array, start = 0, end: number = bytes.length): number {
  const t = TABLES;
  let crc = -1;
  let at = start;
  for (const stop = end - 7; at < stop; at += 8) {
    crc ^= bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
    crc =
      t[1792 + (crc & 255)]! ^
      t[1536 + ((crc >>> 8) & 255)]! ^
      t[1280 + ((crc >>> 16) & 255)]! ^
      t[1024 + (crc >>> 24)]! ^
      t[768 + bytes[at + 4]!]! ^
      t[512 + bytes[at + 5]!]! ^
      t[256 + bytes[at + 6]!]! ^
      t[bytes[at + 7]!]!;
  }
  for (; at < end; at += 1) crc = t[(crc ^ bytes[at]!) & 255]! ^ (crc >>> 8);
  return ~crc >>> 0;
}
