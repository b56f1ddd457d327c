/**
 * What no load shows: how long a start takes, what a broker with 2,000 partitions costs while nobody asks it anything, and what a
 * kill -9 costs. Each run has a broker of its own on an empty directory, alone on the machine but for idle ones; systems take turns.
 * After every restart the end offsets of all partitions are compared with those before it.
 */
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { cpuSecondsOf } from "./groups/usage.ts";
import { createTopic, deleteTopic, endOffsets, fillTopic, runLoad } from "./load-generator.ts";
import { residentMib } from "./machine.ts";
import type { Progress } from "./progress.ts";
import type { LifecycleRecord, LifecycleRun } from "./record.ts";
import { freePort, type RunningSystem, type StartOptions, type System } from "./systems/system.ts";
import { workload } from "./workloads/workload.ts";

/** How lifecycles are measured. */
export interface LifecycleOptions {
  readonly runs: number;
  readonly startUps: number;
  readonly seed: number;
  /** Before and while idle cost is measured. */
  readonly idleSeconds: number;
  readonly partitions: number;
  /** Values in the log that a killed broker comes back with. */
  readonly killedMib: number;
  readonly directory: string;
  readonly progress: Progress;
}

/** What can be measured: its name, what it is, and whether it is part of `--quick`. */
export const lifecycles = [
  {
    name: "start-empty",
    about: "spawn to the first answer to ApiVersions, empty directory",
    isQuick: true,
  },
  {
    name: "idle-2000-partitions",
    about: "2,000 partitions with a few records each and no client: CPU and memory",
    isQuick: false,
  },
  {
    name: "start-2000-partitions",
    about:
      "the same after a clean stop: spawn to the first answer, and until every partition answers",
    isQuick: false,
  },
  {
    name: "start-2000-partitions-after-kill",
    about: "the same after kill -9",
    isQuick: false,
  },
  {
    name: "restart-after-kill",
    about: "one partition with 512 MiB, after kill -9: until it answers where it ends",
    isQuick: false,
  },
] as const;

/** A lifecycle's name. */
export type LifecycleName = (typeof lifecycles)[number]["name"];

type Found = Partial<Record<LifecycleName, Readonly<Record<string, number>>>>;

/** A system's broker on one directory, started and stopped again and again. */
class Bench {
  readonly #system: System;
  readonly #options: StartOptions;
  running: RunningSystem;

  private constructor(system: System, options: StartOptions, running: RunningSystem) {
    this.#system = system;
    this.#options = options;
    this.running = running;
  }

  static async start(system: System, directory: string): Promise<Bench> {
    mkdirSync(directory, { recursive: true });
    const options = { directory, port: await freePort() };
    return new Bench(system, options, await system.start(options));
  }

  async restart(): Promise<number> {
    this.running = await this.#system.start(this.#options);
    return this.running.startUpMs;
  }

