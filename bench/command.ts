/**
 * `sluice bench`, which `bun run bench` is too: what was asked for becomes a comparison, its record, a page beside the record, and
 * a table. The options are read by `src/cli/commands/bench.ts`; here they are judged.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { renderPage } from "./page/page.ts";
import { lifecycles } from "./lifecycle.ts";
import { Progress, type ProgressStream } from "./progress.ts";
import { subject, type BenchRecord } from "./record.ts";
import { compare, type RunOptions } from "./run.ts";
import { inRunDirectory, outputDirectory, writeRecord } from "./run-directory.ts";
import { clustered } from "./systems/clustered.ts";
import { systems as knownSystems } from "./systems/index.ts";
import { runningSystem } from "./systems/running.ts";
import type { System } from "./systems/system.ts";
import { formatRecord, type Paint } from "./table.ts";
import { selectWorkloads, workloads } from "./workloads/index.ts";

/** Options as they were given. */
export interface BenchArguments {
  readonly target?: readonly string[];
  readonly bootstrap?: readonly string[];
  readonly pid?: readonly string[];
  readonly workload?: readonly string[];
  readonly quick?: boolean;
  readonly runs?: string;
  readonly seconds?: string;
  readonly nodes?: string;
  readonly seed?: string;
  readonly out?: string;
  readonly json?: boolean;
  readonly list?: boolean;
}

/** Where the command speaks. */
export interface BenchOutput {
  readonly progress: ProgressStream;
  readonly paint: Paint;
  write(text: string): Promise<void>;
}

/** The command line is wrong; the message says how. */
export class BenchUsageError extends Error {
  override readonly name = "BenchUsageError";
}

const defaultTargets: readonly string[] = ["sluice", "kafka", "limit"];

function positive(option: string, text: string | undefined, otherwise: number): number {
  const value = text === undefined ? otherwise : Number(text);
  if (!(value > 0) || !Number.isFinite(value))
    throw new BenchUsageError(`${option} ${text}: not a number above 0`);
  return value;
}

/** Splits `NAME=REST` at its first equals sign. */
function named(option: string, text: string): readonly [string, string] {
  const at = text.indexOf("=");
  if (at < 1 || at === text.length - 1)
    throw new BenchUsageError(`${option} ${text}: it has the form NAME=VALUE`);
  return [text.slice(0, at), text.slice(at + 1)];
}

function readPids(given: readonly string[]): Map<string, number[]> {
  const pids = new Map<string, number[]>();
  for (const text of given) {
    const [name, value] = named("--pid", text);
    const pid = positive("--pid", value, 0);
    if (!existsSync(`/proc/${pid}`)) throw new BenchUsageError(`--pid ${text}: no such process`);
    pids.set(name, [...(pids.get(name) ?? []), pid]);
  }
  return pids;
}

/** The systems that were asked for: ours first, the limit last. */
export function readSystems(given: BenchArguments, nodes: number): System[] {
  const bootstraps = (given.bootstrap ?? []).map((text) => named("--bootstrap", text));
  const targets = given.target ?? (bootstraps.length > 0 ? [] : defaultTargets);
  const pids = readPids(given.pid ?? []);
  const started = targets.flatMap((name) => {
    const system = knownSystems[name];
    if (system === undefined)
      throw new BenchUsageError(
        `--target ${name}: there are ${defaultTargets.join(", ")}; a running cluster is given by --bootstrap`,
      );
    if (nodes === 1) return [system];
    return system.isBroker ? [clustered(system, nodes)] : [];
  });
  const running = bootstraps.map(([name, bootstrap]) => {
    if (!/^\S+:\d+$/.test(bootstrap))
      throw new BenchUsageError(`--bootstrap ${name}=${bootstrap}: it has the form NAME=HOST:PORT`);
    return runningSystem({ name, bootstrap, pids: pids.get(name) ?? [] });
  });
  const systems = [...started, ...running];
  const names = systems.map((system) => system.name);
  const double = names.find((name, index) => names.indexOf(name) !== index);
  if (double !== undefined) throw new BenchUsageError(`${double} was given twice`);
  const stray = [...pids.keys()].find((name) => !bootstraps.some(([known]) => known === name));
  if (stray !== undefined) throw new BenchUsageError(`--pid ${stray}: no --bootstrap of that name`);
  const rank = (system: System): number => (system.name === subject ? 0 : system.isBroker ? 1 : 2);
  return systems.sort((left, right) => rank(left) - rank(right));
}

