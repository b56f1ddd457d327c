/** What became of the goals: of a case, of a curve, of a lifecycle. Medians of ours over the other's; a run with an error spoils its case. */
import {
  figureOf,
  limitName,
  rivalOf,
  spreadOfRuns,
  subject,
  subjectOf,
  type CaseRecord,
  type GoalResult,
  type LifecycleRecord,
  type SystemRuns,
  type Verdict,
} from "./record.ts";
import { spreadOf } from "./statistics.ts";
import { lifecycleGoals, type LifecycleGoal } from "./workloads/goals.ts";
import type { Figure, Goal, Rival, Workload } from "./workloads/workload.ts";

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

const namesOf = (names: readonly string[]): Readonly<Record<string, true>> =>
  Object.fromEntries(names.map((name) => [name, true]));

/** Share of its one core from which on the generator is what limits. */
const busyShare = 0.9;

/** Share of the limit's rate from which on ours counts as the machine's. */
const nearShare = 0.8;

/** Why a throughput could not be shown: the generator was full, or the physical limit under the same load is no further ahead, and we are near it. */
function limitedBy(
  goal: Goal,
  own: SystemRuns | undefined,
  rival: SystemRuns | undefined,
  limit: SystemRuns | undefined,
): string | null {
  if (goal.figure !== "recordsPerSecond" || goal.against !== "kafka") return null;
  const share = (runs: SystemRuns | undefined): number =>
    spreadOfRuns(runs, (run) => run.generatorCpuSeconds / run.elapsedSeconds)?.median ?? 0;
  const used = share(own);
  if (used >= busyShare) return `the generator used ${used.toFixed(2)} of its one core`;
  const reach = ratioOf(limit, rival, goal.figure);
  const near = ratioOf(own, limit, goal.figure);
  if (reach === null || reach >= (goal.atLeast ?? 0)) return null;
  if (near === null || near < nearShare) return null;
  const cores = spreadOfRuns(limit, (run) => run.broker?.cores)?.median ?? 0;
  return `the physical limit reaches ${reach.toFixed(2)} × kafka, itself on ${cores.toFixed(2)} cores and the generator on ${share(limit).toFixed(2)}`;
}

/**
 * Compares the subject's cost with its rival's and with the limit's, and judges the goals of the workload. A goal against a system that was
 * not `asked` for is left out; one against a system that is not among `systems` all the same has no score. Points of a curve are judged together:
 * `judgeCurves`.
 */
export function judge(
  workload: Workload,
  systems: Readonly<Record<string, SystemRuns>>,
  asked: readonly string[] = [],
): Pick<CaseRecord, "ratio" | "limitRatio" | "goals"> {
  const own = systems[subjectOf(systems) ?? ""];
  const rival = systems[rivalOf(systems) ?? ""];
  const limit = systems[limitName];
  const sides: Readonly<Record<Rival, SystemRuns | undefined>> = { kafka: rival, limit };
  const all = namesOf([...asked, ...Object.keys(systems)]);
  const isAsked = { kafka: rivalOf(all) !== undefined, limit: limitName in all };
  const goals = workload.series === undefined ? workload.goals : [];
  return {
    ratio: ratioOf(own, rival, workload.cost),
    limitRatio: ratioOf(own, limit, workload.cost),
    goals: goals
      .filter((goal) => isAsked[goal.against])
      .map((goal): GoalResult => {
        const ratio = ratioOf(own, sides[goal.against], goal.figure);
        if (ratio === null) return { goal, ratio, verdict: "no score" };
        if (meets(goal, ratio)) return { goal, ratio, verdict: "met" };
        const note = limitedBy(goal, own, rival, limit);
        return note === null
          ? { goal, ratio, verdict: "missed" }
          : { goal, ratio, verdict: "limited", note };
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

/** Judges each curve at its point nearest to half of the rival's saturation; the other points have no goals. A rival that held no rate gives no score. */
export function judgeCurves(cases: readonly CaseRecord[]): CaseRecord[] {
  const judged = new Map<CaseRecord, CaseRecord>();
  for (const points of curvesOf(cases).values()) {
    const asked = points.flatMap(({ systems, leftOut }) => Object.keys({ ...leftOut, ...systems }));
    const rival = rivalOf(namesOf(asked));
    if (rival === undefined) continue;
    const saturation = saturationOf(points, rival);
    const half = saturation / 2;
    const distance = (point: CaseRecord): number =>
      Math.abs((point.workload.ratePerSecond ?? 0) - half);
    const nearest = points.reduce((best, point) =>
      distance(point) < distance(best) ? point : best,
    );
    const { series: _curve, ...alone } = nearest.workload;
    const { goals } = judge(alone, half === 0 ? {} : nearest.systems, asked);
    const highest = Math.max(...points.map(({ workload }) => workload.ratePerSecond ?? 0));
    const note = `${rival} held every rate, up to ${highest} a second`;
    const noted = saturation < highest ? goals : goals.map((goal) => ({ ...goal, note }));
    judged.set(nearest, { ...nearest, goals: noted });
  }
  const unjudged = (each: CaseRecord): CaseRecord =>
    each.workload.series === undefined ? each : { ...each, goals: [] };
  return cases.map((each) => judged.get(each) ?? unjudged(each));
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
