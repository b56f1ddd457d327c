/**
 * Who waits for which partition. Native watches are one-shot and wake a thread once for many partitions; the board
 * turns that into calls to the operations concerned, and arms a partition's watch again while somebody still waits.
 *
 * The order that makes this safe: arm the watch, then look. Whatever happens after the look finds the watch armed.
 */
import type { LogPort } from "./log-port.ts";

/** Handles taken from the native side at a time. */
const DRAIN_COUNT = 1024;

/** Something that waits for partitions to change. */
export interface WatchingOperation {
  /** A watched partition changed. The operation looks again and leaves the board if it is done. */
  onPartitionChanged(handle: number): void;
}

interface WatchedPartition {
  readonly operations: Set<WatchingOperation>;
  isArmed: boolean;
}

/**
 * What a board's operations wait for: what is committed (high watermark, flushed offset), or the log end, as followers do. An append
 * that waits for followers moves only the latter, so that it wakes nobody who could not go on anyway.
 */
export type Watched = "committed" | "log-end";

/** Operations waiting on native partitions, for one thread. */
export class WatchBoard {
  readonly #log: LogPort;
  readonly #watched: Watched;
  readonly #partitions: Map<number, WatchedPartition> = new Map();
  readonly #handles: Float64Array = new Float64Array(DRAIN_COUNT);
  #workerId: number | null = null;
  #isClosed = false;
  #lookId = 0;

  constructor(log: LogPort, watched: Watched = "committed") {
    this.#log = log;
    this.#watched = watched;
  }

  /**
   * Changes with every round of looking at a partition, and is 0 outside of one. What one operation of a round learned of
   * the partition holds for the others of that round.
   */
  lookId = 0;

  /** Partitions somebody waits for. */
  get partitionCount(): number {
    return this.#partitions.size;
  }

  /** Puts an operation on the board. It must look at the partition's state after this, not before. */
  add(handle: number, operation: WatchingOperation): void {
    let partition = this.#partitions.get(handle);
    if (partition === undefined) {
      partition = { operations: new Set(), isArmed: false };
      this.#partitions.set(handle, partition);
    }
    partition.operations.add(operation);
    this.#arm(handle, partition);
  }

  /** Takes an operation off a partition; harmless when it is not there. */
  remove(handle: number, operation: WatchingOperation): void {
    const partition = this.#partitions.get(handle);
    if (partition === undefined) return;
    partition.operations.delete(operation);
    // An armed watch stays: it fires once more for nobody, unless somebody comes first.
    if (partition.operations.size === 0) this.#partitions.delete(handle);
  }

  /** Hears of nothing any more. */
  close(): void {
    if (this.#workerId !== null) this.#log.closeWaker(this.#workerId);
    this.#workerId = null;
    this.#partitions.clear();
    this.#isClosed = true;
  }

  #arm(handle: number, partition: WatchedPartition): void {
    if (partition.isArmed || this.#isClosed) return;
    partition.isArmed = true;
    this.#workerId ??= this.#log.openWaker(() => this.#onWake());
    if (this.#watched === "committed") this.#log.watch(handle, this.#workerId);
    else this.#log.watchLogEnd(handle, this.#workerId);
  }

  #onWake(): void {
    const workerId = this.#workerId;
    if (workerId === null) return;
    for (;;) {
      const count = this.#log.drainWakes(workerId, this.#handles);
      if (count === 0) return;
      // Operations may come and go while others look, so the handles are copied first.
      const handles = Array.from(this.#handles.subarray(0, count));
      for (const handle of handles) this.#onPartitionChanged(handle);
      if (count < DRAIN_COUNT) return;
    }
  }

  #onPartitionChanged(handle: number): void {
    const partition = this.#partitions.get(handle);
    if (partition === undefined) return;
    partition.isArmed = false;
    // Mostly the first look is the last. Whoever stays looks again after the arming: a change in between would be lost.
    this.#look(handle, partition);
    if (partition.operations.size === 0) return;
    this.#arm(handle, partition);
    this.#look(handle, partition);
  }

  #look(handle: number, partition: WatchedPartition): void {
    this.lookId = ++this.#lookId;
    for (const operation of partition.operations) operation.onPartitionChanged(handle);
    this.lookId = 0;
  }
}
