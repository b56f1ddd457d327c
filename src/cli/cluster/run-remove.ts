/**
 * `sluice cluster remove NODE` at work: makes a cluster forget a node that holds nothing and is stopped. A voter leaves the quorum first, so that
 * it does not count as missing any longer; then what was configured for it (that it is cordoned, since it was drained) is cleared, and its broker
 * unregistered. A node that was forgotten may join again, as a new one.
 */
import {
  type BrokerDescription,
  describeBrokers,
  describeQuorum,
  type QuorumDescription,
} from "#client/cluster-info.ts";
import { ClientError } from "#client/client-error.ts";
import type { Cluster } from "#client/cluster.ts";
import { clearBrokerConfigs } from "#client/cordon.ts";
import { listReassignments, removeVoter, unregisterBroker } from "#client/reassignments.ts";
import { ZERO_UUID } from "#common/uuid.ts";
import type { ClusterArguments } from "../cluster-options.ts";
import type { CommandIo } from "../command-io.ts";
import { CommandError } from "../failure.ts";
import { printJson } from "../output.ts";
import { formatPlural } from "../units.ts";
import { withCluster } from "../with-cluster.ts";
import { readNodeId } from "./node-argument.ts";

/** Options as commander gives them. */
export interface ClusterRemoveOptions extends ClusterArguments {
  readonly json?: true;
}

/** Runs `sluice cluster remove`. */
export async function runClusterRemove(
  nodeText: string,
  options: ClusterRemoveOptions,
  io: CommandIo,
): Promise<void> {
  const node = readNodeId(nodeText);
  await withCluster(options, async (cluster) => {
    const [brokers, quorum] = await Promise.all([
      describeBrokers(cluster),
      describeQuorum(cluster),
    ]);
    const broker = brokers.find(({ id }) => id === node) ?? null;
    const voter =
      quorum?.replicas.find(({ id, role }) => id === node && role !== "observer") ?? null;
    if (broker === null && voter === null) {
      throw new CommandError(`node ${node} is not in this cluster`, [
        "'sluice cluster status' shows who is.",
      ]);
    }
    await requireGone(cluster, node, broker);
    // Voters of a quorum that its configuration fixes have no directory, and cannot be removed.
    const isFixed = voter !== null && voter.directoryId === ZERO_UUID;
    if (voter !== null && !isFixed) await leaveQuorum(cluster, node, quorum, voter.directoryId);
    // Before it is forgotten: Kafka configures registered brokers only.
    const leftover = broker === null ? null : await clearConfigs(cluster, node);
    if (broker !== null) await unregisterBroker(cluster, node);
    if (options.json === true) {
      const result = {
        node,
        wasVoter: voter !== null,
        isVoter: isFixed,
        wasBroker: broker !== null,
        isConfigCleared: broker !== null && leftover === null,
      };
      await printJson(io.stdout, { ...result, result: "removed" });
    } else {
      const roles = [...(voter === null ? [] : ["voter"]), ...(broker === null ? [] : ["broker"])];
      await io.stdout.write(`node ${node} is forgotten (it was ${roles.join(" and ")})\n`);
    }
    if (leftover !== null) {
      await io.stderr.write(
        `What was configured for it stays, and holds for whoever gets that node id next: ${leftover}\n`,
      );
    }
    if (isFixed) {
      await io.stderr.write(
        `It counts as a voter still: controller.quorum.voters fixes who is one. Take node ${node} out of that list on every controller, and restart them.\n`,
      );
    }
  });
}

/** Clears what was configured for the node; null, or why it stays. */
async function clearConfigs(cluster: Cluster, node: number): Promise<string | null> {
  try {
    await clearBrokerConfigs(cluster, node);
    return null;
  } catch (error) {
    if (error instanceof ClientError) return error.message;
    throw error;
  }
}

/** @throws CommandError while the node runs, or holds a replica. */
async function requireGone(
  cluster: Cluster,
  node: number,
  broker: BrokerDescription | null,
): Promise<void> {
  if (broker !== null && !broker.isFenced) {
    throw new CommandError(`node ${node} runs`, [
      `Empty it and stop it first: 'sluice cluster drain ${node}', then SIGTERM to its process.`,
    ]);
  }
  const [topics, reassignments] = await Promise.all([
    cluster.listTopics(),
    listReassignments(cluster),
  ]);
  const held = topics
    .flatMap(({ partitions }) => partitions)
    .filter(({ replicas }) => replicas.includes(node)).length;
  if (held === 0) return;
  const isMoving = reassignments.some(({ removing }) => removing.includes(node));
  throw new CommandError(
    `node ${node} holds ${formatPlural(held, "replica")} still`,
    isMoving
      ? ["They are being moved: 'sluice cluster status' shows how far that is."]
      : [`'sluice cluster drain ${node}' moves them to the others; the node may be stopped.`],
  );
}

/** @throws CommandError where the rest of the voters would be none; ClientError. */
async function leaveQuorum(
  cluster: Cluster,
  node: number,
  quorum: QuorumDescription | null,
  directoryId: string,
): Promise<void> {
  const others = quorum?.replicas.filter(({ id, role }) => id !== node && role !== "observer");
  if (others === undefined || others.length === 0) {
    throw new CommandError(`node ${node} is the only voter of the quorum`);
  }
  await removeVoter(cluster, node, directoryId);
}
