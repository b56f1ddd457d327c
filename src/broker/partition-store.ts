/**
 * Brings the native partitions in line with the cluster image: creates, adopts, configures and deletes them, and then
 * tells the partition directories what is where. It is the last publisher of a commit, so that a client which is told of a
 * topic can use it at once.
 */
import { errorFields, type Logger } from "#common/logger.ts";
import { ZERO_UUID } from "#common/uuid.ts";
import type { LogConfig } from "#config/topic-config.ts";
import type { LogStore } from "#log/log.ts";
import type { ClusterDelta } from "#metadata/cluster-delta.ts";
import type { ClusterImage, TopicImage } from "#metadata/cluster-image.ts";
import type { MetadataPublisher } from "#metadata/metadata-loader.ts";
import type { PartitionProvisioner, PartitionSpec } from "#metadata/provisioning-publisher.ts";
import { type DirectoryChange, NOT_HERE } from "#replica/partition-directory.ts";
import type { ReplicationThrottles } from "./replication-throttles.ts";

/** A partition this broker has open. */
interface OpenPartition {
  readonly handle: number;
  readonly topicId: string;
  config: LogConfig | null;
}

/** What the store needs. */
export interface PartitionStoreOptions {
  readonly nodeId: number;
  readonly store: LogStore;
  readonly logger: Logger;
  /** False where following gives roles (a cluster); otherwise every partition here is led here. */
  readonly givesRoles: boolean;
  /** Which replicas are throttled; null on a node that is alone. */
  readonly throttles: ReplicationThrottles | null;
  /** Index of the directory that somebody asked a new partition to be made in, null for none; asked once for each that is made. */
  readonly takeWish?: (topic: string, partition: number) => number | null;
  /** Told of each change of what this broker hosts, in order; settles when everybody who serves clients knows. */
  readonly onDirectoryChange: (changes: readonly DirectoryChange[]) => void | Promise<void>;
}

/** Two random ids differ in about 60 bits; of ids that differ in so few, one was damaged. */
const FLIPPED_BITS_MAX = 16;

/** Whether the id found on disk, perhaps damaged or missing (the zero id), stands for this topic. */
function isSameTopic(found: string, wanted: string): boolean {
  if (found === wanted || found === ZERO_UUID) return true;
  const foundBytes = Buffer.from(found, "base64url");
  const wantedBytes = Buffer.from(wanted, "base64url");
  if (foundBytes.length !== wantedBytes.length) return false;
  let differing = 0;
  for (const [at, byte] of foundBytes.entries()) {
    for (let bits = byte ^ (wantedBytes[at] ?? 0); bits !== 0; bits &= bits - 1) differing += 1;
  }
  return differing <= FLIPPED_BITS_MAX;
}

/** See the head of the file. */
export class PartitionStore implements PartitionProvisioner, MetadataPublisher {
  readonly #options: PartitionStoreOptions;
  readonly #open: Map<string, OpenPartition> = new Map();
  /** Found on disk and not claimed by the image yet. */
  readonly #unclaimed: Map<string, OpenPartition> = new Map();
  /** Of the image, but not there: they could not be made for now. */
  readonly #missing: Map<string, PartitionSpec> = new Map();

  constructor(options: PartitionStoreOptions) {
    this.#options = options;
    for (const { handle, topic, partition, topicId, quarantined } of options.store.report
      .partitions) {
      this.#unclaimed.set(`${topic}-${partition}`, { handle, topicId, config: null });
      if (quarantined !== null) {
        options.logger.error("a damaged partition is set aside, its files are kept", {
          partition: `${topic}-${partition}`,
          reason: quarantined,
        });
      }
    }
  }

  /** Handle of a partition, or undefined when this broker does not have it. */
  handleOf(topic: string, partition: number): number | undefined {
    return this.#open.get(`${topic}-${partition}`)?.handle;
  }

  /** The same for a topic with this id: one that was deleted and made again is another. */
  handleFor(topic: string, topicId: string, partition: number): number | undefined {
    const open = this.#open.get(`${topic}-${partition}`);
    return open?.topicId === topicId ? open.handle : undefined;
  }

  /** Settings of a partition, or undefined when this broker does not have it. */
  configOf(topic: string, partition: number): LogConfig | undefined {
    return this.#open.get(`${topic}-${partition}`)?.config ?? undefined;
  }

