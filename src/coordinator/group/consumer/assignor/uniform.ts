/**
 * The server-side "uniform" assignor: as even as the subscriptions allow, then as little moved as that allows.
 *
 * Partitions are divided pool by pool. A pool is a set of partitions that the same members may have, and dividing it is pouring water into
 * a vessel whose floor is uneven: each member's floor is what it has from elsewhere, and the pool fills up to one level, give or take
 * one partition. A member then keeps what it had up to its share, and only the surplus of some moves to the lack of others.
 *
 * ```
 *   level  ~~~~~~~~~~~~~        Members A to D have 3, 1, 0 and 5 elsewhere. A pool of 5 goes to the floors
 *              # # .            below the level: B and C fill up to A, and D has enough.
 *   floor  A:3 B:1 C:0 D:5
 * ```
 *
 * - When all members want the same topics there is one pool with everything: sizes differ by one at most, and one pass is exact.
 * - Otherwise each topic is a pool. First the partitions without an owner are poured, then whole topics again, until nothing moves: a
 *   better balance of one topic may open one in another.
 *
 * Racks play no part, as in Kafka 4.4. Balance and stickiness are Kafka's; where several targets are equally good, Kafka's choice follows
 * the order of its hash tables and ours the order of `members`.
 */
import type { Assignor, AssignorMember, AssignorTopics, TargetAssignment } from "./assignor.ts";

/** Nobody has the partition. */
const NOBODY = -1;

/** Rounds after which a group of mixed subscriptions is even enough; each about halves what is left, and most need two. */
const MAX_ROUNDS = 16;

/** Owners of a topic's partitions while they are being divided; members are numbers, in the order given. */
interface Topic {
  readonly topicId: string;
  readonly owners: Int32Array;
}

/** Partitions that the same members may have. */
interface Pool {
  readonly topics: readonly Topic[];
  /** Ascending. */
  readonly subscribers: readonly number[];
  readonly partitionCount: number;
}

/**
 * Shares of a pool that make the levels as equal as they can be.
 *
 * @param floors - what each subscriber has from elsewhere.
 * @param held - what each has of this pool; decides who gets one more where it does not come out even.
 * @param amount - partitions to share out.
 */
function pour(floors: readonly number[], held: readonly number[], amount: number): number[] {
  const ascending = floors.toSorted((a, b) => a - b);
  // The level is the mean of the lowest floors plus the water, of as many as lie below it.
  let below = 0;
  let sum = amount;
  while (below < ascending.length && (below === 0 || (ascending[below] ?? 0) * below < sum)) {
    sum += ascending[below] ?? 0;
    below += 1;
  }
  const level = Math.floor(sum / below);
  const shares = floors.map((floor) => Math.max(0, level - floor));
  let rest = amount - shares.reduce((total, share) => total + share, 0);
  for (const wantsHolders of [true, false]) {
    for (let index = 0; index < shares.length && rest > 0; index += 1) {
      const share = shares[index] ?? 0;
      const isHolder = (held[index] ?? 0) > Math.max(0, level - (floors[index] ?? 0));
      if ((floors[index] ?? 0) > level || isHolder !== wantsHolders) continue;
      shares[index] = share + 1;
      rest -= 1;
    }
  }
  return shares;
}

/** The division of a group's partitions while it is worked out. */
class Division {
  readonly #memberIds: readonly string[];
  readonly #topics: ReadonlyMap<string, Topic>;
  /** Partitions of each member, over all topics. */
  readonly #loads: number[];

  constructor(members: readonly AssignorMember[], topics: ReadonlyMap<string, Topic>) {
    this.#memberIds = members.map(({ memberId }) => memberId);
    this.#topics = topics;
    this.#loads = members.map(() => 0);
    members.forEach(({ assigned, subscribedTopicIds }, member) => {
      for (const [topicId, partitions] of assigned) {
        const owners = subscribedTopicIds.has(topicId) ? topics.get(topicId)?.owners : undefined;
        if (owners === undefined) continue;
        for (const partition of partitions) {
          if (owners[partition] !== NOBODY) continue;
          owners[partition] = member;
          this.#addLoad(member, 1);
        }
      }
    });
  }

