/** The goals of the project, each once: workloads name those that they show. Medians of the runs, ours over the other's. */
import type { Goal } from "./workload.ts";

/** Large batches: a fifth of Kafka's CPU, twice its throughput, near the limit. */
export const largeProduce: readonly Goal[] = [
  { figure: "cpuSecondsPerValueGib", against: "kafka", atMost: 0.2 },
  { figure: "recordsPerSecond", against: "kafka", atLeast: 2 },
  { figure: "cpuSecondsPerValueGib", against: "limit", atMost: 1.3 },
];

/** Memory touched for the first time by whoever appends: a third of Kafka's CPU. */
export const coldProduce: readonly Goal[] = [
  { figure: "cpuSecondsPerValueGib", against: "kafka", atMost: 1 / 3 },
];

/** One record a request: three times Kafka's requests per CPU second. */
export const smallProduce: readonly Goal[] = [
  { figure: "cpuSecondsPer100kRequests", against: "kafka", atMost: 1 / 3 },
  { figure: "requestsPerSecond", against: "limit", atLeast: 0.7 },
];

/** Warm fetches of 1 MiB. The limit is bare `sendfile`. */
export const largeFetch: readonly Goal[] = [
  { figure: "cpuSecondsPerValueGib", against: "kafka", atMost: 0.6 },
  { figure: "cpuSecondsPerValueGib", against: "limit", atMost: 1.2 },
];

/** One record a fetch: four times Kafka's requests per CPU second. */
export const smallFetch: readonly Goal[] = [
  { figure: "cpuSecondsPer100kRequests", against: "kafka", atMost: 0.25 },
  { figure: "requestsPerSecond", against: "limit", atLeast: 0.7 },
];

/** Every acknowledged batch is on the disk. */
export const synced: readonly Goal[] = [
  { figure: "recordsPerSecond", against: "kafka", atLeast: 3 },
];

/** Replicated three times. */
export const replicatedBatches: readonly Goal[] = [
  { figure: "cpuSecondsPerValueGib", against: "kafka", atMost: 0.33 },
];

/** At the point of a curve nearest to half of Kafka's saturation. */
export const halfOfSaturation: readonly Goal[] = [
  { figure: "p99Ms", against: "kafka", atMost: 1 / 3 },
  { figure: "p999Ms", against: "kafka", atMost: 1 / 3 },
];

/** A goal about a figure of a lifecycle: ours, or ours over Kafka's, at most so much. */
export interface LifecycleGoal {
  readonly lifecycle: string;
  readonly figure: string;
  readonly against?: "kafka";
  readonly atMost: number;
}

const overloads = ["10000-connections", "slow-consumers", "fetch-storm", "fast-producer-fsync"];

export const lifecycleGoals: readonly LifecycleGoal[] = [
  { lifecycle: "start-empty", figure: "firstAnswerMs", atMost: 150 },
  { lifecycle: "start-2000-partitions", figure: "firstAnswerMs", atMost: 1000 },
  { lifecycle: "idle-2000-partitions", figure: "idleCores", atMost: 0.01 },
  { lifecycle: "idle-2000-partitions", figure: "residentMib", against: "kafka", atMost: 0.25 },
  ...overloads.map((name) => ({
    lifecycle: `overload-${name}`,
    figure: "p99Ratio",
    atMost: 2,
  })),
];
