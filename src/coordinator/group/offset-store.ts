/**
 * Committed offsets: what every group has stored for every partition, with the memory of what is not in the log yet.
 */
import type { Timeline } from "../runtime/timeline.ts";
import { VersionedMap } from "../runtime/timeline.ts";
import type { OffsetRecordValue } from "./records.ts";

type Partitions = VersionedMap<number, OffsetRecordValue>;

/** Which view a reader wants: what the next decision builds on, or what clients may see. */
export type View = "newest" | "committed";

/** Offsets of all groups of one coordinator partition. */
export class OffsetStore {
  readonly #timeline: Timeline;
  readonly #groups = new Map<string, Map<string, Partitions>>();

  constructor(timeline: Timeline) {
    this.#timeline = timeline;
  }

  /** Applies one offset record. */
  replay(groupId: string, topic: string, partition: number, value: OffsetRecordValue | null): void {
    let topics = this.#groups.get(groupId);
    if (topics === undefined) {
      if (value === null) return;
      topics = new Map();
      this.#groups.set(groupId, topics);
    }
    let partitions = topics.get(topic);
    if (partitions === undefined) {
      if (value === null) return;
      partitions = new VersionedMap(this.#timeline);
      topics.set(topic, partitions);
    }
    partitions.set(partition, value ?? undefined);
  }

  get(
    groupId: string,
    topic: string,
    partition: number,
    view: View = "newest",
  ): OffsetRecordValue | undefined {
    const partitions = this.#groups.get(groupId)?.get(topic);
    return view === "newest" ? partitions?.get(partition) : partitions?.getCommitted(partition);
  }

  /** Topics a group has offsets for, each with its partitions; empty ones are left out. */
  topics(groupId: string, view: View = "newest"): [string, [number, OffsetRecordValue][]][] {
    const found: [string, [number, OffsetRecordValue][]][] = [];
    for (const [topic, partitions] of this.#groups.get(groupId) ?? []) {
      const entries = view === "newest" ? partitions.entries() : partitions.committedEntries();
      const rows = [...entries];
      if (rows.length > 0) found.push([topic, rows]);
    }
    return found;
  }

  /** Groups that have, or lately had, offsets. */
  groupIds(): IterableIterator<string> {
    return this.#groups.keys();
  }

  /** Frees what is left of deleted offsets. Called now and then; nothing visible changes. */
  prune(): void {
    for (const [groupId, topics] of this.#groups) {
      for (const [topic, partitions] of topics) {
        if (partitions.isVacant) topics.delete(topic);
      }
      if (topics.size === 0) this.#groups.delete(groupId);
    }
  }
}
