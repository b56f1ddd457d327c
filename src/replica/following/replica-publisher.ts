/**
 * Turns what the image says of the partitions on this broker into roles: which it leads, which it follows, and whom.
 *
 * Order keeps logs safe. Before a log is led, its fetcher has let go of it: an answer under way finds nobody. Before a partition is
 * fetched, its log has refused clients under the new epoch: nothing can slip in between looking at the log's end and the first
 * answer. A change that the log knows already changes nothing, so the same image may come twice, and parts of it again.
 *
 * It must be told after partitions were created and before clients hear of them.
 */
import type { Logger } from "#common/logger.ts";
import { errorFields } from "#common/logger.ts";
import type { ClusterDelta } from "#metadata/cluster-delta.ts";
import type { ClusterImage, PartitionImage, TopicImage } from "#metadata/cluster-image.ts";
import type { MetadataPublisher } from "#metadata/metadata-loader.ts";
import {
  type FollowerEvents,
  FollowerPartition,
  type FollowerRules,
} from "./follower-partition.ts";
import type { IsrManager } from "./isr-manager.ts";
import { type LocalReplicas, replicaKey } from "./ports.ts";

/** Who fetches; `ReplicaFetchers` in a broker. */
export interface Fetchers {
  add(partition: FollowerPartition): void;
  remove(key: string): void;
  /** Called once after the changes of an image. */
  flush(): void;
}

/** What the publisher needs. */
export interface ReplicaPublisherOptions {
  readonly nodeId: number;
  readonly replicas: LocalReplicas;
  readonly fetchers: Fetchers;
  readonly isr: IsrManager;
  /** Called once after the changes of an image: `IsrManagerDriver.turn`. */
  readonly onIsrChange: () => void;
  readonly events: FollowerEvents;
  /** `replica.fetch.backoff.ms` */
  readonly fetchBackoffMs: number;
  readonly logger: Logger;
  /** Other than the right ones only in tests. */
  readonly followerRules?: FollowerRules;
}

/** The role that a log was last told. */
interface Role {
  readonly leaderId: number;
  readonly leaderEpoch: number;
}

/** See the head of the file. */
export class ReplicaPublisher implements MetadataPublisher {
  readonly #options: ReplicaPublisherOptions;
  readonly #roles: Map<string, Role> = new Map();
  /** Of the image, but without a log here. */
  readonly #missing: Map<string, { readonly topicId: string; readonly partition: number }> =
    new Map();

  constructor(options: ReplicaPublisherOptions) {
    this.#options = options;
  }

  /** Partitions that should be here and are not. */
  get missingCount(): number {
    return this.#missing.size;
  }

  onMetadataUpdate(delta: ClusterDelta, image: ClusterImage): void {
    const { nodeId } = this.#options;
    for (const _ of delta.changedBrokers()) {
      this.#tellBrokers(image);
      break;
    }
    for (const topic of delta.deletedTopics()) {
      for (const { partitionId } of topic.partitions) this.#leave(topic.id, partitionId);
    }
    for (const { now, before } of delta.changedTopics()) {
      for (const partition of now.partitions) {
        if (partition === before?.partitions[partition.partitionId]) continue;
        if (partition.replicas.includes(nodeId)) this.#assume(now, partition);
        else this.#leave(now.id, partition.partitionId);
      }
    }
    this.#finish();
  }

  /** Looks again for logs that could not be made before: they may be there now. */
  retryMissing(image: ClusterImage): void {
    if (this.#missing.size === 0) return;
    for (const { topicId, partition } of Array.from(this.#missing.values())) {
      this.#missing.delete(replicaKey(topicId, partition));
      const topic = image.topicsById.get(topicId);
      const found = topic?.partitions[partition];
      if (topic !== undefined && found?.replicas.includes(this.#options.nodeId) === true)
        this.#assume(topic, found);
    }
    this.#finish();
  }

  /** Takes up once more what was given up for its log, which may be in use again. */
  followAnew(
    image: ClusterImage,
    partitions: readonly { readonly topic: string; readonly partition: number }[],
  ): void {
    const { nodeId } = this.#options;
    for (const { topic: name, partition } of partitions) {
      const topic = image.topicsByName.get(name);
      const found = topic?.partitions[partition];
      if (topic === undefined || found?.replicas.includes(nodeId) !== true) continue;
      if (found.leader === nodeId) continue;
      this.#roles.delete(replicaKey(topic.id, partition));
      this.#assume(topic, found);
    }
    this.#finish();
  }

  #finish(): void {
    this.#options.fetchers.flush();
    this.#options.onIsrChange();
  }

  #tellBrokers(image: ClusterImage): void {
    this.#options.replicas.setBrokers(
      [...image.brokers.values()].map(({ id, epoch, isFenced, isInControlledShutdown }) => ({
        id,
        epoch,
        isEligible: !isFenced && !isInControlledShutdown,
      })),
    );
  }

  /** This broker holds the partition no more. */
  #leave(topicId: string, partition: number): void {
    const key = replicaKey(topicId, partition);
    this.#missing.delete(key);
    this.#roles.delete(key);
    this.#options.fetchers.remove(key);
    this.#options.isr.resign(key);
  }

  #assume(topic: TopicImage, partition: PartitionImage): void {
    const { nodeId, fetchers, isr, replicas, logger } = this.#options;
    const key = replicaKey(topic.id, partition.partitionId);
    const { leader: leaderId, leaderEpoch } = partition;
    const known = this.#roles.get(key);
    if (known !== undefined && leaderEpoch < known.leaderEpoch) return;
    const isNewRole =
      known === undefined || leaderEpoch > known.leaderEpoch || leaderId !== known.leaderId;
    if (isNewRole) fetchers.remove(key);
    if (leaderId !== nodeId) isr.resign(key);
    const replica = replicas.find(topic.name, topic.id, partition.partitionId);
    if (replica === null) {
      this.#missing.set(key, { topicId: topic.id, partition: partition.partitionId });
      return;
    }
    this.#missing.delete(key);
    try {
      if (leaderId === nodeId) {
        const led = {
          topic: topic.name,
          topicId: topic.id,
          partition: partition.partitionId,
          leaderEpoch,
          partitionEpoch: partition.partitionEpoch,
          replicas: partition.replicas,
          isr: partition.isr,
          addingReplicas: partition.addingReplicas,
          leaderRecoveryState: partition.leaderRecoveryState,
        };
        if (isr.lead(led, replica.leaderLog)) replica.lead(led);
      } else if (isNewRole) {
        replica.follow(leaderEpoch, leaderId);
        if (leaderId >= 0) this.#fetch(topic, partition, replica.followerLog);
      }
      this.#roles.set(key, { leaderId, leaderEpoch });
    } catch (error) {
      isr.resign(key);
      fetchers.remove(key);
      logger.error("a partition could not take its role", {
        partition: `${topic.name}-${partition.partitionId}`,
        leaderId,
        leaderEpoch,
        ...errorFields(error),
      });
    }
  }

  #fetch(
    topic: TopicImage,
    { partitionId, leader, leaderEpoch }: PartitionImage,
    log: ConstructorParameters<typeof FollowerPartition>[1],
  ): void {
    const { events, fetchBackoffMs, fetchers, followerRules } = this.#options;
    const follower = new FollowerPartition(
      {
        topic: topic.name,
        topicId: topic.id,
        partition: partitionId,
        leaderId: leader,
        leaderEpoch,
      },
      log,
      events,
      fetchBackoffMs,
      followerRules,
    );
    follower.start();
    fetchers.add(follower);
  }
}
