/**
 * Tells the controller in which log directory each replica of this broker is, wherever that is not what the metadata says: after a move between
 * directories, or where a new partition was made in another one than it was placed in (KIP-858). The metadata is what counts: a replica is named
 * again, about every second, until it says so.
 */
import { ErrorCode } from "#common/error-code.ts";
import { errorFields, type Logger } from "#common/logger.ts";
import { LogError, type LogStore, type PartitionHandle } from "#log/log.ts";
import type { ClusterDelta } from "#metadata/cluster-delta.ts";
import type { ClusterImage } from "#metadata/cluster-image.ts";
import type { MetadataPublisher } from "#metadata/metadata-loader.ts";
import {
  type AssignReplicasToDirsRequest,
  type AssignReplicasToDirsResponse,
  makeAssignReplicasToDirsRequest,
} from "#protocol/generated/assign-replicas-to-dirs.ts";

/** Replicas in one request, as many as Kafka names in one. */
const REPLICAS_MAX = 2_000;

/** What the assignments are told with. */
export interface DirectoryAssignmentsOptions {
  readonly nodeId: number;
  readonly store: Pick<LogStore, "report" | "directoryOf">;
  readonly image: () => ClusterImage;
  /** Epoch of this broker's registration, -1 before it. */
  readonly brokerEpoch: () => number;
  /** Handle of a partition of the topic with this id that this broker has open. */
  readonly handleFor: (
    topic: string,
    topicId: string,
    partition: number,
  ) => PartitionHandle | undefined;
  readonly assign: (request: AssignReplicasToDirsRequest) => Promise<AssignReplicasToDirsResponse>;
  readonly logger: Logger;
}

/** See the head of the file. */
export class DirectoryAssignments implements MetadataPublisher {
  readonly #options: DirectoryAssignmentsOptions;
  /** Replicas to look at, by topic. */
  readonly #pending: Map<string, Set<number>> = new Map();
  #isAsking = false;

  constructor(options: DirectoryAssignmentsOptions) {
    this.#options = options;
  }

  /** The replica may be elsewhere than the metadata says. */
  check(topic: string, partition: number): void {
    const partitions = this.#pending.get(topic) ?? new Set();
    this.#pending.set(topic, partitions);
    partitions.add(partition);
  }

  onMetadataUpdate(delta: ClusterDelta): void {
    const { nodeId, store } = this.#options;
    if (store.report.dirs.length < 2) return;
    for (const { name } of delta.deletedTopics()) this.#pending.delete(name);
    for (const { now, before } of delta.changedTopics()) {
      for (const partition of now.partitions) {
        if (partition === before?.partitions[partition.partitionId]) continue;
        if (partition.replicas.includes(nodeId)) this.check(now.name, partition.partitionId);
      }
    }
  }

  /** Tells of what is not as the metadata says; to be called about every second. */
  look(): void {
    if (this.#isAsking || this.#pending.size === 0) return;
    const brokerEpoch = this.#options.brokerEpoch();
    const directories = this.#wrong();
    if (directories.length === 0 || brokerEpoch < 0) return;
    this.#isAsking = true;
    const { nodeId, assign, logger } = this.#options;
    const request = makeAssignReplicasToDirsRequest({ brokerId: nodeId, brokerEpoch, directories });
    assign(request)
      .then(({ errorCode }) => {
        if (errorCode !== ErrorCode.NONE)
          logger.debug("the controller does not take directories of replicas", { errorCode });
      })
      .catch((error: unknown) =>
        logger.debug("the controller cannot be told of directories", errorFields(error)),
      )
      .finally(() => {
        this.#isAsking = false;
      });
  }

  /** Replicas whose directory is not the one in the metadata, by directory; the others are forgotten. */
  #wrong(): AssignReplicasToDirsRequest["directories"] {
    const { nodeId, store, image, handleFor } = this.#options;
    const found = new Map<string, Map<string, number[]>>();
    let count = 0;
    for (const [name, partitions] of this.#pending) {
      const topic = image().topicsByName.get(name);
      for (const index of partitions) {
        if (count >= REPLICAS_MAX) break;
        const partition = topic?.partitions[index];
        const at = partition?.replicas.indexOf(nodeId) ?? -1;
        const handle = topic === undefined ? undefined : handleFor(name, topic.id, index);
        const dir = handle === undefined ? null : directoryOf(store, handle);
        if (topic === undefined || at < 0 || dir === null || partition?.directories[at] === dir) {
          partitions.delete(index);
          continue;
        }
        const topics = found.get(dir) ?? new Map<string, number[]>();
        found.set(dir, topics);
        topics.set(topic.id, [...(topics.get(topic.id) ?? []), index]);
        count += 1;
      }
      if (partitions.size === 0) this.#pending.delete(name);
    }
    return [...found].map(([id, topics]) => ({
      id,
      topics: [...topics].map(([topicId, indexes]) => ({
        topicId,
        partitions: indexes.map((partitionIndex) => ({ partitionIndex })),
      })),
    }));
  }
}

/** Id of the directory a partition is in; null for one that is gone. */
function directoryOf(
  store: DirectoryAssignmentsOptions["store"],
  handle: PartitionHandle,
): string | null {
  try {
    return store.report.dirs[store.directoryOf(handle)]?.directoryId ?? null;
  } catch (error) {
    if (error instanceof LogError) return null;
    throw error;
  }
}
