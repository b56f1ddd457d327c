/**
 * Compares brokers on the same machine, in the same run, under the same load; `bench/command.ts` says with which options.
 *
 * The order of things: lifecycles (start-up on empty directories, and what else was asked for) on brokers of their own; then all
 * systems up for good; memory warmed; each loaded until its JIT has settled; then for each case a throw-away pass on all, and
 * measured runs in turns. Every answer is checked by the load generator; a case with an error has no score. One JSON record is the
 * result, and everything else is made of it. It is handed out after every part, so that a run that is cut short leaves what it had, and a
 * later one can go on from there. A case that fails costs that case; a system that dies is started again for the next.
 */
import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import {
  isNeeded,
  prepareClients,
  runCase,
  secondsOfCase,
  type takersOf,
  warmUp,
  type CaseOptions,
  type Entrant,
} from "./cases.ts";
import { runLifecycles, secondsOfLifecycles, type LifecycleOptions } from "./lifecycle.ts";
import { buildLoadGenerator } from "./load-generator.ts";
import { describeCheckout, describeMachine, residentMib, warmMemory } from "./machine.ts";
import { scales, type Mode } from "./mode.ts";
import { formatDuration, type Progress } from "./progress.ts";
import {
  judgeCurves,
  type BenchRecord,
  type CaseRecord,
  type LifecycleRecord,
  type SystemRecord,
} from "./record.ts";
import { freePort, type RunningSystem, type StartOptions, type System } from "./systems/system.ts";
import type { Workload } from "./workloads/workload.ts";

/** What a comparison is made of. */
export interface RunOptions {
  readonly command: string;
  readonly mode: Mode;
  readonly runs: number;
  /** Of lifecycles; starts on an empty directory included. */
  readonly lifecycleRuns: number;
  readonly seconds: number;
  readonly seed: number;
  readonly workloads: readonly Workload[];
  /** Names of lifecycles. */
  readonly lifecycles: ReadonlySet<string>;
  readonly systems: readonly System[];
  readonly progress: Progress;
  /** What an earlier run with the same options measured: its clean cases and lifecycles are taken as they are. */
  readonly earlier: BenchRecord | null;
  /** Called after each case with everything until then: a run of hours that is cut short leaves what it had. */
  onCase(record: BenchRecord): void;
}

const partitions = 2000;
const killedMib = 512;
/** Starting all systems and touching memory, roughly. */
const settingUpSeconds = 15;

async function startOptionsIn(directory: string): Promise<StartOptions> {
  mkdirSync(directory, { recursive: true });
  return { directory, port: await freePort() };
}

async function describeSystem(entrant: Entrant): Promise<SystemRecord> {
  const { system } = entrant;
  const memory = residentMib(entrant.running.pids);
  const rounded = (value: number): number => Math.round(value * 10) / 10;
  return {
    version: await system.version(),
    config: system.config(entrant.options),
    topicConfig: {
      "page-cache, acks=1": system.topicConfig("page-cache", 1),
      "page-cache, acks=all": system.topicConfig("page-cache", -1),
      "fsync, acks=all": system.topicConfig("fsync", -1),
    },
    startUpMs: entrant.startUpMs,
    residentIdleMib: rounded(entrant.residentIdleMib),
    residentAfterLoadMib: rounded(memory.now),
    peakResidentMib: rounded(memory.peak),
  };
}

/** Starts a system; what was started is in `running` at once, so that it is stopped however the run ends. */
async function enter(
  system: System,
  options: RunOptions,
  directory: string,
  running: RunningSystem[],
  startUpMs: readonly number[],
): Promise<Entrant> {
  const startOptions = await startOptionsIn(join(directory, system.name));
  const started = await system.start(startOptions);
  running.push(started);
  await Bun.sleep(scales[options.mode].startPauseMs);
  return {
    system,
    options: startOptions,
    running: started,
    startUpMs,
    residentIdleMib: residentMib(started.pids).now,
  };
}

const isAlive = ({ pids }: RunningSystem): boolean =>
  pids.every((pid) => existsSync(`/proc/${pid}`));

function clean<Runs>(
  record: { readonly systems: Readonly<Record<string, Runs>> },
  isClean: (runs: Runs) => boolean,
  systems: readonly System[],
): boolean {
  const names = new Set(systems.map(({ name }) => name));
  const sides = Object.entries(record.systems);
  return sides.length > 0 && sides.every(([name, runs]) => names.has(name) && isClean(runs));
}

