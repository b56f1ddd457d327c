/**
 * The one thing the coordinator reads inside a member's opaque metadata: which topics a consumer subscribes to. Offsets of
 * topics that a live group reads never expire (KIP-211) and can't be deleted under it.
 *
 * ```
 * version int16 | topic count int32 | topics: int16 length + UTF-8, repeated | … (user data, owned partitions, …)
 * ```
 * Later versions only append, so a newer version than we know reads the same.
 */

/** Protocol type whose metadata has this layout. */
export const CONSUMER_PROTOCOL_TYPE = "consumer";

/** Topics of a consumer's subscription, or `null` when the bytes are not one. Reads nothing past the topics. */
export function subscribedTopics(metadata: Uint8Array): string[] | null {
  const view = new DataView(metadata.buffer, metadata.byteOffset, metadata.byteLength);
  const decoder = new TextDecoder();
  if (metadata.length < 6 || view.getInt16(0) < 0) return null;
  const count = view.getInt32(2);
  let at = 6;
  if (count < 0 || count > (metadata.length - at) / 2) return null;
  const topics: string[] = [];
  for (let index = 0; index < count; index++) {
    if (at + 2 > metadata.length) return null;
    const length = view.getInt16(at);
    at += 2;
    if (length < 0 || at + length > metadata.length) return null;
    topics.push(decoder.decode(metadata.subarray(at, at + length)));
    at += length;
  }
  return topics;
}
