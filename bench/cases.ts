/**
 * One case on all systems: a throw-away pass on each, then measured runs in turns (A B C A B C), every run on a topic of its own
 * or, for reads, on a filled one. What a system cannot be asked is left out with its reason.
 */
import { prepareClient, runClient } from "./clients/client-program.ts";
import { mergeLatency } from "./latency.ts";
import {
  deleteTopic,
  dropCache,
  failed,
  fillTopic,
  runLoad,
  type LoadOptions,
} from "./load-generator.ts";
import type { Mode } from "./mode.ts";
import type { Progress } from "./progress.ts";
import { judge } from "./judge.ts";
import type { CaseRecord, LoadResult, SystemRuns } from "./record.ts";
import type { RunningSystem, StartOptions, System } from "./systems/system.ts";
import { selectWorkloads } from "./workloads/index.ts";
import type { ClientProgram, Workload } from "./workloads/workload.ts";

/** A broker under test with what was learnt about it so far. */
export interface Entrant {
  readonly system: System;
  readonly options: StartOptions;
  readonly running: RunningSystem;
  readonly startUpMs: readonly number[];
  readonly residentIdleMib: number;
}

/** How cases are run. */
export interface CaseOptions {
  readonly mode: Mode;
  readonly runs: number;
  readonly seconds: number;
  readonly seed: number;
  readonly warmUpShare: number;
  /** Whether the generator holds touched memory for the log to grow into. */
  readonly isMemoryHeld: boolean;
  /** Pause after a run that wrote: files of its topic go half a second later, and their unlinking must not fall into the next run. */
  readonly settleMs: number;
  /** For what clients read. */
  readonly directory: string;
  readonly progress: Progress;
}

/** Quick runs write less, so that they take less of the disk and of the time. */
const quickLimits = { maxMib: 384, fillMib: 64, clientShare: 0.2 } as const;

function loadOptions(entrant: Entrant, options: CaseOptions, workload: Workload): LoadOptions {
  const { maxMib, fillMib } = workload;
  return {
    bootstrap: entrant.running.bootstrap,
    pids: entrant.running.pids,
    seed: options.seed,
    seconds: options.seconds,
    warmSeconds: workload.isCold === true ? 0 : 0.3,
    isMemoryHeld: options.isMemoryHeld && workload.isMemoryCold !== true,
    topicConfig: {
      ...workload.topicConfig,
      ...entrant.system.topicConfig(workload.durability, workload.acks),
    },
    ...(options.mode === "quick"
      ? {
          ...(maxMib === undefined ? {} : { maxMib: Math.min(maxMib, quickLimits.maxMib) }),
          fillMib: Math.min(fillMib ?? quickLimits.fillMib, quickLimits.fillMib),
        }
      : {}),
  };
}

/** Loads a broker with a bit of everything until its compiled code has settled. */
export async function warmUp(entrant: Entrant, options: CaseOptions): Promise<void> {
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
      options.progress.say(
        `warm-up of ${entrant.system.name}, ${workload.name}: ${result.firstError ?? "nothing went through"}`,
      );
  }
}

/** Why a system cannot be asked for a workload; `null` when it can. */
export function reasonToLeaveOut(
  workload: Workload,
  system: Pick<System, "isBroker">,
  running: Pick<RunningSystem, "dataDirectory">,
  missingClients: ReadonlyMap<ClientProgram, string>,
): string | null {
  if (workload.client !== undefined) {
    if (!system.isBroker) return "it takes no client but the generator";
    return missingClients.get(workload.client) ?? null;
  }
  if (workload.hasSessions === true && !system.isBroker) return "it has no fetch sessions";
  if (workload.isCold === true && running.dataDirectory === null)
    return "its log directory is not known here, so its pages cannot be dropped";
  return null;
}

/** Finds out which clients that the workloads need cannot be had, and why. */
export async function prepareClients(
  workloads: readonly Workload[],
): Promise<Map<ClientProgram, string>> {
  const missing = new Map<ClientProgram, string>();
  for (const client of new Set(workloads.flatMap((each) => each.client ?? []))) {
    const reason = await prepareClient(client);
    if (reason !== null) missing.set(client, reason);
  }
  return missing;
}

/** A case on one system: its topic, where it reads one that was filled before. */
class Side {
  readonly entrant: Entrant;
  readonly #workload: Workload;
  readonly #options: CaseOptions;
  readonly runs: LoadResult[] = [];
  #topic: string | null = null;

  constructor(entrant: Entrant, workload: Workload, options: CaseOptions) {
    this.entrant = entrant;
    this.#workload = workload;
    this.#options = options;
  }

  get #load(): LoadOptions {
    return loadOptions(this.entrant, this.#options, this.#workload);
  }

