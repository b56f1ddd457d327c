/** From the producer's send to the arrival at consumers that long-poll: tailing, fan-out, and a curve up to saturation. */
import { halfOfSaturation } from "./goals.ts";
import { workload, type Workload } from "./workload.ts";

const shared = { verb: "end-to-end", cost: "cpuSecondsPer100kRequests" } as const;

/** The points of the curve, records a second in all; the last ones are meant to be beyond what a broker of two cores can take. */
const rates = [500, 1000, 2000, 4000, 8000, 16_000, 32_000, 64_000];
const quickRates = new Set([2000, 8000, 32_000]);
/** Half of what Kafka can take lies between the first and the last. */
const goalRates = new Set([2000, 4000, 8000, 16_000, 32_000]);

const curve = rates.map((ratePerSecond) =>
  workload({
    ...shared,
    name: `end-to-end-100B-6part-${ratePerSecond}-per-second`,
    about: `${ratePerSecond.toLocaleString("en-US")} records a second over 6 partitions, a producer and a consumer on each (open loop)`,
    series: "end-to-end-100B-6part",
    partitions: 6,
    inflight: 5,
    ratePerSecond,
    goals: halfOfSaturation,
    isQuick: quickRates.has(ratePerSecond),
    isInGoals: goalRates.has(ratePerSecond),
  }),
);

export const endToEnd: readonly Workload[] = [
  workload({ ...shared, name: "end-to-end-100B", about: "one record at a time" }),
  workload({
    ...shared,
    name: "end-to-end-100B-acks-all",
    about: "one record at a time, acks=all, both sides from the page cache",
    acks: -1,
  }),
  workload({
    ...shared,
    name: "end-to-end-100B-1000-per-second",
    about: "1,000 records a second with intended send times (open loop)",
    inflight: 5,
    ratePerSecond: 1000,
  }),
  workload({
    ...shared,
    name: "fan-out-1KiB-5consumers-1000-per-second",
    about: "1,000 records of 1 KiB a second from one producer to five consumers (open loop)",
    valueBytes: 1024,
    consumers: 5,
    inflight: 5,
    ratePerSecond: 1000,
  }),
  workload({
    ...shared,
    name: "fan-out-128KiB-125x1KiB-5consumers",
    about: "128 KiB batches from one producer to five consumers, as fast as all of them follow",
    cost: "cpuSecondsPerValueGib",
    records: 125,
    valueBytes: 1024,
    consumers: 5,
    inflight: 5,
    maxMib: 2048,
  }),
  ...curve,
];
