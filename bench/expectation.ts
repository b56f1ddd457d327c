/** How long a comparison takes, from what it consists of: for the progress, and for whoever wants to know before. */
import { isNeeded, secondsOfCase, type CaseOptions } from "./cases.ts";
import { secondsOfLifecycles, type LifecycleScale } from "./lifecycle.ts";
import { scales, type Mode } from "./mode.ts";
import type { System } from "./systems/system.ts";
import type { Workload } from "./workloads/workload.ts";

/** What is to be run, and how often. */
export interface Asked {
  readonly mode: Mode;
  readonly runs: number;
  /** Of lifecycles; starts on an empty directory included. */
  readonly lifecycleRuns: number;
  readonly seconds: number;
  readonly seed: number;
  readonly workloads: readonly Workload[];
  /** Names of lifecycles. */
  readonly lifecycles: ReadonlySet<string>;
  readonly systems: readonly System[];
}

/** Starting all systems and touching memory, roughly. */
export const settingUpSeconds = 15;

const partitions = 2000;
const killedMib = 512;

/** How its cases are run. */
export function caseScaleOf(
  asked: Asked,
): Pick<CaseOptions, "mode" | "runs" | "seconds" | "seed" | "warmUpShare" | "settleMs"> {
  const { mode, runs, seconds, seed } = asked;
  const { warmUpShare, settleMs } = scales[mode];
  return { mode, runs, seconds, seed, warmUpShare, settleMs };
}

/** How its lifecycles are measured. */
export function lifecycleScaleOf(asked: Asked): LifecycleScale {
  const { mode, runs, lifecycleRuns, seed } = asked;
  const { startUps, idleSeconds } = scales[mode];
  return {
    runs: lifecycleRuns,
    startUps: Math.max(lifecycleRuns, Math.min(startUps, runs)),
    seed,
    idleSeconds,
    partitions,
    killedMib,
    isForGoals: mode === "goals",
  };
}

/** Expected times. */
export interface Expectation {
  readonly secondsByCase: ReadonlyMap<string, number>;
  readonly lifecycleSeconds: number;
  readonly allSeconds: number;
}

/** What it is going to take, roughly, on a machine that does nothing else. */
export function expect(asked: Asked): Expectation {
  const { systems, workloads, mode } = asked;
  const scale = caseScaleOf(asked);
  const secondsByCase = new Map(
    workloads.map((workload) => {
      const takers = systems.filter((system) => isNeeded(system, workload, mode));
      return [workload.name, secondsOfCase(workload, takers.length, scale)];
    }),
  );
  const lifecycleSeconds = secondsOfLifecycles(systems, asked.lifecycles, lifecycleScaleOf(asked));
  const sum = (values: Iterable<number>): number =>
    [...values].reduce((left, right) => left + right, 0);
  const warmSeconds = sum(systems.map(({ warmUpSeconds }) => warmUpSeconds * scale.warmUpShare));
  const caseSeconds =
    workloads.length === 0 ? 0 : settingUpSeconds + warmSeconds + sum(secondsByCase.values());
  return { secondsByCase, lifecycleSeconds, allSeconds: lifecycleSeconds + caseSeconds };
}
