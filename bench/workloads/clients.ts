/**
 * Loads by client programs of others, so that nobody has to believe our generator. Their own CPU is many times the broker's on a
 * small machine: the rate is theirs, the broker's CPU is the figure. What they report of latency is queueing in their buffers.
 */
import { workload, type Workload } from "./workload.ts";

const shared = { verb: "client", cost: "cpuSecondsPerValueGib", acks: -1 } as const;

export const clients: readonly Workload[] = [
  workload({
    ...shared,
    name: "client-java-100B-6part-batch-128KiB",
    about: "Java's ProducerPerformance: 100-byte records, batch.size 131072, linger.ms 5, acks=all",
    client: "java",
    partitions: 6,
    records: 1_500_000,
  }),
  workload({
    ...shared,
    name: "client-librdkafka-100B-6part",
    about: "librdkafka, by way of kcat: 100-byte records, its default batching, acks=all",
    client: "librdkafka",
    partitions: 6,
    records: 3_000_000,
  }),
];
