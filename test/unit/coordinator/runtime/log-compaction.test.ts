/** Compaction of a coordinator's log: what is in it stays, what is said again goes. */
import { describe, expect, test } from "bun:test";
import { ErrorCode } from "#common/error-code.ts";
import { GroupContext } from "../../../support/group-context.ts";

/** A coordinator that compacts from `minBytes` on. */
async function compacting(minBytes: number): Promise<GroupContext> {
  const group = await GroupContext.start();
  group.compactionMinBytes = minBytes;
  await group.restart();
  return group;
}

/** Commits until the log was compacted `times` more times. */
async function commitUntilDropped(group: GroupContext, times = 1): Promise<number> {
  const wanted = group.log.dropCount + times;
  let offset = 0;
  for (; group.log.dropCount < wanted && offset < 5000; offset++) {
    await group.commit(null, "orders", offset % 3, offset);
  }
  expect(group.log.dropCount).toBeGreaterThanOrEqual(wanted);
  return offset - 1;
}

const recordCount = (group: GroupContext): number => group.log.records.get(0)?.length ?? 0;

describe("the compaction of a coordinator's log", () => {
  test("keeps the log in proportion to what is in it", async () => {
    const group = await compacting(2000);
    const last = await commitUntilDropped(group, 20);
    expect(last).toBeGreaterThan(200);
    // At most what may gather until the next time, and what gathers while one is under way.
    expect(recordCount(group)).toBeLessThan(120);
    const expected = [last, last - 1, last - 2]
      .map((offset) => `orders-${offset % 3}@${offset}`)
      .toSorted();
    expect(await group.offsets()).toEqual(expected);
    await group.restart();
    expect(await group.offsets()).toEqual(expected);
  });

  test("keeps what is stored once and long ago, and forgets what was deleted", async () => {
    const group = await compacting(2000);
    await group.commit(null, "payments", 7, 42);
    await group.commit(null, "refunds", 1, 1);
    group.coordinator.onTopicsDeleted(new Set(["refunds"]));
    await commitUntilDropped(group, 3);
    await group.restart();
    const offsets = await group.offsets();
    expect(offsets).toContain("payments-7@42");
    expect(offsets.some((row) => row.startsWith("refunds"))).toBe(false);
  });

  test("drops nothing when an append fails meanwhile, and succeeds later", async () => {
    const group = await compacting(2000);
    await group.commit(null, "payments", 7, 42);
    for (let round = 0; round < 30; round++) {
      for (let offset = 0; offset < 15; offset++) {
        const commit = group.commit(null, "orders", 0, offset);
        if (offset === round % 15) group.log.failNext(ErrorCode.NOT_ENOUGH_REPLICAS);
        await commit;
      }
      const before = await group.offsets();
      await group.restart();
      expect(await group.offsets()).toEqual(before);
      expect(before).toContain("payments-7@42");
    }
    await commitUntilDropped(group);
  });

  test("happens at a load that finds too much", async () => {
    const group = await GroupContext.start();
    for (let offset = 0; offset < 100; offset++) await group.commit(null, "orders", 0, offset);
    expect(recordCount(group)).toBe(100);
    group.compactionMinBytes = 2000;
    await group.restart();
    await group.settle();
    await commitUntilDropped(group, 0);
    for (let turn = 0; turn < 20 && recordCount(group) > 10; turn++) await group.settle();
    expect(recordCount(group)).toBeLessThan(10);
    expect(await group.offsets()).toEqual(["orders-0@99"]);
  });

  test("begins when what was decided before is in the log", async () => {
    const group = await compacting(1);
    group.log.hold();
    const commits = [1, 2].map((offset) => group.commit(null, "orders", 0, offset));
    // The first one's end makes a compaction due, while the second still waits for its turn.
    group.log.release();
    await Promise.all(commits);
    await group.settle();
    expect(group.log.dropCount).toBeGreaterThan(0);
    await group.restart();
    expect(await group.offsets()).toEqual(["orders-0@2"]);
  });

  test("writes nothing again that is written while it reads", async () => {
    const group = await compacting(1);
    const release = group.log.holdReads();
    await group.commit(null, "orders", 0, 1);
    await group.commit(null, "orders", 0, 2);
    release();
    await group.settle();
    expect(group.log.dropCount).toBe(1);
    await group.restart();
    expect(await group.offsets()).toEqual(["orders-0@2"]);
  });

  test("keeps what an operation wrote that failed while it was read", async () => {
    const group = await compacting(1);
    const release = group.log.holdReads();
    await group.commit(null, "orders", 0, 1);
    group.log.failNext(ErrorCode.NOT_ENOUGH_REPLICAS);
    expect(await group.commit(null, "orders", 0, 2)).not.toBe(ErrorCode.NONE);
    release();
    await group.settle();
    await group.restart();
    expect(await group.offsets()).toEqual(["orders-0@1"]);
  });
});
