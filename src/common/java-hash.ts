/**
 * Java's `String.hashCode` and the order in which a Java `HashMap` walks its keys. Some orders on the wire are those of Kafka's
 * maps: nobody may rely on them, and yet what tools print, and what a differential test compares, follows them.
 */

/** Java's `String.hashCode`: a signed 32-bit polynomial over UTF-16 code units. */
export function javaStringHash(text: string): number {
  let hash = 0;
  for (let index = 0; index < text.length; index++) {
    hash = (Math.imul(hash, 31) + text.charCodeAt(index)) | 0;
  }
  return hash;
}

/** Bucket of a key in a Java `HashMap` of `bucketCount` buckets, a power of two. */
export function javaHashBucketOf(text: string, bucketCount: number): number {
  const hash = javaStringHash(text);
  return (hash ^ (hash >>> 16)) & (bucketCount - 1);
}

/**
 * `rows` in the order in which a Java `HashMap` walks them that was filled in the order given; by default one that grew to the
 * size it needs. Wrong for maps that turned a bucket into a tree, which takes nine keys in one.
 */
export function javaHashMapOrder<Row extends { readonly name: string }>(
  rows: readonly Row[],
  bucketCount: number = fittingBucketCount(rows.length),
): Row[] {
  const bucket = ({ name }: Row): number => javaHashBucketOf(name, bucketCount);
  return rows.toSorted((left, right) => bucket(left) - bucket(right));
}

/** Buckets of a map of `size` keys: 16, doubled while more than three quarters full. */
function fittingBucketCount(size: number): number {
  let bucketCount = 16;
  while (size > bucketCount * 0.75) bucketCount *= 2;
  return bucketCount;
}
