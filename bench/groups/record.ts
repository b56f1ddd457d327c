/** The JSON that a group benchmark leaves behind, and how it is judged. */
import type { PlainVerdict } from "../record.ts";
import { spreadOf, type Spread } from "../statistics.ts";
import type { Usage } from "./usage.ts";
import type { Figure, GroupWorkload } from "./workloads.ts";

/** One measured run of one workload on one system. */
export interface GroupRun extends Usage {
  readonly isValid: boolean;
  readonly firstError: string | null;
  /** By the key of the figure; also some that are reported but not judged. */
  readonly figures: Readonly<Record<string, number>>;
}

/** One figure of one workload, compared. */
export interface Comparison {
  readonly figure: string;
  /** Our cost over Kafka's; for rates Kafka's rate over ours, which is the same of the time that one takes. */
  readonly ratio: number | null;
  readonly verdict: PlainVerdict;
}

/** One workload on all systems. */
export interface GroupCase {
  readonly workload: GroupWorkload;
  readonly systems: Readonly<Record<string, readonly GroupRun[]>>;
  readonly comparisons: readonly Comparison[];
}

/** A whole comparison. */
export interface GroupBenchRecord {
  readonly schema: 1;
  readonly startedAt: string;
  readonly finishedAt: string;
  readonly command: string;
  readonly commit: string;
  readonly hasUncommittedChanges: boolean;
  readonly machine: Readonly<Record<string, string | number>>;
  readonly options: Readonly<Record<string, string | number | boolean>>;
  readonly systems: Readonly<
    Record<string, { readonly version: string; readonly config: Readonly<Record<string, string>> }>
  >;
  readonly cases: readonly GroupCase[];
}

/** A run that did not get to its end. */
export function failedRun(error: unknown): GroupRun {
  return {
    isValid: false,
    firstError: error instanceof Error ? error.message : String(error),
    figures: {},
    elapsedSeconds: 0,
    brokerCpuSeconds: 0,
    clientCpuSeconds: 0,
    foreignCores: 0,
  };
}

/** Median, lowest and highest of a figure over the valid runs. */
export function spreadOfFigure(runs: readonly GroupRun[] | undefined, key: string): Spread | null {
  const values = (runs ?? [])
    .filter((run) => run.isValid)
    .map((run) => run.figures[key])
    .filter((value) => value !== undefined);
  return spreadOf(values);
}

/** Compares medians of the first system with those of the second. A run with errors spoils the whole case. */
export function compareFigures(
  figures: readonly Figure[],
  first: readonly GroupRun[] | undefined,
  second: readonly GroupRun[] | undefined,
): Comparison[] {
  const isClean = [first, second].every((runs) => runs?.every((run) => run.isValid) === true);
  return figures.map((figure) => {
    const none = { figure: figure.key, ratio: null };
    if (second === undefined) return { ...none, verdict: "no goal" };
    const ours = spreadOfFigure(first, figure.key)?.median;
    const theirs = spreadOfFigure(second, figure.rival ?? figure.key)?.median;
    if (!isClean || ours === undefined || theirs === undefined)
      return { ...none, verdict: "no score" };
    const [cost, rival] = figure.isRate === true ? [theirs, ours] : [ours, theirs];
    if (rival <= 0) return { ...none, verdict: "no score" };
    const ratio = cost / rival;
    if (figure.goal === undefined) return { figure: figure.key, ratio, verdict: "no goal" };
    return { figure: figure.key, ratio, verdict: ratio <= figure.goal ? "met" : "missed" };
  });
}
