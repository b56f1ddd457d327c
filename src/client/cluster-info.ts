/** What a cluster is made of: brokers, finalized features, and the quorum that keeps its metadata. */
import { ApiVersionsApi, makeApiVersionsRequest } from "#protocol/generated/api-versions.ts";
import {
  DescribeClusterApi,
  makeDescribeClusterRequest,
} from "#protocol/generated/describe-cluster.ts";
import {
  DescribeQuorumApi,
  makeDescribeQuorumRequest,
  makeDescribeQuorumRequestPartitionData,
  makeDescribeQuorumRequestTopicData,
} from "#protocol/generated/describe-quorum.ts";
import { DescribeMembersApi, type DescribeMembersResponse } from "#protocol/describe-members.ts";
import { refused } from "./client-error.ts";
import type { Cluster } from "./cluster.ts";

/** A broker, as it is registered. */
export interface BrokerDescription {
  readonly id: number;
  readonly host: string;
  readonly port: number;
  readonly rack: string | null;
  /** It is known, and may not serve yet or any more. */
  readonly isFenced: boolean;
}

/** A feature, what it is finalized at, and what the broker asked could do. */
export interface FeatureDescription {
  readonly name: string;
  /** 0 where it is not finalized. */
  readonly level: number;
  readonly minSupported: number;
  readonly maxSupported: number;
}

/** A replica of the metadata log. */
export interface QuorumReplica {
  readonly id: number;
  readonly role: "leader" | "voter" | "observer";
  /** Id of the directory with its metadata; the zero id where the broker does not tell. */
  readonly directoryId: string;
  readonly logEndOffset: number;
  /** Milliseconds; null where the broker does not tell. */
  readonly lastCaughtUpMs: number | null;
}

/** The quorum of the metadata log. */
export interface QuorumDescription {
  readonly leaderId: number;
  readonly leaderEpoch: number;
  readonly highWatermark: number;
  readonly replicas: readonly QuorumReplica[];
  /** Where voters are reached, as far as the broker tells (KIP-853). */
  readonly listeners: readonly {
    readonly nodeId: number;
    readonly name: string;
    readonly host: string;
    readonly port: number;
  }[];
}

const METADATA_TOPIC = "__cluster_metadata";
/** Version 5 says to whom it is addressed, and a broker refuses to be somebody else. */
const API_VERSIONS_VERSION = 4;
const FENCED_VERSION = 2;

/** The brokers, sorted by id; with those that are fenced where the broker tells of them. */
export async function describeBrokers(cluster: Cluster): Promise<readonly BrokerDescription[]> {
  const connection = await cluster.any();
  const version = connection.versionOf(DescribeClusterApi);
  if (version === null) {
    return [...cluster.metadata.brokers].map(([id, broker]) => ({
      id,
      ...broker,
      isFenced: false,
    }));
  }
  const answer = await connection.send(
    DescribeClusterApi,
    makeDescribeClusterRequest({ includeFencedBrokers: version >= FENCED_VERSION }),
  );
  if (answer.errorCode !== 0) throw refused("the cluster", answer.errorCode, answer.errorMessage);
  return answer.brokers
    .map(({ brokerId, host, port, rack, isFenced }) => ({
      id: brokerId,
      host,
      port,
      rack,
      isFenced,
    }))
    .sort((a, b) => a.id - b.id);
}

/** Features that are finalized or supported, sorted by name; none of a broker that is too old to tell. */
export async function describeFeatures(cluster: Cluster): Promise<readonly FeatureDescription[]> {
  const connection = await cluster.any();
  const answer = await connection.send(
    ApiVersionsApi,
    makeApiVersionsRequest({ clientSoftwareName: "sluice", clientSoftwareVersion: "1" }),
    { maxVersion: API_VERSIONS_VERSION },
  );
  if (answer.errorCode !== 0) throw refused("features", answer.errorCode);
  const levels = new Map(
    answer.finalizedFeatures.map(({ name, maxVersionLevel }) => [name, maxVersionLevel]),
  );
  return answer.supportedFeatures
    .map(({ name, minVersion, maxVersion }) => ({
      name,
      level: levels.get(name) ?? 0,
      minSupported: minVersion,
      maxSupported: maxVersion,
    }))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** The quorum; null where the broker does not tell of it. */
export async function describeQuorum(cluster: Cluster): Promise<QuorumDescription | null> {
  const connection = await cluster.any();
  if (connection.versionOf(DescribeQuorumApi) === null) return null;
  const answer = await connection.send(
    DescribeQuorumApi,
    makeDescribeQuorumRequest({
      topics: [
        makeDescribeQuorumRequestTopicData({
          topicName: METADATA_TOPIC,
          partitions: [makeDescribeQuorumRequestPartitionData({ partitionIndex: 0 })],
        }),
      ],
    }),
  );
  const partition = answer.topics[0]?.partitions[0];
  const errorCode = answer.errorCode !== 0 ? answer.errorCode : (partition?.errorCode ?? -1);
  if (partition === undefined || errorCode !== 0)
    throw refused("the quorum", errorCode, answer.errorMessage ?? partition?.errorMessage ?? null);
  const { leaderId } = partition;
  const toReplica =
    (role: "voter" | "observer") =>
    (replica: (typeof partition.currentVoters)[number]): QuorumReplica => ({
      id: replica.replicaId,
      role: replica.replicaId === leaderId ? "leader" : role,
      directoryId: replica.replicaDirectoryId,
      logEndOffset: replica.logEndOffset,
      lastCaughtUpMs: replica.lastCaughtUpTimestamp < 0 ? null : replica.lastCaughtUpTimestamp,
    });
  return {
    leaderId,
    leaderEpoch: partition.leaderEpoch,
    highWatermark: partition.highWatermark,
    replicas: [
      ...partition.currentVoters.map(toReplica("voter")),
      ...partition.observers.map(toReplica("observer")),
    ].sort((a, b) => a.id - b.id),
    listeners: answer.nodes.flatMap(({ nodeId, listeners }) =>
      listeners.map(({ name, host, port }) => ({ nodeId, name, host, port })),
    ),
  };
}

/**
 * Which nodes the one that is asked hears. Only a node of ours knows such a request: any other closes the connection, which is therefore one of its own.
 *
 * @throws ClientError of the connection.
 */
export async function describeMembers(cluster: Cluster): Promise<DescribeMembersResponse> {
  const { address } = await cluster.any();
  const connection = await cluster.ownConnectionTo(address);
  try {
    return await connection.sendAt(DescribeMembersApi, 0, null);
  } finally {
    connection.close();
  }
}
