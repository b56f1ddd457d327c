import { describe, expect, test } from "bun:test";
import type { Clock, Scheduler } from "#common/time.ts";
import { TimerWheel } from "#common/timer-wheel.ts";

/** A clock that moves only when told, with one pending timer. */
class ManualTime implements Clock, Scheduler {
  now = 5;
  armedCount = 0;
  #pending: { atMs: number; run: () => void } | null = null;

  nowMs(): number {
    return this.now;
  }

  monotonicMs(): number {
    return this.now;
  }

  after(delayMs: number, run: () => void): { cancel(): void } {
    const timer = { atMs: this.now + delayMs, run };
    this.#pending = timer;
    this.armedCount++;
    return {
      cancel: () => {
        if (this.#pending === timer) this.#pending = null;
      },
    };
  }

  advance(ms: number): void {
    const untilMs = this.now + ms;
    while (this.#pending !== null && this.#pending.atMs <= untilMs) {
      const timer = this.#pending;
      this.#pending = null;
      this.now = Math.max(this.now, timer.atMs);
      timer.run();
    }
    this.now = untilMs;
  }
}

describe("TimerWheel", () => {
  test("fires each deadline late by at most a slot, in order", () => {
    const time = new ManualTime();
    const wheel = new TimerWheel(time, time, 10);
    const fired: [number, number][] = [];
    for (const delayMs of [500, 3, 20_000, 95, 0, 11_000]) {
      wheel.after(delayMs, () => fired.push([delayMs, time.now]));
    }
    for (let step = 0; step < 30_000; step++) time.advance(1);
    expect(fired.map(([delayMs]) => delayMs)).toEqual([0, 3, 95, 500, 11_000, 20_000]);
    for (const [delayMs, atMs] of fired) {
      expect(atMs - 5).toBeGreaterThanOrEqual(delayMs);
      expect(atMs - 5).toBeLessThanOrEqual(delayMs + 10);
    }
  });

  test("a long sleep of the process fires everything that is due", () => {
    const time = new ManualTime();
    const wheel = new TimerWheel(time, time, 10);
    let count = 0;
    for (let index = 0; index < 3000; index++) wheel.after(index * 10, () => count++);
    time.advance(1);
    time.now += 100_000;
    time.advance(50);
    expect(count).toBe(3000);
  });

  test("cancelled ones never fire, twice cancelled is once, and one timer serves all", () => {
    const time = new ManualTime();
    const wheel = new TimerWheel(time, time, 10);
    const fired: number[] = [];
    const timers = [0, 1, 2].map((index) => wheel.after(30_000, () => fired.push(index)));
    for (let index = 0; index < 1000; index++) wheel.after(30_000, () => {}).cancel();
    timers[1]?.cancel();
    timers[1]?.cancel();
    expect(time.armedCount).toBe(1);
    time.advance(31_000);
    expect(fired.toSorted((left, right) => left - right)).toEqual([0, 2]);
  });

  test("a timer may start another one for now without firing it in the same turn", () => {
    const time = new ManualTime();
    const wheel = new TimerWheel(time, time, 10);
    const fired: string[] = [];
    wheel.after(0, () => {
      fired.push("outer");
      wheel.after(0, () => fired.push("inner"));
    });
    time.advance(10);
    expect(fired).toEqual(["outer"]);
    time.advance(10);
    expect(fired).toEqual(["outer", "inner"]);
  });
});
