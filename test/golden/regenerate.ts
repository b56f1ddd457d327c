/**
 * Writes the golden samples anew: `KAFKA_LIBS=… KAFKA_OLD_LIBS=… bun test/golden/regenerate.ts [SEED]`.
 */
import { writeFileSync } from "node:fs";
import { whyNoPredecessor, whyNoReferee } from "./kafka-java.ts";
import { loadMessages } from "./messages.ts";
import { makeSamples, SAMPLES_FILE, type SampleOrigin } from "./samples.ts";

const SAMPLES_PER_VERSION = 6;

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
const text = `${[JSON.stringify(origin), ...lines].join("\n")}\n`;
const packed = Bun.zstdCompressSync(Buffer.from(text), { level: 19 });
writeFileSync(SAMPLES_FILE, packed);
console.log(`${lines.length} samples, ${packed.length} bytes`);
