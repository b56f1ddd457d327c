/**
 * Compares brokers on the same machine, in the same run, under the same load; `bench/command.ts` says with which options.
 *
 * The order of things: lifecycles (start-up on empty directories, and what else was asked for) on brokers of their own; then all
 * systems up for good; memory warmed; each loaded until its JIT has settled; then for each case a throw-away pass on all, and
 * measured runs in turns. Every answer is checked by the load generator; a case with an error has no score. One JSON record is the
 * result, and everything else is made of it.
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import {
  passesOf,
  prepareClients,
  reasonToLeaveOut,
  runCase,
  warmUp,
  type CaseOptions,
  type Entrant,
} from "./cases.ts";
import { runLifecycles } from "./lifecycle.ts";
import { buildLoadGenerator } from "./load-generator.ts";
import { describeCheckout, describeMachine, residentMib, warmMemory } from "./machine.ts";
import { formatDuration, type Progress } from "./progress.ts";
import { judgeCurves, type BenchRecord, type CaseRecord, type SystemRecord } from "./record.ts";
import { freePort, type RunningSystem, type StartOptions, type System } from "./systems/system.ts";
import type { Workload } from "./workloads/workload.ts";

/** What a comparison is made of. */
export interface RunOptions {
  readonly command: string;
  readonly isQuick: boolean;
  readonly runs: number;
  readonly seconds: number;
  readonly seed: number;
  readonly workloads: readonly Workload[];
  /** Names of lifecycles. */
  readonly lifecycles: ReadonlySet<string>;
  readonly systems: readonly System[];
  readonly progress: Progress;
  /** Called after each case with everything until then: a run of hours that is cut short leaves what it had. */
  onCase(record: BenchRecord): void;
}

const quick = { startUps: 2, lifecycleRuns: 1, idleSeconds: 3, warmMemoryMib: 1024, warmUp: 0.2 };
const full = { startUps: 5, lifecycleRuns: 3, idleSeconds: 10, warmMemoryMib: 4096, warmUp: 1 };
const partitions = 2000;
const killedMib = 512;

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

/** Starts every system; what was started is in `running` at once, so that it is stopped however the run ends. */
async function enter(
  options: RunOptions,
  directory: string,
  running: RunningSystem[],
  startUps: ReadonlyMap<string, readonly number[]>,
): Promise<Entrant[]> {
  const entrants: Entrant[] = [];
  for (const system of options.systems) {
    const startOptions = await startOptionsIn(join(directory, system.name));
    const started = await system.start(startOptions);
    running.push(started);
    await Bun.sleep(options.isQuick ? 500 : 3000);
    entrants.push({
      system,
      options: startOptions,
      running: started,
      startUpMs: startUps.get(system.name) ?? [],
      residentIdleMib: residentMib(started.pids).now,
    });
  }
  return entrants;
}

/** Measures everything in `directory`; brokers that are up are in `running`. */
export async function compare(
  options: RunOptions,
  directory: string,
  running: RunningSystem[],
): Promise<BenchRecord> {
  const { progress } = options;
  const scale = options.isQuick ? quick : full;
  const startedAt = new Date().toISOString();
  const beganMs = performance.now();
  const machine = await describeMachine();
  progress.say("building the load generator");
  await buildLoadGenerator();
  for (const system of options.systems) {
    progress.say(`preparing ${system.name}`);
    await system.prepare();
  }
  const missingClients = await prepareClients(options.workloads);
  if (options.lifecycles.size > 0)
    progress.say(`lifecycles: ${[...options.lifecycles].join(", ")}`);
  const lived = await runLifecycles(options.systems, options.lifecycles, {
    runs: scale.lifecycleRuns,
    startUps: scale.startUps,
    seed: options.seed,
    idleSeconds: scale.idleSeconds,
    partitions,
    killedMib,
    directory,
    progress,
  });
  const startUps = new Map(
    Object.entries(lived.find(({ name }) => name === "start-empty")?.systems ?? {}).map(
      ([name, runs]) => [name, runs.flatMap(({ figures }) => figures["firstAnswerMs"] ?? [])],
    ),
  );
  const caseOptions: CaseOptions = {
    isQuick: options.isQuick,
    runs: options.runs,
    seconds: options.seconds,
    seed: options.seed,
    warmUpShare: scale.warmUp,
    isMemoryHeld: true,
    settleMs: 1200,
    directory,
    progress,
  };
  const cases: CaseRecord[] = [];
  const entrants = await enter(options, directory, running, startUps);
  const checkout = await describeCheckout();
  const recordSoFar = async (): Promise<BenchRecord> => {
    const described: Record<string, SystemRecord> = {};
    for (const entrant of entrants) described[entrant.system.name] = await describeSystem(entrant);
    return {
      schema: 2,
      startedAt,
      finishedAt: new Date().toISOString(),
      command: options.command,
      ...checkout,
      machine,
      options: {
        isQuick: options.isQuick,
        runs: options.runs,
        secondsPerRun: options.seconds,
        seed: options.seed,
        warmedMemoryMib: scale.warmMemoryMib,
        warmUpSeconds: Object.fromEntries(
          options.systems.map((system) => [system.name, system.warmUpSeconds * scale.warmUp]),
        ),
      },
      systems: described,
      cases: judgeCurves(cases),
      lifecycles: lived,
    };
  };
  if (options.workloads.length > 0) {
    progress.say(`touching ${scale.warmMemoryMib} MiB of page cache`);
    warmMemory(directory, scale.warmMemoryMib);
    for (const entrant of entrants) {
      const seconds = Math.round(entrant.system.warmUpSeconds * scale.warmUp);
      progress.say(`warming up ${entrant.system.name}, about ${seconds} s`);
      await warmUp(entrant, caseOptions);
    }
    progress.begin(stepsOf(entrants, options, caseOptions, missingClients));
    for (const [index, workload] of options.workloads.entries()) {
      progress.say(
        `${index + 1}/${options.workloads.length} ${workload.name}: ${workload.about} (${formatDuration((performance.now() - beganMs) / 1000)})`,
      );
      cases.push(await runCase(entrants, caseOptions, workload, missingClients));
      options.onCase(await recordSoFar());
    }
    progress.end();
  }
  return await recordSoFar();
}

function stepsOf(
  entrants: readonly Entrant[],
  options: RunOptions,
  caseOptions: CaseOptions,
  missing: Parameters<typeof reasonToLeaveOut>[3],
): number {
  const sides = options.workloads.flatMap((workload) =>
    entrants.filter(
      ({ system, running }) => reasonToLeaveOut(workload, system, running, missing) === null,
    ),
  );
  return sides.length * passesOf(caseOptions);
}
