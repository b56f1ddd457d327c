/**
 * Golden samples: messages filled at random and written by Kafka's own classes.
 *
 * `protocol.ndjson.zst` holds one JSON object a line. The first tells the release, the day and the seed; each other
 * line is a sample.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { BIGINT_FIELDS } from "#protocol/generator/overlay.ts";
import type { TestedMessage } from "./messages.ts";
import { runReferee } from "./kafka-java.ts";

/** One message in one version. */
export interface Sample {
  readonly name: string;
  readonly version: number;
  /** The bytes Kafka wrote. */
  readonly hex: string;
  /** The values Kafka reads from those bytes, as its JSON converters print them. */
  readonly values: unknown;
}

/** First line of the file. */
export interface SampleOrigin {
  readonly kafka: string;
  readonly predecessor: string;
  readonly date: string;
  readonly seed: number;
  readonly samplesPerVersion: number;
}

export const SAMPLES_FILE: string = join(import.meta.dirname, "protocol.ndjson.zst");

/** Reads the committed samples. */
export function readSamples(): { origin: SampleOrigin; samples: Sample[] } {
  const text = Bun.zstdDecompressSync(readFileSync(SAMPLES_FILE)).toString();
  const [first = "{}", ...lines] = text.trimEnd().split("\n");
  return { origin: JSON.parse(first) as SampleOrigin, samples: lines.map(parseSample) };
}

/** Has Kafka's classes make fresh samples: every version of 4.4, and what only the predecessor serves where it is at hand. */
export function makeSamples(
  messages: readonly TestedMessage[],
  seed: number,
  samplesPerVersion: number,
  withPredecessor: boolean,
): string[] {
  const bigints = [...BIGINT_FIELDS].join(",");
  const options = ["sample", `${seed}`, `${samplesPerVersion}`, bigints];
  const lines = runReferee("current", options).trimEnd().split("\n");
  if (withPredecessor) {
    const limits = messages
      .filter((message) => message.minVersion < message.kafkaMinVersion)
      .map((message) => `${message.name}=${message.kafkaMinVersion}`);
    lines.push(...runReferee("predecessor", [...options, limits.join(",")]).trimEnd().split("\n"));
  }
  return lines;
}

export function parseSample(line: string): Sample {
  return JSON.parse(line) as Sample;
}
