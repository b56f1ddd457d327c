/**
 * Offsets of one group for one topic.
 *
 * ```
 * table     partition, offset, commit timestamp, leader epoch       numbers alone: see `offset-table.ts`
 * extras    partition → metadata, expiry, topic id                  only where they are not "", none, and the topic's
 * ```
 * An operation that is not in the log yet leaves behind what its rows were before: one `OpenRows` for all of them, in the order in
 * which they were written.
 */
import type { Change, Timeline } from "../runtime/timeline.ts";
import { OffsetTable } from "./offset-table.ts";
import type { OffsetRecordValue } from "./records.ts";

/** Stands for offsets that age as the broker says. */
export const NO_EXPIRY = -1;
/** In place of the leader epoch of a row that was not there: no epoch is like this. */
const MISSING = 0.5;

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
  readonly #table = new OffsetTable();
  #extras: Map<number, Extra> | null = null;
  /** What is not committed, the oldest first. */
  #open: OpenRows[] = NOTHING_OPEN;
  /** Where `#open` has the oldest row of each partition; made when it is asked for, null when it is out of date. */
  #oldest: Map<number, OldestRow> | null = null;

  /** @param topicId - id of the topic, which rows share unless they say otherwise. */
  constructor(timeline: Timeline, topicId: string) {
    this.#timeline = timeline;
    this.#topicId = topicId;
  }

  /** True when nothing is left: no row, and none that an undo could bring back. */
  get isVacant(): boolean {
    return this.#table.count === 0 && this.#open.length === 0;
  }

  /** Newest value, committed or not. */
  get(partition: number): OffsetRecordValue | undefined {
    const at = this.#table.find(partition);
    return at < 0 ? undefined : this.#row(at);
  }

  /** Value as of the last committed operation. */
  getCommitted(partition: number): OffsetRecordValue | undefined {
    if (this.#open.length === 0) return this.get(partition);
    const oldest = this.#oldestRows().get(partition);
    return oldest === undefined ? this.get(partition) : oldest.change.before(oldest.index);
  }

  /** Writes a row as part of the running operation; `undefined` deletes it. */
  set(partition: number, value: OffsetRecordValue | undefined): void {
    if (value === undefined) {
      const at = this.#table.find(partition);
      if (at < 0) return;
      this.#remember(partition, at);
      this.#delete(partition);
    } else {
      this.write(
        partition,
        value.offset,
        value.commitTimestampMs,
        value.leaderEpoch,
        value.metadata,
        value.expireTimestampMs,
        value.topicId,
      );
    }
  }

  /** So many rows are about to be written: where there is none yet, there is then room for just these. */
  expect(rows: number): void {
    if (this.#table.count === 0) this.#table.reserve(rows);
  }

  /** Writes a row as `set` does, without an object for it. */
  write(
    partition: number,
    offset: number,
    commitTimestampMs: number,
    leaderEpoch: number,
    metadata: string,
    expireTimestampMs: number,
    topicId: string,
  ): void {
    const at = this.#table.find(partition);
    this.#remember(partition, at);
    this.#table.put(at, partition, offset, commitTimestampMs, leaderEpoch);
    this.#putExtra(partition, metadata, expireTimestampMs, topicId);
  }

  /** Newest rows, in order of partition. */
  *entries(): IterableIterator<[number, OffsetRecordValue]> {
    for (let at = 0; at < this.#table.count; at++) {
      yield [this.#table.partition(at), this.#row(at)];
    }
  }

  /** Committed rows, in order of partition. */
  *committedEntries(): IterableIterator<[number, OffsetRecordValue]> {
    if (this.#open.length === 0) {
      yield* this.entries();
      return;
    }
    const partitions = new Set(this.#oldestRows().keys());
    for (let at = 0; at < this.#table.count; at++) partitions.add(this.#table.partition(at));
    for (const partition of [...partitions].toSorted((one, other) => one - other)) {
      const value = this.getCommitted(partition);
      if (value !== undefined) yield [partition, value];
    }
  }

  // ---- called by changes

  /** The oldest operation that is open is in the log. */
  settle(): void {
    if (this.#open.length === 1) this.#open = NOTHING_OPEN;
    else this.#open.shift();
    this.#oldest = null;
  }

  /** The newest operation that is open is undone. */
  undo(change: OpenRows): void {
    this.#open.pop();
    this.#oldest = null;
    for (let index = change.count - 1; index >= 0; index--) {
      const partition = change.partition(index);
      const before = change.before(index);
      if (before === undefined) {
        this.#delete(partition);
        continue;
      }
      const { offset, commitTimestampMs, leaderEpoch } = before;
      this.#table.put(
        this.#table.find(partition),
        partition,
        offset,
        commitTimestampMs,
        leaderEpoch,
      );
      this.#putExtra(partition, before.metadata, before.expireTimestampMs, before.topicId);
    }
  }

  // ---- inside

  /** Notes what the row of a partition is, `at` being what `#find` says, before the running operation changes it. */
  #remember(partition: number, at: number): void {
    const { current, committed } = this.#timeline;
    if (current <= committed) return;
    let change = this.#open.at(-1);
    if (change === undefined || change.sequence !== current) {
      change = new OpenRows(this, current);
      if (this.#open.length === 0) this.#open = [change];
      else this.#open.push(change);
      this.#timeline.record(change);
    }
    this.#oldest = null;
    if (at < 0) change.addMissing(partition);
    else {
      const extra = this.#extras?.get(partition);
      change.add(this.#table, at, extra, this.#topicId);
    }
  }

  #oldestRows(): Map<number, OldestRow> {
    if (this.#oldest !== null) return this.#oldest;
    const rows = new Map<number, OldestRow>();
    for (const change of this.#open) {
      for (let index = 0; index < change.count; index++) {
        const partition = change.partition(index);
        if (!rows.has(partition)) rows.set(partition, { change, index });
      }
    }
    this.#oldest = rows;
    return rows;
  }

  #row(at: number): OffsetRecordValue {
    const table = this.#table;
    return valueOf(
      table.offset(at),
      table.commitTimestampMs(at),
      table.leaderEpoch(at),
      this.#extras?.get(table.partition(at)),
      this.#topicId,
    );
  }

  #putExtra(partition: number, metadata: string, expireTimestampMs: number, topicId: string): void {
    // A topic that was made anew: the first of its rows says so.
    if (this.#table.count === 1) this.#topicId = topicId;
    if (metadata === "" && expireTimestampMs === NO_EXPIRY && topicId === this.#topicId) {
      this.#extras?.delete(partition);
    } else {
      this.#extras ??= new Map();
      this.#extras.set(partition, { metadata, expireTimestampMs, topicId });
    }
  }

  #delete(partition: number): void {
    const at = this.#table.find(partition);
    if (at < 0) return;
    this.#table.delete(at);
    this.#extras?.delete(partition);
  }
}

/** Of topics of which everything is committed; never written to. */
const NOTHING_OPEN: OpenRows[] = [];

/** Where the committed row of a partition is. */
interface OldestRow {
  readonly change: OpenRows;
  readonly index: number;
}

function valueOf(
  offset: number,
  commitTimestampMs: number,
  leaderEpoch: number,
  extra: Extra | undefined,
  topicId: string,
): OffsetRecordValue {
  return {
    offset,
    leaderEpoch,
    metadata: extra === undefined ? "" : extra.metadata,
    commitTimestampMs,
    expireTimestampMs: extra === undefined ? NO_EXPIRY : extra.expireTimestampMs,
    topicId: extra === undefined ? topicId : extra.topicId,
  };
}

/** Numbers of a row in `OpenRows`: partition, offset, commit timestamp, leader epoch. */
const STRIDE = 4;

/** The rows that one operation wrote, as they were before; kept until the operation is in the log. */
class OpenRows implements Change {
  readonly sequence: number;
  readonly #offsets: TopicOffsets;
  /** `STRIDE` a row, in the order of writing; a partition that is written twice is here twice. */
  readonly #numbers: number[] = [];
  /** By index of the row, as in `TopicOffsets`. */
  #extras: Map<number, Extra> | null = null;
  /** Id of the topic in rows without an extra. */
  #topicId = "";

  constructor(offsets: TopicOffsets, sequence: number) {
    this.#offsets = offsets;
    this.sequence = sequence;
  }

  /** Number of rows. */
  get count(): number {
    return this.#numbers.length / STRIDE;
  }

  partition(index: number): number {
    return this.#numbers[index * STRIDE] as number;
  }

  /** What the row was; undefined: there was none. */
  before(index: number): OffsetRecordValue | undefined {
    const at = index * STRIDE;
    const numbers = this.#numbers;
    const leaderEpoch = numbers[at + 3] as number;
    if (leaderEpoch === MISSING) return undefined;
    const offset = numbers[at + 1] as number;
    const commitTimestampMs = numbers[at + 2] as number;
    return valueOf(offset, commitTimestampMs, leaderEpoch, this.#extras?.get(index), this.#topicId);
  }

  /** Adds a row that is `at` in `table`. */
  add(table: OffsetTable, at: number, extra: Extra | undefined, topicId: string): void {
    if (this.#topicId === "") this.#topicId = topicId;
    if (extra !== undefined || topicId !== this.#topicId) {
      this.#extras ??= new Map();
      const plain = { metadata: "", expireTimestampMs: NO_EXPIRY, topicId };
      this.#extras.set(this.count, extra ?? plain);
    }
    this.#numbers.push(
      table.partition(at),
      table.offset(at),
      table.commitTimestampMs(at),
      table.leaderEpoch(at),
    );
  }

  /** Adds a row that was not there. */
  addMissing(partition: number): void {
    this.#numbers.push(partition, 0, 0, MISSING);
  }

  settle(): void {
    this.#offsets.settle();
  }

  undo(): void {
    this.#offsets.undo(this);
  }
}
