/** A clock and its timers that move only when a test says so. */
import type { Clock, Scheduler, Timer } from "#common/time.ts";

export class ManualTime implements Clock, Scheduler {
  #now: number;
  #timers: { readonly atMs: number; readonly run: () => void }[] = [];

  constructor(startMs = 1_000_000) {
    this.#now = startMs;
  }

  nowMs(): number {
    return this.#now;
  }

  monotonicMs(): number {
    return this.#now;
  }

  /** Timers that have neither fired nor been cancelled. */
  get pendingCount(): number {
    return this.#timers.length;
  }

  after(delayMs: number, run: () => void): Timer {
    const timer = { atMs: this.#now + delayMs, run };
    this.#timers.push(timer);
    return {
      cancel: () => {
        this.#timers = this.#timers.filter((other) => other !== timer);
      },
    };
  }

  /** Moves the clock, firing what becomes due on the way, in order. */
  advance(ms: number): void {
    const untilMs = this.#now + ms;
    for (;;) {
      const next = this.#timers
        .filter(({ atMs }) => atMs <= untilMs)
        .toSorted((one, other) => one.atMs - other.atMs)[0];
      if (next === undefined) break;
      this.#timers = this.#timers.filter((timer) => timer !== next);
      this.#now = Math.max(this.#now, next.atMs);
      next.run();
    }
    this.#now = untilMs;
  }
}
