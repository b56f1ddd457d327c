/**
 * The same proof as `protocol.test.ts` with fresh seeds, in both directions, and on damaged bytes: Kafka's classes and
 * ours must take or refuse the same ones and read the same values. Needs Java and Kafka's jars.
 */
import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { Reader } from "#protocol/codec/reader.ts";
import { Writer } from "#protocol/codec/writer.ts";
import {
  decodeRecordBatches,
  encodeRecordBatch,
  type NewRecordBatch,
} from "#protocol/records/record-batch.ts";
import { arbitraryMessage } from "./arbitrary.ts";
import { BUN_DECOMPRESSOR, describeBatch, parseBatch } from "./batches.ts";
import { mismatchOf } from "./compare.ts";
import { damaged, randomFrom } from "./damage.ts";
import { runReferee, whyNoPredecessor, whyNoReferee } from "./kafka-java.ts";
import { fromKafkaJson } from "./kafka-values.ts";
import { loadMessages, type TestedMessage } from "./messages.ts";
import { makeSamples, parseSample, readSamples } from "./samples.ts";

const missing = whyNoReferee();
const missingPredecessor = whyNoPredecessor();
if (missing !== null) console.warn(`live comparison with Kafka's classes skipped: ${missing}`);
else if (missingPredecessor !== null) {
  console.warn(`live comparison of the versions Kafka 4.4 dropped skipped: ${missingPredecessor}`);
}

const seed = Number(process.env["SEED"] ?? Math.floor(Math.random() * 0x7fffffff));
const TIMEOUT_MS = 120_000;

/** A line of the referee's answer to `check`. */
interface Verdict {
  readonly values?: unknown;
  readonly hex?: string;
  readonly failure?: string;
  readonly missing?: boolean;
}

/** A message in one version. */
interface Case {
  readonly message: TestedMessage;
  readonly version: number;
  readonly bytes: Uint8Array;
}

function judge(release: "current" | "predecessor", cases: readonly Case[]): Verdict[] {
  const lines = cases.map(({ message, version, bytes }) => `${message.name} ${version} ${bytes.toHex()}\n`);
  return runReferee(release, ["check"], lines.join(""))
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Verdict);
}

