/** Statuses and reasons from what is known. */
import { expect, test } from "bun:test";
import { assessHealth, type HealthInputs } from "../../../src/admin/health.ts";

const directory: HealthInputs["directories"][number] = {
  path: "/a",
  error: null,
  freeBytes: 1000,
  reserveBytes: 100,
  isShort: false,
};
const well: HealthInputs = {
  phase: "serving",
  recovery: null,
  directories: [directory],
  quarantinedCount: 0,
  quarantined: [],
  damagedCount: 0,
  damaged: [],
};
const assess = (changes: Partial<HealthInputs>): [string, boolean, string[]] => {
  const { status, isReady, reasons } = assessHealth({ ...well, ...changes });
  return [status, isReady, reasons.map(({ code, message }) => `${code} ${message}`)];
};

test("all is well", () => {
  expect(assess({})).toEqual(["ok", true, []]);
});

test("a directory that failed degrades; all of them make the broker unavailable", () => {
  const failed = { ...directory, path: "/b", error: "EIO", isShort: true };
  const reason = "LOG_DIRECTORY_FAILED log directory /b is out of use until a restart: EIO";
  expect(assess({ directories: [...well.directories, failed] })).toEqual([
    "degraded",
    true,
    [reason],
  ]);
  expect(assess({ directories: [failed] })).toEqual(["unavailable", false, [reason]]);
});

test("a full disk and damaged partitions degrade, with the reasons", () => {
  expect(assess({ directories: [{ ...directory, freeBytes: 99, isShort: true }] })).toEqual([
    "degraded",
    true,
    ["DISK_FULL log directory /a has 99 bytes left; writes are refused below 100"],
  ]);
  const quarantined = Array.from({ length: 12 }, (_, partition) => ({
    topic: "t",
    partition,
    reason: "bad batch",
  }));
  const [status, isReady, reasons] = assess({ quarantined, quarantinedCount: 2000 });
  expect([status, isReady, reasons.length]).toEqual(["degraded", true, 11]);
  expect(reasons[0]).toBe(
    "PARTITION_QUARANTINED partition t-0 is damaged and set aside, its files are kept: bad batch",
  );
  expect(reasons.at(-1)).toBe("PARTITION_QUARANTINED 1990 more partitions are set aside");
});

test("records that cannot be read degrade, with the partition and the offsets", () => {
  const one = { topic: "t", partition: 0, firstOffset: 7, lastOffset: 9, unreadableCount: 0 };
  const damaged = [
    { ...one, rangeCount: 1 },
    { ...one, partition: 1, rangeCount: 2, unreadableCount: 1 },
    { ...one, partition: 2, rangeCount: 0, firstOffset: -1, lastOffset: -1, unreadableCount: 3 },
  ];
  expect(assess({ damaged, damagedCount: 3 })).toEqual([
    "degraded",
    true,
    [
      "PARTITION_DAMAGED partition t-0 is damaged: offsets 7 to 9 cannot be read; the rest is served",
      "PARTITION_DAMAGED partition t-1 is damaged: 2 ranges between offsets 7 and 9 cannot be read; the disk does not give 1 of its segments; the rest is served",
      "PARTITION_DAMAGED partition t-2 is damaged: the disk does not give 3 of its segments; the rest is served",
    ],
  ]);
  const many = Array.from({ length: 100 }, (_, partition) => ({
    ...one,
    partition,
    rangeCount: 1,
  }));
  const [, , reasons] = assess({ damaged: many, damagedCount: 250 });
  expect([reasons.length, reasons.at(-1)]).toEqual([
    11,
    "PARTITION_DAMAGED 240 more partitions are damaged",
  ]);
});

test("before and after serving nothing is ready", () => {
  expect(assess({ phase: "starting" })).toEqual([
    "starting",
    false,
    ["STARTING the broker is starting"],
  ]);
  expect(assess({ phase: "recovering", recovery: { done: 3, total: 9 } })).toEqual([
    "recovering",
    false,
    ["RECOVERING the broker is checking its logs: 3 of 9 partitions"],
  ]);
  expect(assess({ phase: "stopping" })).toEqual([
    "stopping",
    false,
    ["STOPPING the broker is stopping"],
  ]);
});
