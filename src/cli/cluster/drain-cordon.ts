/**
 * A node that is being emptied gets no replicas of new topics: its log directories are cordoned before the first move, and stay so until it is
 * forgotten or `sluice cluster undrain` takes it into use again. Where that cannot be done (a node that does not run, a cluster that has no place for it)
 * the drain goes on without, and says so.
 */
import { ClientError } from "#client/client-error.ts";
import type { Cluster } from "#client/cluster.ts";
import { cordonBroker, cordonedBrokers, uncordonBroker } from "#client/cordon.ts";

/** How long a node may take to act on its configuration. */
const LOOK_MS = 50;
const LOOKS_MAX = 100;

/** Cordons a node for its drain; null, or why it cannot be. */
export async function cordonForDrain(
  cluster: Cluster,
  node: number,
  isServing: boolean,
): Promise<string | null> {
  if (!isServing) return "it does not run";
  try {
    await cordonBroker(cluster, node);
    for (let look = 0; look < LOOKS_MAX; look += 1) {
      if ((await cordonedBrokers(cluster)).has(node)) return null;
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
    }
    // Brokers store keys that they do not know.
    await uncordonBroker(cluster, node);
    return "it does not act on cordoned.log.dirs";
  } catch (error) {
    if (error instanceof ClientError) return error.message;
    throw error;
  }
}

/** What a person is told of it. */
export function cordonLine(node: number, refusal: string | null): string {
  return refusal === null
    ? `node ${node} is cordoned: it gets no replicas of new topics. 'sluice cluster undrain ${node}' takes that back.\n`
    : `node ${node} cannot be cordoned, and may get replicas of new topics while it runs: ${refusal}\n`;
}
