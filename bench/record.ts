/**
 * The JSON that a benchmark run leaves behind: everything needed to judge and repeat it. `run.ts` writes it, `report.ts`
 * reads it, and `results/` keeps some.
 */
import type { Mode } from "./mode.ts";
import { spreadOf, type Spread } from "./statistics.ts";
import type { Cost, Figure, Goal, Workload } from "./workloads/workload.ts";

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
  /** Open loop: what was still due when the run ended. Counted in the latency with its age. */
  readonly unsent?: number;
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
  /** What it gave the file system to write; absent where the kernel does not tell, and from older records. */
  readonly writtenMib?: number;
  readonly writtenPerValueByte?: number;
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
export type PlainVerdict = "met" | "missed" | "no goal" | "no score";

/** `limited`: a throughput that could not be shown, because the generator or the machine came first. `not measured`: the comparison ended before it. */
export type Verdict = PlainVerdict | "limited" | "not measured";

/** A goal and what became of it. */
export interface GoalResult {
  readonly goal: Goal;
  /** Our median over the other's. */
  readonly ratio: number | null;
  readonly verdict: Verdict;
  /** What limited it, with figures. */
  readonly note?: string;
}

/** One workload on all systems. */
export interface CaseRecord {
  readonly workload: Workload;
  readonly systems: Readonly<Record<string, SystemRuns>>;
  /** Why a system is not among them, by its name. */
  readonly leftOut: Readonly<Record<string, string>>;
  /** What kept it from being run at all. */
  readonly failure?: string;
  /** Median cost of the subject over that of its rival. */
  readonly ratio: number | null;
  /** The same over the physical limit's. */
  readonly limitRatio: number | null;
  readonly goals: readonly GoalResult[];
}

/** What no load shows, measured on brokers of their own; figures by name, absent where a system cannot be asked for them. */
export interface LifecycleRecord {
  readonly name: string;
  readonly about: string;
  readonly systems: Readonly<Record<string, readonly LifecycleRun[]>>;
}

/** One run of a lifecycle; a run with an error has no figures. */
export interface LifecycleRun {
  readonly figures: Readonly<Record<string, number>>;
  readonly error: string | null;
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
  readonly schema: 2;
  readonly startedAt: string;
  readonly finishedAt: string;
  readonly command: string;
  readonly commit: string;
  readonly hasUncommittedChanges: boolean;
  readonly machine: Readonly<Record<string, string | number>>;
  readonly options: {
    /** Absent from records of before there were three. */
    readonly mode?: Mode;
    readonly isQuick: boolean;
    readonly runs: number;
    readonly secondsPerRun: number;
    readonly seed: number;
    readonly warmedMemoryMib: number;
    readonly warmUpSeconds: Readonly<Record<string, number>>;
  };
  readonly systems: Readonly<Record<string, SystemRecord>>;
  readonly cases: readonly CaseRecord[];
  readonly lifecycles: readonly LifecycleRecord[];
  /** The runs that it was put together from, where they are several. */
  readonly parts?: readonly RecordPart[];
}

/** One of several runs that make a record. */
export interface RecordPart {
  readonly command: string;
  readonly commit: string;
  readonly startedAt: string;
  readonly finishedAt: string;
  /** What it measured, by name. */
  readonly measured: readonly string[];
}

/** The system that goals are about. */
export const subject: string = "sluice";
/** The system that does as little as can be done; nobody's rival. */
export const limitName: string = "limit";
/** Goals for the subject as a whole. */
export const memoryGoalMib: number = 200;
export const startUpGoalMs: number = 150;

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

/** A figure of a run, as goals name it. */
export function figureOf(run: LoadResult, figure: Figure): number | undefined {
  switch (figure) {
    case "recordsPerSecond":
    case "requestsPerSecond":
      return run[figure];
    case "p99Ms":
      return run.latencyMs.p99;
    case "p999Ms":
      return run.latencyMs.p999;
    default:
      return costOf(run, figure);
  }
}

/** Whom a comparison is about: ours, or the first of those measured that is not the limit. */
export function subjectOf(systems: Readonly<Record<string, unknown>>): string | undefined {
  return subject in systems ? subject : Object.keys(systems).find((name) => name !== limitName);
}

/** Whom it is compared with. */
export function rivalOf(systems: Readonly<Record<string, unknown>>): string | undefined {
  const own = subjectOf(systems);
  return Object.keys(systems).find((name) => name !== own && name !== limitName);
}
