/**
 * Which native partition a topic name or id and an index stand for: the map every produce and fetch looks into.
 *
 * Each thread that serves clients holds its own copy, fed with the same changes in the same order, so a lookup is a map
 * access without a message or a lock. A stale entry does no harm: its handle is refused by the native log.
 */

/** One partition this broker hosts. */
export interface PartitionEntry {
  readonly topic: TopicEntry;
  readonly index: number;
  /** Native handle; changes when the partition is created anew. */
  readonly handle: number;
  readonly leaderEpoch: number;
}

/** A topic with partitions on this broker. */
export interface TopicEntry {
  readonly name: string;
  readonly topicId: string;
  /** By partition index. */
  readonly partitions: readonly (PartitionEntry | undefined)[];
}

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
      }[];
    }
  | { readonly kind: "topic-removed"; readonly name: string; readonly topicId: string };

/** Partitions by name and id. */
export class PartitionDirectory {
  readonly #byName: Map<string, TopicEntry> = new Map();
  readonly #byId: Map<string, TopicEntry> = new Map();
  #generation = 0;

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

  /** Every topic, in no particular order. */
  topics(): Iterable<TopicEntry> {
    return this.#byName.values();
  }

  /** Applies one change. A topic replaces the one of its name; removing one that is not there, or is another, does nothing. */
  apply(change: DirectoryChange): void {
    this.#generation++;
    if (change.kind === "topic-removed") {
      const topic = this.#byName.get(change.name);
      if (topic?.topicId === change.topicId) this.#byName.delete(change.name);
      this.#byId.delete(change.topicId);
      return;
    }
    const previous = this.#byName.get(change.name);
    if (previous !== undefined && previous.topicId !== change.topicId) {
      this.#byId.delete(previous.topicId);
    }
    const partitions: (PartitionEntry | undefined)[] = [];
    const topic: TopicEntry = { name: change.name, topicId: change.topicId, partitions };
    for (const { index, handle, leaderEpoch } of change.partitions) {
      partitions[index] = { topic, index, handle, leaderEpoch };
    }
    this.#byName.set(change.name, topic);
    this.#byId.set(change.topicId, topic);
  }

  /** The changes that would build this directory from nothing. */
  snapshot(): DirectoryChange[] {
    return [...this.#byName.values()].map((topic) => ({
      kind: "topic" as const,
      name: topic.name,
      topicId: topic.topicId,
      partitions: topic.partitions
        .filter((partition) => partition !== undefined)
        .map(({ index, handle, leaderEpoch }) => ({ index, handle, leaderEpoch })),
    }));
  }
}
