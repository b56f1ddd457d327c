/**
 * Groups and offsets of this broker beside real Kafka's: on the same machine, in the same run, from the same client, in turns.
 *
 *   bun bench/groups/run.ts [--runs 5] [--only a,b] [--quick] [--systems self,kafka] [--out FILE.json] [--list]
 *
 * Writes the record as JSON, and beside it a Markdown page and an SVG. Each workload has a throw-away pass on every system, then
 * measured runs A B A B. Every answer is checked; a workload with an error has no score.
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { buildLoadGenerator } from "../load-generator.ts";
import { describeCheckout, describeMachine } from "../machine.ts";
import { subject } from "../record.ts";
import { inRunDirectory, writeRecord } from "../run-directory.ts";
import { systems as knownSystems } from "../systems/index.ts";
import { freePort, root, runCommand, type RunningSystem, type System } from "../systems/system.ts";
import { paintFor } from "../table.ts";
import { answerFromPageCache } from "./admin.ts";
import { runOffsets } from "./offsets.ts";
import type { RebalanceJob } from "./rebalance.ts";
import {
  compareFigures,
  failedRun,
  type GroupBenchRecord,
  type GroupCase,
  type GroupRun,
} from "./record.ts";
import { writeReport } from "./report.ts";
import { runSteady } from "./steady.ts";
import { formatGroupRecord } from "./table.ts";
import { type GroupWorkload, groupWorkloads, selectGroupWorkloads } from "./workloads.ts";

interface Options {
  readonly isQuick: boolean;
  readonly runs: number;
  readonly seconds: number;
  readonly repetitions: number;
  readonly heartbeatMs: number;
  readonly systems: readonly System[];
  readonly workloads: readonly GroupWorkload[];
  readonly jsonPath: string;
}

const say = (text: string): void => {
  process.stderr.write(`${paintFor(process.stderr)("dim", text)}\n`);
};

function readOptions(): Options {
  const { values } = parseArgs({
    options: {
      quick: { type: "boolean", default: false },
      list: { type: "boolean", default: false },
      only: { type: "string" },
      runs: { type: "string" },
      seconds: { type: "string" },
      "heartbeat-ms": { type: "string", default: "10" },
      systems: { type: "string", default: "self,kafka" },
      out: { type: "string" },
    },
  });
  if (values.list) {
    for (const { name, about } of groupWorkloads) console.log(`${name.padEnd(24)} ${about}`);
    process.exit(0);
  }
  const isQuick = values.quick;
  const number = (text: string | undefined, otherwise: number): number => {
    const value = text === undefined ? otherwise : Number(text);
    if (!(value > 0)) throw new Error(`${text} is not a number above 0`);
    return value;
  };
  const systems = values.systems.split(",").map((name) => {
    const system = knownSystems[name];
    if (system === undefined)
      throw new Error(`no system ${name}; there are ${Object.keys(knownSystems).join(", ")}`);
    return system;
  });
  systems.sort((left, right) => Number(right.name === subject) - Number(left.name === subject));
  const stamp = new Date().toISOString().slice(0, 19).replaceAll(/[-:]/g, "");
  return {
    isQuick,
    runs: Math.round(number(values.runs, isQuick ? 2 : 5)),
    seconds: number(values.seconds, isQuick ? 1.5 : 3),
    repetitions: isQuick ? 5 : 10,
    heartbeatMs: number(values["heartbeat-ms"], 10),
    systems,
    workloads:
      values.only === undefined
        ? groupWorkloads.filter((workload) => !isQuick || workload.isQuick === true)
        : selectGroupWorkloads(values.only.split(",")),
    jsonPath: values.out ?? join(root, "bench/out", `groups-${stamp}.json`),
  };
}

/**
 * The same for both: rebalances start at once and assignments are computed at once, so that no configured pause is measured,
 * and members of consumer groups are told the interval that classic ones keep by themselves.
 */
function groupSettings(heartbeatMs: number): Record<string, string> {
  return {
    "group.initial.rebalance.delay.ms": "0",
    "group.consumer.assignment.interval.ms": "0",
    "group.consumer.min.heartbeat.interval.ms": String(heartbeatMs),
    "group.consumer.heartbeat.interval.ms": String(heartbeatMs),
  };
}

/** Brokers that stay up for all workloads but the one that restarts them; started when first needed, and then in `running`. */
class Brokers {
  readonly #directory: string;
  readonly #settings: Readonly<Record<string, string>>;
  readonly #running: RunningSystem[];
  readonly #byName = new Map<string, RunningSystem>();

  constructor(
    directory: string,
    settings: Readonly<Record<string, string>>,
    running: RunningSystem[],
  ) {
    this.#directory = directory;
    this.#settings = settings;
    this.#running = running;
  }

