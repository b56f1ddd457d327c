/**
 * The crash test by hand, as long as one likes:
 *
 *   bun test/crash/main.ts [--cycles 100] [--seed 1] [--producers 3] [--partitions 3] [--ballast-mib 128] [--kafka LIBS]
 *     [--override key=value]… [--json]
 *
 * `--kafka LIBS` turns it on real Kafka from a directory of its jars: the harness must find nothing there either.
 */
import { kafkaBroker, sluiceBroker } from "../support/broker-process.ts";
import { temporaryDirectory } from "../support/process.ts";
import { CRASH_SETTINGS, runCrashes } from "./harness.ts";

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
const directory = temporaryDirectory("crash");
const libraries = value("kafka", "");
const options = { directory: directory.path, overrides: { ...CRASH_SETTINGS, ...overrides } };
const broker = await (libraries === "" ? sluiceBroker(options) : kafkaBroker(libraries, options));
const report = await runCrashes(broker, {
  cycles: Number(value("cycles", "100")),
  seed: Number(value("seed", String(Date.now() % 100_000))),
  producers: Number(value("producers", "3")),
  partitions: Number(value("partitions", "3")),
  strikeStartEvery: libraries === "" ? 4 : 0,
  ballastMegabytes: Number(value("ballast-mib", "128")),
  hasSideLoad: libraries === "",
  isPipelined: libraries === "",
  mustCatchUp: libraries === "",
  say: (line) => console.log(line),
});
const median = (numbers: readonly number[]): number =>
  [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? 0;
const { clean, killed } = report.restartMs;
console.log(
  `${report.acknowledged} records acknowledged, ${report.requestsAgain} requests sent again, ${report.consumed} consumed; ` +
    `restart median ${median(clean).toFixed(0)} ms after SIGTERM (worst ${Math.max(0, ...clean).toFixed(0)}), ` +
    `${median(killed).toFixed(0)} ms after kill -9 (worst ${Math.max(0, ...killed).toFixed(0)})`,
);
console.log(
  `${report.strikes.inRecovery} of ${report.strikes.meant} strikes met recovery at work, ${report.cutStops.beforeTheEnd} of ${report.cutStops.meant} clean stops cut short, ` +
    `${report.segments} segments; ${report.side}`,
);
if (words.includes("--json")) console.log(JSON.stringify(report));
for (const finding of report.findings) console.log(`FOUND ${finding}`);
if (report.findings.length > 0) console.log(`the data directory is kept: ${directory.path}`);
else directory.remove();
process.exit(report.findings.length === 0 ? 0 : 1);
