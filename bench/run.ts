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
  prepareClients,
  runCase,
  type takersOf,
  warmUp,
  type CaseOptions,
  type Entrant,
} from "./cases.ts";
import { runLifecycles, type LifecycleOptions } from "./lifecycle.ts";
import { buildLoadGenerator } from "./load-generator.ts";
import { describeCheckout, describeMachine, residentMib, warmMemory } from "./machine.ts";
import { inOrder, isCleanCase, isCleanLifecycle, partsOf } from "./merge.ts";
import {
  caseScaleOf,
  expect,
  lifecycleScaleOf,
  settingUpSeconds,
  type Asked,
} from "./expectation.ts";
import { scales } from "./mode.ts";
import { formatDuration, type Progress } from "./progress.ts";
import { judge } from "./judge.ts";
import type { BenchRecord, CaseRecord, LifecycleRecord, SystemRecord } from "./record.ts";
import { freePort, type RunningSystem, type StartOptions, type System } from "./systems/system.ts";
import type { Workload } from "./workloads/workload.ts";

/** What a comparison is made of. */
export interface RunOptions extends Asked {
  readonly command: string;
  readonly progress: Progress;
  /** What an earlier run with the same options measured: its clean cases and lifecycles are taken as they are. */
  readonly earlier: BenchRecord | null;
  /** Called after each case with everything until then: a run of hours that is cut short leaves what it had. */
  onCase(record: BenchRecord): void;
}

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

/** Cases and lifecycles of an earlier record that stay: all that is not asked for now, and of the rest what is clean and of the same systems. */
export function keptOf(
  options: Pick<RunOptions, "earlier" | "workloads" | "lifecycles" | "systems">,
): {
  readonly cases: readonly CaseRecord[];
  readonly lifecycles: readonly LifecycleRecord[];
} {
  const { earlier, workloads, lifecycles, systems } = options;
  if (earlier === null) return { cases: [], lifecycles: [] };
  const wanted = new Set(workloads.map(({ name }) => name));
  const names = new Set(systems.map(({ name }) => name));
  const isOfThese = (record: { readonly systems: Readonly<Record<string, unknown>> }): boolean =>
    Object.keys(record.systems).every((name) => names.has(name.split(" ")[0] ?? ""));
  return {
    cases: earlier.cases.filter(
      (each) => !wanted.has(each.workload.name) || (isOfThese(each) && isCleanCase(each)),
    ),
    lifecycles: earlier.lifecycles.filter(
      (each) => !lifecycles.has(each.name) || (isOfThese(each) && isCleanLifecycle(each)),
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
  const beganAt = new Date().toISOString();
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
  const asked: Asked = { ...options, workloads, lifecycles };
  const caseOptions: CaseOptions = {
    ...caseScaleOf(options),
    isMemoryHeld: true,
    directory,
    progress,
  };
  const lifecycleOptions: LifecycleOptions = { ...lifecycleScaleOf(options), directory, progress };
  const expected = expect(asked);
  progress.begin(expected.allSeconds);
  progress.say(`about ${formatDuration(expected.allSeconds)} in all`);
  const checkout = await describeCheckout();
  let entrants: Entrant[] = [];
  let lived: readonly LifecycleRecord[] = kept.lifecycles;
  const cases: CaseRecord[] = [...kept.cases];
  const recordSoFar = async (): Promise<BenchRecord> => {
    const described: Record<string, SystemRecord> = { ...options.earlier?.systems };
    for (const entrant of entrants) described[entrant.system.name] = await describeSystem(entrant);
    const finishedAt = new Date().toISOString();
    const keptNames = new Set([...keptCases, ...keptLives]);
    const measured = [
      ...cases.map(({ workload }) => workload.name),
      ...lived.map(({ name }) => name),
    ];
    const part = {
      command: options.command,
      commit: checkout.commit,
      startedAt: beganAt,
      finishedAt,
      measured: measured.filter((name) => !keptNames.has(name)),
    };
    return {
      schema: 2,
      startedAt: options.earlier?.startedAt ?? beganAt,
      finishedAt,
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
          options.systems.map(({ name, warmUpSeconds }) => [
            name,
            warmUpSeconds * scale.warmUpShare,
          ]),
        ),
      },
      systems: described,
      cases: inOrder(cases),
      lifecycles: lived,
      ...(options.earlier === null ? {} : { parts: [...partsOf(options.earlier), part] }),
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
    const leftOut = { ...away, ...record.leftOut };
    return { ...record, leftOut, ...judge(workload, record.systems, Object.keys(leftOut)) };
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    options.progress.say(`  failed: ${reason}`);
    const failed = Object.fromEntries(entrants.map(({ system }) => [system.name, reason]));
    const leftOut = { ...away, ...failed };
    return {
      workload,
      systems: {},
      leftOut,
      failure: reason,
      ...judge(workload, {}, Object.keys(leftOut)),
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
