/**
 * Compares this broker with real Kafka on the same machine, in the same run, under the same load.
 *
 * The order of things: start-up times on empty directories; both brokers up for good; memory warmed; each broker loaded until
 * its JIT has settled; then for each case a throw-away pass on both, and measured runs A B A B. Every run's answers are
 * checked by the load generator; a case with an error has no score. One JSON record is written in the end.
 *
 *   bun run bench [--quick] [--cases a,b] [--runs 5] [--seconds 5] [--systems self,kafka] [--seed 1] [--json FILE] [--list]
 */
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { mergeLatency } from "./latency.ts";
import {
  buildLoadGenerator,
  deleteTopic,
  fillTopic,
  runLoad,
  type LoadOptions,
} from "./load-generator.ts";
import { describeCheckout, describeMachine, residentMib, warmMemory } from "./machine.ts";
import {
  judge,
  subject,
  type BenchRecord,
  type CaseRecord,
  type LoadResult,
  type SystemRecord,
  type SystemRuns,
} from "./record.ts";
import { inRunDirectory, writeRecord } from "./run-directory.ts";
import { clustered } from "./systems/clustered.ts";
import { systems as knownSystems } from "./systems/index.ts";
import {
  freePort,
  root,
  type RunningSystem,
  type StartOptions,
  type System,
} from "./systems/system.ts";
import { formatRecord, paintFor } from "./table.ts";
import { selectWorkloads, workloads } from "./workloads/index.ts";
import type { Workload } from "./workloads/workload.ts";

interface RunOptions {
  readonly isQuick: boolean;
  readonly runs: number;
  readonly seconds: number;
  readonly seed: number;
  readonly startUps: number;
  readonly warmMemoryMib: number;
  readonly warmUpShare: number;
  readonly workloads: readonly Workload[];
  readonly systems: readonly System[];
  readonly jsonPath: string;
}

/** A broker under test with what was learnt about it so far. */
interface Entrant {
  readonly system: System;
  readonly options: StartOptions;
  readonly running: RunningSystem;
  readonly startUpMs: readonly number[];
  readonly residentIdleMib: number;
}

const say = (text: string): void => {
  process.stderr.write(`${paintFor(process.stderr)("dim", text)}\n`);
};

function readOptions(): RunOptions {
  const { values } = parseArgs({
    options: {
      quick: { type: "boolean", default: false },
      list: { type: "boolean", default: false },
      cases: { type: "string" },
      runs: { type: "string" },
      seconds: { type: "string" },
      systems: { type: "string", default: "self,kafka" },
      nodes: { type: "string", default: "1" },
      seed: { type: "string", default: "1" },
      json: { type: "string" },
    },
  });
  if (values.list) {
    for (const workload of workloads) console.log(`${workload.name.padEnd(52)} ${workload.about}`);
    process.exit(0);
  }
  const isQuick = values.quick;
  const nodeCount = Math.round(Number(values.nodes));
  // Replicated load needs a cluster, and what is compared on a cluster is replicated.
  const all = workloads.filter(
    (workload) =>
      (!isQuick || workload.isQuick === true) && workload.replication > 1 === nodeCount > 1,
  );
  const number = (text: string | undefined, otherwise: number): number => {
    const value = text === undefined ? otherwise : Number(text);
    if (!(value > 0)) throw new Error(`${text} is not a number above 0`);
    return value;
  };
  const systems = values.systems.split(",").map((name) => {
    const system = knownSystems[name];
    if (system === undefined)
      throw new Error(`no system ${name}; there are ${Object.keys(knownSystems).join(", ")}`);
    return nodeCount > 1 ? clustered(system, nodeCount) : system;
  });
  // Ratios are the first system's over the second's, and goals are about our own.
  systems.sort((left, right) => Number(right.name === subject) - Number(left.name === subject));
  const stamp = new Date().toISOString().slice(0, 19).replaceAll(/[-:]/g, "");
  return {
    isQuick,
    runs: Math.round(number(values.runs, isQuick ? 2 : 5)),
    seconds: number(values.seconds, isQuick ? 1.5 : 5),
    seed: Math.round(number(values.seed, 1)),
    startUps: isQuick ? 2 : 5,
    warmMemoryMib: isQuick ? 1024 : 4096,
    warmUpShare: isQuick ? 0.2 : 1,
    workloads: values.cases === undefined ? all : selectWorkloads(values.cases.split(",")),
    systems,
    jsonPath: values.json ?? join(root, "bench/out", `bench-${stamp}.json`),
  };
}