/** Cases and lifecycles of an earlier record that need not be run again: those without an error, of systems that are still asked for. */
export function keptOf(
  options: Pick<RunOptions, "earlier" | "workloads" | "lifecycles" | "systems">,
): {
  readonly cases: readonly CaseRecord[];
  readonly lifecycles: readonly LifecycleRecord[];
} {
  const { earlier, workloads, lifecycles, systems } = options;
  if (earlier === null) return { cases: [], lifecycles: [] };
  const wanted = new Set(workloads.map(({ name }) => name));
  return {
    cases: earlier.cases.filter(
      (each) =>
        wanted.has(each.workload.name) &&
        clean(each, ({ runs }) => runs.length > 0 && runs.every((run) => run.isValid), systems),
    ),
    lifecycles: earlier.lifecycles.filter(
      (each) =>
        lifecycles.has(each.name) &&
        Object.values(each.systems).every((runs) => runs.every(({ error }) => error === null)),
    ),
  };
}

/** Measures everything in `directory`; brokers that are up are in `running`. */
export async function compare(
  options: RunOptions,
  directory: string,
  running: RunningSystem[],
): Promise<BenchRecord> {
  const { progress } = options;
  const scale = scales[options.mode];
  const startedAt = options.earlier?.startedAt ?? new Date().toISOString();
  const machine = await describeMachine();
  progress.say("building the load generator");
  const buildingMs = performance.now();
  await buildLoadGenerator();
  const builtSeconds = (performance.now() - buildingMs) / 1000;
  if (builtSeconds > 2)
    progress.say(`  built in ${formatDuration(builtSeconds)}; it is there the next time`);
  for (const system of options.systems) {
    progress.say(`preparing ${system.name}`);
    await system.prepare();
  }
  const missingClients = await prepareClients(options.workloads);
  const kept = keptOf(options);
  const keptCases = new Set(kept.cases.map(({ workload }) => workload.name));
  const workloads = options.workloads.filter(({ name }) => !keptCases.has(name));
  const keptLives = new Set(kept.lifecycles.map(({ name }) => name));
  const lifecycles = new Set([...options.lifecycles].filter((name) => !keptLives.has(name)));
  if (keptCases.size + keptLives.size > 0)
    progress.say(
      `kept from the earlier run: ${keptCases.size} cases, ${keptLives.size} lifecycles`,
    );
  const caseOptions: CaseOptions = {
    mode: options.mode,
    runs: options.runs,
    seconds: options.seconds,
    seed: options.seed,
    warmUpShare: scale.warmUpShare,
    isMemoryHeld: true,
    settleMs: scale.settleMs,
    directory,
    progress,
  };
  const lifecycleOptions: LifecycleOptions = {
    runs: options.lifecycleRuns,
    startUps: Math.max(options.lifecycleRuns, Math.min(scale.startUps, options.runs)),
    seed: options.seed,
    idleSeconds: scale.idleSeconds,
    partitions,
    killedMib,
    directory,
    progress,
  };
  const warmSeconds = options.systems.map((system) => system.warmUpSeconds * scale.warmUpShare);
  const caseSeconds = workloads.map((workload) =>
    secondsOfCase(
      workload,
      options.systems.filter((system) => isNeeded(system, workload, options.mode)).length,
      caseOptions,
    ),
  );
  const sum = (values: readonly number[]): number =>
    values.reduce((left, right) => left + right, 0);
  const liveSeconds = secondsOfLifecycles(options.systems, lifecycles, lifecycleOptions);
  progress.begin(
    liveSeconds +
      (workloads.length > 0 ? settingUpSeconds + sum(warmSeconds) + sum(caseSeconds) : 0),
  );
  progress.say(
    `about ${formatDuration(liveSeconds + settingUpSeconds + sum(warmSeconds) + sum(caseSeconds))} in all`,
  );
  const checkout = await describeCheckout();
  let entrants: Entrant[] = [];
  let lived: readonly LifecycleRecord[] = kept.lifecycles;
  const cases: CaseRecord[] = [...kept.cases];
  const recordSoFar = async (): Promise<BenchRecord> => {
    const described: Record<string, SystemRecord> = { ...options.earlier?.systems };
    for (const entrant of entrants) described[entrant.system.name] = await describeSystem(entrant);
    const order = options.workloads.map(({ name }) => name);
    const place = (each: CaseRecord): number => order.indexOf(each.workload.name);
    return {
      schema: 2,
      startedAt,
      finishedAt: new Date().toISOString(),
      command: options.command,
      ...checkout,
      machine,
      options: {
        mode: options.mode,
        isQuick: options.mode === "quick",
        runs: options.runs,
        secondsPerRun: options.seconds,
        seed: options.seed,
        warmedMemoryMib: scale.warmMemoryMib,
        warmUpSeconds: Object.fromEntries(
          options.systems.map((system, index) => [system.name, warmSeconds[index] ?? 0]),
        ),
      },
      systems: described,
      cases: judgeCurves(cases.toSorted((left, right) => place(left) - place(right))),
      lifecycles: lived,
    };
  };
  if (lifecycles.size > 0) {
    progress.say(`lifecycles: ${[...lifecycles].join(", ")}`);
    const before = lived;
    await runLifecycles(options.systems, lifecycles, lifecycleOptions, async (records) => {
      lived = [...before, ...records];
      options.onCase(await recordSoFar());
    });
  }
  if (workloads.length === 0 && options.workloads.length > 0) return await recordSoFar();
  const startUps = new Map(
    Object.entries(lived.find(({ name }) => name === "start-empty")?.systems ?? {}).map(
      ([name, runs]) => [name, runs.flatMap(({ figures }) => figures["firstAnswerMs"] ?? [])],
    ),
  );
  progress.step("starting", settingUpSeconds);
  for (const system of options.systems)
    entrants.push(
      await enter(system, options, directory, running, startUps.get(system.name) ?? []),
    );
  if (workloads.length > 0) {
    if (options.systems.some((system) => system.isOurs)) {
      progress.say(`touching ${scale.warmMemoryMib} MiB of page cache`);
      warmMemory(directory, scale.warmMemoryMib);
    }
    for (const entrant of entrants) {
      const seconds = Math.round(entrant.system.warmUpSeconds * scale.warmUpShare);
      progress.say(`warming up ${entrant.system.name}, about ${seconds} s`);
      progress.step(`warming up ${entrant.system.name}`, seconds);
      await warmUp(entrant, caseOptions);
    }
    for (const [index, workload] of workloads.entries()) {
      progress.say(
        `${index + 1}/${workloads.length} ${workload.name}: ${workload.about} (${progress.clock()})`,
      );
      entrants = await reviveDead(entrants, options, running);
      const gone = options.systems.filter(
        (system) => !entrants.some((entrant) => entrant.system === system),
      );
      cases.push(await tryCase(entrants, gone, caseOptions, workload, missingClients));
      options.onCase(await recordSoFar());
    }
    progress.end();
  }
  return await recordSoFar();
}

