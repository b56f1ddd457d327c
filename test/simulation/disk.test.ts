/** The disk forgets exactly what the way of crashing says, and a store on it does nothing on its own. */
import { expect, test } from "bun:test";
import { AppendColumn, APPEND_RESULT_COLUMNS, AppendOrigin, WaitFor } from "#replica/log-port.ts";
import { oneRecordBatch } from "./batches.ts";
import { Disk, type SimulatedStore } from "./disk.ts";

const CLUSTER = "abcdefghijklmnopqrstuv";
const NEW = { topic: "t", partition: 0, topicId: "AAAAAAAAAAAAAAAAAAAAAQ", config: {} };

function append(store: SimulatedStore, handle: number, value: string): Float64Array {
  const out = new Float64Array(APPEND_RESULT_COLUMNS);
  const batch = oneRecordBatch({
    value,
    producerId: -1,
    producerEpoch: -1,
    sequence: -1,
    nowMs: 0,
  });
  expect(store.append(handle, batch, 0, -1, AppendOrigin.CLIENT, 0, out)).toBe(0);
  return out;
}

test("flushes wait for a step, and a crash takes what was not flushed", () => {
  const disk = new Disk();
  const store = disk.open(1, CLUSTER);
  const handle = store.createPartition(NEW);
  store.setLeader(handle, 0);
  expect(append(store, handle, "kept")[AppendColumn.WAITS_FOR]).toBe(WaitFor.FLUSHED_OFFSET);
  expect(store.stateOf(handle)?.flushedOffset).toBe(0);
  expect(store.step()).toBe(1);
  expect(store.stateOf(handle)?.flushedOffset).toBe(1);
  append(store, handle, "lost");
  disk.crash("unsynced", 1);
  expect(store.stateOf(handle)).toBe(null);
  const after = disk.open(1, CLUSTER);
  expect(after.report.partitions.map(({ logEndOffset }) => logEndOffset)).toEqual([1]);
  disk.drop();
});

test("a process that dies leaves what it wrote", () => {
  const disk = new Disk();
  const store = disk.open(1, CLUSTER);
  const handle = store.createPartition(NEW);
  store.setLeader(handle, 0);
  append(store, handle, "kept");
  disk.crash("process", 1);
  expect(disk.open(1, CLUSTER).report.partitions[0]?.logEndOffset).toBe(1);
  disk.drop();
});
