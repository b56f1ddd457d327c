/**
 * Writes the golden samples anew: `KAFKA_LIBS=… KAFKA_OLD_LIBS=… bun test/golden/regenerate.ts [SEED]`.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ASSIGNORS_FILE, makeGroupLives } from "./assignors.ts";
import { BATCHES_FILE } from "./batches.ts";
import { runReferee, whyNoPredecessor, whyNoReferee } from "./kafka-java.ts";
import { loadMessages } from "./messages.ts";
import { makePartitionWishes, PARTITION_CHANGES_FILE } from "./partition-changes.ts";
import { makeSamples, SAMPLES_FILE, type SampleOrigin } from "./samples.ts";

const SAMPLES_PER_VERSION = 6;
const BATCHES = 120;
const GROUP_LIVES = 100;
const PARTITION_CHANGES = 4000;

const missing = whyNoReferee() ?? whyNoPredecessor();
if (missing !== null) {
  console.error(missing);
  process.exit(1);
}
const seed = Number(process.argv[2] ?? 1);
const origin: SampleOrigin = {
  kafka: "4.4.0",
  predecessor: "3.9.1",
  date: new Date().toISOString().slice(0, 10),
  seed,
  samplesPerVersion: SAMPLES_PER_VERSION,
};
const lines = makeSamples(await loadMessages(), seed, SAMPLES_PER_VERSION, true);
writeLines(SAMPLES_FILE, [JSON.stringify(origin), ...lines]);
const batches = runReferee("current", ["sample", `${seed}`, `${BATCHES}`], "", "KafkaBatches");
writeLines(BATCHES_FILE, batches.trimEnd().split("\n"));
const lives = makeGroupLives(seed, GROUP_LIVES).map((life) => JSON.stringify(life));
const targets = runReferee("current", ["assign"], `${lives.join("\n")}\n`, "KafkaAssignors");
writeLines(ASSIGNORS_FILE, targets.trimEnd().split("\n"));
const wishes = makePartitionWishes(seed, PARTITION_CHANGES).map((wish) => JSON.stringify(wish));
const changes = runReferee("current", ["change"], `${wishes.join("\n")}\n`, "KafkaPartitionChanges");
writeLines(PARTITION_CHANGES_FILE, changes.trimEnd().split("\n"));

// The names and patterns of the page itself, answered anew.
const patternsFile = join(import.meta.dirname, "patterns.tsv");
const patterns = readFileSync(patternsFile, "utf8").replaceAll(/\t[^\t\n]*$/gm, "");
writeFileSync(patternsFile, runReferee("current", ["match"], patterns, "KafkaPatterns"));

function writeLines(path: string, all: readonly string[]): void {
  const packed = Bun.zstdCompressSync(Buffer.from(`${all.join("\n")}\n`), { level: 19 });
  writeFileSync(path, packed);
  console.log(`${path}: ${all.length} lines, ${packed.length} bytes`);
}