  async dispose(): Promise<void> {
    await this.running.kill();
    rmSync(this.#options.directory, { recursive: true, force: true });
  }
}

/** Starts again; ms to the first answer, and until all partitions answer with the ends that they had. */
async function comeBack(
  bench: Bench,
  topic: string,
  before: readonly number[],
): Promise<Record<string, number>> {
  const startedMs = performance.now();
  const firstAnswerMs = await bench.restart();
  const after = await endOffsets(bench.running.bootstrap, topic, before.length);
  const allAnswerMs = performance.now() - startedMs;
  const wrong = after.findIndex((end, index) => end !== before[index]);
  if (wrong !== -1)
    throw new Error(`partition ${wrong} ended at ${before[wrong]}, now at ${after[wrong]}`);
  return { firstAnswerMs, allAnswerMs };
}

async function manyPartitions(bench: Bench, options: LifecycleOptions): Promise<Found> {
  const topic = "many";
  const { partitions } = options;
  const beganMs = performance.now();
  const load = workload({
    name: "fill",
    about: "",
    verb: "produce",
    cost: "cpuSecondsPer100kRequests",
    connections: 64,
    partitions,
  });
  const { bootstrap } = bench.running;
  const made = await createTopic(bootstrap, "made", partitions, {});
  if (!made.isValid) throw new Error(made.firstError ?? "the topic was not made");
  const createMs = performance.now() - beganMs;
  await deleteTopic(bootstrap, "made");
  const given = { bootstrap, seed: options.seed, topicConfig: {}, topic };
  const written = await runLoad(load, { ...given, seconds: 2, warmSeconds: 0 });
  if (!written.isValid) throw new Error(written.firstError ?? "nothing was written");
  await Bun.sleep(options.idleSeconds * 1000);
  const [cpuBefore, timeBefore] = [cpuSecondsOf(bench.running.pid), performance.now()];
  await Bun.sleep(options.idleSeconds * 1000);
  const seconds = (performance.now() - timeBefore) / 1000;
  const idleCores = (cpuSecondsOf(bench.running.pid) - cpuBefore) / seconds;
  const memory = residentMib([bench.running.pid]);
  const idle = { createMs, idleCores, residentMib: memory.now, peakResidentMib: memory.peak };
  const ends = await endOffsets(bootstrap, topic, partitions);
  await bench.running.stop();
  const clean = await comeBack(bench, topic, ends);
  await bench.running.kill();
  const killed = await comeBack(bench, topic, ends);
  return {
    "idle-2000-partitions": idle,
    "start-2000-partitions": clean,
    "start-2000-partitions-after-kill": killed,
  };
}

async function killed(bench: Bench, options: LifecycleOptions): Promise<Found> {
  const topic = "killed";
  const shape = workload({
    name: "fill",
    about: "",
    verb: "produce",
    cost: "cpuSecondsPerValueGib",
    records: 1200,
  });
  const filled = await fillTopic(shape, {
    bootstrap: bench.running.bootstrap,
    seed: options.seed,
    seconds: 60,
    warmSeconds: 0,
    topicConfig: {},
    topic,
    fillMib: options.killedMib,
  });
  if (!filled.isValid) throw new Error(filled.firstError ?? "the topic was not filled");
  const ends = await endOffsets(bench.running.bootstrap, topic, 1);
  await bench.running.kill();
  return { "restart-after-kill": await comeBack(bench, topic, ends) };
}

/** A stretch of a broker's life that gives the figures of one or more lifecycles. */
interface Stretch {
  readonly names: readonly LifecycleName[];
  runs(options: LifecycleOptions): number;
  live(bench: Bench, options: LifecycleOptions): Promise<Found>;
}

const stretches: readonly Stretch[] = [
  {
    names: ["start-empty"],
    runs: ({ startUps }) => startUps,
    live: (bench) => {
      const firstAnswerMs = bench.running.startUpMs;
      return Promise.resolve({ "start-empty": { firstAnswerMs } });
    },
  },
  {
    names: ["idle-2000-partitions", "start-2000-partitions", "start-2000-partitions-after-kill"],
    runs: ({ runs }) => runs,
    live: manyPartitions,
  },
  { names: ["restart-after-kill"], runs: ({ runs }) => runs, live: killed },
];

/** Measures the lifecycles named on the systems that we start ourselves and that keep what they have. */
export async function runLifecycles(
  systems: readonly System[],
  names: ReadonlySet<string>,
  options: LifecycleOptions,
): Promise<LifecycleRecord[]> {
  const able = systems.filter((system) => system.isOurs && system.isBroker);
  const found = new Map<string, Map<string, LifecycleRun[]>>();
  const chosen = stretches.filter((stretch) => stretch.names.some((name) => names.has(name)));
  options.progress.begin(
    chosen.reduce((sum, stretch) => sum + stretch.runs(options), 0) * able.length,
  );
  for (const stretch of chosen) {
    for (let round = 0; round < stretch.runs(options); round++) {
      for (const system of able) {
        options.progress.step(`${stretch.names[0]}: ${system.name}, run ${round + 1}`);
        const runs = await liveOnce(system, stretch, options, round);
        for (const name of stretch.names) {
          const bySystem = found.get(name) ?? new Map<string, LifecycleRun[]>();
          found.set(name, bySystem);
          const { values, error } = runs;
          const run = { figures: rounded(values[name] ?? {}), error };
          bySystem.set(system.name, [...(bySystem.get(system.name) ?? []), run]);
        }
      }
    }
  }
  options.progress.end();
  return lifecycles
    .filter(({ name }) => names.has(name) && found.has(name))
    .map(({ name, about }) => ({
      name,
      about,
      systems: Object.fromEntries(found.get(name) ?? []),
    }));
}

async function liveOnce(
  system: System,
  stretch: Stretch,
  options: LifecycleOptions,
  round: number,
): Promise<{ values: Found; error: string | null }> {
  const directory = join(options.directory, `${system.name}-${stretch.names[0]}-${round}`);
  try {
    const bench = await Bench.start(system, directory);
    try {
      return { values: await stretch.live(bench, options), error: null };
    } finally {
      await bench.dispose();
    }
  } catch (error) {
    return { values: {}, error: error instanceof Error ? error.message : String(error) };
  }
}

function rounded(figures: Readonly<Record<string, number>>): Record<string, number> {
  return Object.fromEntries(
    Object.entries(figures).map(([name, value]) => [name, Math.round(value * 1e4) / 1e4]),
  );
}
