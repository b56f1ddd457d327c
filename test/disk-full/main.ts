/**
 * Full disks, by hand:
 *
 *   bun test/disk-full/main.ts [--rounds 9] [--seed 1] [--mebibytes 128] [--kafka LIBS] [--override key=value]…
 *
 * `--kafka LIBS` turns it on real Kafka from a directory of its jars, which ends when its disk is full.
 */
import { join } from "node:path";
import { kafkaBroker, sluiceBroker } from "../support/broker-process.ts";
import { temporaryDirectory } from "../support/process.ts";
import { type DiskFullReport, runDiskFull } from "./harness.ts";
import { smallDisk } from "./small-disk.ts";

const words = process.argv.slice(2);
const value = (name: string, fallback: string): string => {
  const at = words.indexOf(`--${name}`);
  return at < 0 ? fallback : (words[at + 1] ?? fallback);
};
const overrides = Object.fromEntries(
  words.flatMap((word, at) =>
    word === "--override" ? [(words[at + 1] ?? "").split("=") as [string, string]] : [],
  ),
);
const mebibytes = Number(value("mebibytes", "128"));
const libraries = value("kafka", "");
const disk = await smallDisk(mebibytes);
if (typeof disk === "string") {
  console.log(`cannot run: ${disk}`);
  process.exit(2);
}
const directory = temporaryDirectory("disk-full");
const options = {
  directory: directory.path,
  dataDirectory: join(disk.path, "data"),
  overrides: { "offsets.topic.num.partitions": "5", ...overrides },
};
const broker = await (libraries === "" ? sluiceBroker(options) : kafkaBroker(libraries, options));
console.log(`${broker.name} on ${mebibytes} MiB of ${disk.kind}`);
const run = async (): Promise<DiskFullReport> => {
  try {
    return await runDiskFull(broker, disk, {
      rounds: Number(value("rounds", "9")),
      seed: Number(value("seed", String(Date.now() % 100_000))),
      reserveBytes: libraries === "" ? Math.floor((mebibytes << 20) / 20) : 0,
      say: (line) => console.log(`  ${line}`),
    });
  } finally {
    await disk.remove();
    directory.remove();
  }
};
const report = await run();
const worst = Math.round(Math.max(0, ...report.resumeMs));
console.log(
  `${report.acknowledged} records acknowledged; appends taken again at most ${worst} ms after there was room; ` +
    `RSS ${report.rssMiB[0]} MiB after the first round, ${report.rssMiB.at(-1)} MiB after the last`,
);
for (const finding of report.findings) console.log(`FOUND ${finding}`);
process.exit(report.findings.length === 0 ? 0 : 1);
