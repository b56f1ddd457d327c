/**
 * The assignments of Kafka's clients that a member of a classic group offers, so that a group can mix it with members of any client:
 * `range`, which every client knows, `roundrobin`, and `cooperative-sticky`, alone in the groups of members that keep reading while
 * partitions move.
 */

/** What a member wants, and what it says that it reads. */
export interface Subscription {
  readonly memberId: string;
  readonly topics: readonly string[];
  /** Empty for a member that gives everything up before it joins again. */
  readonly owned: ReadonlyMap<string, readonly number[]>;
  /** In which `owned` was assigned; -1 when it does not say. */
  readonly generation: number;
}

/** Partitions by member, then by topic; every member has an entry. */
export type GroupAssignment = ReadonlyMap<string, ReadonlyMap<string, readonly number[]>>;

/** From what members want and how many partitions topics have to who reads what. */
export type Assign = (
  subscriptions: readonly Subscription[],
  partitionCounts: ReadonlyMap<string, number>,
) => GroupAssignment;

/** By Kafka's names, the preferred one first. */
export const ASSIGNORS: readonly { readonly name: string; readonly assign: Assign }[] = [
  { name: "range", assign: assignRanges },
  { name: "roundrobin", assign: assignRoundRobin },
  { name: "cooperative-sticky", assign: assignCooperatively },
];

/** The assignor of a name; null when it is not offered. */
export function assignorOf(name: string | null): Assign | null {
  return ASSIGNORS.find((assignor) => assignor.name === name)?.assign ?? null;
}

/**
 * For each topic the members that want it, sorted, get consecutive partitions, the first ones one more where it does not come out even.
 *
 * @param partitionCounts - by topic; topics without an entry do not exist and are assigned to nobody.
 * @returns by member, then by topic; every member has an entry.
 */
export function assignRanges(
  subscriptions: readonly Pick<Subscription, "memberId" | "topics">[],
  partitionCounts: ReadonlyMap<string, number>,
): GroupAssignment {
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

/** All partitions in the order of topics are dealt to the members, sorted, in turn; who does not want a topic is passed over. */
export function assignRoundRobin(
  subscriptions: readonly Subscription[],
  partitionCounts: ReadonlyMap<string, number>,
): GroupAssignment {
  const assignment = emptyAssignment(subscriptions);
  const sorted = subscriptions.toSorted((a, b) => (a.memberId < b.memberId ? -1 : 1));
  let turn = 0;
  for (const { topic, partition } of partitionsOf(partitionCounts)) {
    if (!sorted.some(({ topics }) => topics.includes(topic))) continue;
    let member = sorted[turn % sorted.length];
    while (member !== undefined && !member.topics.includes(topic)) {
      turn += 1;
      member = sorted[turn % sorted.length];
    }
    turn += 1;
    if (member !== undefined) add(assignment, member.memberId, topic, partition);
  }
  return assignment;
}

/**
 * Even, and with as few moves as that allows: members keep what they read, what is free goes to who has least, and who has too much
 * gives up. A partition that another member still reads is given to nobody this time: its reader sees it missing, stops, and joins
 * again, and then it is free. @see KIP-429
 */
export function assignCooperatively(
  subscriptions: readonly Subscription[],
  partitionCounts: ReadonlyMap<string, number>,
): GroupAssignment {
  const readers = claims(subscriptions, partitionCounts);
  const sorted = subscriptions.toSorted((a, b) => (a.memberId < b.memberId ? -1 : 1));
  const loads = new Map(sorted.map(({ memberId }) => [memberId, [] as AssignedPartition[]]));
  const loadOf = (memberId: string): AssignedPartition[] => loads.get(memberId) ?? [];
  const leastLoaded = (topic: string): string | null =>
    sorted
      .filter(({ topics }) => topics.includes(topic))
      .map(({ memberId }) => memberId)
      .reduce<string | null>(
        (least, memberId) =>
          least === null || loadOf(memberId).length < loadOf(least).length ? memberId : least,
        null,
      );
  const free: AssignedPartition[] = [];
  for (const row of partitionsOf(partitionCounts)) {
    const reader = readers.get(keyOf(row));
    if (reader === undefined) free.push(row);
    else loadOf(reader).push(row);
  }
  for (const row of free) {
    const memberId = leastLoaded(row.topic);
    if (memberId !== null) loadOf(memberId).push(row);
  }
  // Every move makes the loads more even, so there is an end to them.
  for (let hasMoved = true; hasMoved;) {
    hasMoved = false;
    for (const load of loads.values()) {
      for (let index = load.length - 1; index >= 0; index--) {
        const row = load[index];
        const target = row === undefined ? null : leastLoaded(row.topic);
        if (row === undefined || target === null || loadOf(target).length + 1 >= load.length)
          continue;
        load.splice(index, 1);
        loadOf(target).push(row);
        hasMoved = true;
      }
    }
  }
  const assignment = emptyAssignment(subscriptions);
  for (const [memberId, load] of loads) {
    for (const row of load) {
      const reader = readers.get(keyOf(row));
      if (reader === undefined || reader === memberId)
        add(assignment, memberId, row.topic, row.partition);
    }
  }
  for (const byTopic of assignment.values())
    for (const partitions of byTopic.values()) partitions.sort((a, b) => a - b);
  return assignment;
}

interface AssignedPartition {
  readonly topic: string;
  readonly partition: number;
}

/** Who reads what, by `keyOf`: of several that say so the one of the latest generation. */
function claims(
  subscriptions: readonly Subscription[],
  partitionCounts: ReadonlyMap<string, number>,
): ReadonlyMap<string, string> {
  const latest = new Map<string, Subscription>();
  for (const subscription of subscriptions) {
    for (const [topic, partitions] of subscription.owned) {
      if (!subscription.topics.includes(topic)) continue;
      for (const partition of partitions) {
        if (partition >= (partitionCounts.get(topic) ?? 0)) continue;
        const key = keyOf({ topic, partition });
        const known = latest.get(key);
        if (known === undefined || known.generation < subscription.generation)
          latest.set(key, subscription);
      }
    }
  }
  return new Map([...latest].map(([key, { memberId }]) => [key, memberId]));
}

function keyOf({ topic, partition }: AssignedPartition): string {
  return `${topic}:${partition}`;
}

/** Every partition, in the order of topics. */
function* partitionsOf(partitionCounts: ReadonlyMap<string, number>): Generator<AssignedPartition> {
  const sorted = [...partitionCounts].sort(([left], [right]) => (left < right ? -1 : 1));
  for (const [topic, count] of sorted)
    for (let partition = 0; partition < count; partition++) yield { topic, partition };
}

function emptyAssignment(
  subscriptions: readonly Subscription[],
): Map<string, Map<string, number[]>> {
  return new Map(
    subscriptions.map(({ memberId }) => [memberId, new Map<string, number[]>()] as const),
  );
}

function add(
  assignment: Map<string, Map<string, number[]>>,
  memberId: string,
  topic: string,
  partition: number,
): void {
  const byTopic = assignment.get(memberId);
  const known = byTopic?.get(topic);
  if (known === undefined) byTopic?.set(topic, [partition]);
  else known.push(partition);
}
