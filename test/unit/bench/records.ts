/** Records made by hand, for tests of what is made of them. */
import type {
  BenchRecord,
  CaseRecord,
  LoadResult,
  SystemRecord,
  SystemRuns,
} from "../../../bench/record.ts";
import { judge } from "../../../bench/judge.ts";
import { workload, type Workload } from "../../../bench/workloads/workload.ts";

export const latencyMs = { count: 10, mean: 1, p50: 1, p90: 2, p99: 3, p999: 4, max: 5 };

/** A clean run that cost so much. */
export function runOf(
  cpuSecondsPer100kRequests: number,
  overrides: Partial<LoadResult> = {},
): LoadResult {
  return {
    isValid: true,
    errors: 0,
    firstError: null,
    elapsedSeconds: 1,
    requests: 1000,
    records: 1000,
    valueBytes: 100_000,
    wireBytes: 170_000,
    requestsPerSecond: 1000,
    recordsPerSecond: 1000,
    valueMibPerSecond: 0.1,
    wireMibPerSecond: 0.2,
    latencyMs,
    backlogMax: 0,
    generatorCpuSeconds: 0.1,
    broker: {
      cpuSeconds: 1,
      userCpuSeconds: 0.5,
      systemCpuSeconds: 0.5,
      cores: 1,
      cpuSecondsPerValueGib: 5,
      cpuSecondsPerWireGib: 4,
      cpuSecondsPer100kRequests,
      cpuSecondsPerMillionRecords: 1,
      residentMib: 100,
      peakResidentMib: 120,
    },
    ...overrides,
  };
}

export const runsOf = (...runs: LoadResult[]): SystemRuns => ({
  runs,
  mergedLatencyMs: latencyMs,
  mergedHistogram: null,
});

export const small: Workload = workload({
  name: "small",
  about: "for this test",
  verb: "produce",
  cost: "cpuSecondsPer100kRequests",
  goals: [{ figure: "cpuSecondsPer100kRequests", against: "kafka", atMost: 0.5 }],
});

/** A case of `small`'s kind. */
export const caseOf = (
  systems: Readonly<Record<string, SystemRuns>>,
  overrides: Partial<Workload> = {},
): CaseRecord => {
  const load = { ...small, ...overrides };
  return { workload: load, systems, leftOut: {}, ...judge(load, systems) };
};

export const systemOf = (startUpMs: number, residentAfterLoadMib: number): SystemRecord => ({
  version: "1.0",
  config: { "log.dirs": "data" },
  topicConfig: { "fsync, acks=all": { "flush.messages": "1" } },
  startUpMs: [startUpMs],
  residentIdleMib: 50,
  residentAfterLoadMib,
  peakResidentMib: 300,
});

/** A record of two systems without cases. */
export const emptyRecord: BenchRecord = {
  schema: 2,
  startedAt: "2026-01-01T00:00:00Z",
  finishedAt: "2026-01-01T00:01:00Z",
  command: "bun run bench",
  commit: "0123456789abcdef",
  hasUncommittedChanges: false,
  machine: {
    processor: "x",
    cores: 2,
    memoryMib: 1,
    kernel: "k",
    governor: "none",
    loadBefore: "0 0 0",
  },
  options: {
    isQuick: true,
    runs: 1,
    secondsPerRun: 1,
    seed: 1,
    warmedMemoryMib: 1,
    warmUpSeconds: {},
  },
  systems: { sluice: systemOf(200, 250), kafka: systemOf(3000, 1000) },
  cases: [],
  lifecycles: [],
};
