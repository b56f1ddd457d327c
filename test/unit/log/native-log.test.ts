/** The store behind the port: what is appended is read, what is stale is refused, and nobody sleeps through a change. */
import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { Columns, NOT_INLINE, Origin } from "#log/log.ts";
import { nativeCodecs, openNativeStore, recoveryProgress } from "#log/native-log.ts";
import { encodeRecordBatch } from "#protocol/records/record-batch.ts";
import { until } from "../../support/process.ts";
import { append, batchOf, openStore, plan, readBytes, readValues, rejectionOf } from "./store.ts";

describe.each([
  ["on disk", false],
  ["in memory", true],
] as const)("a store %s", (_name, inMemory) => {
  test("gives back what was appended", async () => {
    await using opened = await openStore({ inMemory });
    const { store } = opened;
    const handle = opened.lead("t");
    expect(append(store, handle, batchOf("a", "b"))).toEqual({
      code: 0,
      baseOffset: 0,
      lastOffset: 1,
      mustWait: false,
    });
    expect(append(store, handle, batchOf("c"))).toEqual({
      code: 0,
      baseOffset: 2,
      lastOffset: 2,
      mustWait: false,
    });
    expect(readValues(store, handle, 0)).toEqual(["0:a", "1:b", "2:c"]);
    expect(readValues(store, handle, 2)).toEqual(["2:c"]);
    expect(readValues(store, handle, 3)).toEqual([]);
    expect(store.stateOf(handle)).toMatchObject({
      logStartOffset: 0,
      logEndOffset: 3,
      highWatermark: 3,
      lastStableOffset: 3,
      leaderEpoch: 0,
      segmentCount: 1,
    });
  });

  test("bounds a fetch over all of its rows, but gives one batch at least", async () => {
    await using opened = await openStore({ inMemory });
    const { store } = opened;
    const [one, two] = [opened.lead("one"), opened.lead("two")];
    const size = batchOf("x".repeat(100)).length;
    for (const handle of [one, two, one, two]) append(store, handle, batchOf("x".repeat(100)));
    const bytesOf = (
      rows: [number, number, number][],
      options: { maxBytes?: number; hasMinOneMessage?: boolean },
    ): number[] => {
      const planned = plan(store, rows, options);
      if (planned.plan !== 0) store.planDrop(planned.plan);
      return planned.rows.map(({ bytes }) => bytes);
    };
    expect(
      bytesOf(
        [
          [one, 0, 1e9],
          [two, 0, 1e9],
        ],
        {},
      ),
    ).toEqual([2 * size, 2 * size]);
    expect(
      bytesOf(
        [
          [one, 0, 1e9],
          [two, 0, 1e9],
        ],
        { maxBytes: 3 * size },
      ),
    ).toEqual([2 * size, size]);
    expect(
      bytesOf(
        [
          [one, 0, size],
          [two, 0, size],
        ],
        {},
      ),
    ).toEqual([size, size]);
    expect(
      bytesOf(
        [
          [one, 0, 1],
          [two, 0, 1],
        ],
        {},
      ),
    ).toEqual([size, 0]);
    expect(
      bytesOf(
        [
          [one, 0, 1],
          [two, 0, 1],
        ],
        { hasMinOneMessage: false },
      ),
    ).toEqual([0, 0]);
    expect(
      bytesOf(
        [
          [one, 2, 1],
          [two, 0, 1],
        ],
        {},
      ),
    ).toEqual([0, size]);
    expect(plan(store, [[one, 2, 1e9]])).toMatchObject({
      plan: 0,
      rows: [{ code: 0, bytes: 0, highWatermark: 2 }],
    });
    expect(plan(store, [[one, 9, 1e9]])).toMatchObject({ plan: 0, rows: [{ code: 1, bytes: 0 }] });
  });

  test("names what was wrong with an append, once", async () => {
    await using opened = await openStore({ inMemory });
    const { store } = opened;
    const handle = opened.lead("t");
    const damaged = batchOf("a");
    damaged[damaged.length - 1] = (damaged.at(-1) ?? 0) ^ 1;
    expect(append(store, handle, damaged).code).toBe(2);
    expect(JSON.parse(store.takeAppendErrors())).toMatchObject({
      message: expect.stringMatching(/./),
      recordErrors: [],
    });
    expect(JSON.parse(store.takeAppendErrors())).toEqual({ message: "", recordErrors: [] });
    expect(append(store, handle, new Uint8Array(0)).code).not.toBe(0);
    expect(store.stateOf(handle)?.logEndOffset).toBe(0);
  });

  test("answers stale and foreign handles with 3", async () => {
    await using opened = await openStore({ inMemory });
    const { store } = opened;
    const handle = opened.lead("t", { fileDeleteDelayMs: 0 });
    append(store, handle, batchOf("a"));
    store.deletePartition(handle);
    const next = opened.lead("u");
    expect(next).not.toBe(handle);
    const out = new Float64Array(Columns.FETCH_RESULT);
    for (const stale of [handle, 0, -1, 1, Number.NaN, Infinity, -Infinity, 2 ** 53, 12_345, 0.5]) {
      expect(append(store, stale, batchOf("a"))).toEqual({
        code: 3,
        baseOffset: -1,
        lastOffset: -1,
        mustWait: false,
      });
      expect(
        plan(store, [
          [stale, 0, 1000],
          [next, 0, 1000],
        ]),
      ).toMatchObject({
        plan: 0,
        rows: [
          { code: 3, bytes: 0 },
          { code: 0, bytes: 0 },
        ],
      });
      expect(store.partitionState(stale, out)).toBe(3);
      expect(store.stateOf(stale)).toBeNull();
      expect(store.offsetForTimestamp(stale, -1, 0, -1, 1e6, out)).toBe(3);
      expect(store.endOffsetForEpoch(stale, -1, 0, out)).toBe(3);
      expect(store.deleteRecords(stale, 0, out)).toBe(3);
      expect(store.truncateTo(stale, 0)).toBe(3);
      expect(() => store.setLeader(stale, 1)).toThrow(
        expect.objectContaining({ code: "PARTITION_UNKNOWN" }),
      );
      expect(() => store.deletePartition(stale)).toThrow(
        expect.objectContaining({ code: "PARTITION_UNKNOWN" }),
      );
    }
  });

  test("plans end once, and outlive the partition", async () => {
    await using opened = await openStore({ inMemory });
    const { store } = opened;
    const handle = opened.lead("t");
    append(store, handle, batchOf("a"));
    const whole = readBytes(store, handle, 0);
    const { plan: id } = plan(store, [[handle, 0, 1000]]);
    store.deletePartition(handle);
    const into = new Uint8Array(whole.length + 10);
    expect(store.planCopy(id, 0, into, 10)).toBe(whole.length);
    expect(Buffer.compare(into.subarray(10), whole)).toBe(0);
    expect(store.planCopy(id, 0, into.subarray(0, 5), 0)).toBe(5);
    expect(store.planCopy(id, 1, into, 0)).toBe(0);
    expect(() => store.planCopy(id, 0, into, 1000)).toThrow(
      expect.objectContaining({ code: "INVALID_ARGUMENT" }),
    );
    expect(JSON.parse(store.takeAborted(id, 0))).toEqual([]);
    store.planDrop(id);
    store.planDrop(id);
    store.planDrop(0);
    expect(() => store.planCopy(id, 0, into, 0)).toThrow(
      expect.objectContaining({ code: "PARTITION_UNKNOWN" }),
    );
  });

  test("looks up on another thread what would keep this one", async () => {
    await using opened = await openStore({ inMemory });
    const { store } = opened;
    const handle = opened.lead("t");
    const now = Date.now();
    const value = new Uint8Array(1 << 20);
    const bomb = encodeRecordBatch({
      timestamp: now,
      records: Array.from({ length: 8 }, (_, at) => ({ key: null, value, timestamp: now + at })),
      compression: { codec: 1, compressor: nativeCodecs },
    });
    const appended = new Float64Array(Columns.APPEND);
    expect(store.append(handle, bomb, -1, 1, Origin.COORDINATOR, now, appended)).toBe(0);
    const out = new Float64Array(Columns.OFFSET);
    expect(store.offsetForTimestamp(handle, now + 6, 0, -1, 1 << 20, out)).toBe(NOT_INLINE);
    expect([...out]).toEqual([-1, -1, -1, 1 << 20]);
    const { promise, resolve } = Promise.withResolvers<void>();
    const appender = store.openAppender(resolve);
    const before = store.statistics().later;
    expect(store.lookUpLater(appender, 77, handle, now + 6, 0, -1)).toBe(true);
    expect(() => store.lookUpLater(appender, 78, 0, now, 0, -1)).toThrow(
      expect.objectContaining({ code: "PARTITION_UNKNOWN" }),
    );
    await promise;
    const outcome = new Float64Array(2 + Columns.OFFSET);
    expect(store.takeAppended(appender, outcome)).toBe(true);
    expect([...outcome]).toEqual([77, 0, 6, now + 6, 0, 0]);
    expect(store.takeAppended(appender, outcome)).toBe(false);
    store.closeAppender(appender);
    const { doneCount, refusedCount } = store.statistics().later;
    expect([doneCount > before.doneCount, refusedCount]).toEqual([true, before.refusedCount]);
  });

  test("finds offsets, moves the start and cuts the end", async () => {
    await using opened = await openStore({ inMemory });
    const { store } = opened;
    const handle = opened.lead("t");
    for (const value of ["a", "b", "c", "d"]) append(store, handle, batchOf(value));
    const out = new Float64Array(Columns.OFFSET);
    expect([store.offsetForTimestamp(handle, -1, 0, -1, 1e6, out), out[0]]).toEqual([0, 4]);
    expect([store.offsetForTimestamp(handle, -2, 0, -1, 1e6, out), out[0]]).toEqual([0, 0]);
    expect([store.offsetForTimestamp(handle, 0, 0, -1, 1e6, out), out[0]]).toEqual([0, 0]);
    expect([store.endOffsetForEpoch(handle, 0, 0, out), out[0], out[1]]).toEqual([0, 0, 4]);
    expect([store.deleteRecords(handle, 1, out), out[0]]).toEqual([0, 1]);
    expect(store.deleteRecords(handle, 9, out)).toBe(1);
    expect(plan(store, [[handle, 0, 1000]]).rows[0]?.code).toBe(1);
    expect(store.truncateTo(handle, 3)).toBe(0);
    expect(readValues(store, handle, 1)).toEqual(["1:b", "2:c"]);
  });
});

