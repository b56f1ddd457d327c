/**
 * Where replicas go: partitions are spread over the live brokers in turn, and on each broker into the directory that holds
 * the fewest.
 */
import { ErrorCode } from "#common/error-code.ts";
import { ZERO_UUID } from "#common/uuid.ts";
import { liveBrokers } from "#metadata/cluster-image.ts";
import type { BrokerImage, ClusterImage, PartitionImage } from "#metadata/cluster-image.ts";
import type { Refusal } from "./decision.ts";

/** Replicas of each new partition, leader first, or why there can be none. */
export type Placement =
  | { readonly assignments: readonly (readonly number[])[]; readonly refusal: null }
  | { readonly assignments: null; readonly refusal: Refusal };

/**
 * Places `partitionCount` partitions.
 *
 * @param start - broker, by index, that leads the first one.
 */
export function placeReplicas(
  image: ClusterImage,
  partitionCount: number,
  replicationFactor: number,
  start: number,
): Placement {
  const brokers = liveBrokers(image).filter(hasOpenDirectory);
  if (replicationFactor > brokers.length) {
    const errorMessage =
      `Unable to replicate the partition ${replicationFactor} time(s): The target replication factor of ` +
      `${replicationFactor} cannot be reached because only ${brokers.length} broker(s) are registered or some brokers ` +
      "have all their log directories cordoned.";
    return {
      assignments: null,
      refusal: { errorCode: ErrorCode.INVALID_REPLICATION_FACTOR, errorMessage },
    };
  }
  const assignments: number[][] = [];
  for (let partition = 0; partition < partitionCount; partition++) {
    const replicas: number[] = [];
    for (let replica = 0; replica < replicationFactor; replica++) {
      const broker = brokers[(start + partition + replica) % brokers.length];
      if (broker !== undefined) replicas.push(broker.id);
    }
    assignments.push(replicas);
  }
  return { assignments, refusal: null };
}

function hasOpenDirectory(broker: BrokerImage): boolean {
  return (
    broker.logDirs.length === 0 || broker.logDirs.some((id) => !broker.cordonedLogDirs.includes(id))
  );
}

/** Checks replicas somebody chose by hand. */
export function checkManualReplicas(
  image: ClusterImage,
  replicas: readonly number[],
): string | null {
  if (replicas.length === 0)
    return "The manual partition assignment includes an empty replica list.";
  const seen = new Set<number>();
  for (const id of [...replicas].sort((left, right) => left - right)) {
    if (!image.brokers.has(id)) {
      return `The manual partition assignment includes broker ${id}, but no such broker is registered.`;
    }
    if (seen.has(id))
      return `The manual partition assignment includes the broker ${id} more than once.`;
    seen.add(id);
  }
  return null;
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

/** A new partition led by its first live replica; replicas that are not live are not in its ISR. */
export function newPartition(
  image: ClusterImage,
  partitionId: number,
  replicas: readonly number[],
  directories: DirectoryChooser,
): PartitionImage {
  const isr = replicas.filter((id) => image.brokers.get(id)?.isFenced === false);
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
