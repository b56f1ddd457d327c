/** What every test of a live cluster does: asks it something, waits for it to come true, and tells what its nodes said when it does not. */
import { Cluster } from "#client/cluster.ts";
import type { BrokerCluster, ClusterNode } from "./cluster-process.ts";
import { until } from "./process.ts";

/** The machine may be slow: what takes longer than this does not happen any more, ms. */
export const CLUSTER_PATIENCE_MS = 60_000;

/** Whatever has a name and a log. */
export type Logging = Pick<ClusterNode, "name" | "log">;

/** The ends of the nodes' logs. */
export function logTails(nodes: readonly Logging[]): string {
  return nodes.map((node) => `--- ${node.name}\n${node.log().slice(-2500)}`).join("\n");
}

/** Waits until something is so. @throws Error with the nodes' logs after `CLUSTER_PATIENCE_MS`. */
export async function waitForNodes(
  nodes: readonly Logging[],
  what: string,
  isReached: () => boolean | Promise<boolean>,
): Promise<void> {
  await until(isReached, CLUSTER_PATIENCE_MS, () => `no ${what}\n${logTails(nodes)}`);
}

/** Asks the brokers that run, through a client of its own. */
export async function askCluster<T>(
  cluster: BrokerCluster,
  question: (client: Cluster) => Promise<T>,
): Promise<T> {
  const bootstrap = cluster.nodes
    .filter(({ pid, isBroker }) => pid !== null && isBroker)
    .map(({ port }) => ({ host: "127.0.0.1", port }));
  using client = await Cluster.connect({ bootstrap });
  return await question(client);
}
