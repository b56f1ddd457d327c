/**
 * Kafka's answers as recorded, for machines without Java. A line a case; a long answer is kept as its beginning and its digest.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Outcome } from "./run.ts";

const FILE = join(import.meta.dirname, "recorded.json");
const LONG = 240;

/** What is in the file. */
export interface Recorded {
  /** Version of the Kafka that answered. */
  readonly kafka: string;
  readonly outcomes: ReadonlyMap<string, Pick<Outcome, "text">>;
}

/** An answer in the form of the file. */
export function abridged(text: string): string {
  if (text.length <= LONG) return text;
  const digest = new Bun.CryptoHasher("sha256").update(text).digest("hex").slice(0, 16);
  return `${text.slice(0, LONG / 2)}… ${text.length} characters, ${digest}`;
}

/** Reads the file. */
export function readRecorded(): Recorded {
  const { kafka, answers } = JSON.parse(readFileSync(FILE, "utf8")) as {
    kafka: string;
    answers: Record<string, string>;
  };
  const rows = Object.entries(answers).map(([name, text]) => [name, { text }] as const);
  return { kafka, outcomes: new Map(rows) };
}

/** Replaces the file. */
export function writeRecorded(kafka: string, outcomes: ReadonlyMap<string, Outcome>): void {
  const names = [...outcomes.keys()].toSorted();
  const answers = Object.fromEntries(
    names.map((name) => [name, abridged(outcomes.get(name)?.text ?? "")]),
  );
  writeFileSync(FILE, `${JSON.stringify({ kafka, answers }, null, 2)}\n`);
  console.log(`recorded ${names.length} answers of Kafka ${kafka}`);
}
