/**
 * The bit-rot test by hand, as long as one likes:
 *
 *   bun test/bit-rot/main.ts [--flips 1000] [--seed 1] [--partitions 100] [--port N]
 */
import { temporaryDirectory } from "../support/process.ts";
import { formatRows, runBitRot } from "./harness.ts";

const words = process.argv.slice(2);
const value = (name: string, fallback: string): string => {
  const at = words.indexOf(`--${name}`);
  return at < 0 ? fallback : (words[at + 1] ?? fallback);
};
const directory = temporaryDirectory("bit-rot");
const port = Number(value("port", "0"));
const started = performance.now();
const report = await runBitRot({
  flips: Number(value("flips", "1000")),
  seed: Number(value("seed", String(Date.now() % 100_000))),
  partitions: Number(value("partitions", "100")),
  directory: directory.path,
  ...(port === 0 ? {} : { port }),
  say: (line) => console.log(line),
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
