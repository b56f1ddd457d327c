/**
 * How the cluster looks to the client of one listener: the addresses of brokers and the state of partitions as Metadata,
 * DescribeCluster and DescribeTopicPartitions tell them.
 */
import { ErrorCode } from "#common/error-code.ts";
import {
  type BrokerImage,
  type ClusterImage,
  liveBrokers,
  type PartitionImage,
} from "#metadata/cluster-image.ts";
import type { ConnectionInfo } from "./handler.ts";

/** The number that stands for "operations were not asked for". */
export const NO_AUTHORIZED_OPERATIONS = -2147483648;

/** All operations there are on a topic, as a bit field: without an authorizer everybody may do everything (KIP-430). */
export const ALL_TOPIC_OPERATIONS = 3576;

/** All operations there are on the cluster, as a bit field. */
export const ALL_CLUSTER_OPERATIONS = 8096;

/** An address a client can use. */
export interface ClientAddress {
  readonly host: string;
  readonly port: number;
}

/**
 * The address of a broker on the listener a client came by.
 *
 * @returns null when the broker has no such listener. An endpoint without a host stands for the address the client reached.
 */
export function addressFor(broker: BrokerImage, connection: ConnectionInfo): ClientAddress | null {
  const endpoint = broker.endpoints.find(({ name }) => name === connection.listenerName);
  if (endpoint === undefined) return null;
  return {
    host: endpoint.host === "" ? connection.localHost : endpoint.host,
    port: endpoint.port === 0 ? connection.localPort : endpoint.port,
  };
}

/**
 * What clients take for the controller: they send it what any broker forwards. Any live broker, so that not all of them ask the same one;
 * -1 when there is none.
 */
export function controllerIdFor(image: ClusterImage): number {
  const live = liveBrokers(image);
  return live[Math.floor(Math.random() * live.length)]?.id ?? -1;
}

/** Differences between what versions of Metadata may say of unavailable brokers. */
export interface PartitionViewOptions {
  /** Metadata v0: brokers that are down are left out of the lists, and their absence is an error. */
  readonly hidesUnavailable: boolean;
  /** Metadata v6+: a leader without the client's listener is told apart from one that is down. */
  readonly tellsListenerNotFound: boolean;
  /** Whether a log directory of this broker works; absent when all do. A replica in one that does not is offline, and leads nothing. */
  readonly isDirectoryOnline?: ((directoryId: string) => boolean) | undefined;
}

/** State of a partition as told to clients. */
export interface PartitionView {
  readonly errorCode: number;
  readonly partitionIndex: number;
  readonly leaderId: number;
  readonly leaderEpoch: number;
  readonly replicaNodes: number[];
  readonly isrNodes: number[];
  readonly offlineReplicas: number[];
}

/** The state of a partition for clients of a connection's listener. */
export function viewPartition(
  image: ClusterImage,
  partition: PartitionImage,
  connection: ConnectionInfo,
  options: PartitionViewOptions,
): PartitionView {
  const isReachable = (id: number): boolean => {
    const broker = image.brokers.get(id);
    return broker !== undefined && !broker.isFenced && addressFor(broker, connection) !== null;
  };
  const visible = (ids: readonly number[]): number[] =>
    options.hidesUnavailable ? ids.filter(isReachable) : [...ids];
  const replicaNodes = visible(partition.replicas);
  const isrNodes = visible(partition.isr);
  const { isDirectoryOnline } = options;
  const isStored = (id: number): boolean => {
    if (isDirectoryOnline === undefined) return true;
    const directoryId = partition.directories[partition.replicas.indexOf(id)];
    return directoryId === undefined || isDirectoryOnline(directoryId);
  };
  const hasLeader = isReachable(partition.leader) && isStored(partition.leader);
  let errorCode: number = ErrorCode.NONE;
  if (!hasLeader) {
    const isUp = image.brokers.get(partition.leader)?.isFenced === false;
    errorCode =
      isUp && options.tellsListenerNotFound && isStored(partition.leader)
        ? ErrorCode.LISTENER_NOT_FOUND
        : ErrorCode.LEADER_NOT_AVAILABLE;
  } else if (
    replicaNodes.length < partition.replicas.length ||
    isrNodes.length < partition.isr.length
  ) {
    errorCode = ErrorCode.REPLICA_NOT_AVAILABLE;
  }
  return {
    errorCode,
    partitionIndex: partition.partitionId,
    leaderId: hasLeader ? partition.leader : -1,
    leaderEpoch: partition.leaderEpoch,
    replicaNodes,
    isrNodes,
    offlineReplicas: partition.replicas.filter((id) => !isReachable(id) || !isStored(id)),
  };
}