  /** Gives the partitions of the pool that nobody has to the members with the least. */
  pourUnassigned(pool: Pool): void {
    const nothing = pool.subscribers.map(() => 0);
    const floors = pool.subscribers.map((member) => this.#loads[member] ?? 0);
    let amount = 0;
    for (const { owners } of pool.topics) {
      for (const owner of owners) if (owner === NOBODY) amount += 1;
    }
    if (amount > 0) this.#handOut(pool, pour(floors, nothing, amount));
  }

  /** Divides the whole pool anew. @returns whether anything moved. */
  pourAll(pool: Pool): boolean {
    if (this.#isLevel(pool)) return false;
    const held = this.#heldOf(pool);
    const heldNow = pool.subscribers.map((member) => held.get(member) ?? 0);
    const floors = pool.subscribers.map(
      (member, index) => (this.#loads[member] ?? 0) - (heldNow[index] ?? 0),
    );
    const shares = pour(floors, heldNow, pool.partitionCount);
    const lacks = shares.map((share, index) => Math.max(0, share - (heldNow[index] ?? 0)));
    const keeps = new Map(
      pool.subscribers.map((member, index) => [member, shares[index] ?? 0] as const),
    );
    for (const { owners } of pool.topics) {
      owners.forEach((owner, partition) => {
        if (owner === NOBODY) return;
        const left = keeps.get(owner) ?? 0;
        if (left > 0) keeps.set(owner, left - 1);
        else {
          owners[partition] = NOBODY;
          this.#addLoad(owner, -1);
        }
      });
    }
    this.#handOut(pool, lacks);
    return lacks.some((lack) => lack > 0);
  }

  /** The division as the protocol has it. */
  result(): TargetAssignment {
    const target = this.#memberIds.map(() => new Map<string, number[]>());
    for (const { topicId, owners } of this.#topics.values()) {
      owners.forEach((owner, partition) => {
        const share = target[owner];
        if (share === undefined) return;
        const partitions = share.get(topicId);
        if (partitions === undefined) share.set(topicId, [partition]);
        else partitions.push(partition);
      });
    }
    return new Map(
      this.#memberIds.map((memberId, index) => [memberId, target[index] ?? new Map()]),
    );
  }

  #addLoad(member: number, change: number): void {
    this.#loads[member] = (this.#loads[member] ?? 0) + change;
  }

  /** Whether nothing of the pool is without an owner and no move within it would help, told without sorting. */
  #isLevel(pool: Pool): boolean {
    let least = Infinity;
    for (const member of pool.subscribers) least = Math.min(least, this.#loads[member] ?? 0);
    return pool.topics.every(({ owners }) =>
      owners.every((owner) => owner !== NOBODY && (this.#loads[owner] ?? 0) <= least + 1),
    );
  }

  #heldOf(pool: Pool): ReadonlyMap<number, number> {
    const held = new Map<number, number>();
    for (const { owners } of pool.topics) {
      for (const owner of owners) if (owner !== NOBODY) held.set(owner, (held.get(owner) ?? 0) + 1);
    }
    return held;
  }

  /** Gives the pool's partitions without an owner away: `counts[i]` of them to its i-th subscriber, in order. */
  #handOut(pool: Pool, counts: readonly number[]): void {
    let index = 0;
    let left = counts[0] ?? 0;
    for (const { owners } of pool.topics) {
      for (let partition = 0; partition < owners.length; partition += 1) {
        if (owners[partition] !== NOBODY) continue;
        while (left === 0 && index < counts.length) {
          index += 1;
          left = counts[index] ?? 0;
        }
        const member = pool.subscribers[index];
        if (member === undefined) return;
        owners[partition] = member;
        this.#addLoad(member, 1);
        left -= 1;
      }
    }
  }
}

/** Whether all members want the same topics. */
function isHomogeneous(members: readonly AssignorMember[]): boolean {
  const first = members[0]?.subscribedTopicIds;
  return members.every(({ subscribedTopicIds: each }) => {
    if (first === undefined || each === first) return true;
    if (each.size !== first.size) return false;
    for (const topicId of each) if (!first.has(topicId)) return false;
    return true;
  });
}

/** Members by topic, for each topic that exists. */
function subscribersByTopic(
  members: readonly AssignorMember[],
  topics: AssignorTopics,
): ReadonlyMap<string, number[]> {
  const subscribers = new Map<string, number[]>();
  members.forEach(({ subscribedTopicIds }, member) => {
    for (const topicId of subscribedTopicIds) {
      const known = subscribers.get(topicId);
      if (known !== undefined) known.push(member);
      else if (topics.partitionCount(topicId) > 0) subscribers.set(topicId, [member]);
    }
  });
  return subscribers;
}

/** Pools in the order of pouring: those first that press hardest on their members, then those with the fewest to choose from. */
function comparePools(a: Pool, b: Pool): number {
  const byPressure =
    b.partitionCount / b.subscribers.length - a.partitionCount / a.subscribers.length;
  return byPressure !== 0 ? byPressure : a.subscribers.length - b.subscribers.length;
}

/** `uniform` of `group.consumer.assignors` (KIP-848), the default. */
export const uniformAssignor: Assignor = {
  name: "uniform",
  assign(membersById, topics): TargetAssignment {
    const members = [...membersById.values()];
    const subscribers = subscribersByTopic(members, topics);
    const owned = new Map<string, Topic>();
    for (const topicId of subscribers.keys()) {
      const owners = new Int32Array(topics.partitionCount(topicId)).fill(NOBODY);
      owned.set(topicId, { topicId, owners });
    }
    const division = new Division(members, owned);
    if (isHomogeneous(members)) {
      const all = [...owned.values()];
      const partitionCount = all.reduce((total, { owners }) => total + owners.length, 0);
      const everybody = members.map((_, member) => member);
      if (partitionCount > 0)
        division.pourAll({ topics: all, subscribers: everybody, partitionCount });
      return division.result();
    }
    const pools = [...owned.values()]
      .map((topic): Pool => ({
        topics: [topic],
        subscribers: subscribers.get(topic.topicId) ?? [],
        partitionCount: topic.owners.length,
      }))
      .sort(comparePools);
    for (const pool of pools) division.pourUnassigned(pool);
    for (let round = 0; round < MAX_ROUNDS; round += 1) {
      let hasMoved = false;
      for (const pool of pools) if (division.pourAll(pool)) hasMoved = true;
      if (!hasMoved) break;
    }
    return division.result();
  },
};
