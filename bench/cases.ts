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
import type { Progress } from "./progress.ts";
import { judge, type CaseRecord, type LoadResult, type SystemRuns } from "./record.ts";
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
  readonly isQuick: boolean;
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
    isMemoryHeld: options.isMemoryHeld,
    topicConfig: {
      ...workload.topicConfig,
      ...entrant.system.topicConfig(workload.durability, workload.acks),
    },
    ...(options.isQuick
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
      ? { ...this.#load, seconds: Math.min(seconds, Math.max(0.5, seconds / 2)) }
      : this.#load;
    const result = await this.#measure(load);
    if (result !== null && !isThrownAway) this.runs.push(result);
    if (this.#workload.verb !== "fetch") await Bun.sleep(this.#options.settleMs);
  }

  async #measure(load: LoadOptions): Promise<LoadResult | null> {
    const workload = this.#workload;
    if (workload.verb === "client") {
      const share = this.#options.isQuick ? quickLimits.clientShare : 1;
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

/** Passes of a case over each system: the throw-away one and the measured ones. */
export const passesOf = (options: Pick<CaseOptions, "runs">): number => options.runs + 1;

/** Runs a case. */
export async function runCase(
  entrants: readonly Entrant[],
  options: CaseOptions,
  workload: Workload,
  missingClients: ReadonlyMap<ClientProgram, string>,
): Promise<CaseRecord> {
  const leftOut: Record<string, string> = {};
  const sides: Side[] = [];
  for (const entrant of entrants) {
    const { system, running } = entrant;
    const reason = reasonToLeaveOut(workload, system, running, missingClients);
    if (reason === null) sides.push(new Side(entrant, workload, options));
    else leftOut[system.name] = reason;
  }
  for (const side of sides) await side.prepare();
  for (let pass = 0; pass < passesOf(options); pass++) {
    for (const side of sides) {
      const what = pass === 0 ? "throw-away pass" : `run ${pass} of ${options.runs}`;
      options.progress.step(`${workload.name}: ${side.entrant.system.name}, ${what}`);
      await side.run(pass === 0);
    }
  }
  for (const side of sides) await side.finish();
  const systems = Object.fromEntries(
    sides.map((side) => [side.entrant.system.name, side.summary()]),
  );
  return { workload, systems, leftOut, ...judge(workload, systems) };
}
