/**
 * The JSON that a benchmark run leaves behind: everything needed to judge and repeat it. `run.ts` writes it, `report.ts`
 * reads it, and `results/` keeps some.
 */
import { spreadOf, type Spread } from "./statistics.ts";
import type { Cost, Workload } from "./workloads/workload.ts";

/** Latency in milliseconds, as the load generator reports it. */
export interface LatencyMs {
  readonly count: number;
  readonly mean: number;
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
}

/** One run of the load generator. */
export interface LoadResult {
  readonly isValid: boolean;
  readonly errors: number;
  readonly firstError: string | null;
  readonly elapsedSeconds: number;
  readonly requests: number;
  readonly records: number;
  readonly valueBytes: number;
  readonly wireBytes: number;
  readonly requestsPerSecond: number;
  readonly recordsPerSecond: number;
  readonly valueMibPerSecond: number;
  readonly wireMibPerSecond: number;
  readonly latencyMs: LatencyMs;
  readonly produceLatencyMs?: LatencyMs;
  /** HDR V2, deflated, base64; nanoseconds. Dropped from the record once merged. */
  readonly latencyHistogram?: string;
  readonly backlogMax: number;
  readonly generatorCpuSeconds: number;
  readonly apiVersion?: number;
  readonly foreignCores?: number;
  readonly broker?: BrokerCost;
}

/** What the broker used during the measured phase. */
export interface BrokerCost {
  readonly cpuSeconds: number;
  readonly userCpuSeconds: number;
  readonly systemCpuSeconds: number;
  readonly cores: number;
  readonly cpuSecondsPerValueGib: number;
  readonly cpuSecondsPerWireGib: number;
  readonly cpuSecondsPer100kRequests: number;
  readonly cpuSecondsPerMillionRecords: number;
  readonly residentMib: number;
  readonly peakResidentMib: number;
}

/** All runs of one workload on one system. */
export interface SystemRuns {
  readonly runs: readonly LoadResult[];
  /** Percentiles of all valid runs' histograms merged. */
  readonly mergedLatencyMs: LatencyMs | null;
  /** The merged histogram itself. */
  readonly mergedHistogram: string | null;
}

/** Whether a goal was met; `no score` where a side has no valid run, `no goal` where none is set. */
export type Verdict = "met" | "missed" | "no goal" | "no score";

/** One workload on all systems. */
export interface CaseRecord {
  readonly workload: Workload;
  readonly systems: Readonly<Record<string, SystemRuns>>;
  /** Median cost of the first system over that of the second. */
  readonly ratio: number | null;
  readonly verdict: Verdict;
}

/** A broker as it was measured. */
export interface SystemRecord {
  readonly version: string;
  readonly config: Readonly<Record<string, string>>;
  /** Topic settings by durability and acks. */
  readonly topicConfig: Readonly<Record<string, Readonly<Record<string, string>>>>;
  /** Start on an empty directory to the first ApiVersions answer, ms. */
  readonly startUpMs: readonly number[];
  /** After start-up, before any load. */
  readonly residentIdleMib: number;
  /** After all cases. */
  readonly residentAfterLoadMib: number;
  readonly peakResidentMib: number;
}

/** A whole comparison. */
export interface BenchRecord {
  readonly schema: 1;
  readonly startedAt: string;
  readonly finishedAt: string;
  readonly command: string;
  readonly commit: string;
  readonly hasUncommittedChanges: boolean;
  readonly machine: Readonly<Record<string, string | number>>;
  readonly options: {
    readonly isQuick: boolean;
    readonly runs: number;
    readonly secondsPerRun: number;
    readonly seed: number;
    readonly warmedMemoryMib: number;
    readonly warmUpSeconds: Readonly<Record<string, number>>;
  };
  readonly systems: Readonly<Record<string, SystemRecord>>;
  readonly cases: readonly CaseRecord[];
}

/** The system that goals are about. */
export const subject: string = "self";
/** Goals for it as a whole. */
export const memoryGoalMib: number = 200;
export const startUpGoalMs: number = 300;

/** Spread of one figure over the valid runs. */
export function spreadOfRuns(
  runs: SystemRuns | undefined,
  figure: (run: LoadResult) => number | undefined,
): Spread | null {
  const values = (runs?.runs ?? [])
    .filter((run) => run.isValid)
    .map(figure)
    .filter((value) => value !== undefined);
  return spreadOf(values);
}

/** Cost by which a workload is judged. */
export function costOf(run: LoadResult, cost: Cost): number | undefined {
  return run.broker?.[cost];
}

/**
 * Compares the first system's median cost with the second's, and that with the goal. A run with errors spoils its case; a
 * system measured alone has nothing to be compared with.
 */
export function judge(
  workload: Workload,
  first: SystemRuns | undefined,
  second: SystemRuns | undefined,
): { ratio: number | null; verdict: Verdict } {
  if (second === undefined) return { ratio: null, verdict: "no goal" };
  const isClean = [first, second].every(
    (side) => side !== undefined && side.runs.every((run) => run.isValid),
  );
  const ours = spreadOfRuns(first, (run) => costOf(run, workload.cost));
  const theirs = spreadOfRuns(second, (run) => costOf(run, workload.cost));
  if (!isClean || ours === null || theirs === null || theirs.median === 0)
    return { ratio: null, verdict: "no score" };
  const ratio = ours.median / theirs.median;
  if (workload.target === undefined) return { ratio, verdict: "no goal" };
  return { ratio, verdict: ratio <= workload.target ? "met" : "missed" };
}
