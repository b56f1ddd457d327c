/** Kafka's `kafka-dump-log` on the files of a log directory: every segment, index and snapshot, with each decoder it has. */
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { runTool } from "../java/console.ts";
import type { JavaLibraries } from "../support/toolchains.ts";

/** Every file below a log directory, by its path. */
export function filesOf(dataDirectory: string): string[] {
  return readdirSync(dataDirectory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .toSorted();
}

/** What kafka-dump-log made of some files. */
export interface Dump {
  /** What it has against them; empty when it accepts them all. */
  readonly problems: string[];
  /** What it printed of segments, of committed offsets and of producer snapshots. */
  readonly records: string;
  readonly offsets: string;
  readonly snapshots: string;
}

/** Runs kafka-dump-log, in all its ways, on these files. */
export async function dumpFiles(tools: JavaLibraries, files: readonly string[]): Promise<Dump> {
  const problems: string[] = [];
  const dump = async (wanted: readonly string[], ...words: string[]): Promise<string> => {
    if (wanted.length === 0) return "";
    const { output, errors } = await runTool(tools, "kafka-dump-log", [
      ...words,
      "--files",
      wanted.join(","),
    ]);
    for (const line of errors.split("\n")) {
      // The tool compares a segment's first offset with -1 and says so about every segment but the first.
      if (/ is followed by /.test(line) && !/^\s*-1 is followed by/.test(line)) problems.push(line);
      if (/mismatch|Exception/i.test(line)) problems.push(line);
    }
    return output;
  };
  const ending = (suffix: string): string[] => files.filter((file) => file.endsWith(suffix));
  const logs = ending(".log");
  const isOffsets = (file: string): boolean => file.includes("__consumer_offsets");
  const isMetadata = (file: string): boolean => file.includes("__cluster_metadata");
  const texts = [
    await dump(
      logs.filter((file) => !isOffsets(file) && !isMetadata(file)),
      "--deep-iteration",
    ),
    await dump(logs.filter(isOffsets), "--deep-iteration", "--offsets-decoder"),
    await dump(
      logs.filter(isMetadata),
      "--deep-iteration",
      "--cluster-metadata-decoder",
      "--skip-record-metadata",
    ),
    await dump([...ending(".index"), ...ending(".timeindex")]),
    await dump(ending(".snapshot")),
  ];
  for (const line of texts.join("\n").split("\n")) {
    if (
      /isvalid: false|mismatch|corrupt|invalid|Found timestamp|out of order|Exception|Error/i.test(
        line.replace("isvalid: true", ""),
      )
    )
      problems.push(line);
  }
  const sanity = await dump([...ending(".index"), ...ending(".timeindex")], "--index-sanity-check");
  for (const file of [...ending(".index"), ...ending(".timeindex")]) {
    // The tool has its own word for an offset index without entries: a segment that one interval spans has none.
    const isEmpty = statSync(file).size === 0 && sanity.includes(`${file} is empty.`);
    if (!isEmpty && !sanity.includes(`${file} passed sanity check.`)) {
      problems.push(`${file} did not pass the sanity check: ${sanity.slice(-2000)}`);
    }
  }
  const [records = "", offsets = "", , , snapshots = ""] = texts;
  return { problems, records, offsets, snapshots };
}
