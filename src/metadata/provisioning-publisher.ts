/**
 * Turns changes of the image into partitions on this node: what is new is created before the client hears of it, what is
 * gone is deleted, and a change of configuration reaches every partition it concerns.
 *
 * After loading, every partition of the image is reported as new; the provisioner matches them with what it found on disk.
 */
import { ZERO_UUID } from "#common/uuid.ts";
import type { BrokerConfig } from "#config/broker-config.ts";
import { resolveTopicConfig, toLogConfig } from "#config/topic-config.ts";
import type { LogConfig } from "#config/topic-config.ts";
import type { ClusterDelta } from "./cluster-delta.ts";
import { configValues, resourceKey, ResourceType } from "./cluster-image.ts";
import type { ClusterImage, PartitionImage, TopicImage } from "./cluster-image.ts";
import type { MetadataPublisher } from "./metadata-loader.ts";

/** A partition as this node must hold it. */
export interface PartitionSpec {
  readonly topic: string;
  readonly topicId: string;
  readonly partition: number;
  readonly leaderEpoch: number;
  /** True when this node leads it. */
  readonly isLeader: boolean;
  /** Log directory it belongs in; `ZERO_UUID` leaves the choice to the provisioner. */
  readonly directoryId: string;
  readonly config: LogConfig;
}

/** What the broker does for the publisher. Calls come one at a time. */
export interface PartitionProvisioner {
  /** Creates the partition, or takes over the one already on disk under the same topic id. */
  create(spec: PartitionSpec): void | Promise<void>;
  /** Takes the partition out of use and deletes its files. */
  delete(spec: Omit<PartitionSpec, "config">): void | Promise<void>;
  /** Gives the partition another configuration. */
  configure(spec: PartitionSpec): void | Promise<void>;
  /** Tells of a new leader epoch or role. */
  lead(spec: PartitionSpec): void | Promise<void>;
}

/** What the publisher needs. */
export interface ProvisioningOptions {
  readonly nodeId: number;
  readonly provisioner: PartitionProvisioner;
  /** The configuration in force, already moved to the image being published. */
  readonly config: () => BrokerConfig;
  /** A partition could not be brought in line with the image; it stays as it is, the others go on. */
  readonly onFailure: (what: string, error: unknown) => void;
}

/** See the head of the file. */
export class ProvisioningPublisher implements MetadataPublisher {
  readonly #options: ProvisioningOptions;

  constructor(options: ProvisioningOptions) {
    this.#options = options;
  }

  async onMetadataUpdate(delta: ClusterDelta, image: ClusterImage): Promise<void> {
    const { provisioner } = this.#options;
    // Deletions first: a topic may have been created again under the name of a deleted one.
    for (const topic of delta.deletedTopics()) {
      for (const partition of topic.partitions) {
        if (this.#isHere(partition)) {
          await this.#attempt("delete", topic, partition, () =>
            provisioner.delete(this.#place(topic, partition)),
          );
        }
      }
    }
    const configured = new Set<string>();
    for (const { now, before } of delta.changedTopics()) {
      const config = this.#topicConfig(image, now);
      for (const partition of now.partitions) {
        const earlier = before?.partitions[partition.partitionId];
        if (partition === earlier) continue;
        const wasHere = earlier !== undefined && this.#isHere(earlier);
        const spec = { ...this.#place(now, partition), config };
        if (!this.#isHere(partition)) {
          if (wasHere)
            await this.#attempt("delete", now, partition, () => provisioner.delete(spec));
        } else if (!wasHere) {
          await this.#attempt("create", now, partition, () => provisioner.create(spec));
        } else if (
          partition.leaderEpoch !== earlier.leaderEpoch ||
          partition.leader !== earlier.leader
        ) {
          await this.#attempt("lead", now, partition, () => provisioner.lead(spec));
        }
      }
      if (before === undefined) configured.add(now.name);
    }
    await this.#configure(delta, image, configured);
  }

  /** Configures the partitions of every topic whose values may have changed, except those just created with them. */
  async #configure(
    delta: ClusterDelta,
    image: ClusterImage,
    upToDate: ReadonlySet<string>,
  ): Promise<void> {
    const changed = new Set(delta.changedConfigs());
    const nodeKey = resourceKey(ResourceType.BROKER, String(this.#options.nodeId));
    const concernsAll = changed.has(resourceKey(ResourceType.BROKER, "")) || changed.has(nodeKey);
    if (changed.size === 0) return;
    for (const topic of image.topicsByName.values()) {
      if (upToDate.has(topic.name)) continue;
      if (!concernsAll && !changed.has(resourceKey(ResourceType.TOPIC, topic.name))) continue;
      const config = this.#topicConfig(image, topic);
      for (const partition of topic.partitions) {
        if (!this.#isHere(partition)) continue;
        const spec = { ...this.#place(topic, partition), config };
        await this.#attempt("configure", topic, partition, () =>
          this.#options.provisioner.configure(spec),
        );
      }
    }
  }

  #topicConfig(image: ClusterImage, topic: TopicImage): LogConfig {
    const broker = this.#options.config();
    const own = configValues(image, ResourceType.TOPIC, topic.name);
    return toLogConfig(resolveTopicConfig(broker, own), broker);
  }

  #isHere(partition: PartitionImage): boolean {
    return partition.replicas.includes(this.#options.nodeId);
  }

  #place(topic: TopicImage, partition: PartitionImage): Omit<PartitionSpec, "config"> {
    const { nodeId } = this.#options;
    return {
      topic: topic.name,
      topicId: topic.id,
      partition: partition.partitionId,
      leaderEpoch: partition.leaderEpoch,
      isLeader: partition.leader === nodeId,
      directoryId: partition.directories[partition.replicas.indexOf(nodeId)] ?? ZERO_UUID,
    };
  }

  async #attempt(
    verb: string,
    topic: TopicImage,
    partition: PartitionImage,
    run: () => void | Promise<void>,
  ): Promise<void> {
    try {
      await run();
    } catch (error) {
      this.#options.onFailure(`${verb} ${topic.name}-${partition.partitionId}`, error);
    }
  }
}
