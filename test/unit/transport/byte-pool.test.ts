import { describe, expect, test } from "bun:test";
import { BytePool, type BytePoolWaiter } from "#transport/byte-pool.ts";

function waiter(): BytePoolWaiter & { wokenCount: number } {
  return {
    wokenCount: 0,
    onBytesAvailable(): void {
      this.wokenCount++;
    },
  };
}

describe("BytePool", () => {
  test("lends powers of two and keeps them for the next frame", () => {
    const pool = new BytePool({ maxBytes: 1 << 20, keepBytes: 1 << 20 });
    const owner = waiter();
    const first = pool.take(5000, owner) as Uint8Array;
    expect([first.length, pool.usedBytes, pool.idleBytes]).toEqual([8192, 8192, 0]);
    pool.release(first);
    expect([pool.usedBytes, pool.idleBytes]).toEqual([0, 8192]);
    expect(pool.takeIdle(3000)).toBe(first);
    expect(pool.takeIdle(3000)).toBeNull();
  });

  test("never keeps more than it may, nor what is still looked at", () => {
    const pool = new BytePool({ maxBytes: 1 << 20, keepBytes: 8192 });
    const owner = waiter();
    const buffers = [1, 2, 3].map(() => pool.take(8192, owner) as Uint8Array);
    pool.release(buffers[0] as Uint8Array, true);
    expect(pool.idleBytes).toBe(0);
    pool.release(buffers[1] as Uint8Array);
    pool.release(buffers[2] as Uint8Array);
    expect([pool.usedBytes, pool.idleBytes]).toEqual([0, 8192]);
  });

  test("lets one holder overdraw, makes the others wait and wakes them", () => {
    const pool = new BytePool({ maxBytes: 4096, keepBytes: 0 });
    const [first, second] = [waiter(), waiter()];
    const one = pool.take(4096, first) as Uint8Array;
    const two = pool.take(4096, first) as Uint8Array;
    expect(two.length).toBe(4096);
    expect(pool.take(1024, second)).toBeNull();
    pool.release(one);
    expect(second.wokenCount).toBe(1);
    expect(pool.take(1024, second)).toBeNull();
    pool.leave(first);
    expect(second.wokenCount).toBe(2);
    expect(pool.take(1024, second)).not.toBeNull();
    pool.release(two);
  });
});
