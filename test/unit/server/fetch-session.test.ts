import { describe, expect, test } from "bun:test";
import { FetchSessionCache, nextEpoch, type SessionPartition } from "#server/fetch-session.ts";

function partitions(count: number): Map<string, SessionPartition> {
  return new Map(
    Array.from({ length: count }, (_, index) => [`t-${index}`, {} as SessionPartition]),
  );
}

function cache(maxEntries: number): FetchSessionCache {
  let seed = 0;
  return new FetchSessionCache(maxEntries, 120_000, {
    next: () => (seed = (seed + 0.37) % 1),
    uuid: () => "",
  });
}

describe("FetchSessionCache", () => {
  test("epochs start at one and wrap around to it", () => {
    expect([0, 1, 0x7fffffff, -1].map(nextEpoch)).toEqual([1, 2, 1, -1]);
  });

  test("a full cache refuses until a session is unused for the eviction time", () => {
    const sessions = cache(2);
    const first = sessions.create(partitions(3), true, 0);
    const second = sessions.create(partitions(3), true, 10);
    expect(sessions.create(partitions(3), true, 20)).toBeNull();
    if (first !== null) sessions.touch(first, 100_000);
    const third = sessions.create(partitions(3), true, 120_011);
    expect([
      third === null,
      sessions.size,
      sessions.get(first?.id ?? 0) === undefined,
      sessions.get(second?.id ?? 0) === undefined,
    ]).toEqual([false, 2, false, true]);
  });

  test("an old session makes room for a larger one only", () => {
    const sessions = cache(1);
    const old = sessions.create(partitions(5), true, 0);
    if (old !== null) sessions.touch(old, 130_000);
    expect(sessions.create(partitions(5), true, 130_001)).toBeNull();
    expect(sessions.create(partitions(6), true, 130_001)).not.toBeNull();
    expect(sessions.size).toBe(1);
  });

  test("no slots, no sessions", () => {
    expect(cache(0).create(partitions(1), true, 0)).toBeNull();
  });
});
