/**
 * One round of each way to fill a disk; main.ts runs any number.
 */
import { expect, test } from "bun:test";
import { join } from "node:path";
import { sluiceBroker } from "../support/broker-process.ts";
import { temporaryDirectory } from "../support/process.ts";
import { runDiskFull } from "./harness.ts";
import { smallDisk } from "./small-disk.ts";

const MEBIBYTES = 96;

test("a full disk costs what cannot be written, and nothing once there is room", async () => {
  const disk = await smallDisk(MEBIBYTES);
  if (typeof disk === "string") {
    console.log(`skipped: ${disk}`);
    return;
  }
  const directory = temporaryDirectory("disk-full");
  try {
    const broker = await sluiceBroker({
      directory: directory.path,
      dataDirectory: join(disk.path, "data"),
      overrides: { "offsets.topic.num.partitions": "5" },
    });
    const seed = Date.now() % 100_000;
    const report = await runDiskFull(broker, disk, {
      rounds: 3,
      seed,
      reserveBytes: Math.floor((MEBIBYTES << 20) / 20),
      say: (line) => console.log(line),
    });
    expect({ seed, findings: report.findings }).toEqual({ seed, findings: [] });
    expect(report.resumeMs).toHaveLength(3);
  } finally {
    await disk.remove();
    directory.remove();
  }
}, 300_000);
