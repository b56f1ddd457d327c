/**
 * The cluster as of one offset of the metadata log: an immutable value. Readers hold an image for as long as they need a
 * consistent view and never a lock; a change makes a new image through a {@link ClusterDelta}.
 */
import type { MetadataRecord } from "#protocol/generated/records/metadata-record-table.ts";
import type { ClientQuotas } from "./client-quotas.ts";
import type { ScramCredentials } from "./scram-credentials.ts";

/** One replica set and its leader. Arrays are never modified. */
export interface PartitionImage {
  readonly partitionId: number;
  /** -1: no leader. */
  readonly leader: number;
  readonly leaderEpoch: number;
  readonly partitionEpoch: number;
  readonly leaderRecoveryState: number;
  readonly replicas: readonly number[];
  readonly isr: readonly number[];
  readonly removingReplicas: readonly number[];
  readonly addingReplicas: readonly number[];
  /** Directory id of each replica, in the order of `replicas`; `ZERO_UUID` when not assigned. */
  readonly directories: readonly string[];
  readonly eligibleLeaderReplicas: readonly number[];
  readonly lastKnownElr: readonly number[];
}

/** A topic. `partitions[i].partitionId === i`. */
export interface TopicImage {
  readonly name: string;
  readonly id: string;
  readonly partitions: readonly PartitionImage[];
}

/** An address of a broker. An empty host stands for the address a client came to. */
export interface BrokerEndpointImage {
  readonly name: string;
  readonly host: string;
  readonly port: number;
  readonly securityProtocol: number;
}

/** A range of feature levels a broker can work with. */
export interface FeatureRange {
  readonly name: string;
  readonly min: number;
  readonly max: number;
}

/** A registered broker. */
export interface BrokerImage {
  readonly id: number;
  readonly epoch: number;
  readonly incarnationId: string;
  readonly endpoints: readonly BrokerEndpointImage[];
  readonly features: readonly FeatureRange[];
  readonly rack: string | null;
  readonly isFenced: boolean;
  readonly isInControlledShutdown: boolean;
  /** Directory ids of its log directories. */
  readonly logDirs: readonly string[];
  readonly cordonedLogDirs: readonly string[];
}

/** Kafka's numbers for what a configuration belongs to. */
export const ResourceType = {
  TOPIC: 2,
  BROKER: 4,
  BROKER_LOGGER: 8,
  CLIENT_METRICS: 16,
  GROUP: 32,
} as const;

/** Key of a resource in {@link ClusterImage.configs}. The name of the defaults of all brokers is empty. */
export function resourceKey(resourceType: number, resourceName: string): string {
  return `${resourceType}:${resourceName}`;
}

/** See the head of the file. */
export interface ClusterImage {
  /** Offset of the last record applied, -1 for none, and the epoch it was written in. */
  readonly offset: number;
  readonly epoch: number;
  readonly brokers: ReadonlyMap<number, BrokerImage>;
  readonly topicsByName: ReadonlyMap<string, TopicImage>;
  readonly topicsById: ReadonlyMap<string, TopicImage>;
  /** Values by {@link resourceKey}; resources without values are absent. */
  readonly configs: ReadonlyMap<string, ReadonlyMap<string, string>>;
  /** Finalized feature levels by name. */
  readonly features: ReadonlyMap<string, number>;
  /** First producer id that no broker has been given. */
  readonly nextProducerId: bigint;
  /** Stored; nothing is throttled by them yet. */
  readonly clientQuotas: ClientQuotas;
  /** Stored; no listener asks for them yet. */
  readonly scramCredentials: ScramCredentials;
  /**
   * Records of concerns that this build does not act on (ACLs, tokens, controllers), by identity: they survive in snapshots, so that nothing of an adopted directory is lost.
   */
  readonly carried: ReadonlyMap<string, MetadataRecord>;
}

/** The image before the first record. */
export const EMPTY_IMAGE: ClusterImage = {
  offset: -1,
  epoch: 0,
  brokers: new Map(),
  topicsByName: new Map(),
  topicsById: new Map(),
  configs: new Map(),
  features: new Map(),
  nextProducerId: 0n,
  clientQuotas: new Map(),
  scramCredentials: new Map(),
  carried: new Map(),
};

const NO_VALUES: ReadonlyMap<string, string> = new Map();

/** Values stored for a resource; empty when there are none. */
export function configValues(
  image: ClusterImage,
  resourceType: number,
  resourceName: string,
): ReadonlyMap<string, string> {
  return image.configs.get(resourceKey(resourceType, resourceName)) ?? NO_VALUES;
}

/** Values of every resource of a type that has some, by its name. */
export function resourcesOf(
  image: ClusterImage,
  resourceType: number,
): ReadonlyMap<string, ReadonlyMap<string, string>> {
  const prefix = resourceKey(resourceType, "");
  const resources = new Map<string, ReadonlyMap<string, string>>();
  for (const [key, values] of image.configs) {
    if (key.startsWith(prefix)) resources.set(key.slice(prefix.length), values);
  }
  return resources;
}

/** True for topics the broker itself keeps its state in. */
export function isInternalTopic(name: string): boolean {
  return (
    name === "__consumer_offsets" ||
    name === "__transaction_state" ||
    name === "__share_group_state"
  );
}

/** A partition's image, or undefined. */
export function partitionImage(
  topic: TopicImage | undefined,
  partitionId: number,
): PartitionImage | undefined {
  return topic?.partitions[partitionId];
}

/** Brokers that may be given partitions and told to clients, by rising id. */
export function liveBrokers(image: ClusterImage): BrokerImage[] {
  return [...image.brokers.values()]
    .filter((broker) => !broker.isFenced)
    .sort((left, right) => left.id - right.id);
}
