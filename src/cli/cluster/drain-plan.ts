/**
 * Where the replicas of a broker go that is to be emptied. Pure: what the cluster is goes in, moves come out.
 *
 * A replica goes to a broker that serves and has none of its partition: in a rack that holds no other replica of it where there is such a
 * broker, and among those to the one that has the fewest replicas, then the one that is preferred leader of the fewest partitions. It
 * takes the place of the one that leaves. Where that was the preferred leader, whoever of the new replicas is preferred leader of the fewest becomes it. What was
 * moved counts for what is placed next.
 *
 * ```
 * drain 1    [1, 2]  [3, 1]  [2, 3]        brokers 1 2 3 4
 *            [4, 2]  [3, 4]  (untouched)
 * ```
 */

/** A broker as placement sees it. */
export interface DrainBroker {
  readonly id: number;
  readonly rack: string | null;
  /** It may be given replicas: it is registered, serves, and is not cordoned. */
  readonly isOpen: boolean;
}

/** A partition, with the replicas it has once what is under way is done. */
export interface DrainPartition {
  readonly topic: string;
  readonly partition: number;
  readonly replicas: readonly number[];
}

/** One partition's replicas before and after. */
export interface DrainMove {
  readonly topic: string;
  readonly partition: number;
  readonly from: readonly number[];
  readonly to: readonly number[];
}

/** See the head of the file. */
export interface DrainPlan {
  readonly moves: readonly DrainMove[];
  /** Partitions that every other broker that serves has a replica of already. */
  readonly stuck: readonly DrainPartition[];
}

interface Load {
  replicaCount: number;
  preferredCount: number;
}

/** Plans to move every replica of `brokerId` to the others. */
export function planDrain(
  brokerId: number,
  brokers: readonly DrainBroker[],
  partitions: readonly DrainPartition[],
): DrainPlan {
  const racks = new Map(brokers.map(({ id, rack }) => [id, rack]));
  const loads = loadsOf(brokers, partitions);
  const targets = brokers.filter(({ id, isOpen }) => isOpen && id !== brokerId);
  const moves: DrainMove[] = [];
  const stuck: DrainPartition[] = [];
  for (const partition of partitions) {
    const at = partition.replicas.indexOf(brokerId);
    if (at < 0) continue;
    const { topic, replicas } = partition;
    const others = replicas.filter((id) => id !== brokerId);
    const usedRacks = new Set(others.map((id) => racks.get(id) ?? null));
    const rank = ({ id, rack }: DrainBroker): readonly number[] => {
      const { replicaCount = 0, preferredCount = 0 } = loads.get(id) ?? {};
      return [rack !== null && usedRacks.has(rack) ? 1 : 0, replicaCount, preferredCount, id];
    };
    const [target] = targets
      .filter(({ id }) => !others.includes(id))
      .map((broker) => ({ id: broker.id, rank: rank(broker) }))
      .sort((left, right) => compareRanks(left.rank, right.rank));
    if (target === undefined) {
      stuck.push(partition);
      continue;
    }
    const load = loads.get(target.id);
    if (load !== undefined) load.replicaCount += 1;
    const placed = replicas.map((id) => (id === brokerId ? target.id : id));
    const to = at === 0 ? withPreferred(placed, loads) : placed;
    moves.push({ topic, partition: partition.partition, from: replicas, to });
  }
  return { moves, stuck };
}

/** The replicas with the one in front that leads the fewest others by preference; counts it. */
function withPreferred(replicas: readonly number[], loads: ReadonlyMap<number, Load>): number[] {
  const countOf = (id: number): number => loads.get(id)?.preferredCount ?? 0;
  const least = Math.min(...replicas.map(countOf));
  const preferred = replicas.find((id) => countOf(id) === least) ?? -1;
  const load = loads.get(preferred);
  if (load !== undefined) load.preferredCount += 1;
  return [preferred, ...replicas.filter((id) => id !== preferred)];
}

function loadsOf(
  brokers: readonly DrainBroker[],
  partitions: readonly DrainPartition[],
): Map<number, Load> {
  const loads = new Map<number, Load>(
    brokers.map(({ id }) => [id, { replicaCount: 0, preferredCount: 0 }]),
  );
  for (const { replicas } of partitions) {
    for (const [index, id] of replicas.entries()) {
      const load = loads.get(id);
      if (load === undefined) continue;
      load.replicaCount += 1;
      if (index === 0) load.preferredCount += 1;
    }
  }
  return loads;
}

function compareRanks(left: readonly number[], right: readonly number[]): number {
  for (const [index, value] of left.entries()) {
    const difference = value - (right[index] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}