  async of(system: System): Promise<RunningSystem> {
    const known = this.#byName.get(system.name);
    if (known !== undefined) return known;
    const directory = join(this.#directory, system.name);
    mkdirSync(directory, { recursive: true });
    const port = await freePort();
    const started = await system.start({ directory, port, settings: this.#settings });
    this.#byName.set(system.name, started);
    this.#running.push(started);
    return started;
  }
}

/** A run of a workload; `warmShare` above 0 makes it a throw-away pass of so much of a system's warm-up. */
async function runOnce(
  options: Options,
  directory: string,
  brokers: Brokers,
  system: System,
  workload: GroupWorkload,
  warmShare: number,
): Promise<GroupRun> {
  const settings = groupSettings(options.heartbeatMs);
  if (workload.kind === "offsets") {
    const settleMs = options.isQuick ? 1000 : 2500;
    return runOffsets({
      system,
      settings,
      directory: join(directory, "offsets"),
      workload,
      settleMs,
    });
  }
  const { bootstrap, pid } = await brokers.of(system);
  const isWarmUp = warmShare > 0;
  if (workload.kind === "rebalance") {
    const repetitions = options.repetitions * (isWarmUp ? 3 : 1);
    const { heartbeatMs } = options;
    await answerFromPageCache(bootstrap, system);
    const job: RebalanceJob = { bootstrap, pid, workload, repetitions, heartbeatMs };
    const client = join(root, "bench/groups/rebalance.ts");
    const output = await runCommand([process.execPath, client, JSON.stringify(job)]);
    const run: GroupRun = JSON.parse(output);
    return run;
  }
  const seconds = isWarmUp ? Math.max(1.5, system.warmUpSeconds * warmShare) : options.seconds;
  return runSteady({
    bootstrap,
    pid,
    system,
    workload,
    seconds,
    warmSeconds: 0.3,
    partitions: 200,
  });
}

async function runCase(
  options: Options,
  directory: string,
  brokers: Brokers,
  workload: GroupWorkload,
): Promise<GroupCase> {
  const once = (system: System, warmShare = 0): Promise<GroupRun> =>
    runOnce(options, directory, brokers, system, workload, warmShare).catch(failedRun);
  const results = new Map<string, GroupRun[]>(options.systems.map(({ name }) => [name, []]));
  // A restart has no JIT to warm: every measured start is the first of its process.
  if (workload.kind !== "offsets") {
    for (const system of options.systems) await once(system, options.isQuick ? 0.05 : 0.15);
  }
  for (let round = 0; round < options.runs; round++) {
    for (const system of options.systems) {
      const run = await once(system);
      results.get(system.name)?.push(run);
      if (!run.isValid) say(`  ${system.name}: ${run.firstError}`);
    }
  }
  const [first, second] = options.systems.map(({ name }) => results.get(name));
  return {
    workload,
    systems: Object.fromEntries(results),
    comparisons: compareFigures(workload.figures, first, second),
  };
}

async function compare(
  options: Options,
  directory: string,
  brokers: Brokers,
): Promise<GroupBenchRecord> {
  const startedAt = new Date().toISOString();
  const machine = await describeMachine();
  say("building the load generator");
  await buildLoadGenerator();
  for (const system of options.systems) await system.prepare();
  const cases: GroupCase[] = [];
  for (const [index, workload] of options.workloads.entries()) {
    say(`${index + 1}/${options.workloads.length} ${workload.name}: ${workload.about}`);
    cases.push(await runCase(options, directory, brokers, workload));
  }
  const described: [string, GroupBenchRecord["systems"][string]][] = [];
  for (const system of options.systems) {
    const settings = groupSettings(options.heartbeatMs);
    const config = system.config({ directory: join(directory, system.name), port: 0, settings });
    described.push([system.name, { version: await system.version(), config }]);
  }
  return {
    schema: 1,
    startedAt,
    finishedAt: new Date().toISOString(),
    command: `bun bench/groups/run.ts ${process.argv.slice(2).join(" ")}`.trim(),
    ...(await describeCheckout()),
    machine,
    options: {
      isQuick: options.isQuick,
      runs: options.runs,
      secondsPerRun: options.seconds,
      rebalancesPerRun: options.repetitions,
      heartbeatMs: options.heartbeatMs,
    },
    systems: Object.fromEntries(described),
    cases,
  };
}

async function main(): Promise<number> {
  const options = readOptions();
  return await inRunDirectory("groups", async (directory, running) => {
    const brokers = new Brokers(directory, groupSettings(options.heartbeatMs), running);
    const record = writeRecord(await compare(options, directory, brokers), options.jsonPath);
    console.log(formatGroupRecord(record, paintFor(process.stdout)));
    const { page, plot } = writeReport(record, options.jsonPath.replace(/(\.json)?$/, ".md"));
    say(`\nrecord: ${options.jsonPath}\npage: ${page}\nplot: ${plot}`);
    const isClean = record.cases.every(({ systems }) =>
      Object.values(systems).every((runs) => runs.every(({ isValid }) => isValid)),
    );
    return isClean ? 0 : 1;
  });
}

process.exit(
  await main().catch((error: unknown) => {
    console.error(error instanceof Error ? error.message : error);
    return 1;
  }),
);
