/** From the producer's send to the arrival at a consumer that long-polls. */
import { workload, type Workload } from "./workload.ts";

const shared = { verb: "end-to-end", cost: "cpuSecondsPer100kRequests" } as const;

export const endToEnd: readonly Workload[] = [
  workload({ ...shared, name: "end-to-end-100B", about: "one record at a time", isQuick: true }),
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
];