async function startOptionsIn(directory: string): Promise<StartOptions> {
  mkdirSync(directory, { recursive: true });
  return { directory, port: await freePort() };
}

/** Starts and stops on empty directories, taking turns; ms by system name. */
async function measureStartUps(
  options: RunOptions,
  directory: string,
): Promise<Map<string, number[]>> {
  const found = new Map<string, number[]>(options.systems.map((system) => [system.name, []]));
  for (let round = 0; round < options.startUps; round++) {
    for (const system of options.systems) {
      const place = join(directory, `${system.name}-start-${round}`);
      const running = await system.start(await startOptionsIn(place));
      await running.stop();
      found.get(system.name)?.push(Math.round(running.startUpMs * 10) / 10);
      rmSync(place, { recursive: true, force: true });
    }
  }
  return found;
}

function loadOptions(entrant: Entrant, options: RunOptions, workload: Workload): LoadOptions {
  return {
    bootstrap: entrant.running.bootstrap,
    pids: entrant.running.pids,
    seed: options.seed,
    seconds: options.seconds,
    warmSeconds: 0.3,
    isMemoryHeld: true,
    topicConfig: entrant.system.topicConfig(workload.durability, workload.acks),
    ...(options.isQuick
      ? {
          maxMib: Math.min(workload.maxMib ?? 512, 512),
          fillMib: Math.min(workload.fillMib ?? 64, 64),
        }
      : {}),
  };
}

/** Loads a broker with a bit of everything until its compiled code has settled. */
async function warmUp(entrant: Entrant, options: RunOptions): Promise<void> {
  const mixture = selectWorkloads([
    "produce-100B-64conn",
    "produce-128KiB-1200x100B-1conn",
    "fetch-1record-64conn",
    "fetch-1MiB-of-128KiB-1conn",
  ]);
  const seconds = (entrant.system.warmUpSeconds * options.warmUpShare) / mixture.length;
  for (const workload of mixture) {
    const result = await runLoad(workload, {
      ...loadOptions(entrant, options, workload),
      seconds,
      maxMib: 100_000,
      isMemoryHeld: false,
      fillMib: Math.min(64, workload.fillMib ?? 64),
    });
    if (!result.isValid)
      say(
        `warm-up of ${entrant.system.name}, ${workload.name}: ${result.firstError ?? "nothing went through"}`,
      );
  }
}

/** Files of deleted topics go half a second later: their unlinking must not fall into the next run. */
const settle = (): Promise<void> => Bun.sleep(1200);

