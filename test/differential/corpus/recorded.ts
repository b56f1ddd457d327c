/**
 * Kafka's answers as recorded, for machines without Java: a file a subject, a line a case. A long answer is kept as its beginning
 * and its digest.
 */
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { subjectOf } from "./case.ts";
import { CASES } from "./cases/index.ts";
import type { Outcome } from "./run.ts";

const DIRECTORY = join(import.meta.dirname, "recorded");
const ABOUT = "about.json";
const LONG = 240;

/** What is recorded. */
export interface Recorded {
  /** Version of the Kafka that answered. */
  readonly kafka: string;
  /** Ranges it advertises, as "min-max" by the API's key. */
  readonly ranges: ReadonlyMap<number, string>;
  readonly outcomes: ReadonlyMap<string, Pick<Outcome, "text">>;
}

/** An answer in the form of the files. */
export function abridged(text: string): string {
  if (text.length <= LONG) return text;
  const digest = new Bun.CryptoHasher("sha256").update(text).digest("hex").slice(0, 16);
  return `${text.slice(0, LONG / 2)}… ${text.length} characters, ${digest}`;
}

/** Reads the files. */
export function readRecorded(): Recorded {
  const about = readFile(ABOUT) as { kafka: string; ranges: Record<string, string> };
  const ranges = Object.entries(about.ranges).map(([key, range]) => [Number(key), range] as const);
  const rows = readdirSync(DIRECTORY)
    .filter((name) => name !== ABOUT)
    .flatMap((name) => Object.entries(readFile(name) as Record<string, string>))
    .map(([name, text]) => [name, { text }] as const);
  return { kafka: about.kafka, ranges: new Map(ranges), outcomes: new Map(rows) };
}

/** Renews the answers to the cases that ran; those of cases that there are not any more go. */
export function writeRecorded(
  kafka: string,
  ranges: ReadonlyMap<number, string>,
  outcomes: ReadonlyMap<string, Outcome>,
): void {
  const known = readRecorded().outcomes;
  const bySubject = new Map<string, Map<string, string>>();
  for (const name of CASES.map((each) => each.name).toSorted()) {
    const outcome = outcomes.get(name);
    const text = outcome === undefined ? known.get(name)?.text : abridged(outcome.text);
    if (text === undefined) continue;
    const answers = bySubject.get(subjectOf(name)) ?? new Map<string, string>();
    bySubject.set(subjectOf(name), answers.set(name, text));
  }
  mkdirSync(DIRECTORY, { recursive: true });
  for (const name of readdirSync(DIRECTORY)) rmSync(join(DIRECTORY, name));
  writeFile(ABOUT, { kafka, ranges: Object.fromEntries(ranges) });
  for (const [subject, answers] of bySubject) {
    writeFile(`${subject}.json`, Object.fromEntries(answers));
  }
  console.log(`recorded ${outcomes.size} answers of Kafka ${kafka}`);
}

function readFile(name: string): unknown {
  return JSON.parse(readFileSync(join(DIRECTORY, name), "utf8"));
}

function writeFile(name: string, content: unknown): void {
  writeFileSync(join(DIRECTORY, name), `${JSON.stringify(content, null, 2)}\n`);
}
