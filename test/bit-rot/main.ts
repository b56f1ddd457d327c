/**
 * The bit-rot test by hand, as long as one likes:
 *
 *   bun test/bit-rot/main.ts [--flips 1000] [--seed 1] [--partitions 100] [--port N]
 *   bun test/bit-rot/main.ts --own [--flips 100]       committed offsets and the cluster's metadata instead
 *   bun test/bit-rot/main.ts --compare [--flips 3] [--kind NAME] [--kafka LIBS]   each kind of file on its own; on real Kafka from the jars in LIBS
 */
import { temporaryDirectory } from "../support/process.ts";
import { compare } from "./compare.ts";
import { formatRows, runBitRot } from "./harness.ts";
import { formatOwnTopics, runOwnTopics } from "./own-topics.ts";

const words = process.argv.slice(2);
const value = (name: string, fallback: string): string => {
  const at = words.indexOf(`--${name}`);
  return at < 0 ? fallback : (words[at + 1] ?? fallback);
};
const directory = temporaryDirectory("bit-rot");
const port = Number(value("port", "0"));
const started = performance.now();
const base = {
  seed: Number(value("seed", String(Date.now() % 100_000))),
  directory: directory.path,
  ...(port === 0 ? {} : { port }),
  say: (line: string): void => console.log(line),
};
if (words.includes("--compare")) {
  const libraries = value("kafka", "");
  const kind = value("kind", "");
  await compare({ ...base, flipsPerKind: Number(value("flips", "3")), libraries, kind });
  directory.remove();
  process.exit(0);
}
if (words.includes("--own")) {
  const own = await runOwnTopics({ ...base, flips: Number(value("flips", "100")) });
  console.log(formatOwnTopics(own));
  for (const failure of own.failures) console.log(`FOUND ${failure}`);
  if (own.failures.length === 0) directory.remove();
  process.exit(own.failures.length === 0 ? 0 : 1);
}
const report = await runBitRot({
  ...base,
  flips: Number(value("flips", "1000")),
  partitions: Number(value("partitions", "100")),
});
console.log(formatRows(report.rows));
for (const failure of report.failures.slice(0, 60)) console.log(`FOUND ${failure}`);
const seconds = ((performance.now() - started) / 1000).toFixed(0);
console.log(
  `${report.flips} flips over ${report.starts} starts in ${seconds} s, ${report.failures.length} broken promises`,
);
if (report.failures.length > 0) console.log(`the data directory is kept: ${directory.path}`);
else directory.remove();
process.exit(report.failures.length === 0 ? 0 : 1);