describe.skipIf(missing !== null)(`live, SEED=${seed}`, () => {
  test(
    "fresh samples decode to Kafka's values and encode to Kafka's bytes",
    async () => {
      const messages = new Map((await loadMessages()).map((message) => [message.name, message]));
      const lines = makeSamples([...messages.values()], seed, 4, missingPredecessor === null);
      const mismatches: string[] = [];
      for (const sample of lines.map(parseSample)) {
        const message = messages.get(sample.name);
        if (message === undefined) continue;
        const mismatch = mismatchOf(message, sample);
        if (mismatch !== null) mismatches.push(`${mismatch} ${sample.hex}`);
      }
      expect(mismatches).toEqual([]);
      expect(lines.length).toBeGreaterThan(2000);
    },
    TIMEOUT_MS,
  );

  for (const release of ["current", "predecessor"] as const) {
    test.skipIf(release === "predecessor" && missingPredecessor !== null)(
      `what we write, Kafka's ${release} classes read and write alike`,
      async () => {
        const cases: (Case & { readonly object: unknown })[] = [];
        for (const message of await loadMessages()) {
          const first = release === "current" ? message.kafkaMinVersion : message.minVersion;
          const last = release === "current" ? message.maxVersion : message.kafkaMinVersion - 1;
          for (let version = first; version <= last; version += 1) {
            const objects = fc.sample(arbitraryMessage(message.schema, version), { numRuns: 3, seed });
            for (const object of objects) {
              const writer = new Writer();
              message.codec.encode(writer, object, version);
              cases.push({ message, version, object, bytes: writer.toBytes() });
            }
          }
        }
        const verdicts = judge(release, cases);
        const mismatches: unknown[] = [];
        cases.forEach(({ message, version, object, bytes }, index) => {
          const verdict = verdicts[index];
          const where = { name: message.name, version, hex: bytes.toHex() };
          if (verdict?.hex !== where.hex) mismatches.push({ ...where, verdict });
          else if (!holdsRecords(message)) {
            const theirs = fromKafkaJson(message.schema, verdict.values);
            if (!Bun.deepEquals(theirs, object, true)) mismatches.push({ ...where, theirs, object });
          }
        });
        expect(mismatches.slice(0, 3)).toEqual([]);
        expect(cases.length).toBeGreaterThan(50);
      },
      TIMEOUT_MS,
    );
  }

  test(
    "batches: Kafka's read as Kafka reads them, ours are read by Kafka",
    () => {
      const theirs = runReferee("current", ["sample", `${seed}`, "300"], "", "KafkaBatches")
        .trimEnd()
        .split("\n")
        .map(parseBatch);
      const bytes = theirs.map((sample) => Uint8Array.fromHex(sample.hex));
      const decoded = bytes.map((each) => decodeRecordBatches(each, { decompressor: BUN_DECOMPRESSOR }).batches);
      expect(decoded.map((batches) => batches.map(describeBatch))).toEqual(theirs.map((sample) => [...sample.batches]));

      const ours = fc
        .sample(arbitraryBatch, { numRuns: 300, seed })
        .map((batch) => encodeRecordBatch(batch));
      const verdicts = runReferee("current", ["check"], ours.map((each) => `${each.toHex()}\n`).join(""), "KafkaBatches")
        .trimEnd()
        .split("\n")
        .map(parseBatch);
      expect(verdicts).toEqual(
        ours.map((each) => ({
          hex: each.toHex(),
          batches: decodeRecordBatches(each).batches.map(describeBatch),
        })),
      );
    },
    TIMEOUT_MS,
  );

  test(
    "damaged bytes are taken or refused as Kafka does, and read alike",
    async () => {
      const messages = new Map((await loadMessages()).map((message) => [message.name, message]));
      const random = randomFrom(seed);
      const cases: Case[] = [];
      for (const sample of readSamples().samples) {
        const message = messages.get(sample.name);
        if (message === undefined || sample.version < message.kafkaMinVersion) continue;
        const bytes = Uint8Array.fromHex(sample.hex);
        for (let index = 0; index < 3; index += 1) {
          cases.push({ message, version: sample.version, bytes: damaged(bytes, random) });
        }
      }
      const verdicts = judge("current", cases);
      const mismatches: unknown[] = [];
      let taken = 0;
      cases.forEach(({ message, version, bytes }, index) => {
        const verdict = verdicts[index];
        const reader = new Reader(bytes);
        const ours = message.codec.decode(reader, version);
        const where = { name: message.name, version, hex: bytes.toHex(), failure: reader.failure };
        // A failure beside values came from writing them: Kafka insists on sorted unknown tags only there.
        const isTaken = verdict?.values !== undefined;
        if (isTaken !== (reader.failure === null)) mismatches.push({ ...where, verdict });
        else if (isTaken) {
          taken += 1;
          if (holdsRecords(message)) return;
          const theirs = fromKafkaJson(message.schema, verdict?.values);
          if (!Bun.deepEquals(theirs, ours, true)) mismatches.push({ ...where, theirs, ours });
        }
      });
      expect(mismatches.slice(0, 3)).toEqual([]);
      expect(taken).toBeGreaterThan(cases.length / 20);
      expect(taken).toBeLessThan(cases.length);
    },
    TIMEOUT_MS,
  );
});

const blob = fc.option(fc.uint8Array({ maxLength: 150 }));
const time = fc.integer({ min: 0, max: 2 ** 42 });

/** Any uncompressed batch. */
const arbitraryBatch: fc.Arbitrary<NewRecordBatch> = fc.record({
  baseOffset: fc.integer({ min: 0, max: 2 ** 50 }),
  partitionLeaderEpoch: fc.integer({ min: -1 }),
  timestamp: time,
  isTransactional: fc.boolean(),
  isLogAppendTime: fc.boolean(),
  producerId: fc.bigInt({ min: -1n, max: 2n ** 63n - 1n }),
  producerEpoch: fc.integer({ min: -1, max: 0x7fff }),
  baseSequence: fc.integer({ min: -1, max: 0x7fffffff }),
  records: fc.array(
    fc.record({
      key: blob,
      value: blob,
      timestamp: time,
      headers: fc.array(fc.record({ key: fc.string({ unit: "binary" }), value: blob }), { maxLength: 3 }),
    }),
    { minLength: 1, maxLength: 8 },
  ),
});

/** Kafka's converters print no record bytes; those messages are compared by their bytes alone. */
function holdsRecords(message: TestedMessage): boolean {
  return JSON.stringify(message.schema).includes('"records"');
}
