/** What a group coordinator under test needs for consumer groups. */

/** XXH3-64, as the broker supplies it. */
export function xxh3(bytes: Uint8Array): bigint {
  return Bun.hash.xxHash3(bytes);
}
