/**
 * `sluice bench`, which `bun run bench` is too: what was asked for becomes a comparison, its record, a page beside the record, and
 * a table. The options are read by `src/cli/commands/bench.ts`; here they are judged.
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, type Asked } from "./expectation.ts";
import { renderPage } from "./page/page.ts";
import { lifecycles, type Lifecycle } from "./lifecycle.ts";
import { scales, type Mode } from "./mode.ts";
import { formatDuration, Progress, type ProgressStream } from "./progress.ts";
import { subject, type BenchRecord } from "./record.ts";
import { compare, type RunOptions } from "./run.ts";
import { inRunDirectory, outputDirectory, writeRecord } from "./run-directory.ts";
import { clustered } from "./systems/clustered.ts";
import { systems as knownSystems } from "./systems/index.ts";
import { runningSystem } from "./systems/running.ts";
import type { System } from "./systems/system.ts";
import { formatRecord, type Paint } from "./table.ts";
import { isForGoals, selectWorkloads, workloads } from "./workloads/index.ts";
import type { Workload } from "./workloads/workload.ts";

/** Options as they were given. */
export interface BenchArguments {
  readonly target?: readonly string[];
  readonly bootstrap?: readonly string[];
  readonly pid?: readonly string[];
  readonly workload?: readonly string[];
  readonly quick?: boolean;
  readonly goals?: boolean;
  readonly resume?: string;
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

/** How much was asked for. */
export function readMode(given: BenchArguments): Mode {
  if (given.quick === true && given.goals === true)
    throw new BenchUsageError("--quick and --goals: one of them");
  return given.quick === true ? "quick" : given.goals === true ? "goals" : "full";
}

const isIn = {
  quick: (each: Workload | Lifecycle): boolean => each.isQuick === true,
  goals: (each: Workload | Lifecycle): boolean =>
    "goals" in each ? isForGoals(each) : each.isInGoals === true,
  full: (): boolean => true,
} as const;

/** The cases and lifecycles that were asked for. Replicated load needs a cluster, and what is compared on a cluster is replicated. */
export function readCases(
  given: BenchArguments,
  nodes: number,
): Pick<RunOptions, "workloads" | "lifecycles"> {
  const isChosen = isIn[readMode(given)];
  const fits = (replication: number): boolean => replication > 1 === nodes > 1;
  if (given.workload === undefined) {
    const chosen = workloads.filter((each) => isChosen(each) && fits(each.replication));
    const lives = nodes > 1 ? [] : lifecycles.filter(isChosen);
    return { workloads: chosen, lifecycles: new Set(lives.map(({ name }) => name)) };
  }
  const names = given.workload.flatMap((text) => text.split(","));
  const lives = lifecycles.filter(({ name }) => names.some((each) => name.startsWith(each)));
  const rest = names.filter((each) => !lives.some(({ name }) => name.startsWith(each)));
  // Beginnings of names stay within the mode, where it has any of them; whole names are meant.
  const within = <Each extends Workload | Lifecycle>(chosen: readonly Each[]): readonly Each[] => {
    const meant = new Set(names);
    const kept = chosen.filter((each) => meant.has(each.name) || isChosen(each));
    return kept.length > 0 ? kept : chosen;
  };
  try {
    return {
      workloads: rest.length === 0 ? [] : within(selectWorkloads(rest)),
      lifecycles: new Set(within(lives).map(({ name }) => name)),
    };
  } catch (error) {
    throw new BenchUsageError(error instanceof Error ? error.message : String(error));
  }
}

function listing(): string {
  const lines = [...workloads, ...lifecycles].map((each) => {
    const marks = `${isIn.quick(each) ? "*" : " "}${isIn.goals(each) ? "+" : " "}`;
    return `${marks} ${each.name.padEnd(54)} ${each.about}`;
  });
  return `${lines.join("\n")}\n* part of --quick, + part of --goals\n`;
}

/** What was asked for, with the time that each is expected to take. */
function plan(asked: Asked): string {
  const whole = (seconds: number): string => formatDuration(seconds).padStart(12);
  const lives = lifecycles.filter(({ name }) => asked.lifecycles.has(name));
  const { secondsByCase, lifecycleSeconds, allSeconds } = expect(asked);
  const lines = [
    ...lives.map(({ name, about }) => `${" ".repeat(12)}  ${name.padEnd(50)} ${about}`),
    ...(lives.length > 0 ? [`${whole(lifecycleSeconds)}  these together`] : []),
    ...asked.workloads.map(
      ({ name, about }) => `${whole(secondsByCase.get(name) ?? 0)}  ${name.padEnd(50)} ${about}`,
    ),
    `${whole(allSeconds)}  in all, with the start and the warming`,
  ];
  return `${lines.join("\n")}\n`;
}

/** The record to go on from. Only what was measured in the same way can stand beside the rest. */
function readEarlier(
  path: string | undefined,
  wanted: { readonly mode: Mode; readonly runs: number; readonly seconds: number },
): BenchRecord | null {
  if (path === undefined) return null;
  if (!existsSync(path)) throw new BenchUsageError(`--resume ${path}: there is no such record`);
  const record = JSON.parse(readFileSync(path, "utf8")) as BenchRecord;
  const { mode, runs, secondsPerRun } = record.options;
  if (mode !== wanted.mode || runs !== wanted.runs || secondsPerRun !== wanted.seconds)
    throw new BenchUsageError(
      `--resume ${path}: it is of ${runs} runs of ${secondsPerRun} s (${mode}), which is not what is asked for now`,
    );
  return record;
}

function hasErrors(record: BenchRecord): boolean {
  const sides = record.cases.flatMap(({ systems }) => Object.values(systems));
  const lives = record.lifecycles.flatMap(({ systems }) => Object.values(systems).flat());
  return (
    record.cases.some(({ failure }) => failure !== undefined) ||
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
  const mode = readMode(given);
  const scale = scales[mode];
  const nodes = Math.round(positive("--nodes", given.nodes, 1));
  const progress = new Progress(output.progress);
  const stamp = new Date().toISOString().slice(0, 19).replaceAll(/[-:]/g, "");
  const path =
    given.out ?? given.resume ?? join(outputDirectory(process.cwd()), `bench-${stamp}.json`);
  const runs = Math.round(positive("--runs", given.runs, scale.runs));
  const seconds = positive("--seconds", given.seconds, scale.seconds);
  const asked: Asked = {
    mode,
    runs,
    lifecycleRuns: given.runs === undefined ? scale.lifecycleRuns : runs,
    seconds,
    seed: Math.round(positive("--seed", given.seed, 1)),
    systems: readSystems(given, nodes),
    ...readCases(given, nodes),
  };
  if (given.list === true) {
    const isAll = mode === "full" && given.workload === undefined;
    await output.write(isAll ? listing() : plan(asked));
    return true;
  }
  let hasRecord = false;
  const options: RunOptions = {
    ...asked,
    command: ["bun run bench", ...words].join(" "),
    progress,
    earlier: readEarlier(given.resume, { mode, runs, seconds }),
    onCase: (record) => {
      writeRecord(record, path);
      hasRecord = true;
    },
  };
  const record = await inRunDirectory(
    "run",
    (directory, running) => compare(options, directory, running),
    () =>
      progress.say(
        hasRecord
          ? `interrupted; what was measured: ${path}; --resume goes on from it`
          : "interrupted",
      ),
  );
  const written = writeRecord(record, path);
  const page = path.replace(/(\.json)?$/, ".html");
  await Bun.write(page, renderPage(written));
  await output.write(
    given.json === true
      ? `${JSON.stringify(written, null, 1)}\n`
      : `${formatRecord(written, output.paint)}\n`,
  );
  progress.say(`took ${formatDuration(progress.passedSeconds)}`);
  progress.say(`record: ${path}`);
  progress.say(`report: ${page}`);
  return !hasErrors(written);
}
