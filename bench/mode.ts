/** How much is run: a quick look, what the project's goals need, or everything. */

/** `quick`: under five minutes. `goals`: exactly the cases that goals are judged by, in about 40 minutes. */
export type Mode = "quick" | "goals" | "full";

/** Lengths and counts of a mode. */
export interface Scale {
  /** Measured runs of a case on each system, and their length, unless the command says otherwise. */
  readonly runs: number;
  readonly seconds: number;
  readonly startUps: number;
  readonly lifecycleRuns: number;
  /** Before and while idle cost is measured. */
  readonly idleSeconds: number;
  readonly warmMemoryMib: number;
  /** Share of a system's own time that it is loaded before anything counts. */
  readonly warmUpShare: number;
  /** Pause after a run that wrote: files of its topic go half a second later, and their unlinking must not fall into the next run. */
  readonly settleMs: number;
  /** Pause after a start, before its memory is read. */
  readonly startPauseMs: number;
}

/** By mode. */
export const scales: Readonly<Record<Mode, Scale>> = {
  quick: {
    runs: 2,
    seconds: 1.5,
    startUps: 2,
    lifecycleRuns: 1,
    idleSeconds: 3,
    warmMemoryMib: 1024,
    warmUpShare: 0.2,
    settleMs: 800,
    startPauseMs: 500,
  },
  goals: {
    runs: 5,
    seconds: 3,
    startUps: 5,
    lifecycleRuns: 5,
    idleSeconds: 5,
    warmMemoryMib: 2048,
    warmUpShare: 1,
    settleMs: 1000,
    startPauseMs: 2000,
  },
  full: {
    runs: 5,
    seconds: 5,
    startUps: 5,
    lifecycleRuns: 3,
    idleSeconds: 10,
    warmMemoryMib: 4096,
    warmUpShare: 1,
    settleMs: 1200,
    startPauseMs: 3000,
  },
};
