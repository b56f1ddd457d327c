/**
 * Fuzz target of the decoders: damages what Kafka's own classes wrote, for as long as asked, and checks the rules of
 * `test/golden/hostile.ts`. What was taken joins the corpus, so that damage adds up.
 *
 * ```
 * bun test/fuzz/protocol.ts --seconds 60 [--seed 1]
 * bun test/fuzz/protocol.ts --replay NAME VERSION HEX
 * ```
 * A finding ends the run with status 1 and prints the line that replays it. NAME is a message, or `batches`, `group-record`,
 * `transaction-record`, `share-record`, `metadata-record`, `subscription`, `assignment`, `request-header`.
 */
import { Reader } from "#protocol/codec/reader.ts";
import { decodeRequestHeader } from "#protocol/headers.ts";
import {
  decodeConsumerAssignment,
  decodeConsumerSubscription,
  decodeGroupRecord,
  decodeMetadataRecord,
  decodeShareRecord,
  decodeTransactionRecord,
} from "#protocol/records/framing.ts";
import { decodeRecordBatches } from "#protocol/records/record-batch.ts";
import { readBatches } from "../golden/batches.ts";
import { damaged, type Random, randomFrom } from "../golden/damage.ts";
import { checkDecoding, countElements } from "../golden/hostile.ts";
import { loadMessages } from "../golden/messages.ts";
import { readSamples } from "../golden/samples.ts";

/** One decoder and the bytes it has taken so far. */
interface Target {
  readonly name: string;
  readonly version: number;
  readonly corpus: Uint8Array[];
  /** Returns whether the bytes were taken; throws when a rule is broken. */
  readonly check: (bytes: Uint8Array) => boolean;
}

/** How a run ended. */
export interface FuzzReport {
  readonly runs: number;
  readonly taken: number;
  /** Arguments of `--replay` for the first finding, with what went wrong, or null. */
  readonly finding: { readonly replay: string; readonly error: unknown } | null;
}

/** Entries a corpus may grow to, and bytes an entry may have. */
const CORPUS_LIMIT = 40;
const ENTRY_BYTES = 4096;
/** A single decoding that takes longer is a finding. */
const SLOW_MS = 2000;

/** Runs until `seconds` have passed or a rule is broken. */
export async function fuzz(options: { seconds: number; seed: number }): Promise<FuzzReport> {
  const targets = await loadTargets();
  const random = randomFrom(options.seed);
  const end = performance.now() + options.seconds * 1000;
  let runs = 0;
  let taken = 0;
  while (performance.now() < end) {
    const target = targets[Math.floor(random() * targets.length)];
    if (target === undefined) break;
    for (let index = 0; index < 32; index += 1) {
      const bytes = mutate(target.corpus, random);
      runs += 1;
      const error = findingOf(target, bytes);
      if (error.finding !== null) {
        const replay = `${target.name} ${target.version} ${bytes.toHex()}`;
        return { runs, taken, finding: { replay, error: error.finding } };
      }
      if (!error.isTaken) continue;
      taken += 1;
      keep(target.corpus, bytes, random);
    }
  }
  return { runs, taken, finding: null };
}

function findingOf(target: Target, bytes: Uint8Array): { isTaken: boolean; finding: unknown } {
  const started = performance.now();
  try {
    const isTaken = target.check(bytes);
    const tookMs = performance.now() - started;
    return { isTaken, finding: tookMs > SLOW_MS ? new Error(`took ${tookMs} ms`) : null };
  } catch (error) {
    return { isTaken: false, finding: error };
  }
}

function mutate(corpus: readonly Uint8Array[], random: Random): Uint8Array {
  const one = corpus[Math.floor(random() * corpus.length)] ?? new Uint8Array(8);
  if (random() < 0.9) return damaged(one, random);
  // Two messages spliced.
  const other = corpus[Math.floor(random() * corpus.length)] ?? one;
  const head = one.subarray(0, Math.floor(random() * one.length));
  const tail = other.subarray(Math.floor(random() * other.length));
  return Uint8Array.from([...head, ...tail]);
}

function keep(corpus: Uint8Array[], bytes: Uint8Array, random: Random): void {
  if (bytes.length > ENTRY_BYTES) return;
  if (corpus.length < CORPUS_LIMIT) corpus.push(bytes);
  else corpus[Math.floor(random() * corpus.length)] = bytes;
}