  async prepare(): Promise<void> {
    if (this.#workload.verb !== "fetch") return;
    const topic = `${this.#workload.name}-${this.entrant.system.name}`;
    const filled = await fillTopic(this.#workload, { ...this.#load, topic });
    if (filled.isValid) this.#topic = topic;
    else this.runs.push(filled);
  }

  /** Runs once; throw-away passes are shorter and leave nothing. */
  async run(isThrownAway: boolean): Promise<void> {
    const { seconds } = this.#options;
    const load = isThrownAway
      ? { ...this.#load, seconds: Math.min(seconds, Math.max(0.5, seconds / 2)), warmSeconds: 0 }
      : this.#load;
    const result = await this.#measure(load);
    if (result !== null && !isThrownAway) this.runs.push(result);
    if (this.#workload.verb !== "fetch") await Bun.sleep(this.#options.settleMs);
  }

  async #measure(load: LoadOptions): Promise<LoadResult | null> {
    const workload = this.#workload;
    if (workload.verb === "client") {
      const share = this.#options.mode === "quick" ? quickLimits.clientShare : 1;
      return await runClient(workload, load, this.#options.directory, share);
    }
    if (workload.verb !== "fetch") return await runLoad(workload, load);
    if (this.#topic === null) return null;
    const { dataDirectory } = this.entrant.running;
    if (workload.isCold === true && dataDirectory !== null) {
      try {
        await dropCache(dataDirectory);
      } catch (error) {
        return { ...failed, firstError: String(error) };
      }
    }
    // Each byte once: a read that begins anew at the start of the log would find it in the cache.
    const isOnce = workload.maxMib !== undefined;
    const limits = isOnce && load.fillMib !== undefined ? { maxMib: load.fillMib } : {};
    return await runLoad(workload, { ...load, ...limits, topic: this.#topic });
  }

  async finish(): Promise<void> {
    if (this.#topic !== null) await deleteTopic(this.entrant.running.bootstrap, this.#topic);
  }

  summary(): SystemRuns {
    const merged = mergeLatency(this.runs);
    return {
      runs: this.runs.map(({ latencyHistogram: _dropped, ...run }) => run),
      mergedLatencyMs: merged?.latencyMs ?? null,
      mergedHistogram: merged?.histogram ?? null,
    };
  }
}

/** What a run takes besides its measured phase: a process, a topic made and deleted, the generator's own warm phase. */
const aroundRunSeconds = 0.9;
/** Bytes a second that a run which ends by its bytes goes at, about, MiB. */
const usualMibPerSecond = 500;

/** How long a case takes on so many systems, roughly: what progress goes by. */
export function secondsOfCase(
  workload: Workload,
  systems: number,
  options: Pick<CaseOptions, "mode" | "runs" | "seconds" | "settleMs">,
): number {
  const { maxMib } = workload;
  const limitMib = options.mode === "quick" ? quickLimits.maxMib : Infinity;
  const mib = maxMib === undefined ? Infinity : Math.min(maxMib, limitMib);
  const measured = Math.min(options.seconds, mib / usualMibPerSecond);
  const settle = workload.verb === "fetch" ? 0 : options.settleMs / 1000;
  const run = measured + aroundRunSeconds + settle;
  const filling = workload.verb === "fetch" ? 2 : 0;
  return systems * (filling + run * (options.runs + 1) - measured / 2);
}

/** Where only goals count, the limit takes part in the cases that have a goal about it, or about a throughput: it tells what the machine gives. */
export function isNeeded(
  system: Pick<System, "isBroker">,
  workload: Workload,
  mode: Mode,
): boolean {
  return (
    mode !== "goals" ||
    system.isBroker ||
    workload.goals.some(
      ({ against, figure }) => against === "limit" || figure === "recordsPerSecond",
    )
  );
}

/** The systems that take part in a case, and why the others do not. */
export function takersOf(
  entrants: readonly Entrant[],
  options: Pick<CaseOptions, "mode">,
  workload: Workload,
  missingClients: ReadonlyMap<ClientProgram, string>,
): { readonly takers: readonly Entrant[]; readonly leftOut: Readonly<Record<string, string>> } {
  const leftOut: Record<string, string> = {};
  const takers = entrants.filter(({ system, running }) => {
    const reason = isNeeded(system, workload, options.mode)
      ? reasonToLeaveOut(workload, system, running, missingClients)
      : "no goal of this case is about it";
    if (reason !== null) leftOut[system.name] = reason;
    return reason === null;
  });
  return { takers, leftOut };
}

/** Runs a case. */
export async function runCase(
  entrants: readonly Entrant[],
  options: CaseOptions,
  workload: Workload,
  missingClients: ReadonlyMap<ClientProgram, string>,
): Promise<CaseRecord> {
  const { takers, leftOut } = takersOf(entrants, options, workload, missingClients);
  const sides = takers.map((entrant) => new Side(entrant, workload, options));
  const stepSeconds = secondsOfCase(workload, sides.length, options) / (options.runs + 1);
  for (const side of sides) await side.prepare();
  for (let pass = 0; pass <= options.runs; pass++) {
    for (const [index, side] of sides.entries()) {
      const what = pass === 0 ? "throw-away pass" : `run ${pass} of ${options.runs}`;
      const name = side.entrant.system.name;
      options.progress.step(`${workload.name}: ${name}, ${what}`, index === 0 ? stepSeconds : 0);
      await side.run(pass === 0);
    }
  }
  for (const side of sides) await side.finish();
  const systems = Object.fromEntries(
    sides.map((side) => [side.entrant.system.name, side.summary()]),
  );
  return { workload, systems, leftOut, ...judge(workload, systems, Object.keys(leftOut)) };
}
