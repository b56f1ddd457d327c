/**
 * Lets promises wait for partitions, for the library. A watch of the native log is one-shot and its callback does not keep
 * the event loop alive; here a timer does, for as long as somebody waits, and looks again by itself now and then.
 */
import type { LogCalls, PartitionHandle } from "./log.ts";

const DRAIN_COUNT = 256;

/** How often waiters look without having been woken; it keeps the process alive and is no more than a safety net. */
const LOOK_AGAIN_MS = 1000;

/** Tells whether the wait is over. */
export type IsDone = () => boolean;

interface Waiter {
  readonly isDone: IsDone;
  readonly resolve: () => void;
}

/** Promises waiting on partitions, of one thread. */
export class WakeBoard {
  readonly #log: LogCalls;
  readonly #waiters: Map<PartitionHandle, Set<Waiter>> = new Map();
  readonly #handles: Float64Array = new Float64Array(DRAIN_COUNT);
  #workerId: number | null = null;
  #timer: ReturnType<typeof setInterval> | null = null;

  constructor(log: LogCalls) {
    this.#log = log;
  }

  /** Resolves once `isDone` holds; it is asked now and whenever the partition moves. */
  waitFor(handle: PartitionHandle, isDone: IsDone): Promise<void> {
    if (isDone()) return Promise.resolve();
    return new Promise((resolve) => {
      let waiters = this.#waiters.get(handle);
      if (waiters === undefined) {
        waiters = new Set();
        this.#waiters.set(handle, waiters);
      }
      waiters.add({ isDone, resolve });
      this.#timer ??= setInterval(() => this.#lookAtAll(), LOOK_AGAIN_MS);
      this.#lookAt(handle);
    });
  }

  /** Asks every waiter once more and ends the board. Waiters that are still not done stay unsettled. */
  close(): void {
    this.#lookAtAll();
    this.#waiters.clear();
    this.#stopTimer();
    if (this.#workerId !== null) this.#log.closeWaker(this.#workerId);
    this.#workerId = null;
  }

  #onWake(): void {
    for (;;) {
      const workerId = this.#workerId;
      if (workerId === null) return;
      const count = this.#log.drainWakes(workerId, this.#handles);
      for (const handle of this.#handles.slice(0, count)) this.#lookAt(handle);
      if (count < DRAIN_COUNT) return;
    }
  }

  #lookAtAll(): void {
    for (const handle of this.#waiters.keys()) this.#lookAt(handle);
  }

  /** Arms the watch first and looks after it, so that a change in between is seen. */
  #lookAt(handle: PartitionHandle): void {
    const waiters = this.#waiters.get(handle);
    if (waiters === undefined) return;
    this.#workerId ??= this.#log.openWaker(() => this.#onWake());
    this.#log.watch(handle, this.#workerId);
    for (const waiter of waiters) {
      if (!waiter.isDone()) continue;
      waiters.delete(waiter);
      waiter.resolve();
    }
    if (waiters.size > 0) return;
    this.#waiters.delete(handle);
    if (this.#waiters.size === 0) this.#stopTimer();
  }

  #stopTimer(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
  }
}