/** One case; what keeps it from being run at all is its reason on every system. */
async function tryCase(
  entrants: readonly Entrant[],
  gone: readonly System[],
  options: CaseOptions,
  workload: Workload,
  missing: Parameters<typeof takersOf>[3],
): Promise<CaseRecord> {
  const away = Object.fromEntries(gone.map(({ name }) => [name, "it died and did not come back"]));
  try {
    const record = await runCase(entrants, options, workload, missing);
    return { ...record, leftOut: { ...away, ...record.leftOut } };
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    options.progress.say(`  failed: ${reason}`);
    const failed = Object.fromEntries(entrants.map(({ system }) => [system.name, reason]));
    return {
      workload,
      systems: {},
      leftOut: { ...away, ...failed },
      ratio: null,
      limitRatio: null,
      goals: [],
    };
  }
}

/** Starts what died since the last case on the same directory; what does not come back is out. */
async function reviveDead(
  entrants: readonly Entrant[],
  options: RunOptions,
  running: RunningSystem[],
): Promise<Entrant[]> {
  const alive: Entrant[] = [];
  for (const entrant of entrants) {
    const { system } = entrant;
    if (isAlive(entrant.running)) {
      alive.push(entrant);
      continue;
    }
    options.progress.say(`  ${system.name} died; it is started again`);
    try {
      const started = await system.start(entrant.options);
      running.push(started);
      alive.push({ ...entrant, running: started });
    } catch (error) {
      options.progress.say(`  ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  return alive;
}
