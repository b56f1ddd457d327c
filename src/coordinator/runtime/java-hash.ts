/**
 * What Kafka derives from Java's `String.hashCode`. Clients never see the hash, but every broker and tool that
 * reads `__consumer_offsets` expects a group in the partition that Kafka would have chosen, so this must agree bit for bit.
 */
import { javaHashBucketOf, javaStringHash } from "#common/java-hash.ts";

/**
 * Partition of an internal topic that coordinates `key` (a group id or a transactional id).
 *
 * Kafka's `abs` maps -2^31 to 0, which masking the sign bit would also do, but differs from masking for every other
 * negative hash.
 */
export function coordinatorPartition(key: string, partitionCount: number): number {
  const hash = javaStringHash(key);
  return (hash === -0x8000_0000 ? 0 : Math.abs(hash)) % partitionCount;
}

/** Position of a key in a Java `HashMap` of 16 buckets: the order in which Kafka walks small string-keyed maps. */
export function javaHashBucket(text: string): number {
  return javaHashBucketOf(text, 16);
}
