/** The rate of throttled replication, on a clock that only the test moves. */
import { expect, test } from "bun:test";
import { ReplicationQuota } from "#replica/replication-quota.ts";
import {
  type ThrottledPartitions,
  ThrottledReplicas,
  throttledPartitions,
} from "#replica/throttled-replicas.ts";

const START_MS = 1_700_000_000_000;

test("nothing is exceeded while there is no limit", () => {
  const quota = new ReplicationQuota();
  quota.record(1e12, START_MS);
  expect([quota.isExceeded(START_MS), quota.limit]).toEqual([false, Number.POSITIVE_INFINITY]);
  quota.limit = 1_000;
  expect(quota.isExceeded(START_MS)).toBe(true);
  quota.limit = Number.MAX_SAFE_INTEGER;
  expect(quota.isExceeded(START_MS)).toBe(false);
});

test("who sent ten times too much waits until the average is down, and is then forgotten window by window", () => {
  const quota = new ReplicationQuota();
  quota.limit = 1_000;
  quota.record(5_000, START_MS + 250);
  expect(quota.rate(START_MS + 250)).toBe(5_000);
  const over: boolean[] = [];
  for (let second = 1; second <= 6; second += 1)
    over.push(quota.isExceeded(START_MS + second * 1_000));
  expect(over).toEqual([true, true, true, true, false, false]);
  // After eleven windows nothing is left of it.
  expect(quota.rate(START_MS + 10_999)).toBeCloseTo(5_000 / 10.999, 6);
  expect(quota.rate(START_MS + 11_000)).toBe(0);
});

test("a steady stream that looks before each step keeps to the limit", () => {
  const quota = new ReplicationQuota();
  quota.limit = 100_000;
  let sent = 0;
  const seconds = 60;
  for (let atMs = 0; atMs < seconds * 1_000; atMs += 10) {
    if (quota.isExceeded(START_MS + atMs)) continue;
    quota.record(16_384, START_MS + atMs);
    sent += 16_384;
  }
  expect(sent / seconds).toBeGreaterThan(95_000);
  expect(sent / seconds).toBeLessThan(105_000);
});

test("all views of the same memory count together", () => {
  const windows = { count: 3, widthMs: 500 };
  const one = new ReplicationQuota(windows);
  const other = new ReplicationQuota(windows, one.memory);
  one.limit = 10;
  other.record(100, START_MS);
  one.record(100, START_MS + 400);
  expect([
    one.rate(START_MS + 400),
    other.rate(START_MS + 400),
    other.isExceeded(START_MS),
  ]).toEqual([400, 400, true]);
});

test("which replicas are throttled is what the topic's value says of this broker", () => {
  const value = "0:1, 1:2,2:1 ,10:11";
  expect(throttledPartitions(value, 1)).toEqual(new Set([0, 2]));
  expect(throttledPartitions(value, 11)).toEqual(new Set([10]));
  expect(throttledPartitions(value, 3)).toBeNull();
  expect(throttledPartitions("*", 3)).toBe("all");
  expect(throttledPartitions("", 3)).toBeNull();
  expect(throttledPartitions(undefined, 3)).toBeNull();
  const throttled = new ThrottledReplicas(
    new Map<string, ThrottledPartitions>([
      ["t", new Set([1])],
      ["u", "all"],
    ]),
  );
  const asked = [throttled.has("t", 1), throttled.has("t", 0), throttled.has("u", 7)];
  expect([...asked, throttled.has("v", 0)]).toEqual([true, false, true, false]);
});
