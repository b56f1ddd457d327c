/**
 * Which native partition a topic name or id and an index stand for: the map every produce and fetch looks into.
 *
 * Each thread that serves clients holds its own copy, fed with the same changes in the same order, so a lookup is a map
 * access without a message or a lock. A stale entry does no harm: its handle is refused by the native log.
 */

import type { BrokerImage } from "#metadata/cluster-image.ts";
import { type QuotaWindows, ReplicationQuota } from "./replication-quota.ts";
import { type ThrottledPartitions, ThrottledReplicas } from "./throttled-replicas.ts";

/** One partition: hosted here, or known to be hosted by others. */
export interface PartitionEntry {
  readonly topic: TopicEntry;
  readonly index: number;
  /** Native handle; changes when the partition is created anew. {@link NOT_HERE} where this broker has no replica. */
  readonly handle: number;
  readonly leaderEpoch: number;
  /** Who leads where it is not this broker, -1 for nobody; null where this broker does. */
  readonly otherLeader: number | null;
}

/** Handle of a partition that only other brokers have; the native log knows none of that number. */
export const NOT_HERE = -1;

/** A topic with partitions on this broker. */
export interface TopicEntry {
  readonly name: string;
  readonly topicId: string;
  /** What this thread did for the topic; kept while the topic exists, shared by topics beyond the bound. */
  readonly traffic: TopicTraffic;
  /** By partition index. */
  readonly partitions: readonly (PartitionEntry | undefined)[];
}

/** Counters of a topic or of all topics; bumped in place by the handlers of Produce and Fetch. */
export interface TopicTraffic {
  producedRecords: number;
  /** Bytes of batches as they were sent. */
  producedBytes: number;
  /** Partitions of Produce requests that were refused. */
  failedProduces: number;
  /** Bytes of batches put into answers to consumers. */
  fetchedBytes: number;
}

/** Counters at zero. */
export function newTopicTraffic(): TopicTraffic {
  return { producedRecords: 0, producedBytes: 0, failedProduces: 0, fetchedBytes: 0 };
}

/** Topics whose traffic is counted apart unless said otherwise. */
const COUNTED_TOPICS_DEFAULT = 1000;

/** What feeds a directory; plain data, so that it can be posted to another thread. */
export type DirectoryChange =
  | {
      readonly kind: "topic";
      readonly name: string;
      readonly topicId: string;
      readonly partitions: readonly {
        readonly index: number;
        readonly handle: number;
        readonly leaderEpoch: number;
        /** As in {@link PartitionEntry}; absent for null. */
        readonly otherLeader?: number | null;
      }[];
    }
  | { readonly kind: "topic-removed"; readonly name: string; readonly topicId: string }
  | { readonly kind: "brokers"; readonly brokers: readonly BrokerImage[] }
  /** Which partitions' followers are throttled by this broker as their leader, and the quota that threads have in common. */
  | {
      readonly kind: "throttled";
      readonly topics: ReadonlyMap<string, ThrottledPartitions>;
      readonly windows: QuotaWindows;
      readonly memory: SharedArrayBuffer;
    };

/** What limits the answers to followers. */
export interface LeaderThrottle {
  readonly replicas: ThrottledReplicas;
  readonly quota: ReplicationQuota;
}

/** Partitions by name and id. */
export class PartitionDirectory {
  readonly #byName: Map<string, TopicEntry> = new Map();
  readonly #byId: Map<string, TopicEntry> = new Map();
  readonly #countedTopicsMax: number;
  readonly #trafficByTopic: Map<string, TopicTraffic> = new Map();
  readonly #otherTraffic: TopicTraffic = newTopicTraffic();
  #brokers: ReadonlyMap<number, BrokerImage> = new Map();
  #throttled: Extract<DirectoryChange, { kind: "throttled" }> | null = null;
  #throttle: LeaderThrottle | null = null;
  #generation = 0;
  /** Told of each topic that came or changed. */
  onTopic: ((topic: TopicEntry) => void) | null = null;
  /** Told of each topic that is gone. */
  onTopicRemoved: ((topic: TopicEntry) => void) | null = null;

  /** @param countedTopicsMax - topics whose traffic is counted apart (`sluice.metrics.topics.max`). */
  constructor(countedTopicsMax: number = COUNTED_TOPICS_DEFAULT) {
    this.#countedTopicsMax = countedTopicsMax;
  }

