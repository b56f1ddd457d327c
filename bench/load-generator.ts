/** The native load generator as seen from the runner: built once, run once a measurement, one JSON object back. */
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import type { LoadResult } from "./record.ts";
import { root, runCommand } from "./systems/system.ts";
import type { Workload } from "./workloads/workload.ts";

const targetDirectory = process.env["CARGO_TARGET_DIR"] ?? join(root, "bench/load/target");

/** Path of the generator: `SLUICE_LOAD`, or where Cargo puts it. */
export const loadBinary = (): string =>
  process.env["SLUICE_LOAD"] ?? join(targetDirectory, "release/sluice-load");
/** Path of the physical limit, always beside the generator. */
export const limitBinary = (): string => join(dirname(loadBinary()), "sluice-limit");

/**
 * Builds the generator and the limit from their lockfile; quick when nothing changed. One named by `SLUICE_LOAD` is taken as it is.
 *
 * @throws Error that says what to install or to run.
 */
export async function buildLoadGenerator(): Promise<void> {
  if (process.env["SLUICE_LOAD"] !== undefined) {
    if (!existsSync(loadBinary())) throw new Error(`SLUICE_LOAD: there is no ${loadBinary()}`);
    return;
  }
  const manifest = join(root, "bench/load/Cargo.toml");
  if (Bun.which("cargo") === null) {
    if (existsSync(loadBinary())) return;
    throw new Error(
      `the load generator is not built, and Cargo is not here to build it: install Rust 1.89 or newer and run\n` +
        `  cargo build --release --locked --manifest-path ${manifest}\n` +
        "or set SLUICE_LOAD to a sluice-load that was built elsewhere",
    );
  }
  await runCommand([
    "cargo",
    "build",
    "--release",
    "--locked",
    "--quiet",
    "--manifest-path",
    manifest,
  ]);
  if (!existsSync(loadBinary())) throw new Error(`${loadBinary()} is missing after its build`);
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
  /** More connections that only are there. */
  readonly idleConnections?: number;
  /** Processors that the generator is held on. */
  readonly cpus?: readonly number[];
  /** Priority that the generator gives up, 0 to 19. */
  readonly niceness?: number;
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
    ["--codec", workload.codec],
    ["--consumers", workload.consumers],
    ["--acks", workload.acks],
    ["--fetch-bytes", workload.fetchBytes],
    ["--fill-mib", options.fillMib ?? workload.fillMib],
    ["--request-partitions", workload.requestPartitions],
    ["--hot-partitions", workload.hotPartitions],
    ["--idle-connections", options.idleConnections],
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
  wrapper: readonly string[] = [],
): Promise<LoadResult> {
  const generator = Bun.spawn([...wrapper, loadBinary(), ...argumentsGiven], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    timeout: Math.ceil(timeoutMs),
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

/** A run that came to nothing; its reason goes into `firstError`. */
const noLatency = { count: 0, mean: 0, p50: 0, p90: 0, p99: 0, p999: 0, max: 0 };
export const failed: LoadResult = {
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
  const besidesSeconds = options.idleConnections === undefined ? 120 : 300;
  const timeoutMs = (options.seconds + options.warmSeconds + besidesSeconds) * 1000;
  const result = await runGenerator(
    loadArguments(workload, options, verb),
    timeoutMs,
    wrapperOf(options),
  );
  return { ...failed, ...result };
}

/** Commands that set priority and processors of the one behind them. */
function wrapperOf({ cpus, niceness }: LoadOptions): string[] {
  return [
    ...(cpus === undefined ? [] : ["taskset", "-c", cpus.join(",")]),
    ...(niceness === undefined ? [] : ["nice", "-n", String(niceness)]),
  ];
}

/** Consumers of a filled topic that ask for `fetchBytes` and never read, for `seconds`. */
export function stallReaders(workload: Workload, options: LoadOptions): Promise<LoadResult> {
  return runLoad(workload, options, "stall");
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

/** Creates a topic and waits until it can be written to. */
export function createTopic(
  bootstrap: string,
  topic: string,
  partitions: number,
  topicConfig: Readonly<Record<string, string>>,
): Promise<LoadResult> {
  const settings = Object.entries(topicConfig).flatMap(([key, value]) => [
    "--topic-config",
    `${key}=${value}`,
  ]);
  const given = ["--bootstrap", bootstrap, "--topic", topic, "--partitions", String(partitions)];
  return runGenerator(["create", ...given, ...settings], 300_000);
}

/** Waits until every partition of a topic answers, and gives their end offsets. */
export async function endOffsets(
  bootstrap: string,
  topic: string,
  partitions: number,
): Promise<readonly number[]> {
  const given = ["--bootstrap", bootstrap, "--topic", topic, "--partitions", String(partitions)];
  const result: LoadResult & { readonly endOffsets?: readonly number[] } = await runGenerator(
    ["ends", ...given],
    120_000,
  );
  if (!result.isValid || result.endOffsets === undefined)
    throw new Error(result.firstError ?? "no end offsets");
  return result.endOffsets;
}

/** Flushes the files below a directory and drops them from the page cache. */
export async function dropCache(directory: string): Promise<void> {
  const result = await runGenerator(["drop-cache", "--directory", directory], 120_000);
  if (!result.isValid) throw new Error(result.firstError ?? "the page cache was not dropped");
}
