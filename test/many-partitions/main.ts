/**
 * Very many partitions under few descriptors, by hand:
 *
 *   bun test/many-partitions/main.ts [--partitions 2000] [--nofile 1024] [--rounds 1] [--kafka LIBS] [--override key=value]…
 *
 * `--kafka LIBS` turns it on real Kafka from a directory of its jars; give it `--nofile 100000`, it holds every segment open.
 */
import { kafkaBroker, sluiceBroker } from "../support/broker-process.ts";
import { temporaryDirectory } from "../support/process.ts";
import { runManyPartitions } from "./harness.ts";

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
const partitions = Number(value("partitions", "2000"));
const nofile = value("nofile", "1024");
const libraries = value("kafka", "");
let findings = 0;
for (let round = 0; round < Number(value("rounds", "1")); round++) {
  const directory = temporaryDirectory("many-partitions");
  const options = {
    directory: directory.path,
    overrides,
    readyTimeoutMs: 180_000,
    wrapper: ["prlimit", `--nofile=${nofile}:${nofile}`],
  };
  const broker = await (libraries === "" ? sluiceBroker(options) : kafkaBroker(libraries, options));
  console.log(`${broker.name}, ${partitions} partitions, ${nofile} descriptors`);
  const report = await runManyPartitions(broker, partitions, (line) => console.log(`  ${line}`));
  for (const finding of report.findings.slice(0, 10)) console.log(`FOUND ${finding}`);
  findings += report.findings.length;
  if (report.findings.length === 0) directory.remove();
  else console.log(`the data directory is kept: ${directory.path}`);
}
process.exit(findings === 0 ? 0 : 1);
