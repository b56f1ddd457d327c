/**
 * State with a memory of what is not committed yet.
 *
 * A coordinator changes its state as soon as it has decided, but clients may only see what has reached the log. So every
 * write carries the sequence number of the operation that made it, and each value keeps a chain of older versions until the
 * newer one is committed. Readers ask either for the newest value (the next decision builds on it) or for the committed
 * one (what OffsetFetch and ListGroups answer). When an append fails, everything after the last good operation is undone
 * by walking the changes backwards.
 *
 * Sequence numbers belong to the process and start anew with each load; they are not log offsets.
 */
import { assert } from "#common/assert.ts";

/** One value of a key, and the one it replaced while that one may still be needed. */
interface Version<V> {
  /** `undefined`: the key was deleted by this version. */
  readonly value: V | undefined;
  readonly sequence: number;
  older: Version<V> | null;
}

/** One change that is not committed yet. */
export interface Change {
  readonly sequence: number;
  settle(): void;
  undo(): void;
}

/** The clock of a coordinator's state: which operation is running and up to which one everything is in the log. */
export class Timeline {
  /** Sequence of the operation that writes now; 0 while records are loaded. */
  #current = 0;
  #committed = 0;
  #changes: Change[] = [];
  /** Index of the first change in `#changes` that is not committed; the prefix is dropped now and then. */
  #firstOpen = 0;

  /** Sequence of the newest operation begun. */
  get current(): number {
    return this.#current;
  }

  /** Everything written by operations up to this one is in the log. */
  get committed(): number {
    return this.#committed;
  }

  /** Opens the next operation and returns its sequence. */
  begin(): number {
    this.#current += 1;
    return this.#current;
  }

  /** Remembers a change for commit or undo. Called by the containers of this folder only. */
  record(change: Change): void {
    this.#changes.push(change);
  }

  /** Declares all operations up to `sequence` to be in the log. */
  commit(sequence: number): void {
    assert(sequence <= this.#current, "commit beyond the newest operation");
    if (sequence <= this.#committed) return;
    this.#committed = sequence;
    for (;;) {
      const change = this.#changes[this.#firstOpen];
      if (change === undefined || change.sequence > sequence) break;
      change.settle();
      this.#firstOpen += 1;
    }
    if (this.#firstOpen === this.#changes.length) {
      this.#changes = [];
      this.#firstOpen = 0;
    } else if (this.#firstOpen > 1024) {
      this.#changes = this.#changes.slice(this.#firstOpen);
      this.#firstOpen = 0;
    }
  }

  /** Undoes every operation after `sequence`, newest first. Committed operations can't be undone. */
  rollback(sequence: number): void {
    assert(sequence >= this.#committed, "rollback of a committed operation");
    while (this.#changes.length > this.#firstOpen) {
      const change = this.#changes.at(-1);
      if (change === undefined || change.sequence <= sequence) break;
      this.#changes.pop();
      change.undo();
    }
  }
}

/** A map whose entries know their committed value. Iteration is in order of first insertion. */
export class VersionedMap<K, V> {
  readonly #timeline: Timeline;
  readonly #entries = new Map<K, Version<V>>();
  readonly #onUndo: ((undone: V | undefined, restored: V | undefined) => void) | null;

  /** @param onUndo - told of each write that is undone: the value it wrote, and the one that is back. */
  constructor(
    timeline: Timeline,
    onUndo: ((undone: V | undefined, restored: V | undefined) => void) | null = null,
  ) {
    this.#timeline = timeline;
    this.#onUndo = onUndo;
  }

  /** Newest value, committed or not. */
  get(key: K): V | undefined {
    return this.#entries.get(key)?.value;
  }

  /** Value as of the last committed operation. */
  getCommitted(key: K): V | undefined {
    return committedValue(this.#entries.get(key), this.#timeline.committed);
  }

  /** Writes `value` as part of the running operation; `undefined` deletes. */
  set(key: K, value: V | undefined): void {
    const sequence = this.#timeline.current;
    const older = this.#entries.get(key) ?? null;
    const isCommitted = sequence <= this.#timeline.committed;
    if (isCommitted) {
      if (value === undefined) this.#entries.delete(key);
      else this.#entries.set(key, { value, sequence, older: null });
    } else {
      if (older === null && value === undefined) return;
      const version: Version<V> = { value, sequence, older };
      this.#entries.set(key, version);
      this.#timeline.record({
        sequence,
        settle: () => {
          version.older = null;
          if (value === undefined && this.#entries.get(key) === version) this.#entries.delete(key);
        },
        undo: () => {
          const older = version.older;
          const isGone =
            older === null ||
            (older.value === undefined && older.sequence <= this.#timeline.committed);
          if (isGone) this.#entries.delete(key);
          else this.#entries.set(key, older);
          this.#onUndo?.(value, older?.value);
        },
      });
    }
  }

  /** Newest entries. */
  *entries(): IterableIterator<[K, V]> {
    for (const [key, version] of this.#entries) {
      if (version.value !== undefined) yield [key, version.value];
    }
  }

  /** Entries as of the last committed operation. */
  *committedEntries(): IterableIterator<[K, V]> {
    const committed = this.#timeline.committed;
    for (const [key, version] of this.#entries) {
      const value = committedValue(version, committed);
      if (value !== undefined) yield [key, value];
    }
  }

  /** True when neither a value nor a version still needed is left. */
  get isVacant(): boolean {
    return this.#entries.size === 0;
  }
}

function committedValue<V>(newest: Version<V> | undefined, committed: number): V | undefined {
  let version: Version<V> | null | undefined = newest;
  while (version !== null && version !== undefined && version.sequence > committed) {
    version = version.older;
  }
  return version?.value;
}
