import { describe, expect, test } from "bun:test";
import { SetAside, type SetAsidePartition } from "#broker/set-aside.ts";
import { createLogger } from "#common/logger.ts";
import { Columns, type LogStore, Origin } from "#log/log.ts";
import { encodeRecordBatch } from "#protocol/records/record-batch.ts";
import { Disk, type SimulatedStore } from "../../simulation/disk.ts";

const CLUSTER = "AAAAAAAAAAAAAAAAAAAAAg";

describe("SetAside", () => {
  const watched = (quarantined: (string | null)[], counts: number[]) => {
    const told: (readonly SetAsidePartition[])[] = [];
    let asked = 0;
    const setAside = new SetAside({
      store: {
        report: {
          partitions: quarantined.map((reason, partition) => ({
            topic: "t",
            partition,
            quarantined: reason,
          })),
        } as never,
        reopenPartitions: () => {
          asked += 1;
          return Promise.resolve(counts.shift() ?? 0);
        },
        statistics: () => ({ quarantinedCount: counts.length === 0 ? 0 : 1 }) as never,
      },
      onReopened: (candidates) => told.push(candidates),
      logger: createLogger("error", () => {}),
    });
    return { setAside, told, asked: () => asked };
  };

  test("asks for nothing where nothing was set aside", () => {
    const { setAside, asked } = watched([null], []);
    setAside.look();
    expect(asked()).toBe(0);
  });

  test("asks until all is in use, and tells who was set aside", async () => {
    const { setAside, told, asked } = watched([null, "cannot be read"], [0, 1]);
    for (let look = 0; look < 4; look += 1) {
      setAside.look();
      await Bun.sleep(0);
    }
    expect(asked()).toBe(2);
    expect(told).toEqual([[{ topic: "t", partition: 1 }]]);
  });
});

describe("a log that was recovered on a full disk", () => {
  const config = { segmentBytes: 1_000, indexIntervalBytes: 50, fileDeleteDelayMs: 0 };

  const write = (store: LogStore, handle: number, out: Float64Array): number => {
    const records = [{ key: null, value: Buffer.alloc(60, 7) }];
    const bytes = encodeRecordBatch({ timestamp: 1_000, records });
    return store.append(handle, bytes, -1, 1, Origin.CLIENT, 1_000, out);
  };

  /** A disk on which a power cut has lost indexes, and that has no room for them. */
  const full = (): { disk: Disk; second: SimulatedStore } => {
    for (let seed = 1; seed < 100; seed += 1) {
      const disk = new Disk();
      const out = new Float64Array(Columns.APPEND);
      const first = disk.open(1, CLUSTER, config);
      const partition = { topic: "t", partition: 0, topicId: CLUSTER, config };
      const handle = first.createPartition(partition);
      first.setLeader(handle, 3);
      for (let record = 0; record < 40; record += 1) {
        expect(write(first, handle, out)).toBe(0);
        if (record === 29) void first.flush(handle);
      }
      disk.crash("power", seed);
      disk.limit(0);
      const second = disk.open(1, CLUSTER, config);
      if ((second.report.partitions[0]?.quarantined ?? null) !== null) return { disk, second };
      disk.drop();
    }
    throw new Error("every recovery found room");
  };

  test("is opened anew, with all it had, when there is room", async () => {
    const { disk, second } = full();
    const out = new Float64Array(Columns.APPEND);
    const found = second.report.partitions[0];
    expect(found?.quarantined).toContain("cannot be read");
    const again = found?.handle ?? 0;
    second.setLeader(again, 4);
    second.step();
    expect(write(second, again, out)).toBe(56);
    disk.limit(null);
    second.step();
    expect(await second.reopenPartitions()).toBe(1);
    const end = second.stateOf(again)?.logEndOffset ?? 0;
    expect(end).toBeGreaterThanOrEqual(30);
    expect(second.stateOf(again)?.highWatermark).toBe(end);
    expect(write(second, again, out)).toBe(0);
    expect(out[0]).toBe(end);
    disk.drop();
  });
});
