/**
 * What a drain may take of the brokers' network: the rates and lists that `kafka-reassign-partitions --throttle` sets (KIP-73). Replicas in
 * sync are never held back by them.
 *
 * All of it lies in the cluster's configuration, so that moves go on at the rate when the command is interrupted; the one that ends the
 * drain takes it away. What is to be taken away shows from the lists themselves: a partition among whose throttled leaders is the node that
 * holds nothing any more was throttled for its sake.
 */
import { alterConfigs, describeConfigs, describeTopicConfigs } from "#client/configs.ts";
import type { Cluster } from "#client/cluster.ts";

/** A partition on its way: who has it, and who gets it. */
export interface ThrottledMove {
  readonly topic: string;
  readonly partition: number;
  readonly sources: readonly number[];
  readonly destinations: readonly number[];
}

/** Entries of a topic's two lists, `partition:broker`. */
export interface ThrottledEntries {
  readonly leaders: readonly string[];
  readonly followers: readonly string[];
}

const LEADERS = "leader.replication.throttled.replicas";
const FOLLOWERS = "follower.replication.throttled.replicas";
const RATES = ["leader.replication.throttled.rate", "follower.replication.throttled.rate"];
/** Stands for every replica of a topic. */
const ALL = "*";

/** What throttles these moves, by topic: all that may be read from, and those that read. */
export function entriesOf(moves: readonly ThrottledMove[]): ReadonlyMap<string, ThrottledEntries> {
  const byTopic = Map.groupBy(moves, ({ topic }) => topic);
  return new Map(
    [...byTopic].map(([topic, rows]) => [
      topic,
      {
        leaders: rows.flatMap(({ partition, sources }) =>
          sources.map((id) => `${partition}:${id}`),
        ),
        followers: rows.flatMap(({ partition, sources, destinations }) =>
          destinations.filter((id) => !sources.includes(id)).map((id) => `${partition}:${id}`),
        ),
      },
    ]),
  );
}

/** What a topic's lists hold of moves off `node`, which are over. */
export function leftBehind(
  node: number,
  { leaders, followers }: ThrottledEntries,
): ThrottledEntries {
  const partitionOf = (entry: string): string => entry.slice(0, Math.max(0, entry.indexOf(":")));
  const moved = new Set(
    leaders.filter((entry) => entry === `${partitionOf(entry)}:${node}`).map(partitionOf),
  );
  const isOver = (entry: string): boolean => moved.has(partitionOf(entry));
  return { leaders: leaders.filter(isOver), followers: followers.filter(isOver) };
}

/** See the head of the file. */
export class DrainThrottle {
  readonly #cluster: Cluster;
  readonly #node: number;
  /** Bytes per second of each broker, in and out; null for no throttle. */
  readonly #rate: number | null;
  readonly #rated: Set<number> = new Set();

  constructor(cluster: Cluster, node: number, rate: number | null) {
    this.#cluster = cluster;
    this.#node = node;
    this.#rate = rate;
  }

  get isSet(): boolean {
    return this.#rate !== null;
  }

  /** Throttles moves before they begin. @param serving - brokers that can be given a rate: one that is away reads and sends nothing. */
  async cover(moves: readonly ThrottledMove[], serving: ReadonlySet<number>): Promise<void> {
    if (this.#rate === null || moves.length === 0) return;
    const concerned = moves.flatMap(({ sources, destinations }) => [...sources, ...destinations]);
    for (const id of new Set(concerned)) {
      if (this.#rated.has(id) || !serving.has(id)) continue;
      const changes = RATES.map(
        (name) => ({ name, operation: "set", value: String(this.#rate) }) as const,
      );
      await alterConfigs(this.#cluster, { type: "broker", name: String(id) }, changes);
      this.#rated.add(id);
    }
    const entries = entriesOf(moves);
    const lists = await this.#lists([...entries.keys()]);
    for (const [topic, { leaders, followers }] of entries) {
      const held = lists.get(topic);
      // Deleted meanwhile; its moves are refused.
      if (held === undefined) continue;
      const changes = [
        ...addition(LEADERS, leaders, held.leaders),
        ...addition(FOLLOWERS, followers, held.followers),
      ];
      if (changes.length > 0)
        await alterConfigs(this.#cluster, { type: "topic", name: topic }, changes);
    }
  }

  /** Takes away what throttled the moves off the node, all of which are over, and the rates once nothing is throttled by them. */
  async lift(topics: readonly string[], serving: ReadonlySet<number>): Promise<void> {
    let isLifted = this.#rated.size > 0;
    let isInUse = false;
    for (const [topic, held] of await this.#lists(topics)) {
      const over = leftBehind(this.#node, held);
      const changes = [
        ...removal(LEADERS, over.leaders, held.leaders),
        ...removal(FOLLOWERS, over.followers, held.followers),
      ];
      const isLeft =
        held.leaders.length > over.leaders.length || held.followers.length > over.followers.length;
      if (isLeft) isInUse = true;
      if (changes.length === 0) continue;
      isLifted = true;
      await alterConfigs(this.#cluster, { type: "topic", name: topic }, changes);
    }
    if (!isLifted || isInUse) return;
    for (const id of serving) {
      const resource = { type: "broker", name: String(id) } as const;
      const rates = await describeConfigs(this.#cluster, resource, { keys: RATES });
      const own = rates.filter(({ source }) => source === "broker");
      const changes = own.map(({ name }) => ({ name, operation: "unset", value: null }) as const);
      if (changes.length > 0) await alterConfigs(this.#cluster, resource, changes);
    }
  }

  async #lists(topics: readonly string[]): Promise<ReadonlyMap<string, ThrottledEntries>> {
    const described = await describeTopicConfigs(this.#cluster, topics, [LEADERS, FOLLOWERS]);
    return new Map(
      [...described].map(([topic, rows]) => {
        const list = (key: string): string[] => {
          const value = rows.find(({ name }) => name === key)?.value ?? "";
          return value.split(",").flatMap((entry) => (entry.trim() === "" ? [] : [entry.trim()]));
        };
        return [topic, { leaders: list(LEADERS), followers: list(FOLLOWERS) }];
      }),
    );
  }
}

type ListChange = Parameters<typeof alterConfigs>[2][number];

function addition(name: string, wanted: readonly string[], held: readonly string[]): ListChange[] {
  const missing = held.includes(ALL) ? [] : wanted.filter((entry) => !held.includes(entry));
  return missing.length === 0 ? [] : [{ name, operation: "append", value: missing.join(",") }];
}

function removal(name: string, over: readonly string[], held: readonly string[]): ListChange[] {
  if (over.length === 0) return [];
  return over.length === held.length
    ? [{ name, operation: "unset", value: null }]
    : [{ name, operation: "subtract", value: over.join(",") }];
}