describe("waking", () => {
  test("is one call for many changes, and again after draining", async () => {
    await using opened = await openStore({ inMemory: true });
    const { store } = opened;
    const handles = [opened.lead("a"), opened.lead("b"), opened.lead("c")];
    let calls = 0;
    const workerId = store.openWaker(() => calls++);
    const woken = new Float64Array(2);
    for (let round = 1; round <= 3; round++) {
      for (const handle of handles) store.watch(handle, workerId);
      for (const handle of handles)
        for (let i = 0; i < 10; i++) append(store, handle, batchOf("x"));
      await until(
        () => calls === round,
        10_000,
        () => `${calls} calls in round ${round}`,
      );
      const seen: number[] = [];
      for (;;) {
        const count = store.drainWakes(workerId, woken);
        seen.push(...woken.subarray(0, count));
        if (count < woken.length) break;
      }
      expect(new Set(seen)).toEqual(new Set(handles));
      expect(seen.length).toBe(handles.length);
    }
    append(store, handles[0] ?? 0, batchOf("unwatched"));
    await Bun.sleep(5);
    expect([calls, store.drainWakes(workerId, woken)]).toEqual([3, 0]);
    store.closeWaker(workerId);
    expect(() => store.drainWakes(workerId, woken)).toThrow(
      expect.objectContaining({ code: "PARTITION_UNKNOWN" }),
    );
  });

  test("is for the log end where several replicas write, and for the rest once they have it", async () => {
    await using opened = await openStore({ inMemory: true });
    const { store } = opened;
    const handle = opened.lead("t");
    const replication = { nodeId: 1, replicas: [1, 2], isr: [1, 2], lagTimeMaxMs: 30_000 };
    store.setLeader(handle, 1, { ...replication, partitionEpoch: 0, nowMs: 1_000 });
    const woken = new Float64Array(8);
    const calls = { end: 0, committed: 0 };
    const end = store.openWaker(() => calls.end++);
    const committed = store.openWaker(() => calls.committed++);
    store.watchLogEnd(handle, end);
    store.watch(handle, committed);
    append(store, handle, batchOf("x"), 1);
    await until(
      () => calls.end === 1,
      10_000,
      () => "followers were not woken",
    );
    expect([store.drainWakes(end, woken), woken[0]]).toEqual([1, handle]);
    expect(calls.committed).toBe(0);
    store.watchLogEnd(handle, end);
    const row = new Float64Array([handle, 1, 1_000, 1, -1, 0]);
    const answer = new Float64Array(Columns.FETCH_RESULT);
    store.fetchAsReplica(row, 1, 1_000, true, 2, -1, true, 2_000, answer);
    await until(
      () => calls.committed === 1,
      10_000,
      () => "nobody heard that the record is committed",
    );
    expect([store.drainWakes(committed, woken), woken[0], calls.end]).toEqual([1, handle, 1]);
    store.watch(handle, committed);
    store.setFollower(handle, 2, 2);
    await until(
      () => calls.end === 2 && calls.committed === 2,
      10_000,
      () => "a change of role was not told to all",
    );
    store.closeWaker(end);
    store.closeWaker(committed);
  });

  test("a retry waits for no flush where none is ever due", async () => {
    await using opened = await openStore({ inMemory: true });
    const { store } = opened;
    const retryWaits = (topic: string, flushMessages: number): boolean => {
      const handle = opened.lead(topic, { flushMessages });
      const sent = () =>
        encodeRecordBatch({
          timestamp: Date.now(),
          records: [{ key: null, value: new Uint8Array(3) }],
          producerId: 7n,
          producerEpoch: 0,
          baseSequence: 0,
        });
      expect(append(store, handle, sent())).toMatchObject({ code: 0, mustWait: false });
      const again = append(store, handle, sent());
      expect(again).toMatchObject({ code: 0, baseOffset: 0 });
      return again.mustWait;
    };
    // `flush.messages` unset arrives as the largest number that JavaScript is sure of.
    expect(retryWaits("never", Number.MAX_SAFE_INTEGER)).toBe(false);
    expect(retryWaits("rarely", Number.MAX_SAFE_INTEGER - 1)).toBe(true);
  });

  // In memory: a real flush waits for whatever else the machine writes, five seconds and more when that is much.
  test("tells when records are flushed", async () => {
    await using opened = await openStore({ inMemory: true });
    const { store } = opened;
    const handle = opened.lead("t", { acksAllFsync: true });
    let calls = 0;
    let isClosed = false;
    const workerId = store.openWaker(() => {
      calls++;
      // A call that is under way when the waker is closed still comes.
      if (isClosed) return;
      store.drainWakes(workerId, new Float64Array(8));
      store.watch(handle, workerId);
    });
    store.watch(handle, workerId);
    const { code, lastOffset, mustWait } = append(store, handle, batchOf("a"), -1);
    expect({ code, mustWait }).toEqual({ code: 0, mustWait: true });
    await until(
      () => (store.stateOf(handle)?.flushedOffset ?? 0) > lastOffset,
      10_000,
      () => "never flushed",
    );
    await until(
      () => calls > 0,
      10_000,
      () => "never woken",
    );
    isClosed = true;
    store.closeWaker(workerId);
  });

  test("does not miss a deletion, and a stale handle wakes at once", async () => {
    await using opened = await openStore({ inMemory: true });
    const { store } = opened;
    const handle = opened.lead("t");
    let calls = 0;
    const woken = new Float64Array(8);
    const workerId = store.openWaker(() => calls++);
    store.watch(handle, workerId);
    store.deletePartition(handle);
    await until(
      () => calls === 1,
      10_000,
      () => "not woken by the deletion",
    );
    expect([store.drainWakes(workerId, woken), woken[0]]).toEqual([1, handle]);
    store.watch(handle, workerId);
    await until(
      () => calls === 2,
      10_000,
      () => "not woken by a stale handle",
    );
    store.closeWaker(workerId);
    expect(() => store.watch(handle, 64)).toThrow(
      expect.objectContaining({ code: "PARTITION_UNKNOWN" }),
    );
    expect(() => store.watch(handle, -1)).toThrow(
      expect.objectContaining({ code: "PARTITION_UNKNOWN" }),
    );
  });

  test("has a place for 64 threads, and takes a place back", async () => {
    await using opened = await openStore({ inMemory: true });
    const { store } = opened;
    for (let round = 0; round < 100; round++) store.closeWaker(store.openWaker(() => {}));
    const opening: number[] = [];
    const openAll = (): void => {
      for (let index = 0; index <= 64; index++) opening.push(store.openWaker(() => {}));
    };
    expect(openAll).toThrow(expect.objectContaining({ code: "INVALID_ARGUMENT" }));
    expect(new Set(opening).size).toBe(opening.length);
    for (const workerId of opening) store.closeWaker(workerId);
    store.closeWaker(store.openWaker(() => {}));
  });

  test("reaches every Worker, and partitions take appends from all of them", async () => {
    await using opened = await openStore({ inMemory: true });
    const { store } = opened;
    const handle = opened.lead("t");
    const workers = [1, 2].map(() => new Worker(join(import.meta.dir, "append-worker.ts")));
    const answers = workers.map(
      (worker) =>
        new Promise<{ appended: number; wakes: number }>((resolve) => {
          worker.onmessage = (event: MessageEvent) =>
            resolve(event.data as { appended: number; wakes: number });
          // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a Worker has no origin.
          worker.postMessage({ handle, count: 200 });
        }),
    );
    const seen = await Promise.all(answers);
    for (const worker of workers) worker.terminate();
    expect(seen.map(({ appended }) => appended)).toEqual([200, 200]);
    for (const { wakes } of seen) expect(wakes).toBeGreaterThan(0);
    expect(readValues(store, handle, 0).length).toBe(400);
  });
});

