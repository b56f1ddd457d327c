/**
 * The "range" assignment of Kafka's clients: for each topic the members that want it, sorted, get consecutive partitions, the first
 * ones one more where it does not come out even. Every client knows it, so a group can mix this one with others.
 */

/** What a member wants. */
export interface Subscription {
  readonly memberId: string;
  readonly topics: readonly string[];
}

/**
 * @param partitionCounts - by topic; topics without an entry do not exist and are assigned to nobody.
 * @returns by member, then by topic; every member has an entry.
 */
export function assignRanges(
  subscriptions: readonly Subscription[],
  partitionCounts: ReadonlyMap<string, number>,
): ReadonlyMap<string, ReadonlyMap<string, readonly number[]>> {
  const assignment = new Map<string, Map<string, readonly number[]>>(
    subscriptions.map(({ memberId }) => [memberId, new Map()]),
  );
  const sorted = subscriptions.toSorted((a, b) => (a.memberId < b.memberId ? -1 : 1));
  for (const [topic, count] of partitionCounts) {
    const members = sorted.filter(({ topics }) => topics.includes(topic));
    const least = Math.floor(count / members.length);
    const extra = count % members.length;
    members.forEach(({ memberId }, index) => {
      const start = least * index + Math.min(index, extra);
      const length = least + (index < extra ? 1 : 0);
      if (length === 0) return;
      const partitions = Array.from({ length }, (_, step) => start + step);
      assignment.get(memberId)?.set(topic, partitions);
    });
  }
  return assignment;
}
