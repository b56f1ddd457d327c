/**
 * Committed offsets: what every group has stored for every partition, with the memory of what is not in the log yet.
 */
import type { Timeline } from "../runtime/timeline.ts";
import type { OffsetRecordReader } from "./offset-record-reader.ts";
import type { OffsetRecordValue, OffsetRowsRecord } from "./records.ts";
import { NO_EXPIRY, TopicOffsets } from "./topic-offsets.ts";

/** Which view a reader wants: what the next decision builds on, or what clients may see. */
export type View = "newest" | "committed";

/** Offsets of all groups of one coordinator partition. */
export class OffsetStore {
  readonly #timeline: Timeline;
  readonly #groups = new Map<string, Map<string, TopicOffsets>>();
  /** Names and ids of topics as first seen: thousands of groups that read one topic share them. */
  readonly #shared = new Map<string, string>();

  constructor(timeline: Timeline) {
    this.#timeline = timeline;
  }

  /** Applies one offset record. */
  replay(groupId: string, topic: string, partition: number, value: OffsetRecordValue | null): void {
    const offsets = this.#offsetsOf(groupId, topic, value === null ? null : value.topicId);
    offsets?.set(partition, value ?? undefined);
  }

  /** Applies the rows of a commit. */
  replayRows({ groupId, topic, topicId, rows, nowMs, expireTimestampMs }: OffsetRowsRecord): void {
    const offsets = this.#offsetsOf(groupId, topic, topicId);
    if (offsets === undefined) return;
    offsets.expect(rows.length);
    for (const row of rows) {
      offsets.write(
        row.partitionIndex,
        row.committedOffset,
        row.commitTimestamp === -1 ? nowMs : row.commitTimestamp,
        row.committedLeaderEpoch,
        row.committedMetadata ?? "",
        expireTimestampMs,
        topicId,
      );
    }
  }

  /** Applies the offset record that `record` has just read, while loading. */
  load(record: OffsetRecordReader): void {
    const topicId = record.isTombstone ? null : record.topicId;
    const offsets = this.#offsetsOf(record.groupId, record.topic, topicId);
    if (record.isTombstone) offsets?.set(record.partition, undefined);
    else {
      offsets?.write(
        record.partition,
        record.offset,
        record.commitTimestampMs,
        record.leaderEpoch,
        record.metadata,
        NO_EXPIRY,
        record.topicId,
      );
    }
  }

  get(
    groupId: string,
    topic: string,
    partition: number,
    view: View = "newest",
  ): OffsetRecordValue | undefined {
    const offsets = this.#groups.get(groupId)?.get(topic);
    return view === "newest" ? offsets?.get(partition) : offsets?.getCommitted(partition);
  }

  /** Topics a group has offsets for, each with its partitions in order; empty ones are left out. */
  topics(groupId: string, view: View = "newest"): [string, [number, OffsetRecordValue][]][] {
    const found: [string, [number, OffsetRecordValue][]][] = [];
    for (const topic of this.#groups.get(groupId)?.keys() ?? []) {
      const rows = this.rows(groupId, topic, view);
      if (rows.length > 0) found.push([topic, rows]);
    }
    return found;
  }

  /** Partitions of a topic that a group has offsets for, in order. */
  rows(groupId: string, topic: string, view: View = "newest"): [number, OffsetRecordValue][] {
    const offsets = this.#groups.get(groupId)?.get(topic);
    if (offsets === undefined) return [];
    return [...(view === "newest" ? offsets.entries() : offsets.committedEntries())];
  }

  /** Groups that have, or lately had, offsets. */
  groupIds(): IterableIterator<string> {
    return this.#groups.keys();
  }

  /** Frees what is left of deleted offsets. Called now and then; nothing visible changes. */
  prune(): void {
    this.#shared.clear();
    for (const [groupId, topics] of this.#groups) {
      for (const [topic, offsets] of topics) {
        if (offsets.isVacant) topics.delete(topic);
        else this.#share(topic);
      }
      if (topics.size === 0) this.#groups.delete(groupId);
    }
  }

  /** Made when missing, unless `topicId` is null: a deletion needs none. */
  #offsetsOf(groupId: string, topic: string, topicId: string | null): TopicOffsets | undefined {
    let topics = this.#groups.get(groupId);
    if (topics === undefined) {
      if (topicId === null) return undefined;
      topics = new Map();
      this.#groups.set(groupId, topics);
    }
    let offsets = topics.get(topic);
    if (offsets === undefined) {
      if (topicId === null) return undefined;
      offsets = new TopicOffsets(this.#timeline, this.#share(topicId));
      topics.set(this.#share(topic), offsets);
    }
    return offsets;
  }

  #share(text: string): string {
    const known = this.#shared.get(text);
    if (known !== undefined) return known;
    this.#shared.set(text, text);
    return text;
  }
}
