/**
 * Micro-benchmarks: small pieces of the hot path, timed by tinybench, their samples kept in an HDR histogram.
 *
 * A task does one operation and returns a number that depends on the work; the last one is printed as a check, so that no
 * compiler can leave the work out and two runs of the same code can be compared. Operations of some nanoseconds are repeated inside a
 * sample. Smoke mode runs every task a few times and times nothing: `bun test` calls it, so that benches never rot.
 */
import { build, type Histogram } from "hdr-histogram-js";
import { Bench } from "tinybench";

/** One operation. */
export interface MicroTask {
  readonly name: string;
  /** Does it once; the result only has to depend on the work. */
  readonly run: () => number;
  /** Operations in one sample, for what is shorter than the timer can see. Default 1. */
  readonly repeats?: number;
  /** Exactly so many samples instead of as many as fit into the time: for what leaves data behind. */
  readonly samples?: number;
}

/** Tasks that share set-up. */
export interface MicroSuite {
  readonly name: string;
  /** Why it was left out, when something it needs is not there. */
  readonly skipped?: string;
  readonly tasks: readonly MicroTask[];
  /** Releases what the tasks used. */
  readonly close?: () => Promise<void>;
}

/** Makes a suite; a suite may need to open something first. */
export type SuiteFactory = () => Promise<MicroSuite> | MicroSuite;

/** Figures of a task, nanoseconds an operation. */
export interface MicroResult {
  readonly suite: string;
  readonly task: string;
  readonly operations: number;
  readonly meanNs: number;
  readonly p50Ns: number;
  readonly p99Ns: number;
  readonly check: number;
}

const sampleTimeMs = 300;
const smokeRounds = 3;
/** Histogram values are tenths of a nanosecond, so that operations of a few nanoseconds keep their digits. */
const tenths = 10;

/** Runs each task a few times. @returns the last result of each, by suite and task. */
export async function smoke(
  factories: readonly SuiteFactory[],
): Promise<ReadonlyMap<string, number>> {
  const checks = new Map<string, number>();
  for (const factory of factories) {
    const suite = await factory();
    for (const task of suite.tasks) {
      let check = 0;
      for (let round = 0; round < smokeRounds; round++) check = task.run();
      checks.set(`${suite.name}: ${task.name}`, check);
    }
    await suite.close?.();
  }
  return checks;
}

/** Times one task. */
export function measure(suite: string, task: MicroTask): MicroResult {
  const repeats = task.repeats ?? 1;
  let check = 0;
  const bench = new Bench({
    time: task.samples === undefined ? sampleTimeMs : 0,
    iterations: task.samples ?? 64,
    warmup: task.samples === undefined,
    retainSamples: true,
    throws: true,
  });
  bench.add(task.name, () => {
    for (let index = 0; index < repeats; index++) check = task.run();
  });
  bench.runSync();
  const result = bench.tasks[0]?.result;
  const samplesMs =
    result !== undefined && "latency" in result ? (result.latency.samples ?? []) : [];
  const histogram: Histogram = build({
    lowestDiscernibleValue: 1,
    highestTrackableValue: 1e12,
    numberOfSignificantValueDigits: 3,
  });
  for (const sampleMs of samplesMs)
    histogram.recordValue(Math.max(1, Math.round((sampleMs * 1e6 * tenths) / repeats)));
  return {
    suite,
    task: task.name,
    operations: samplesMs.length * repeats,
    meanNs: histogram.mean / tenths,
    p50Ns: histogram.getValueAtPercentile(50) / tenths,
    p99Ns: histogram.getValueAtPercentile(99) / tenths,
    check,
  };
}
