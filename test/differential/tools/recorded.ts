/** What the tools printed on real Kafka, a readable file a section. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Transcript } from "./broker-run.ts";

const DIRECTORY = join(import.meta.dirname, "recorded");
const pathOf = (section: string): string => join(DIRECTORY, `${section.replaceAll(" ", "-")}.txt`);

/** The transcript as text: each command after `$ `, then what it printed. */
export function formatTranscript(transcript: Transcript): string {
  return transcript.map(({ line, text }) => `$ ${line}\n${text}\n`).join("\n");
}

/** Reads what {@link formatTranscript} wrote. */
export function parseTranscript(text: string): Transcript {
  return `\n${text}`
    .split("\n$ ")
    .slice(1)
    .map((block) => {
      const [line = "", ...printed] = block.split("\n");
      return { line, text: printed.join("\n").trimEnd() };
    });
}

/** Kafka's transcript of a section; empty where none was recorded. */
export function readRecorded(section: string): Transcript {
  const path = pathOf(section);
  return existsSync(path) ? parseTranscript(readFileSync(path, "utf8")) : [];
}

export function writeRecorded(section: string, transcript: Transcript): void {
  mkdirSync(DIRECTORY, { recursive: true });
  writeFileSync(pathOf(section), formatTranscript(transcript));
}
