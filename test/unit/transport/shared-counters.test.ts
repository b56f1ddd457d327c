import { expect, test } from "bun:test";
import { BytePool } from "#transport/byte-pool.ts";
import { SharedCounters } from "#transport/shared-counters.ts";

test("views of the same memory count together", () => {
  const one = new SharedCounters();
  const other = new SharedCounters(one.memory);
  expect([one.addConnection(), other.addConnection(), one.connectionCount]).toEqual([0, 1, 2]);
  other.removeConnection();
  expect(one.connectionCount).toBe(1);
  expect([one.addAddress("10.0.0.1"), other.addAddress("10.0.0.1")]).toEqual([0, 1]);
  expect(other.addAddress("10.0.0.2")).toBe(0);
  one.removeAddress("10.0.0.1");
  expect(other.addAddress("10.0.0.1")).toBe(1);
});

test("addresses hardly ever share a place, and are never counted too low", () => {
  const counters = new SharedCounters();
  let tooHigh = 0;
  for (let index = 0; index < 1000; index++) {
    if (counters.addAddress(`10.1.${index >> 8}.${index & 255}`) > 0) tooHigh++;
  }
  expect(tooHigh).toBeLessThanOrEqual(2);
  for (let index = 0; index < 1000; index++) {
    expect(counters.addAddress(`10.1.${index >> 8}.${index & 255}`)).toBeGreaterThanOrEqual(1);
  }
});

test("slots are handed out one interval apart, and none is saved up", () => {
  const counters = new SharedCounters();
  expect([1, 2, 3].map(() => counters.takeSlot(1000, 10))).toEqual([0, 10, 20]);
  expect(counters.takeSlot(1025, 10)).toBe(5);
  expect(counters.takeSlot(9000, 10)).toBe(0);
});

test("pools of several loops share one budget, and one overdraft", async () => {
  const counters = new SharedCounters();
  const woken: string[] = [];
  const waiter = (name: string): { onBytesAvailable(): void } => ({
    onBytesAvailable: () => void woken.push(name),
  });
  const pools = [1, 2].map(
    (loopId) => new BytePool({ maxBytes: 1 << 20, keepBytes: 0, counters, loopId }),
  );
  const [one, two] = pools as [BytePool, BytePool];
  const [a, b] = [waiter("a"), waiter("b")];
  const held = one.take(512 << 10, a) as Uint8Array;
  // Three quarters are for large buffers: this one goes beyond.
  const beyond = one.take(512 << 10, a) as Uint8Array;
  expect(beyond.length).toBe(512 << 10);
  expect([two.take(256 << 10, b), two.hasWaiters, two.isOverfull]).toEqual([null, true, false]);
  one.release(held);
  one.release(beyond);
  one.leave(a);
  // The other loop cannot be told: it looks again.
  while (woken.length === 0) await Bun.sleep(1);
  expect(woken).toEqual(["b"]);
  expect(two.take(256 << 10, b)?.length).toBe(256 << 10);
  for (const pool of pools) pool.close();
});

test("small buffers have a quarter to themselves", () => {
  const pool = new BytePool({ maxBytes: 1 << 20, keepBytes: 0 });
  const large = { onBytesAvailable(): void {} };
  const small = { onBytesAvailable(): void {} };
  for (let index = 0; index < 4; index++) pool.take(256 << 10, large);
  // 768 KiB by right, 256 KiB beyond; the budget is full even for small ones.
  expect(pool.take(1024, small)).toBeNull();
  pool.leave(large);
  const fresh = new BytePool({ maxBytes: 1 << 20, keepBytes: 0 });
  for (let index = 0; index < 3; index++) fresh.take(256 << 10, large);
  expect(fresh.take(64 << 10, small)?.length).toBe(64 << 10);
});
