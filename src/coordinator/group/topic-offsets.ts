/**
 * Offsets of one group for one topic, as one array of numbers: a hundred thousand committed offsets are then a few megabytes and
 * nothing that the garbage collector has to follow.
 *
 * ```
 * numbers   partition · offset · commit timestamp · leader epoch    four a row, rows in order of partition
 * extras    partition → metadata, expiry, topic id                  only where they are not "", none, and the topic's
 * ```
 * A row that is written by an operation that is not in the log yet leaves what was there before in a chain of `OpenRow`s: the oldest
 * one holds the committed row.
 */
import type { Change, Timeline } from "../runtime/timeline.ts";
import type { OffsetRecordValue } from "./records.ts";

const STRIDE = 4;
const NO_EXPIRY = -1;

/** What a row has beside its numbers. */
interface Extra {
  readonly metadata: string;
  readonly expireTimestampMs: number;
  readonly topicId: string;
}

/** Offsets by partition, with the memory of what is not committed. */
export class TopicOffsets {
  readonly #timeline: Timeline;
  #topicId: string;
  readonly #numbers: number[] = [];
  #extras: Map<number, Extra> | null = null;
  /** The oldest change of each row that has any; it knows the newest. */
  #open: Map<number, OpenRow> | null = null;

  /** @param topicId - id of the topic, which rows share unless they say otherwise. */
  constructor(timeline: Timeline, topicId: string) {
    this.#timeline = timeline;
    this.#topicId = topicId;
  }

  /** True when nothing is left: no row, and none that an undo could bring back. */
  get isVacant(): boolean {
    return this.#numbers.length === 0 && this.#open === null;
  }

  /** Newest value, committed or not. */
  get(partition: number): OffsetRecordValue | undefined {
    const at = this.#find(partition);
    return at < 0 ? undefined : this.#row(at);
  }

  /** Value as of the last committed operation. */
  getCommitted(partition: number): OffsetRecordValue | undefined {
    const open = this.#open?.get(partition);
    return open === undefined ? this.get(partition) : open.before;
  }

  /** Writes a row as part of the running operation; `undefined` deletes it. */
  set(partition: number, value: OffsetRecordValue | undefined): void {
    const timeline = this.#timeline;
    if (timeline.current > timeline.committed) {
      const before = this.get(partition);
      if (before === undefined && value === undefined) return;
      this.#remember(new OpenRow(this, timeline.current, partition, before));
    }
    if (value === undefined) this.#delete(partition);
    else {
      const { offset, commitTimestampMs, leaderEpoch } = value;
      this.#write(partition, offset, commitTimestampMs, leaderEpoch);
      this.#writeExtra(partition, value.metadata, value.expireTimestampMs, value.topicId);
    }
  }

  /** Writes a row that is in the log: as `set` while loading, without an object for it. */
  load(
    partition: number,
    offset: number,
    commitTimestampMs: number,
    leaderEpoch: number,
    metadata: string,
    topicId: string,
  ): void {
    this.#write(partition, offset, commitTimestampMs, leaderEpoch);
    this.#writeExtra(partition, metadata, NO_EXPIRY, topicId);
  }

