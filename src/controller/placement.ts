/**
 * Where replicas go. Partitions are striped over racks and, within a rack, over its brokers: each partition begins one rack and one
 * broker further than the one before, so that replicas of a partition lie in as many racks as there are, and leaders are spread.
 * Brokers that serve are taken before fenced ones, and the leader always serves. When every broker that serves has led once, the
 * order is shuffled, so that the same brokers are not always together.
 *
 * ```
 * rack a: 1 2   rack b: 3 4   three partitions, two replicas each:   [1, 3]  [4, 2]  [2, 3] …
 * ```
 * On each broker a replica goes into the directory that holds the fewest.
 *
 * @see KIP-36, KIP-858
 */
import { ErrorCode } from "#common/error-code.ts";
import type { Random } from "#common/time.ts";
import { ZERO_UUID } from "#common/uuid.ts";
import type { BrokerImage, ClusterImage, PartitionImage } from "#metadata/cluster-image.ts";
import { isActiveBroker } from "./broker-state.ts";
import type { DecisionInput, Refusal } from "./decision.ts";

/** Replicas of each new partition, leader first, or why there can be none. */
export type Placement =
  | { readonly assignments: readonly (readonly number[])[]; readonly refusal: null }
  | { readonly assignments: null; readonly refusal: Refusal };

/** Places partitions of a new topic, or more partitions of one. */
export function placeReplicas(
  input: DecisionInput,
  partitionCount: number,
  replicationFactor: number,
): Placement {
  const brokers = usableBrokers(input);
  const error = placementError(brokers, replicationFactor);
  if (error !== null) return { assignments: null, refusal: error };
  const stripes = new Stripes(brokers, input.random);
  const assignments: (readonly number[])[] = [];
  for (let partition = 0; partition < partitionCount; partition++) {
    assignments.push(stripes.place(replicationFactor));
  }
  return { assignments, refusal: null };
}

/**
 * Brokers that replicas may be placed on. In a cluster a fenced one will be back; one on its way out is left out. A node that is
 * alone has nobody to wait for.
 */
function usableBrokers({ image, cluster }: DecisionInput): BrokerImage[] {
  return [...image.brokers.values()]
    .filter((broker) => (cluster === null ? !broker.isFenced : true))
    .filter((broker) => broker.isFenced || !broker.isInControlledShutdown)
    .filter(hasOpenDirectory)
    .sort((left, right) => left.id - right.id);
}

function placementError(
  brokers: readonly BrokerImage[],
  replicationFactor: number,
): Refusal | null {
  if (brokers.every(({ isFenced }) => isFenced)) {
    return unplaceable(
      "All brokers are currently fenced, or have all their log directories cordoned.",
    );
  }
  if (replicationFactor <= brokers.length) return null;
  return unplaceable(
    `The target replication factor of ${replicationFactor} cannot be reached because only ` +
      `${brokers.length} broker(s) are registered or some brokers have all their log directories cordoned.`,
  );
}

function unplaceable(errorMessage: string): Refusal {
  return { errorCode: ErrorCode.INVALID_REPLICATION_FACTOR, errorMessage };
}

/** Brokers in a ring; each round begins one further. */
class Ring {
  #ids: number[];
  #start: number;
  #taken = 0;

  constructor(ids: readonly number[], random: Random) {
    this.#ids = [...ids];
    this.#start = Math.floor(random.next() * Math.max(1, ids.length));
  }

  /** The next broker of this round, or null when all were given. */
  next(): number | null {
    if (this.#taken >= this.#ids.length) return null;
    const id = this.#ids[(this.#start + this.#taken) % this.#ids.length];
    this.#taken += 1;
    return id ?? null;
  }

  /** Begins the next round; a ring that nobody took from stays where it is. */
  turn(): void {
    if (this.#taken > 0) this.#start = (this.#start + 1) % this.#ids.length;
    this.#taken = 0;
  }

  shuffle(random: Random): void {
    this.#ids = shuffled(this.#ids, random);
  }
}

interface Rack {
  readonly serving: Ring;
  readonly fenced: Ring;
}

/** See the head of the file. */
class Stripes {
  readonly #random: Random;
  readonly #servingCount: number;
  #racks: Rack[];
  #start: number;
  #placed = 0;

  constructor(brokers: readonly BrokerImage[], random: Random) {
    this.#random = random;
    this.#servingCount = brokers.filter(({ isFenced }) => !isFenced).length;
    const byName = Map.groupBy(brokers, ({ rack }) => rack ?? "");
    const names = [...byName.keys()].sort();
    this.#racks = names.map((name) => {
      const inRack = byName.get(name) ?? [];
      const idsOf = (isFenced: boolean): number[] =>
        inRack.filter((broker) => broker.isFenced === isFenced).map(({ id }) => id);
      return {
        serving: new Ring(idsOf(false), random),
        fenced: new Ring(idsOf(true), random),
      };
    });
    this.#start = Math.floor(random.next() * this.#racks.length);
  }

