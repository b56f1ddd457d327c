/**
 * The JSON that a benchmark run leaves behind: everything needed to judge and repeat it. `run.ts` writes it, `report.ts`
 * reads it, and `results/` keeps some.
 */
import type { Mode } from "./mode.ts";
import { spreadOf, type Spread } from "./statistics.ts";
import { lifecycleGoals, type LifecycleGoal } from "./workloads/goals.ts";
import type { Cost, Figure, Goal, Rival, Workload } from "./workloads/workload.ts";

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

/** A goal and what became of it. */
export interface GoalResult {
  readonly goal: Goal;
  /** Our median over the other's. */
  readonly ratio: number | null;
  readonly verdict: Verdict;
}

/** One workload on all systems. */
export interface CaseRecord {
  readonly workload: Workload;
  readonly systems: Readonly<Record<string, SystemRuns>>;
  /** Why a system is not among them, by its name. */
  readonly leftOut: Readonly<Record<string, string>>;
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

function isClean(runs: SystemRuns | undefined): runs is SystemRuns {
  return runs !== undefined && runs.runs.length > 0 && runs.runs.every((run) => run.isValid);
}

/** Our median over the other's; `null` where a run of either failed, or one of them does not have the figure. */
export function ratioOf(
  ours: SystemRuns | undefined,
  other: SystemRuns | undefined,
  figure: Figure,
): number | null {
  if (!isClean(ours) || !isClean(other)) return null;
  const [left, right] = [ours, other].map((side) =>
    spreadOfRuns(side, (run) => figureOf(run, figure)),
  );
  if (left === null || left === undefined || right === null || right === undefined) return null;
  return right.median === 0 ? null : left.median / right.median;
}

function meets(goal: Goal, ratio: number): boolean {
  return ratio <= (goal.atMost ?? Infinity) && ratio >= (goal.atLeast ?? 0);
}

/** Compares the subject's cost with its rival's and with the limit's, and judges the goals of the workload. A goal against a system
 * that was not measured is left out; a run with errors spoils its case. Points of a curve are judged together: `judgeCurves`. */
export function judge(
  workload: Workload,
  systems: Readonly<Record<string, SystemRuns>>,
): Pick<CaseRecord, "ratio" | "limitRatio" | "goals"> {
  const own = systems[subjectOf(systems) ?? ""];
  const rival = systems[rivalOf(systems) ?? ""];
  const limit = systems[limitName];
  const sides: Readonly<Record<Rival, SystemRuns | undefined>> = { kafka: rival, limit };
  const goals = workload.series === undefined ? workload.goals : [];
  return {
    ratio: ratioOf(own, rival, workload.cost),
    limitRatio: ratioOf(own, limit, workload.cost),
    goals: goals
      .filter((goal) => sides[goal.against] !== undefined)
      .map((goal) => {
        const ratio = ratioOf(own, sides[goal.against], goal.figure);
        const verdict = ratio === null ? "no score" : meets(goal, ratio) ? "met" : "missed";
        return { goal, ratio, verdict };
      }),
  };
}

/** Share of the offered rate that must go through for a rate to count as held. */
const heldShare = 0.97;

/** The highest offered rate of a curve that a system held, records a second; 0 for none. */
export function saturationOf(points: readonly CaseRecord[], system: string): number {
  const held = points.filter((point) => {
    const runs = point.systems[system];
    const rate = spreadOfRuns(runs, (run) => run.requestsPerSecond);
    const offered = point.workload.ratePerSecond ?? 0;
    return isClean(runs) && rate !== null && rate.median >= offered * heldShare;
  });
  return Math.max(0, ...held.map((point) => point.workload.ratePerSecond ?? 0));
}

/** Curves among the cases, by name. */
export function curvesOf(cases: readonly CaseRecord[]): Map<string, CaseRecord[]> {
  const curves = new Map<string, CaseRecord[]>();
  for (const point of cases) {
    const name = point.workload.series;
    if (name !== undefined) curves.set(name, [...(curves.get(name) ?? []), point]);
  }
  return curves;
}

/** Judges each curve at its point nearest to half of the rival's saturation; the other points have no goals. */
export function judgeCurves(cases: readonly CaseRecord[]): CaseRecord[] {
  const judged = new Map<CaseRecord, CaseRecord>();
  for (const points of curvesOf(cases).values()) {
    const rival = rivalOf(points[0]?.systems ?? {});
    const half = rival === undefined ? 0 : saturationOf(points, rival) / 2;
    if (half === 0) continue;
    const distance = (point: CaseRecord): number =>
      Math.abs((point.workload.ratePerSecond ?? 0) - half);
    const nearest = points.reduce((best, point) =>
      distance(point) < distance(best) ? point : best,
    );
    const { series: _curve, ...alone } = nearest.workload;
    judged.set(nearest, { ...nearest, goals: judge(alone, nearest.systems).goals });
  }
  return cases.map((each) => judged.get(each) ?? each);
}

/** A goal about a lifecycle, what was measured for it, and what became of it. */
export interface LifecycleGoalResult {
  readonly goal: LifecycleGoal;
  /** Our median, or ours over the rival's. */
  readonly value: number | null;
  readonly verdict: Verdict;
}

/** Judges the goals of the lifecycles that were measured. */
export function judgeLifecycles(records: readonly LifecycleRecord[]): LifecycleGoalResult[] {
  return lifecycleGoals.flatMap((goal): LifecycleGoalResult[] => {
    const systems = records.find(({ name }) => name === goal.lifecycle)?.systems ?? {};
    const medianOf = (name: string | undefined): number | null => {
      const runs = systems[name ?? ""] ?? [];
      if (runs.some(({ error }) => error !== null)) return null;
      return spreadOf(runs.flatMap(({ figures }) => figures[goal.figure] ?? []))?.median ?? null;
    };
    if (!(subject in systems)) return [];
    const rival = goal.against === undefined ? null : rivalOf(systems);
    if (rival === undefined) return [];
    const [own, other] = [medianOf(subject), rival === null ? 1 : medianOf(rival)];
    const value = own === null || other === null || other === 0 ? null : own / other;
    const verdict = value === null ? "no score" : value <= goal.atMost ? "met" : "missed";
    return [{ goal, value, verdict }];
  });
}
