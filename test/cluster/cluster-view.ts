/**
 * A cluster as it looks from outside while parts of it are cut off: every node is asked, and the newest leader epoch is believed. A node
 * in a minority still tells what was; that is why no single answer will do.
 */
import {
  DescribeQuorumApi,
  makeDescribeQuorumRequest,
} from "#protocol/generated/describe-quorum.ts";
import {
  makeMetadataRequest,
  makeMetadataRequestTopic,
  MetadataApi,
  type MetadataResponse,
} from "#protocol/generated/metadata.ts";
import { within } from "../crash/load.ts";
import { Wire } from "../differential/wire.ts";
import type { BrokerCluster, ClusterNode } from "../support/cluster-process.ts";

/** What a node may take to answer, ms; with packets lost on the way, one resent and one more. */
const ANSWER_TIMEOUT_MS = 800;
/** How long an answer is good for, ms. */
const FRESH_MS = 100;

/** One partition as one node tells it. */
export interface PartitionRow {
  readonly partition: number;
  readonly leader: number;
  readonly leaderEpoch: number;
  readonly isr: readonly number[];
  readonly replicas: readonly number[];
}

/** What one node tells. */
export interface NodeView {
  readonly nodeId: number;
  /** Brokers it believes to be in service. */
  readonly brokers: readonly number[];
  readonly topics: ReadonlyMap<string, readonly PartitionRow[]>;
}

async function ask<T>(node: ClusterNode, work: (wire: Wire) => Promise<T>): Promise<T | null> {
  if (node.pid === null) return null;
  try {
    using wire = await within(Wire.connect(node.bootstrap, "view"), ANSWER_TIMEOUT_MS);
    return await within(work(wire), ANSWER_TIMEOUT_MS);
  } catch {
    return null;
  }
}

function toView(nodeId: number, answer: MetadataResponse): NodeView {
  const topics = answer.topics.map(({ name, partitions }) => {
    const rows = partitions.map((row) => ({
      partition: row.partitionIndex,
      leader: row.leaderId,
      leaderEpoch: row.leaderEpoch,
      isr: row.isrNodes.toSorted((a, b) => a - b),
      replicas: row.replicaNodes.toSorted((a, b) => a - b),
    }));
    return [name ?? "", rows.toSorted((a, b) => a.partition - b.partition)] as const;
  });
  const brokers = answer.brokers.map((broker) => broker.nodeId).toSorted((a, b) => a - b);
  return { nodeId, brokers, topics: new Map(topics) };
}

/** What each node that answers tells about `topics`. */
export async function viewsOf(
  cluster: BrokerCluster,
  topics: readonly string[],
): Promise<NodeView[]> {
  const request = makeMetadataRequest({
    topics: topics.map((name) => makeMetadataRequestTopic({ name })),
    allowAutoTopicCreation: false,
  });
  const views = await Promise.all(
    cluster.nodes.map(async (node) => {
      const answer = await ask(node, (wire) => wire.send(MetadataApi, 8, request));
      return answer === null ? null : toView(node.id, answer);
    }),
  );
  return views.filter((view) => view !== null);
}

/** Node id of the active controller by the highest epoch that anybody tells; -1 when nobody does. */
export async function controllerOf(cluster: BrokerCluster): Promise<number> {
  const request = makeDescribeQuorumRequest({
    topics: [{ topicName: "__cluster_metadata", partitions: [{ partitionIndex: 0 }] }],
  });
  const answers = await Promise.all(
    cluster.nodes.map((node) => ask(node, (wire) => wire.send(DescribeQuorumApi, 0, request))),
  );
  let best = { leaderId: -1, leaderEpoch: -1 };
  for (const answer of answers) {
    const row = answer?.topics[0]?.partitions[0];
    if (row !== undefined && row.errorCode === 0 && row.leaderEpoch > best.leaderEpoch) best = row;
  }
  return best.leaderId;
}

/** Why a cluster is not whole yet, or null: every node answers, knows all brokers, and every replica of `topics` is in sync everywhere. */
export function whyNotWhole(
  cluster: BrokerCluster,
  topics: readonly string[],
  views: readonly NodeView[],
): string | null {
  const ids = cluster.nodes.map(({ id }) => id).toSorted((a, b) => a - b);
  for (const id of ids) {
    const view = views.find(({ nodeId }) => nodeId === id);
    if (view === undefined) return `node ${id} does not answer`;
    if (view.brokers.join(",") !== ids.join(","))
      return `node ${id} knows the brokers ${view.brokers.join(",")} of ${ids.join(",")}`;
    for (const topic of topics) {
      const rows = view.topics.get(topic) ?? [];
      if (rows.length === 0) return `node ${id} does not know ${topic}`;
      for (const { partition, leader, isr, replicas } of rows)
        if (leader < 0 || isr.length !== replicas.length)
          return `node ${id}: ${topic}-${partition} has leader ${leader}, ISR ${isr.join(",")} of ${replicas.join(",")}`;
      if (JSON.stringify(rows) !== JSON.stringify(views[0]?.topics.get(topic)))
        return `nodes ${views[0]?.nodeId} and ${id} disagree about ${topic}`;
    }
  }
  return null;
}

/** Where the leaders of a topic's partitions are; asked again when an answer is old. */
export class Routes {
  readonly #cluster: BrokerCluster;
  readonly #topic: string;
  #asking: Promise<ReadonlyMap<number, PartitionRow>> | null = null;
  #askedMs = 0;

  constructor(cluster: BrokerCluster, topic: string) {
    this.#cluster = cluster;
    this.#topic = topic;
  }

  /** Address of a partition's leader; rejects while none is known. */
  async addressOf(partition: number): Promise<string> {
    const leader = await this.leaderOf(partition);
    const node = this.#cluster.nodes.find(({ id }) => id === leader);
    if (node === undefined) throw new Error(`partition ${partition} has no leader`);
    return node.bootstrap;
  }

  /** Node id of a partition's leader, -1 while none is known. */
  async leaderOf(partition: number): Promise<number> {
    return (await this.#rows()).get(partition)?.leader ?? -1;
  }

  /** The address of a node that runs, another one at each call. */
  anyAddress(): string {
    const running = this.#cluster.nodes.filter(({ pid }) => pid !== null);
    this.#turn += 1;
    const node = running[this.#turn % Math.max(1, running.length)] ?? this.#cluster.nodes[0];
    if (node === undefined) throw new Error("a cluster without nodes");
    return node.bootstrap;
  }

  #turn = 0;

  #rows(): Promise<ReadonlyMap<number, PartitionRow>> {
    if (this.#asking !== null && performance.now() - this.#askedMs < FRESH_MS) return this.#asking;
    this.#askedMs = performance.now();
    this.#asking = this.#ask();
    return this.#asking;
  }

  async #ask(): Promise<ReadonlyMap<number, PartitionRow>> {
    const newest = new Map<number, PartitionRow>();
    for (const { topics } of await viewsOf(this.#cluster, [this.#topic]))
      for (const row of topics.get(this.#topic) ?? [])
        if (row.leaderEpoch > (newest.get(row.partition)?.leaderEpoch ?? -1))
          newest.set(row.partition, row);
    return newest;
  }
}