async function loadTargets(): Promise<Target[]> {
  const corpora = new Map<string, Uint8Array[]>();
  for (const sample of readSamples().samples) {
    const key = `${sample.name} ${sample.version}`;
    corpora.set(key, [...(corpora.get(key) ?? []), Uint8Array.fromHex(sample.hex)]);
  }
  const targets: Target[] = [];
  for (const message of await loadMessages()) {
    for (let version = message.minVersion; version <= message.maxVersion; version += 1) {
      targets.push({
        name: message.name,
        version,
        corpus: corpora.get(`${message.name} ${version}`) ?? [],
        check: (bytes) => checkDecoding(message, version, bytes),
      });
    }
  }
  return [...targets, ...framedTargets(corpora)];
}

/** Decoders that are not messages themselves. */
function framedTargets(corpora: ReadonlyMap<string, readonly Uint8Array[]>): Target[] {
  const sampled = (name: string, ...prefix: number[]): Uint8Array[] =>
    (corpora.get(name) ?? []).map((bytes) => Uint8Array.from([...prefix, ...bytes]));
  const bounded = (bytes: Uint8Array, outcome: { kind: string }): boolean => {
    if (countElements(outcome) > bytes.length) throw new Error("more elements than bytes");
    return outcome.kind === "record";
  };
  const target = (name: string, corpus: Uint8Array[], check: Target["check"]): Target => ({
    name,
    version: 0,
    corpus,
    check,
  });
  return [
    target(
      "batches",
      readBatches().map((sample) => Uint8Array.fromHex(sample.hex)),
      (bytes) => {
        const { batches, failure } = decodeRecordBatches(bytes, { verifyCrc: false });
        if (countElements(batches) > bytes.length) throw new Error("more elements than bytes");
        return failure === null && batches.length > 0;
      },
    ),
    target("group-record", sampled("OffsetCommitKey 0", 0, 1), (bytes) =>
      bounded(bytes, decodeGroupRecord(bytes, bytes)),
    ),
    target("transaction-record", sampled("TransactionLogKey 0", 0, 0), (bytes) =>
      bounded(bytes, decodeTransactionRecord(bytes, bytes)),
    ),
    target("share-record", sampled("ShareSnapshotKey 0", 0, 0), (bytes) =>
      bounded(bytes, decodeShareRecord(bytes, bytes)),
    ),
    target("metadata-record", sampled("TopicRecord 0", 1, 2, 0), (bytes) =>
      bounded(bytes, decodeMetadataRecord(bytes)),
    ),
    target("subscription", sampled("ConsumerProtocolSubscription 3", 0, 3), (bytes) =>
      bounded(bytes, decodeConsumerSubscription(bytes)),
    ),
    target("assignment", sampled("ConsumerProtocolAssignment 3", 0, 3), (bytes) =>
      bounded(bytes, decodeConsumerAssignment(bytes)),
    ),
    target("request-header", sampled("RequestHeader 2"), (bytes) => {
      const reader = new Reader(bytes);
      decodeRequestHeader(reader);
      return reader.failure === null;
    }),
  ];
}

function optionOf(args: readonly string[], name: string, otherwise: number): number {
  const at = args.indexOf(name);
  return at < 0 ? otherwise : Number(args[at + 1]);
}

async function replay([name, version, hex]: readonly string[]): Promise<number> {
  const targets = await loadTargets();
  const target = targets.find((each) => each.name === name && each.version === Number(version));
  if (target === undefined) {
    console.error(`no target ${name} ${version}`);
    return 2;
  }
  const { isTaken, finding } = findingOf(target, Uint8Array.fromHex(hex ?? ""));
  if (finding !== null) console.error(finding);
  else console.log(isTaken ? "taken" : "refused");
  return finding === null ? 0 : 1;
}

async function main(args: readonly string[]): Promise<number> {
  const at = args.indexOf("--replay");
  if (at >= 0) return replay(args.slice(at + 1));
  const seed = optionOf(args, "--seed", Math.floor(Math.random() * 0x7fffffff));
  const seconds = optionOf(args, "--seconds", 10);
  const report = await fuzz({ seconds, seed });
  console.log(`seed ${seed}: ${report.runs} runs, ${report.taken} taken`);
  if (report.finding === null) return 0;
  console.error(report.finding.error);
  console.error(`bun test/fuzz/protocol.ts --replay ${report.finding.replay}`);
  return 1;
}

if (import.meta.main) process.exit(await main(process.argv.slice(2)));
