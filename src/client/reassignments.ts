/** Moving replicas between brokers, and forgetting a broker: what an operator asks of the controller. */
import {
  AlterPartitionReassignmentsApi,
  makeAlterPartitionReassignmentsRequest,
  makeReassignablePartition,
  makeReassignableTopic,
} from "#protocol/generated/alter-partition-reassignments.ts";
import {
  ListPartitionReassignmentsApi,
  makeListPartitionReassignmentsRequest,
} from "#protocol/generated/list-partition-reassignments.ts";
import {
  makeRemoveRaftVoterRequest,
  RemoveRaftVoterApi,
} from "#protocol/generated/remove-raft-voter.ts";
import {
  makeUnregisterBrokerRequest,
  UnregisterBrokerApi,
} from "#protocol/generated/unregister-broker.ts";
import { refused } from "./client-error.ts";
import type { Cluster } from "./cluster.ts";

/** A partition whose replicas are on their way. */
export interface Reassignment {
  readonly topic: string;
  readonly partition: number;
  /** All that hold it now, those on their way among them. */
  readonly replicas: readonly number[];
  readonly adding: readonly number[];
  readonly removing: readonly number[];
}

/** Replicas that a partition is to have. */
export interface WantedReplicas {
  readonly topic: string;
  readonly partition: number;
  readonly replicas: readonly number[];
}

const TIMEOUT_MS = 30_000;
/** AlterPartitionReassignments that can be told to keep the replication factor (KIP-860). */
const FACTOR_KEPT_VERSION = 1;

/** Everything that is on its way. */
export async function listReassignments(cluster: Cluster): Promise<readonly Reassignment[]> {
  const connection = await cluster.controller();
  const answer = await connection.send(
    ListPartitionReassignmentsApi,
    makeListPartitionReassignmentsRequest({ topics: null, timeoutMs: TIMEOUT_MS }),
  );
  if (answer.errorCode !== 0) throw refused("reassignments", answer.errorCode, answer.errorMessage);
  return answer.topics.flatMap(({ name, partitions }) =>
    partitions.map(({ partitionIndex, replicas, addingReplicas, removingReplicas }) => ({
      topic: name,
      partition: partitionIndex,
      replicas,
      adding: addingReplicas,
      removing: removingReplicas,
    })),
  );
}

/**
 * Begins to move replicas. The replication factor stays: other lists are refused with INVALID_REPLICATION_FACTOR.
 *
 * @throws ClientError REFUSED for the first partition that is refused; others of the request may have begun.
 */
export async function beginReassignments(
  cluster: Cluster,
  wanted: readonly WantedReplicas[],
): Promise<void> {
  const connection = await cluster.controller();
  const byTopic = Map.groupBy(wanted, ({ topic }) => topic);
  const answer = await connection.send(
    AlterPartitionReassignmentsApi,
    makeAlterPartitionReassignmentsRequest({
      timeoutMs: TIMEOUT_MS,
      // Whoever works on an old view must not make it come true. Version 0 cannot say so.
      allowReplicationFactorChange:
        (connection.versionOf(AlterPartitionReassignmentsApi) ?? 0) < FACTOR_KEPT_VERSION,
      topics: [...byTopic].map(([name, rows]) =>
        makeReassignableTopic({
          name,
          partitions: rows.map(({ partition, replicas }) =>
            makeReassignablePartition({ partitionIndex: partition, replicas: [...replicas] }),
          ),
        }),
      ),
    }),
  );
  if (answer.errorCode !== 0) throw refused("reassignments", answer.errorCode, answer.errorMessage);
  for (const { name, partitions } of answer.responses) {
    for (const { partitionIndex, errorCode, errorMessage } of partitions) {
      if (errorCode !== 0)
        throw refused(`topic '${name}', partition ${partitionIndex}`, errorCode, errorMessage);
    }
  }
}

/** Makes the cluster forget a broker, which should be stopped. */
export async function unregisterBroker(cluster: Cluster, brokerId: number): Promise<void> {
  const connection = await cluster.controller();
  const answer = await connection.send(
    UnregisterBrokerApi,
    makeUnregisterBrokerRequest({ brokerId }),
  );
  if (answer.errorCode !== 0)
    throw refused(`broker ${brokerId}`, answer.errorCode, answer.errorMessage);
}

/** Takes a voter out of the quorum; settles when that is committed. */
export async function removeVoter(
  cluster: Cluster,
  voterId: number,
  voterDirectoryId: string,
): Promise<void> {
  const connection = await cluster.controller();
  const { clusterId } = cluster.metadata;
  const answer = await connection.send(
    RemoveRaftVoterApi,
    makeRemoveRaftVoterRequest({ clusterId, voterId, voterDirectoryId }),
  );
  if (answer.errorCode !== 0)
    throw refused(`voter ${voterId}`, answer.errorCode, answer.errorMessage);
}