/** The cases and lifecycles that were asked for. Replicated load needs a cluster, and what is compared on a cluster is replicated. */
export function readCases(
  given: BenchArguments,
  nodes: number,
): Pick<RunOptions, "workloads" | "lifecycles"> {
  const isQuick = given.quick ?? false;
  const fits = (replication: number): boolean => replication > 1 === nodes > 1;
  if (given.workload === undefined) {
    const chosen = workloads.filter(
      (each) => (!isQuick || each.isQuick === true) && fits(each.replication),
    );
    const lives = nodes > 1 ? [] : lifecycles.filter((each) => !isQuick || each.isQuick);
    return { workloads: chosen, lifecycles: new Set(lives.map(({ name }) => name)) };
  }
  const names = given.workload.flatMap((text) => text.split(","));
  const lives = lifecycles.filter(({ name }) => names.some((each) => name.startsWith(each)));
  const rest = names.filter((each) => !lives.some(({ name }) => name.startsWith(each)));
  try {
    return {
      workloads: rest.length === 0 ? [] : selectWorkloads(rest),
      lifecycles: new Set(lives.map(({ name }) => name)),
    };
  } catch (error) {
    throw new BenchUsageError(error instanceof Error ? error.message : String(error));
  }
}

function listing(): string {
  const lines = [...workloads, ...lifecycles].map(
    ({ name, about, isQuick }) => `${isQuick === true ? "*" : " "} ${name.padEnd(54)} ${about}`,
  );
  return `${lines.join("\n")}\n* part of --quick\n`;
}

function hasErrors(record: BenchRecord): boolean {
  const sides = record.cases.flatMap(({ systems }) => Object.values(systems));
  const lives = record.lifecycles.flatMap(({ systems }) => Object.values(systems).flat());
  return (
    sides.some(({ runs }) => runs.some((run) => !run.isValid)) ||
    lives.some(({ error }) => error !== null)
  );
}

/** Runs the command. Answers whether every run was clean. */
export async function runBench(
  given: BenchArguments,
  words: readonly string[],
  output: BenchOutput,
): Promise<boolean> {
  if (given.list === true) {
    await output.write(listing());
    return true;
  }
  const isQuick = given.quick ?? false;
  const nodes = Math.round(positive("--nodes", given.nodes, 1));
  const progress = new Progress(output.progress);
  const stamp = new Date().toISOString().slice(0, 19).replaceAll(/[-:]/g, "");
  const path = given.out ?? join(outputDirectory(process.cwd()), `bench-${stamp}.json`);
  const options: RunOptions = {
    command: ["bun run bench", ...words].join(" "),
    isQuick,
    runs: Math.round(positive("--runs", given.runs, isQuick ? 2 : 5)),
    seconds: positive("--seconds", given.seconds, isQuick ? 1.5 : 5),
    seed: Math.round(positive("--seed", given.seed, 1)),
    systems: readSystems(given, nodes),
    progress,
    onCase: (record) => void writeRecord(record, path),
    ...readCases(given, nodes),
  };
  const record = await inRunDirectory("run", (directory, running) =>
    compare(options, directory, running),
  );
  const written = writeRecord(record, path);
  const page = path.replace(/(\.json)?$/, ".html");
  await Bun.write(page, renderPage(written));
  await output.write(
    given.json === true
      ? `${JSON.stringify(written, null, 1)}\n`
      : `${formatRecord(written, output.paint)}\n`,
  );
  progress.say(`record: ${path}`);
  progress.say(`report: ${page}`);
  return !hasErrors(written);
}
