/** One seed is one run: a second time everything happens again, to the last event. */
import { expect, test } from "bun:test";
import { runPlan } from "./cluster.ts";
import { planOf } from "./faults.ts";

test.each([1, 2, 3])("seed %d gives the same run twice", (seed) => {
  const first = runPlan(planOf(seed));
  // Another run in between: nothing of it is left behind.
  runPlan(planOf(seed + 1000));
  const second = runPlan(planOf(seed));
  expect(second.hash).toBe(first.hash);
  expect(second.eventCount).toBe(first.eventCount);
  expect(first.ackedCount).toBeGreaterThan(0);
});

test("different seeds are different runs", () => {
  expect(runPlan(planOf(1)).hash).not.toBe(runPlan(planOf(2)).hash);
});
