import { describe, expect, test } from "bun:test";
import { WaitFor } from "#replica/log-port.ts";
import {
  type FetchParameters,
  FetchRows,
  type PendingAppend,
  ReplicaManager,
} from "#replica/replica-manager.ts";
import { FakeLog } from "../../support/fake-log.ts";
import { ManualTime } from "../../support/manual-time.ts";

interface Fixture {
  readonly log: FakeLog;
  readonly time: ManualTime;
  readonly replicas: ReplicaManager;
}

function fixture(): Fixture {
  const log = new FakeLog();
  const time = new ManualTime();
  return { log, time, replicas: new ReplicaManager(log, time, time) };
}

function rowsFor(...handles: readonly number[]): FetchRows {
  const rows = new FetchRows();
  for (const handle of handles) rows.add(handle, 0, 1 << 20, -1, -1, -1);
  return rows;
}

function wanting(minBytes: number): FetchParameters {
  return { minBytes, maxBytes: 1 << 20, hasMinOneMessage: true, isolation: 0 };
}

function append(replicas: ReplicaManager, handle: number): number {
  return replicas.append(handle, new Uint8Array(70), 0, -1, 0).lastOffset;
}

/** An append that waits for the disk. */
function flushOf(handle: number, lastOffset: number): PendingAppend {
  return { handle, lastOffset, leaderEpoch: 0, waitsFor: WaitFor.FLUSHED_OFFSET, errorCode: -99 };
}

describe("waiting for a flush", () => {
  test("ends with the flush that covers the record, not with an earlier one", async () => {
    const { log, replicas } = fixture();
    const handle = log.addPartition();
    append(replicas, handle);
    log.flush(handle);
    const pending = flushOf(handle, append(replicas, handle));
    let isSettled = false;
    const settled = replicas.awaitReplicated([pending], 1000).then(() => {
      isSettled = true;
    });
    append(replicas, handle);
    await Bun.sleep(0);
    expect([isSettled, pending.errorCode]).toEqual([false, -99]);
    log.flush(handle);
    await settled;
    expect([pending.errorCode, replicas.watchedCount]).toEqual([0, 0]);
  });

  test("a failed fsync ends the wait at once, except for what was flushed before", async () => {
    const { log, replicas } = fixture();
    const handle = log.addPartition();
    const flushed = flushOf(handle, append(replicas, handle));
    log.flush(handle);
    const pending = flushOf(handle, append(replicas, handle));
    const settled = replicas.awaitReplicated([flushed, pending], 1000);
    log.poison(handle);
    await settled;
    expect([flushed.errorCode, pending.errorCode, replicas.watchedCount]).toEqual([0, 56, 0]);
  });

  test("many requests on one partition look at its state once a round", async () => {
    const { log, replicas } = fixture();
    const handle = log.addPartition();
    const waits = Array.from({ length: 50 }, () =>
      replicas.awaitReplicated([flushOf(handle, append(replicas, handle))], 1000),
    );
    let stateCount = 0;
    const original = log.partitionState.bind(log);
    log.partitionState = (wanted, out) => {
      stateCount++;
      return original(wanted, out);
    };
    log.flush(handle);
    await Promise.all(waits);
    expect(stateCount).toBeLessThanOrEqual(3);
  });

  test("several partitions end together, each with its own outcome", async () => {
    const { log, time, replicas } = fixture();
    const [first, second, third] = [log.addPartition(), log.addPartition(), log.addPartition()];
    const appends = [first, second, third].map((handle) =>
      flushOf(handle, append(replicas, handle)),
    );
    const settled = replicas.awaitReplicated(appends, 1000);
    log.flush(first);
    log.remove(second);
    await Bun.sleep(0);
    time.advance(1000);
    await settled;
    expect([appends.map(({ errorCode }) => errorCode), replicas.watchedCount]).toEqual([
      [0, 3, 7],
      0,
    ]);
  });
});

describe("waiting for bytes", () => {
  test("adds up over partitions", async () => {
    const { log, time, replicas } = fixture();
    const handles = [log.addPartition(), log.addPartition()];
    const rows = rowsFor(...handles);
    const readable = replicas.awaitReadable(rows, wanting(150), 500);
    log.appendBytes(handles[0] ?? 0, 100);
    await Bun.sleep(0);
    log.appendBytes(handles[1] ?? 0, 100);
    replicas.drop(await readable);
    expect([log.plans.size, time.pendingCount, replicas.watchedCount]).toEqual([0, 0, 0]);
  });

  test("what comes between two looks is not lost", async () => {
    const { log, replicas } = fixture();
    const handle = log.addPartition();
    const rows = rowsFor(handle);
    // The append falls into the very moment between arming the watch and the first look.
    const original = log.watch.bind(log);
    log.watch = (wanted) => {
      original(wanted);
      log.watch = original;
      log.appendBytes(wanted, 100);
    };
    const plan = await replicas.awaitReadable(rows, wanting(1), 500);
    expect(plan).not.toBe(0);
    replicas.drop(plan);
    expect(log.plans.size).toBe(0);
  });

  test("a broker that stops answers with what there is", async () => {
    const { log, time, replicas } = fixture();
    const handle = log.addPartition();
    const waits = [replicas.awaitReadable(rowsFor(handle), wanting(1), 30_000)];
    replicas.finishFetches();
    expect([await Promise.all(waits), time.pendingCount, replicas.watchedCount]).toEqual([
      [0],
      0,
      0,
    ]);
  });

  test("rows beyond the first room are kept", () => {
    const { log, replicas } = fixture();
    const handles = Array.from({ length: 100 }, () => log.addPartition());
    for (const handle of handles) log.appendBytes(handle, 10 + handle);
    const rows = rowsFor(...handles);
    const plan = replicas.read(rows, wanting(0));
    expect(handles.map((_, row) => rows.result(row, 4))).toEqual(
      handles.map((handle) => 10 + handle),
    );
    replicas.drop(plan);
  });
});
