/** What a run asks a cluster before and after a fault: who controls, who leads, whether all replicas are in sync again. */
import {
  CreateTopicsApi,
  makeCreatableReplicaAssignment,
  makeCreatableTopic,
  makeCreatableTopicConfig,
  makeCreateTopicsRequest,
} from "#protocol/generated/create-topics.ts";
import {
  DescribeQuorumApi,
  makeDescribeQuorumRequest,
} from "#protocol/generated/describe-quorum.ts";
import { ElectLeadersApi, makeElectLeadersRequest } from "#protocol/generated/elect-leaders.ts";
import { Wire } from "../../test/differential/wire.ts";
import type { BrokerCluster } from "../../test/support/cluster-process.ts";
import { until } from "../../test/support/process.ts";
import { askMetadata, type PartitionView } from "./probe.ts";

const PATIENCE_MS = 120_000;
const PREFERRED = 0;

/** Addresses of the nodes by id. */
export function addressesOf(cluster: BrokerCluster): Map<number, string> {
  return new Map(cluster.nodes.map(({ id, bootstrap }) => [id, bootstrap]));
}

async function withAny<T>(
  cluster: BrokerCluster,
  work: (wire: Wire) => Promise<T>,
): Promise<T | null> {
  for (const { bootstrap } of cluster.nodes) {
    try {
      using wire = await Wire.connect(bootstrap, "failover");
      return await work(wire);
    } catch {
      // The next node is asked.
    }
  }
  return null;
}

/** Node id of the active controller; -1 when nobody says. */
export async function controllerOf(cluster: BrokerCluster): Promise<number> {
  const request = makeDescribeQuorumRequest({
    topics: [{ topicName: "__cluster_metadata", partitions: [{ partitionIndex: 0 }] }],
  });
  const answer = await withAny(cluster, (wire) => wire.send(DescribeQuorumApi, 0, request));
  return answer?.topics[0]?.partitions[0]?.leaderId ?? -1;
}

/** Partitions of a topic in order, as each node tells it; empty for a node that does not. */
export async function viewsOf(cluster: BrokerCluster, topic: string): Promise<PartitionView[][]> {
  return await Promise.all(
    cluster.nodes.map(async ({ bootstrap }) => {
      const answer = await askMetadata([bootstrap], topic);
      const partitions = answer?.topics[0]?.partitions ?? [];
      return [...partitions]
        .sort((left, right) => left.partitionIndex - right.partitionIndex)
        .map(({ leaderId, isrNodes, replicaNodes }) => ({
          leader: leaderId,
          isr: isrNodes,
          replicas: replicaNodes,
        }));
    }),
  );
}

/** Makes a topic with a partition that each node prefers to lead, on all nodes, and waits until they do. */
export async function makeTopic(cluster: BrokerCluster, topic: string): Promise<void> {
  const ids = cluster.nodes.map(({ id }) => id);
  const assignments = ids.map((_, partitionIndex) =>
    makeCreatableReplicaAssignment({
      partitionIndex,
      brokerIds: ids.map((__, at) => ids[(partitionIndex + at) % ids.length] ?? -1),
    }),
  );
  const wanted = makeCreatableTopic({
    name: topic,
    numPartitions: -1,
    replicationFactor: -1,
    assignments,
    configs: [makeCreatableTopicConfig({ name: "min.insync.replicas", value: "2" })],
  });
  const request = makeCreateTopicsRequest({ topics: [wanted], timeoutMs: 10_000 });
  let code = -1;
  await until(
    async () => {
      const answer = await withAny(cluster, (wire) => wire.send(CreateTopicsApi, 5, request));
      code = answer?.topics[0]?.errorCode ?? -1;
      return code === 0 || code === 36;
    },
    PATIENCE_MS,
    () => `CreateTopics: error ${code}`,
  );
  await restoreLeaders(cluster, topic);
}

/** Waits until every replica is in sync, then gives each partition its preferred leader. Resolves with the time until all were in sync, ms. */
export async function restoreLeaders(cluster: BrokerCluster, topic: string): Promise<number> {
  const startedMs = performance.now();
  let views: PartitionView[][] = [];
  const describe = (): string => `${topic} does not recover: ${JSON.stringify(views)}`;
  // A node that was cut off still tells what was: all must say the same.
  const all = (isAsWanted: (partition: PartitionView) => boolean): boolean =>
    views.every((view) => view.length === cluster.nodes.length && view.every(isAsWanted));
  await until(
    async () => {
      views = await viewsOf(cluster, topic);
      return all(({ isr, replicas }) => isr.length === replicas.length);
    },
    PATIENCE_MS,
    describe,
  );
  const inSyncMs = performance.now() - startedMs;
  const request = makeElectLeadersRequest({
    electionType: PREFERRED,
    topicPartitions: [{ topic, partitions: cluster.nodes.map((_, at) => at) }],
    timeoutMs: 10_000,
  });
  await until(
    async () => {
      await withAny(cluster, (wire) => wire.send(ElectLeadersApi, 2, request));
      views = await viewsOf(cluster, topic);
      return all(({ leader, replicas }) => leader === replicas[0]);
    },
    PATIENCE_MS,
    describe,
  );
  return inSyncMs;
}