  /** Traffic by topic; that of topics beyond the bound under the empty name. */
  *traffic(): Iterable<readonly [topic: string, traffic: TopicTraffic]> {
    yield* this.#trafficByTopic;
    yield ["", this.#otherTraffic];
  }

  /** Changes whenever anything in the directory does: what was looked up under the same number is still right. */
  get generation(): number {
    return this.#generation;
  }

  topicByName(name: string): TopicEntry | undefined {
    return this.#byName.get(name);
  }

  topicById(topicId: string): TopicEntry | undefined {
    return this.#byId.get(topicId);
  }

  /** What is known of a partition now, to somebody who looked it up before. */
  current(partition: PartitionEntry): PartitionEntry {
    return this.#byId.get(partition.topic.topicId)?.partitions[partition.index] ?? partition;
  }

  /** A broker of the cluster, also one that is fenced. */
  broker(id: number): BrokerImage | undefined {
    return this.#brokers.get(id);
  }

  /** The limit of what followers are sent; null while nothing is throttled. */
  get throttle(): LeaderThrottle | null {
    return this.#throttle;
  }

  /** Every topic, in no particular order. */
  topics(): Iterable<TopicEntry> {
    return this.#byName.values();
  }

  /** Applies one change. A topic replaces the one of its name; removing one that is not there, or is another, does nothing. */
  apply(change: DirectoryChange): void {
    if (change.kind === "brokers") {
      this.#brokers = new Map(change.brokers.map((broker) => [broker.id, broker]));
      return;
    }
    if (change.kind === "throttled") {
      this.#throttled = change;
      const { topics, windows, memory } = change;
      this.#throttle =
        topics.size === 0
          ? null
          : {
              replicas: new ThrottledReplicas(topics),
              quota: new ReplicationQuota(windows, memory),
            };
      return;
    }
    this.#generation++;
    if (change.kind === "topic-removed") {
      const topic = this.#byName.get(change.name);
      if (topic?.topicId === change.topicId) {
        this.#byName.delete(change.name);
        this.#trafficByTopic.delete(change.name);
        this.onTopicRemoved?.(topic);
      }
      this.#byId.delete(change.topicId);
      return;
    }
    const previous = this.#byName.get(change.name);
    if (previous !== undefined && previous.topicId !== change.topicId) {
      this.#byId.delete(previous.topicId);
    }
    const partitions: (PartitionEntry | undefined)[] = [];
    const traffic =
      previous?.topicId === change.topicId ? previous.traffic : this.#newTraffic(change.name);
    const topic: TopicEntry = {
      name: change.name,
      topicId: change.topicId,
      traffic,
      partitions,
    };
    for (const { index, handle, leaderEpoch, otherLeader = null } of change.partitions) {
      partitions[index] = { topic, index, handle, leaderEpoch, otherLeader };
    }
    this.#byName.set(change.name, topic);
    this.#byId.set(change.topicId, topic);
    if (previous !== undefined && previous.topicId !== change.topicId) {
      this.onTopicRemoved?.(previous);
    }
    this.onTopic?.(topic);
  }

  /** True for the counters that all topics beyond the bound share. */
  isShared(traffic: TopicTraffic): boolean {
    return traffic === this.#otherTraffic;
  }

  #newTraffic(name: string): TopicTraffic {
    const isKnown = this.#trafficByTopic.has(name);
    if (!isKnown && this.#trafficByTopic.size >= this.#countedTopicsMax) return this.#otherTraffic;
    const traffic = newTopicTraffic();
    this.#trafficByTopic.set(name, traffic);
    return traffic;
  }

  /** The changes that would build this directory from nothing. */
  snapshot(): DirectoryChange[] {
    const topics = [...this.#byName.values()].map((topic) => ({
      kind: "topic" as const,
      name: topic.name,
      topicId: topic.topicId,
      partitions: topic.partitions
        .filter((partition) => partition !== undefined)
        .map(({ index, handle, leaderEpoch, otherLeader }) => ({
          index,
          handle,
          leaderEpoch,
          otherLeader,
        })),
    }));
    const throttled = this.#throttled === null ? [] : [this.#throttled];
    return [{ kind: "brokers", brokers: [...this.#brokers.values()] }, ...throttled, ...topics];
  }
}