async function runCase(
  entrants: readonly Entrant[],
  options: RunOptions,
  workload: Workload,
): Promise<CaseRecord> {
  const results = new Map<string, LoadResult[]>(
    entrants.map((entrant) => [entrant.system.name, []]),
  );
  const topics = new Map<string, string>();
  for (const entrant of entrants) {
    const load = loadOptions(entrant, options, workload);
    if (workload.verb === "fetch") {
      const topic = `${workload.name}-${entrant.system.name}`;
      const filled = await fillTopic(workload, { ...load, topic });
      if (filled.isValid) topics.set(entrant.system.name, topic);
      else results.get(entrant.system.name)?.push(filled);
    }
  }
  const measure = async (entrant: Entrant, load: LoadOptions): Promise<LoadResult | null> => {
    if (workload.verb !== "fetch") return runLoad(workload, load);
    const topic = topics.get(entrant.system.name);
    return topic === undefined ? null : runLoad(workload, { ...load, topic });
  };
  for (const entrant of entrants) {
    const load = loadOptions(entrant, options, workload);
    await measure(entrant, { ...load, seconds: Math.max(0.5, options.seconds / 2) });
    await settle();
  }
  for (let round = 0; round < options.runs; round++) {
    for (const entrant of entrants) {
      const result = await measure(entrant, loadOptions(entrant, options, workload));
      if (result !== null) results.get(entrant.system.name)?.push(result);
      if (workload.verb !== "fetch") await settle();
    }
  }
  for (const entrant of entrants) {
    const topic = topics.get(entrant.system.name);
    if (topic !== undefined) await deleteTopic(entrant.running.bootstrap, topic);
  }
  const bySystem: Record<string, SystemRuns> = {};
  for (const [name, runs] of results) {
    const merged = mergeLatency(runs);
    bySystem[name] = {
      runs: runs.map(({ latencyHistogram: _dropped, ...run }) => run),
      mergedLatencyMs: merged?.latencyMs ?? null,
      mergedHistogram: merged?.histogram ?? null,
    };
  }
  const [first, second] = entrants.map((entrant) => bySystem[entrant.system.name]);
  return { workload, systems: bySystem, ...judge(workload, first, second) };
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

async function compare(
  options: RunOptions,
  directory: string,
  running: RunningSystem[],
): Promise<BenchRecord> {
  const startedAt = new Date().toISOString();
  const machine = await describeMachine();
  say("building the load generator");
  await buildLoadGenerator();
  for (const system of options.systems) {
    say(`preparing ${system.name}`);
    await system.prepare();
  }
  say(`start-up times, ${options.startUps} each`);
  const startUps = await measureStartUps(options, directory);
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
  say(`touching ${options.warmMemoryMib} MiB of page cache`);
  warmMemory(directory, options.warmMemoryMib);
  for (const entrant of entrants) {
    say(
      `warming up ${entrant.system.name}, about ${Math.round(entrant.system.warmUpSeconds * options.warmUpShare)} s`,
    );
    await warmUp(entrant, options);
  }
  const cases: CaseRecord[] = [];
  for (const [index, workload] of options.workloads.entries()) {
    say(`${index + 1}/${options.workloads.length} ${workload.name}: ${workload.about}`);
    cases.push(await runCase(entrants, options, workload));
  }
  const described: Record<string, SystemRecord> = {};
  for (const entrant of entrants) described[entrant.system.name] = await describeSystem(entrant);
  return {
    schema: 1,
    startedAt,
    finishedAt: new Date().toISOString(),
    command: `bun run bench ${process.argv.slice(2).join(" ")}`.trim(),
    ...(await describeCheckout()),
    machine,
    options: {
      isQuick: options.isQuick,
      runs: options.runs,
      secondsPerRun: options.seconds,
      seed: options.seed,
      warmedMemoryMib: options.warmMemoryMib,
      warmUpSeconds: Object.fromEntries(
        options.systems.map((system) => [system.name, system.warmUpSeconds * options.warmUpShare]),
      ),
    },
    systems: described,
    cases,
  };
}

async function main(): Promise<number> {
  const options = readOptions();
  return await inRunDirectory("run", async (directory, running) => {
    const record = await compare(options, directory, running);
    writeRecord(record, options.jsonPath);
    console.log(formatRecord(record, paintFor(process.stdout)));
    say(`\nrecord: ${options.jsonPath}`);
    const hasErrors = record.cases.some((each) =>
      Object.values(each.systems).some((side) => side.runs.some((run) => !run.isValid)),
    );
    return hasErrors ? 1 : 0;
  });
}

process.exit(
  await main().catch((error: unknown) => {
    console.error(error instanceof Error ? error.message : error);
    return 1;
  }),
);
