/**
 * Which partitions are throttled on this broker: what `leader.replication.throttled.replicas` and `follower.replication.throttled.replicas`
 * of the topics say of it. The values are `*`, or `partition:broker` pairs, of which those with this broker count (KIP-73).
 */

/** Partitions of a topic, or all of them. */
export type ThrottledPartitions = ReadonlySet<number> | "all";

/** What a value says of one broker; null for nothing. */
export function throttledPartitions(
  value: string | undefined,
  nodeId: number,
): ThrottledPartitions | null {
  const text = value?.trim() ?? "";
  if (text === "*") return "all";
  const partitions = new Set<number>();
  for (const pair of text.split(",")) {
    const [partition, broker] = pair.trim().split(":");
    if (broker !== undefined && Number(broker) === nodeId) partitions.add(Number(partition));
  }
  return partitions.size === 0 ? null : partitions;
}

/** Throttled partitions by topic. */
export class ThrottledReplicas {
  readonly #topics: ReadonlyMap<string, ThrottledPartitions>;

  constructor(topics: ReadonlyMap<string, ThrottledPartitions>) {
    this.#topics = topics;
  }

  has(topic: string, partition: number): boolean {
    const partitions = this.#topics.get(topic);
    return partitions === "all" || partitions?.has(partition) === true;
  }
}
