/**
 * Replicas on their way between the log directories of this broker (KIP-113). Native code copies; this decides what may move, remembers where
 * partitions that are still to come are wanted, keeps the rate that the cluster's configuration asks for, and tells what became of moves.
 */
import { resolve } from "node:path";
import { ErrorCode } from "#common/error-code.ts";
import { errorFields, type Logger } from "#common/logger.ts";
import type { LogStore, PartitionHandle } from "#log/log.ts";
import type { ClusterDelta } from "#metadata/cluster-delta.ts";
import {
  type ClusterImage,
  configValues,
  resourceKey,
  ResourceType,
} from "#metadata/cluster-image.ts";
import type { MetadataPublisher } from "#metadata/metadata-loader.ts";
import type { ReplicaMover } from "#server/handlers/alter-replica-log-dirs.ts";

const RATE = "replica.alter.log.dirs.io.max.bytes.per.second";
const NO_LIMIT = -1;
/** Wishes for partitions that are not there yet; the oldest are forgotten. */
const WISHES_MAX = 10_000;

/** What moves are made with. */
export interface ReplicaMovesOptions {
  readonly nodeId: number;
  readonly store: LogStore;
  readonly image: () => ClusterImage;
  /** Handle of a partition that this broker has open. */
  readonly handleOf: (topic: string, partition: number) => PartitionHandle | undefined;
  /** Whether a log directory takes no new partitions. */
  readonly isCordoned: (path: string) => boolean;
  /** A partition is in another directory now. */
  readonly onMoved: (topic: string, partition: number) => void;
  readonly logger: Logger;
}

/** See the head of the file. */
export class ReplicaMoves implements ReplicaMover, MetadataPublisher {
  readonly #options: ReplicaMovesOptions;
  /** Index of the directory that a partition is to be made in, by its name. */
  readonly #wishes: Map<string, number> = new Map();

  constructor(options: ReplicaMovesOptions) {
    this.#options = options;
  }

  move(topic: string, partition: number, path: string): number {
    const { nodeId, store, image, handleOf, logger } = this.#options;
    const dir = store.report.dirs.findIndex((known) => resolve(known.path) === path);
    if (dir < 0) return ErrorCode.LOG_DIR_NOT_FOUND;
    if (!this.#isUsable(dir)) return ErrorCode.KAFKA_STORAGE_ERROR;
    if (this.#options.isCordoned(path)) return ErrorCode.INVALID_REPLICA_ASSIGNMENT;
    const handle = handleOf(topic, partition);
    if (handle === undefined) {
      const known = image().topicsByName.get(topic)?.partitions[partition];
      if (known?.replicas.includes(nodeId) === true) return ErrorCode.KAFKA_STORAGE_ERROR;
      this.#wish(`${topic}-${partition}`, dir);
      return known === undefined
        ? ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
        : ErrorCode.REPLICA_NOT_AVAILABLE;
    }
    try {
      store.movePartition(handle, dir);
      return ErrorCode.NONE;
    } catch (error) {
      const fields = { partition: `${topic}-${partition}`, path, ...errorFields(error) };
      logger.error("cannot move a partition to another log directory", fields);
      return ErrorCode.KAFKA_STORAGE_ERROR;
    }
  }

  /** Index of the directory that a partition which is made now is wanted in; null for any. The wish is over with it. */
  takeWish(topic: string, partition: number): number | null {
    const name = `${topic}-${partition}`;
    const dir = this.#wishes.get(name);
    this.#wishes.delete(name);
    return dir !== undefined && this.#isUsable(dir) ? dir : null;
  }

  /** Tells what became of moves since the last look. */
  look(): void {
    const { store, logger, onMoved } = this.#options;
    for (const { kind, topic, partition, from, to, reason } of store.takeMoveEvents()) {
      const fields = { partition: `${topic}-${partition}`, from, to };
      switch (kind) {
        case "moved":
          logger.info("a partition has moved to another log directory", fields);
          onMoved(topic, partition);
          break;
        case "waiting":
          logger.warn("a partition waits for room in another log directory", { ...fields, reason });
          break;
        case "abandoned":
        case "stopped":
          logger.error("a partition cannot move to another log directory", {
            ...fields,
            reason,
            isGivenUp: kind === "abandoned",
          });
      }
    }
  }

  onMetadataUpdate(delta: ClusterDelta, image: ClusterImage): void {
    const { nodeId, store } = this.#options;
    const own = resourceKey(ResourceType.BROKER, String(nodeId));
    const all = resourceKey(ResourceType.BROKER, "");
    const changed = new Set(delta.changedConfigs());
    if (!changed.has(own) && !changed.has(all)) return;
    const value =
      configValues(image, ResourceType.BROKER, String(nodeId)).get(RATE) ??
      configValues(image, ResourceType.BROKER, "").get(RATE);
    store.setMoveRate(value === undefined ? NO_LIMIT : Number(value));
  }

  #isUsable(dir: number): boolean {
    return this.#options.store.health()[dir]?.error === null;
  }

  #wish(name: string, dir: number): void {
    this.#wishes.delete(name);
    this.#wishes.set(name, dir);
    const [oldest] = this.#wishes.keys();
    if (this.#wishes.size > WISHES_MAX && oldest !== undefined) this.#wishes.delete(oldest);
  }
}
