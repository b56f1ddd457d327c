/** The JSON that a failover benchmark leaves behind, and how it is judged. */
import { spreadOf, type Spread } from "../statistics.ts";

/** One fault, once. */
export interface FailoverRun {
  /** Time without acknowledgements, ms; null when the run failed. */
  readonly outageMs: number | null;
  /** From the end of the fault until all replicas were in sync again, ms. */
  readonly inSyncMs: number | null;
  /** Acknowledged values that the log did not hold afterwards. */
  readonly lostCount: number;
  readonly error: string | null;
  /** Load of the machine when the fault began (one minute). */
  readonly load: number;
}

/** All runs of one fault on one system. */
export interface FailoverCase {
  readonly fault: string;
  readonly system: string;
  readonly goalMs: readonly [p50: number, p99: number] | null;
  readonly runs: readonly FailoverRun[];
}

/** A whole comparison. */
export interface FailoverRecord {
  readonly schema: 1;
  readonly startedAt: string;
  readonly finishedAt: string;
  readonly command: string;
  readonly commit: string;
  readonly hasUncommittedChanges: boolean;
  readonly machine: Readonly<Record<string, string | number>>;
  readonly systems: Readonly<Record<string, Readonly<Record<string, string>>>>;
  readonly cases: readonly FailoverCase[];
}

/** What the runs of a case come to. */
export interface FailoverSummary {
  readonly count: number;
  readonly p50Ms: number | null;
  /** The longest of all where there are fewer than a hundred. */
  readonly p99Ms: number | null;
  readonly inSync: Spread | null;
  readonly failedCount: number;
  readonly lostCount: number;
  readonly verdict: "met" | "missed" | "no goal" | "no score";
}

function quantile(sorted: readonly number[], share: number): number | null {
  return sorted[Math.min(sorted.length - 1, Math.ceil(sorted.length * share) - 1)] ?? null;
}

/** Sums a case up. A run that lost data, or none that worked, has no score. */
export function summarize({ runs, goalMs }: FailoverCase): FailoverSummary {
  const outages = runs.flatMap(({ outageMs }) => (outageMs === null ? [] : [outageMs]));
  const sorted = [...outages].sort((left, right) => left - right);
  const [p50Ms, p99Ms] = [quantile(sorted, 0.5), quantile(sorted, 0.99)];
  const lostCount = runs.reduce((sum, run) => sum + run.lostCount, 0);
  const failedCount = runs.filter(({ error }) => error !== null).length;
  const isMet =
    goalMs !== null && p50Ms !== null && p99Ms !== null && p50Ms <= goalMs[0] && p99Ms <= goalMs[1];
  const hasScore = p50Ms !== null && lostCount === 0 && failedCount === 0;
  return {
    count: sorted.length,
    p50Ms,
    p99Ms,
    inSync: spreadOf(runs.flatMap(({ inSyncMs }) => (inSyncMs === null ? [] : [inSyncMs]))),
    failedCount,
    lostCount,
    verdict: !hasScore ? "no score" : goalMs === null ? "no goal" : isMet ? "met" : "missed",
  };
}
