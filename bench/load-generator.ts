/** The native load generator as seen from the runner: built once, run once a measurement, one JSON object back. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { LoadResult } from "./record.ts";
import { root, runCommand } from "./systems/system.ts";
import type { Workload } from "./workloads/workload.ts";

const targetDirectory = process.env["CARGO_TARGET_DIR"] ?? join(root, "bench/load/target");

/** Path of the generator. */
export const loadBinary: string = join(targetDirectory, "release/sluice-load");

/** Builds the generator from its lockfile; quick when nothing changed. */
export async function buildLoadGenerator(): Promise<void> {
  await runCommand([
    "cargo",
    "build",
    "--release",
    "--locked",
    "--quiet",
    "--manifest-path",
    "bench/load/Cargo.toml",
  ]);
  if (!existsSync(loadBinary)) throw new Error(`${loadBinary} is missing after its build`);
}

/** What a run adds to its workload. */
export interface LoadOptions {
  readonly bootstrap: string;
  /** Processes whose CPU time and memory are counted, together. */
  readonly pids?: readonly number[];
  readonly seed: number;
  readonly seconds: number;
  readonly warmSeconds: number;
  /** A topic that is there already; without it the run makes and deletes its own. */
  readonly topic?: string;
  readonly topicConfig: Readonly<Record<string, string>>;
  readonly maxMib?: number;
  readonly fillMib?: number;
  /** Whether the generator holds touched memory for the log to grow into. */
  readonly isMemoryHeld?: boolean;
}

/** What a run logs before and after its measured phase, and what the kernel takes besides, MiB. */
const holdBesidesMib = 400;
/** Held for runs that log little. */
const holdSmallMib = 128;

/** Memory that a produce run needs in hand: all that its log will take. */
function holdMib(workload: Workload, options: LoadOptions): number | undefined {
  if (workload.verb !== "produce" || options.isMemoryHeld !== true) return undefined;
  const limit = options.maxMib ?? workload.maxMib;
  return limit === undefined ? holdSmallMib : Math.round(limit * 1.1) + holdBesidesMib;
}

/** Arguments of the generator for a workload. `verb` is the workload's own unless given. */
export function loadArguments(
  workload: Workload,
  options: LoadOptions,
  verb: string = workload.verb,
): string[] {
  const pairs: [string, string | number | undefined][] = [
    ["--bootstrap", options.bootstrap],
    ["--connections", workload.connections],
    ["--partitions", workload.partitions],
    ["--inflight", workload.inflight],
    ["--records", workload.records],
    ["--value-bytes", workload.valueBytes],
    ["--acks", workload.acks],
    ["--fetch-bytes", workload.fetchBytes],
    ["--fill-mib", options.fillMib ?? workload.fillMib],
    ["--rate", workload.ratePerSecond],
    ["--seed", options.seed],
    ["--warm-seconds", options.warmSeconds],
    ["--seconds", options.seconds],
    ["--max-mib", options.maxMib ?? workload.maxMib],
    ["--hold-mib", holdMib(workload, options)],
    ["--topic", options.topic],
    ["--replication", workload.replication],
    ...(options.pids ?? []).map((pid): [string, number] => ["--pid", pid]),
    ...Object.entries(options.topicConfig).map(([key, value]): [string, string] => [
      "--topic-config",
      `${key}=${value}`,
    ]),
  ];
  return [verb, ...flatten(pairs)];
}

/** Options as arguments; what has no value is left out. */
function flatten(pairs: readonly [string, string | number | undefined][]): string[] {
  return pairs.flatMap(([name, value]) => (value === undefined ? [] : [name, String(value)]));
}

async function runGenerator(
  argumentsGiven: readonly string[],
  timeoutMs: number,
): Promise<LoadResult> {
  const generator = Bun.spawn([loadBinary, ...argumentsGiven], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    timeout: timeoutMs,
  });
  const [output, errors] = await Promise.all([
    new Response(generator.stdout).text(),
    new Response(generator.stderr).text(),
    generator.exited,
  ]);
  try {
    const result: LoadResult = JSON.parse(output);
    return result;
  } catch {
    const reason =
      generator.signalCode === null ? errors.trim() : `stopped by ${generator.signalCode}`;
    return { ...failed, firstError: reason === "" ? "no output" : reason };
  }
}

const noLatency = { count: 0, mean: 0, p50: 0, p90: 0, p99: 0, p999: 0, max: 0 };
const failed: LoadResult = {
  isValid: false,
  errors: 1,
  firstError: null,
  elapsedSeconds: 0,
  requests: 0,
  records: 0,
  valueBytes: 0,
  wireBytes: 0,
  requestsPerSecond: 0,
  recordsPerSecond: 0,
  valueMibPerSecond: 0,
  wireMibPerSecond: 0,
  latencyMs: noLatency,
  backlogMax: 0,
  generatorCpuSeconds: 0,
};

/**
 * Runs one workload once. Never throws for a failed run: its result says so (`isValid`, `firstError`).
 */
export async function runLoad(
  workload: Workload,
  options: LoadOptions,
  verb?: string,
): Promise<LoadResult> {
  const timeoutMs = (options.seconds + options.warmSeconds + 120) * 1000;
  const result = await runGenerator(loadArguments(workload, options, verb), timeoutMs);
  return { ...failed, ...result };
}

/** What a replay needs. */
export interface ReplayOptions extends Pick<
  LoadOptions,
  "bootstrap" | "pids" | "seconds" | "warmSeconds"
> {
  /** File of requests and answers, laid out as `bench/load/src/replay.rs` says. */
  readonly script: string;
}

/** Sends the requests of a script round and round. Never throws for a failed run. */
export async function replayScript(options: ReplayOptions): Promise<LoadResult> {
  const pairs: [string, string | number | undefined][] = [
    ["--bootstrap", options.bootstrap],
    ["--script", options.script],
    ["--warm-seconds", options.warmSeconds],
    ["--seconds", options.seconds],
    ...(options.pids ?? []).map((pid): [string, number] => ["--pid", pid]),
  ];
  const timeoutMs = (options.seconds + options.warmSeconds + 60) * 1000;
  return { ...failed, ...(await runGenerator(["replay", ...flatten(pairs)], timeoutMs)) };
}

/** Fills a topic for later fetches and keeps it. */
export function fillTopic(workload: Workload, options: LoadOptions): Promise<LoadResult> {
  return runLoad({ ...workload, inflight: 1 }, options, "fill");
}

/** Deletes a topic. */
export function deleteTopic(bootstrap: string, topic: string): Promise<LoadResult> {
  return runGenerator(["delete", "--bootstrap", bootstrap, "--topic", topic], 60_000);
}