  /** Replicas of the next partition: there are at least as many brokers, and one of them serves. */
  place(replicationFactor: number): number[] {
    if (this.#placed === this.#servingCount && this.#servingCount > 1) this.#shuffle();
    const leads = this.#firstServing();
    const replicas = [leads.id];
    // From the first rack on, round and round; the one that gave the leader is passed over once.
    let isPassed = false;
    for (let at = this.#start; replicas.length < replicationFactor; at++) {
      const rack = this.#rackAt(at);
      if (rack === leads.rack && !isPassed) {
        isPassed = true;
        continue;
      }
      const id = rack.serving.next() ?? rack.fenced.next();
      if (id !== null) replicas.push(id);
    }
    for (const { serving, fenced } of this.#racks) {
      serving.turn();
      fenced.turn();
    }
    this.#start += 1;
    this.#placed += 1;
    return replicas;
  }

  #firstServing(): { readonly rack: Rack; readonly id: number } {
    for (let at = this.#start; ; at++) {
      const rack = this.#rackAt(at);
      const id = rack.serving.next();
      if (id !== null) return { rack, id };
    }
  }

  #rackAt(index: number): Rack {
    const rack = this.#racks[index % this.#racks.length];
    if (rack === undefined) throw new RangeError("there are no racks to place replicas in");
    return rack;
  }

  #shuffle(): void {
    this.#racks = shuffled(this.#racks, this.#random);
    for (const { serving, fenced } of this.#racks) {
      serving.shuffle(this.#random);
      fenced.shuffle(this.#random);
    }
    this.#placed = 0;
  }
}

function shuffled<T>(items: readonly T[], random: Random): T[] {
  return items
    .map((item) => ({ item, key: random.next() }))
    .sort((left, right) => left.key - right.key)
    .map(({ item }) => item);
}

function hasOpenDirectory(broker: BrokerImage): boolean {
  return (
    broker.logDirs.length === 0 || broker.logDirs.some((id) => !broker.cordonedLogDirs.includes(id))
  );
}

/**
 * Checks replicas somebody chose by hand.
 *
 * @param replicationFactor - replicas that the other partitions of the topic have.
 */
export function checkManualReplicas(
  image: ClusterImage,
  replicas: readonly number[],
  replicationFactor: number = replicas.length,
): string | null {
  if (replicas.length === 0)
    return "The manual partition assignment includes an empty replica list.";
  const seen = new Set<number>();
  for (const id of [...replicas].sort((left, right) => left - right)) {
    const broker = image.brokers.get(id);
    if (broker === undefined) {
      return `The manual partition assignment includes broker ${id}, but no such broker is registered.`;
    }
    if (!hasOpenDirectory(broker)) {
      return `The manual partition assignment includes broker ${id}, but all its log directories are cordoned.`;
    }
    if (seen.has(id))
      return `The manual partition assignment includes the broker ${id} more than once.`;
    seen.add(id);
  }
  if (replicas.length === replicationFactor) return null;
  return (
    `The manual partition assignment includes a partition with ${replicas.length} replica(s), but this is not ` +
    `consistent with previous partitions, which have ${replicationFactor} replica(s).`
  );
}

/** Checks that somebody serves who could lead a partition of these replicas. */
export function checkServed(
  image: ClusterImage,
  partitionId: number,
  replicas: readonly number[],
): string | null {
  if (replicas.some((id) => isActiveBroker(image, id))) return null;
  return (
    `All brokers specified in the manual partition assignment for partition ${partitionId} ` +
    "are fenced or in controlled shutdown."
  );
}

/** Chooses a directory on each broker for one new partition after another, keeping count of what it gave out. */
export class DirectoryChooser {
  readonly #image: ClusterImage;
  readonly #counts = new Map<string, number>();
  #isCounted = false;

  constructor(image: ClusterImage) {
    this.#image = image;
  }

  /** Directory id for a replica on a broker; `ZERO_UUID` when the broker told of none. */
  choose(brokerId: number): string {
    const broker = this.#image.brokers.get(brokerId);
    const open = (broker?.logDirs ?? []).filter(
      (id) => broker?.cordonedLogDirs.includes(id) !== true,
    );
    const [only] = open;
    if (only === undefined) return ZERO_UUID;
    if (open.length === 1) return only;
    this.#count();
    const best = open.reduce((left, right) => (this.#of(right) < this.#of(left) ? right : left));
    this.#counts.set(best, this.#of(best) + 1);
    return best;
  }

  #of(directoryId: string): number {
    return this.#counts.get(directoryId) ?? 0;
  }

  #count(): void {
    if (this.#isCounted) return;
    this.#isCounted = true;
    for (const topic of this.#image.topicsById.values()) {
      for (const { directories } of topic.partitions) {
        for (const id of directories) this.#counts.set(id, this.#of(id) + 1);
      }
    }
  }
}

/** A new partition led by its first replica that serves; replicas that do not are not in its ISR. */
export function newPartition(
  image: ClusterImage,
  partitionId: number,
  replicas: readonly number[],
  directories: DirectoryChooser,
): PartitionImage {
  const isr = replicas.filter((id) => isActiveBroker(image, id));
  return {
    partitionId,
    leader: isr[0] ?? -1,
    leaderEpoch: 0,
    partitionEpoch: 0,
    leaderRecoveryState: 0,
    replicas,
    isr,
    removingReplicas: [],
    addingReplicas: [],
    directories: replicas.map((id) => directories.choose(id)),
    eligibleLeaderReplicas: [],
    lastKnownElr: [],
  };
}
