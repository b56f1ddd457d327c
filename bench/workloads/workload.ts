/**
 * A workload is data: what is sent, how, and which figure of it counts. Its name says its content, so that a line of a
 * table needs no legend: `produce-128KiB-1200x100B-1conn` is 128 KiB batches of 1,200 records of 100 bytes on one connection.
 */
import type { Durability } from "../systems/system.ts";

/** Costs that a workload can be judged by; keys of the load generator's `broker` object. */
export type Cost = "cpuSecondsPerValueGib" | "cpuSecondsPer100kRequests";

/** One kind of load. */
export interface Workload {
  readonly name: string;
  /** One line for people. */
  readonly about: string;
  readonly verb: "produce" | "fetch" | "end-to-end";
  readonly connections: number;
  readonly partitions: number;
  /** Requests outstanding on a connection. */
  readonly inflight: number;
  /** Records in a batch. */
  readonly records: number;
  readonly valueBytes: number;
  readonly acks: 1 | -1;
  /** Replicas of the topic; above 1 it takes a cluster. */
  readonly replication: number;
  readonly durability: Durability;
  /** Limit of a fetch; without it one batch. */
  readonly fetchBytes?: number;
  /** Values a partition holds before it is fetched, MiB. */
  readonly fillMib?: number;
  /** Requests a second with intended send times; without it a closed loop. */
  readonly ratePerSecond?: number;
  /** The measured phase ends after so many MiB of values, so that both sides touch as much memory. */
  readonly maxMib?: number;
  /** What the ratio compares. */
  readonly cost: Cost;
  /** Highest ratio to Kafka that meets the goal. */
  readonly target?: number;
  /** Part of `--quick`. */
  readonly isQuick?: boolean;
}

const base = {
  connections: 1,
  partitions: 1,
  inflight: 1,
  records: 1,
  valueBytes: 100,
  acks: 1,
  replication: 1,
  durability: "page-cache",
} as const;

/** Fills in what most workloads share: one connection, one partition, 100-byte values, `acks=1` from the page cache. */
export function workload(
  given: Pick<Workload, "name" | "about" | "verb" | "cost"> & Partial<Workload>,
): Workload {
  return { ...base, ...given };
}