  /** Newest rows, in order of partition. */
  *entries(): IterableIterator<[number, OffsetRecordValue]> {
    for (let at = 0; at < this.#numbers.length; at += STRIDE) {
      yield [this.#numbers[at] as number, this.#row(at)];
    }
  }

  /** Committed rows, in order of partition. */
  *committedEntries(): IterableIterator<[number, OffsetRecordValue]> {
    if (this.#open === null) {
      yield* this.entries();
      return;
    }
    const partitions = new Set(this.#open.keys());
    for (let at = 0; at < this.#numbers.length; at += STRIDE)
      partitions.add(this.#numbers[at] as number);
    for (const partition of [...partitions].toSorted((one, other) => one - other)) {
      const value = this.getCommitted(partition);
      if (value !== undefined) yield [partition, value];
    }
  }

  // ---- called by changes

  /** An operation that wrote a row is in the log. */
  settle(change: OpenRow): void {
    const { newer } = change;
    if (newer === null) {
      this.#close(change.partition);
    } else {
      newer.older = null;
      newer.newest = change.newest;
      this.#open?.set(change.partition, newer);
    }
  }

  /** An operation that wrote a row is undone; newer ones were undone before. */
  undo(change: OpenRow): void {
    const { partition, before, older } = change;
    const oldest = this.#open?.get(partition);
    if (older === null || oldest === undefined) {
      this.#close(partition);
    } else {
      older.newer = null;
      oldest.newest = older;
    }
    if (before === undefined) this.#delete(partition);
    else {
      this.#write(partition, before.offset, before.commitTimestampMs, before.leaderEpoch);
      this.#writeExtra(partition, before.metadata, before.expireTimestampMs, before.topicId);
    }
  }

  // ---- inside

  #remember(change: OpenRow): void {
    this.#open ??= new Map();
    const oldest = this.#open.get(change.partition);
    if (oldest === undefined) this.#open.set(change.partition, change);
    else {
      oldest.newest.newer = change;
      change.older = oldest.newest;
      oldest.newest = change;
    }
    this.#timeline.record(change);
  }

  #close(partition: number): void {
    this.#open?.delete(partition);
    if (this.#open?.size === 0) this.#open = null;
  }

  #row(at: number): OffsetRecordValue {
    const numbers = this.#numbers;
    const extra = this.#extras?.get(numbers[at] as number);
    return {
      offset: numbers[at + 1] as number,
      leaderEpoch: numbers[at + 3] as number,
      metadata: extra === undefined ? "" : extra.metadata,
      commitTimestampMs: numbers[at + 2] as number,
      expireTimestampMs: extra === undefined ? NO_EXPIRY : extra.expireTimestampMs,
      topicId: extra === undefined ? this.#topicId : extra.topicId,
    };
  }

  #write(partition: number, offset: number, commitTimestampMs: number, leaderEpoch: number): void {
    const numbers = this.#numbers;
    const last = numbers.length - STRIDE;
    if (last < 0 || (numbers[last] as number) < partition) {
      numbers.push(partition, offset, commitTimestampMs, leaderEpoch);
      return;
    }
    let at = this.#find(partition);
    if (at < 0) {
      at = -at - 1;
      numbers.splice(at, 0, partition, offset, commitTimestampMs, leaderEpoch);
      return;
    }
    numbers[at + 1] = offset;
    numbers[at + 2] = commitTimestampMs;
    numbers[at + 3] = leaderEpoch;
  }

  #writeExtra(
    partition: number,
    metadata: string,
    expireTimestampMs: number,
    topicId: string,
  ): void {
    // A topic that was made anew: the first of its rows says so.
    if (this.#numbers.length === STRIDE) this.#topicId = topicId;
    if (metadata === "" && expireTimestampMs === NO_EXPIRY && topicId === this.#topicId) {
      this.#extras?.delete(partition);
    } else {
      this.#extras ??= new Map();
      this.#extras.set(partition, { metadata, expireTimestampMs, topicId });
    }
  }

  #delete(partition: number): void {
    const at = this.#find(partition);
    if (at < 0) return;
    this.#numbers.splice(at, STRIDE);
    this.#extras?.delete(partition);
  }

  /** Index of a partition's row; where it would have to go, as -1 - index, when there is none. */
  #find(partition: number): number {
    const numbers = this.#numbers;
    let low = 0;
    let high = numbers.length / STRIDE - 1;
    while (low <= high) {
      const middle = (low + high) >> 1;
      const found = numbers[middle * STRIDE] as number;
      if (found === partition) return middle * STRIDE;
      if (found < partition) low = middle + 1;
      else high = middle - 1;
    }
    return -1 - low * STRIDE;
  }
}

/** A row written by an operation that is not in the log yet, and what it replaced. */
class OpenRow implements Change {
  readonly #offsets: TopicOffsets;
  readonly sequence: number;
  readonly partition: number;
  readonly before: OffsetRecordValue | undefined;
  older: OpenRow | null = null;
  newer: OpenRow | null = null;
  /** The newest change of the row; kept by the oldest alone. */
  newest: OpenRow = this;

  constructor(
    offsets: TopicOffsets,
    sequence: number,
    partition: number,
    before: OffsetRecordValue | undefined,
  ) {
    this.#offsets = offsets;
    this.sequence = sequence;
    this.partition = partition;
    this.before = before;
  }

  settle(): void {
    this.#offsets.settle(this);
  }

  undo(): void {
    this.#offsets.undo(this);
  }
}
