/**
 * A node that is being emptied gets no replicas of new topics: its log directories are cordoned before the first move, and stay so until it is
 * forgotten or `sluice cluster undrain` takes it into use again. Where that cannot be done (a node that does not run, a cluster that has no place for it)
 * the drain goes on without, and says so.
 */
import { ClientError } from "#client/client-error.ts";
import type { Cluster } from "#client/cluster.ts";
import { cordonBroker } from "#client/cordon.ts";

/** Cordons a node for its drain; null, or why it cannot be. */
export async function cordonForDrain(
  cluster: Cluster,
  node: number,
  isServing: boolean,
): Promise<string | null> {
  if (!isServing) return "it does not run";
  try {
    await cordonBroker(cluster, node);
    return null;
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