describe("opening and closing", () => {
  test("a closed store opens again with its records", async () => {
    await using first = await openStore();
    const handle = first.lead("kept");
    append(first.store, handle, batchOf("a", "b"));
    expect(first.store.describe()).toMatchObject([
      {
        path: first.dir,
        error: null,
        partitions: [{ topic: "kept", partition: 0, offsetLag: 0, isFuture: false }],
      },
    ]);
    expect(first.store.describe()[0]?.usableBytes).toBeGreaterThan(0);
    await first.store.close(17);
    await first.store.close();
    expect(append(first.store, handle, batchOf("late")).code).toBe(3);

    await using second = await openStore({ dir: first.dir });
    expect(second.store.report).toMatchObject({
      nodeId: 1,
      wasClean: true,
      closedBrokerEpoch: 17,
      dirs: [{ path: first.dir, error: null }],
      partitions: [
        { topic: "kept", partition: 0, logStartOffset: 0, logEndOffset: 2, quarantined: null },
      ],
    });
    const found = second.store.report.partitions[0]?.handle ?? 0;
    expect(readValues(second.store, found, 0)).toEqual(["0:a", "1:b"]);
    expect(recoveryProgress()).toMatchObject({ total: 1, done: 1 });
    await second.store.checkpoint();
    expect(await second.store.runRetention(Date.now())).toEqual([]);
    expect(second.store.describeProducers(found)).toEqual([]);
  });

  test("a directory is open once", async () => {
    await using opened = await openStore();
    const options = { ...openOptions, dirs: [opened.dir] };
    expect(await rejectionOf(openNativeStore(options))).toMatchObject({
      name: "LogError",
      code: "LOG_DIR_LOCKED",
    });
  });

  test("bad options are named", async () => {
    expect(
      await rejectionOf(openNativeStore({ ...openOptions, dirs: ["/proc/no/such/place"] })),
    ).toMatchObject({
      code: "LOG_DIR_NOT_WRITABLE",
    });
    expect(
      await rejectionOf(openNativeStore({ ...openOptions, nodeId: "x" as unknown as number })),
    ).toMatchObject({
      code: "INVALID_ARGUMENT",
    });
    await using opened = await openStore({ inMemory: true });
    const partition = { topic: "t", partition: 0, topicId: "AAAAAAAAAAAAAAAAAAAAAQ", config: {} };
    opened.store.createPartition(partition);
    expect(() => opened.store.createPartition(partition)).toThrow(
      expect.objectContaining({ code: "PARTITION_EXISTS" }),
    );
    for (const wrong of [
      { topic: "../x" },
      { topic: "" },
      { topicId: "short" },
      { dir: 7, topic: "u" },
    ]) {
      expect(() => opened.store.createPartition({ ...partition, ...wrong })).toThrow(
        expect.objectContaining({ code: "INVALID_ARGUMENT" }),
      );
    }
  });
});

const openOptions = {
  dirs: [] as string[],
  clusterId: null,
  nodeId: 1,
  defaults: {},
  recoveryThreads: 1,
  maxOpenFiles: 10,
  verifyOnRead: false,
};

test("garbage collection does not touch arrays in use", async () => {
  await using opened = await openStore({ inMemory: true });
  const { store } = opened;
  const handle = opened.lead("t");
  const values: string[] = [];
  for (let round = 0; round < 300; round++) {
    // Views into larger, short-lived buffers: the addon must see the view and nothing else of them.
    const batch = batchOf(`value ${round}`);
    const around = new Uint8Array(batch.length + 64).fill(0xee);
    around.set(batch, 32);
    expect(append(store, handle, around.subarray(32, 32 + batch.length)).code).toBe(0);
    expect(around.subarray(0, 32).every((byte) => byte === 0xee)).toBe(true);
    expect(around.subarray(32 + batch.length).every((byte) => byte === 0xee)).toBe(true);
    values.push(`${round}:value ${round}`);
    if (round % 20 === 0) Bun.gc(true);
    if (round % 50 === 49) expect(readValues(store, handle, 0)).toEqual(values);
  }
});
