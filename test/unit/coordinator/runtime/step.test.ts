import { describe, expect, test } from "bun:test";
import { TimerBook, type TimerEffect } from "#coordinator/runtime/step.ts";

describe("the timer book", () => {
  test("honours the newest token of a key, once", () => {
    const effects: TimerEffect[] = [];
    const timers = new TimerBook<string>();
    timers.set(effects, "key", 10, "old");
    timers.set(effects, "key", 20, "new");
    expect(effects).toEqual([
      { kind: "set-timer", key: "key", delayMs: 10, token: 1 },
      { kind: "set-timer", key: "key", delayMs: 20, token: 2 },
    ]);
    expect(timers.fire("key", 1)).toBeNull();
    expect(timers.fire("key", 2)).toBe("new");
    expect(timers.fire("key", 2)).toBeNull();
  });

  test("ignores a timer that was cleared after it left the scheduler", () => {
    const timers = new TimerBook<string>();
    timers.set([], "key", 10, "action");
    const effects: TimerEffect[] = [];
    timers.clear(effects, "key");
    timers.clear(effects, "key");
    expect(effects).toEqual([{ kind: "clear-timer", key: "key" }]);
    expect(timers.fire("key", 1)).toBeNull();
  });
});
