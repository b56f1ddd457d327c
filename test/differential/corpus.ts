/**
 * Sends the corpus, the same bytes, to real Kafka and to Sluice over raw TCP and compares what comes back: replies, error codes,
 * and whether the socket is then open, closed or silent. Kafka's answer is learned as the corpus runs, or read from what was
 * recorded of it.
 *
 *   bun test/differential/corpus.ts --reference HOST:PORT --bootstrap HOST:PORT [--only PATTERN] [--json] [--print] [--heavy]
 *   bun test/differential/corpus.ts --recorded --bootstrap HOST:PORT
 *   bun test/differential/corpus.ts --reference HOST:PORT --record VERSION [--only PATTERN]
 *
 * Recording renews the answers of the cases that ran and drops those of cases that are no more.
 * `--heavy` adds the cases that cost a broker much memory or time; give them a Kafka of their own. Exits with 1 when an answer
 * differs that `corpus/differences.ts` does not list, when one that it lists no longer differs, or when our side was silent.
 */
import { parseArgs } from "node:util";
import { CASES } from "./corpus/cases/index.ts";
import { compareOutcomes, printReport } from "./corpus/report.ts";
import { readRecorded, writeRecorded } from "./corpus/recorded.ts";
import { advertisedRanges, runCases } from "./corpus/run.ts";

const PATIENCE_MS = 3000;
const CONCURRENCY = 12;

const { values } = parseArgs({
  options: {
    reference: { type: "string" },
    bootstrap: { type: "string" },
    only: { type: "string" },
    recorded: { type: "boolean", default: false },
    record: { type: "string" },
    json: { type: "boolean", default: false },
    print: { type: "boolean", default: false },
    heavy: { type: "boolean", default: false },
  },
});

async function main(): Promise<number> {
  const { reference, bootstrap, only, record } = values;
  const pattern = only === undefined ? null : new RegExp(only);
  const cases = CASES.filter(
    ({ name, cost }) => (values.heavy || cost !== "heavy") && (pattern?.test(name) ?? true),
  );
  const run = Math.random().toString(36).slice(2, 10).padEnd(8, "0");
  const options = { run, patienceMs: PATIENCE_MS, concurrency: CONCURRENCY };
  if (record !== undefined && reference !== undefined) {
    const ranges = await advertisedRanges(reference);
    writeRecorded(record, ranges, await runCases(reference, cases, options));
    return 0;
  }
  if (bootstrap === undefined || (reference === undefined && !values.recorded)) {
    console.error("usage: corpus.ts --reference HOST:PORT --bootstrap HOST:PORT (see the file)");
    return 2;
  }
  const started = performance.now();
  const ours = runCases(bootstrap, cases, options);
  const theirs =
    reference === undefined ? readRecorded().outcomes : await runCases(reference, cases, options);
  const report = compareOutcomes(cases, await ours, theirs, reference === undefined);
  printReport(report, {
    asJson: values.json,
    printsAll: values.print,
    elapsedMs: performance.now() - started,
  });
  return report.problems.length === 0 ? 0 : 1;
}

if (import.meta.main) process.exit(await main());
