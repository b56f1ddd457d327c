/**
 * Kafka's tools against real Kafka and Sluice, both started here, and what they print compared.
 *
 *   bun test/differential/tools/main.ts [--recorded] [--record] [--port PORT] [--write DIRECTORY]
 *
 * `--recorded` takes Kafka's recorded answers instead of a live one, `--record` renews them, `--port` is the first of the two ports to listen
 * on, `--write` leaves both transcripts as files. `--kafka-only` runs no Sluice.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { java } from "../../conformance/support/toolchains.ts";
import type { BrokerProcess } from "../../support/broker-process.ts";
import { temporaryDirectory } from "../../support/process.ts";
import { runSections, type Transcript } from "./broker-run.ts";
import { startKafka, startSluice } from "./brokers.ts";
import { compareSection } from "./compare.ts";
import { formatTranscript, readRecorded, writeRecorded } from "./recorded.ts";
import { SECTIONS } from "./scenario/index.ts";

const { values } = parseArgs({
  options: {
    recorded: { type: "boolean", default: false },
    record: { type: "boolean", default: false },
    "kafka-only": { type: "boolean", default: false },
    port: { type: "string" },
    write: { type: "string" },
  },
});
const port = values.port === undefined ? undefined : Number(values.port);
const libraries = await java();
const directory = temporaryDirectory("tools");

async function transcripts(
  start: () => Promise<BrokerProcess>,
): Promise<ReadonlyMap<string, Transcript>> {
  const broker = await start();
  try {
    const begun = performance.now();
    const result = await runSections(libraries, broker, SECTIONS, directory.path);
    console.log(`${broker.name}: ${((performance.now() - begun) / 1000).toFixed(0)} s`);
    if (values.write !== undefined) {
      mkdirSync(values.write, { recursive: true });
      for (const [section, transcript] of result)
        writeFileSync(
          join(values.write, `${broker.name}-${section}.txt`),
          formatTranscript(transcript),
        );
    }
    return result;
  } finally {
    await broker.stop("SIGTERM");
  }
}

let problems = 0;
try {
  const theirs = values.recorded
    ? new Map([...SECTIONS.keys()].map((section) => [section, readRecorded(section)] as const))
    : await transcripts(
        async () =>
          await startKafka(
            libraries.broker,
            directory.path,
            port === undefined ? undefined : port + 1,
          ),
      );
  if (values.record) for (const [section, transcript] of theirs) writeRecorded(section, transcript);
  if (!values["kafka-only"]) {
    const ours = await transcripts(async () => await startSluice(directory.path, port));
    for (const section of SECTIONS.keys()) {
      const result = compareSection(section, theirs.get(section) ?? [], ours.get(section) ?? []);
      for (const problem of result.problems) console.log(`${problem}\n`);
      console.log(
        `${section}: ${result.equal} equal, ${result.intended} different as decided, ${result.problems.length} problems`,
      );
      problems += result.problems.length;
    }
  }
} finally {
  directory.remove();
}
process.exit(problems === 0 ? 0 : 1);