  /** Partitions on disk that no topic of the cluster explains. They are left alone. */
  get strayNames(): string[] {
    return [...this.#unclaimed.keys()];
  }

  create(spec: PartitionSpec): void {
    const { store } = this.#options;
    const name = `${spec.topic}-${spec.partition}`;
    const found = this.#unclaimed.get(name);
    this.#unclaimed.delete(name);
    let handle: number;
    if (found !== undefined && isSameTopic(found.topicId, spec.topicId)) {
      handle = found.handle;
      if (found.topicId !== spec.topicId) this.#adopt(name, handle, spec.topicId, found.topicId);
      store.configurePartition(handle, spec.config);
    } else {
      // Left from a topic of the same name that was deleted while this broker was down.
      if (found !== undefined) store.deletePartition(found.handle);
      const assigned = store.report.dirs.findIndex(
        ({ directoryId }) => directoryId === spec.directoryId,
      );
      const wish = this.#options.takeWish?.(spec.topic, spec.partition);
      const dir = wish ?? assigned;
      if (assigned < 0 && spec.directoryId !== ZERO_UUID) {
        // Its records lie there. An empty partition elsewhere would hide that.
        throw new Error(`its log directory ${spec.directoryId} is out of use`);
      }
      try {
        handle = store.createPartition({
          topic: spec.topic,
          partition: spec.partition,
          topicId: spec.topicId,
          ...(dir < 0 ? {} : { dir }),
          config: spec.config,
        });
      } catch (error) {
        this.#missing.set(name, spec);
        throw error;
      }
    }
    this.#missing.delete(name);
    this.#open.set(name, { handle, topicId: spec.topicId, config: spec.config });
    if (spec.isLeader && this.#options.givesRoles) store.setLeader(handle, spec.leaderEpoch);
  }

  /** The records are this topic's: only the file that says so is damaged. */
  #adopt(name: string, handle: number, topicId: string, foundId: string): void {
    const { store, logger } = this.#options;
    logger.error(
      "partition.metadata is damaged; the records are kept, and the cluster's topic id is written there",
      {
        partition: name,
        foundTopicId: foundId,
        topicId,
      },
    );
    try {
      store.adoptTopicId(handle, topicId);
    } catch (error) {
      logger.error("cannot write partition.metadata", { partition: name, ...errorFields(error) });
    }
  }

  delete({ topic, partition }: Omit<PartitionSpec, "config">): void {
    const name = `${topic}-${partition}`;
    this.#missing.delete(name);
    const open = this.#open.get(name);
    if (open === undefined) return;
    this.#open.delete(name);
    this.#options.store.deletePartition(open.handle);
  }

  configure({ topic, partition, config }: PartitionSpec): void {
    const open = this.#open.get(`${topic}-${partition}`);
    if (open === undefined) return;
    open.config = config;
    this.#options.store.configurePartition(open.handle, config);
  }

  lead({ topic, partition, leaderEpoch, isLeader }: PartitionSpec): void {
    const open = this.#open.get(`${topic}-${partition}`);
    if (open !== undefined && isLeader && this.#options.givesRoles)
      this.#options.store.setLeader(open.handle, leaderEpoch);
  }

  onMetadataUpdate(delta: ClusterDelta, image: ClusterImage): void | Promise<void> {
    const changes: DirectoryChange[] = [];
    if ([...delta.changedBrokers()].length > 0) {
      changes.push({ kind: "brokers", brokers: [...image.brokers.values()] });
    }
    const throttled = this.#options.throttles?.update(delta, image) ?? null;
    if (throttled !== null) changes.push(throttled);
    for (const { name, id } of delta.deletedTopics()) {
      changes.push({ kind: "topic-removed", name, topicId: id });
    }
    for (const { now } of delta.changedTopics()) changes.push(this.#describe(now));
    return changes.length === 0 ? undefined : this.#options.onDirectoryChange(changes);
  }

  /**
   * Tries once more to make the partitions that could not be made, on a full disk say.
   *
   * @returns those that are there now, known to everybody who serves clients.
   */
  async retryMissing(image: ClusterImage): Promise<readonly PartitionSpec[]> {
    if (this.#missing.size === 0) return [];
    const made: PartitionSpec[] = [];
    for (const spec of this.#missing.values()) {
      try {
        this.create(spec);
      } catch {
        // Room for one would be room for all: the rest waits for the next round.
        break;
      }
      made.push(spec);
    }
    const topics = new Set(made.map(({ topic }) => topic));
    const changes = [...topics].flatMap((name) => {
      const topic = image.topicsByName.get(name);
      return topic === undefined ? [] : [this.#describe(topic)];
    });
    if (changes.length > 0) await this.#options.onDirectoryChange(changes);
    return made;
  }

  #describe(topic: TopicImage): DirectoryChange {
    const { nodeId, givesRoles } = this.#options;
    const partitions = [];
    for (const { partitionId, leaderEpoch, leader, replicas } of topic.partitions) {
      const open = this.#open.get(`${topic.name}-${partitionId}`);
      const isHere = open?.topicId === topic.id;
      // One that should be here and is not could not be made: nobody can be sent elsewhere for it on a node by itself.
      if (!isHere && (givesRoles || replicas.includes(nodeId))) continue;
      partitions.push({
        index: partitionId,
        handle: isHere ? open.handle : NOT_HERE,
        leaderEpoch,
        otherLeader: givesRoles || leader === nodeId ? null : leader,
      });
    }
    return { kind: "topic", name: topic.name, topicId: topic.id, partitions };
  }
}
