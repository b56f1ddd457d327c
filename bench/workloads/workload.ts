/**
 * A workload is data: what is sent, how, and which figures of it count. Its name says its content, so that a line of a
 * table needs no legend: `produce-128KiB-1200x100B-1conn` is 128 KiB batches of 1,200 records of 100 bytes on one connection.
 */
import type { Durability } from "../systems/system.ts";

/** Costs that a workload can be judged by; keys of the load generator's `broker` object. */
export type Cost = "cpuSecondsPerValueGib" | "cpuSecondsPer100kRequests";

/** Figures that goals are about. */
export type Figure = Cost | "recordsPerSecond" | "requestsPerSecond" | "p99Ms" | "p999Ms";

/** Who a figure is compared with: the rival broker, or the server that does as little as can be done. */
export type Rival = "kafka" | "limit";

/** Our median over the other's, at most or at least so much. */
export interface Goal {
  readonly figure: Figure;
  readonly against: Rival;
  readonly atMost?: number;
  readonly atLeast?: number;
}

/** Client programs that are not ours. */
export type ClientProgram = "java" | "librdkafka";

/** One kind of load. */
export interface Workload {
  readonly name: string;
  /** One line for people. */
  readonly about: string;
  /** `client`: a client program of others produces as fast as it can. */
  readonly verb: "produce" | "fetch" | "end-to-end" | "client";
  readonly client?: ClientProgram;
  readonly connections: number;
  readonly partitions: number;
  /** Requests outstanding on a connection. */
  readonly inflight: number;
  /** Records in a batch. */
  readonly records: number;
  readonly valueBytes: number;
  /** Batches are compressed once, before the run. */
  readonly codec: "none" | "lz4" | "zstd";
  readonly acks: 1 | -1;
  /** Consumers of each partition, end to end. */
  readonly consumers: number;
  /** Replicas of the topic; above 1 it takes a cluster. */
  readonly replication: number;
  readonly durability: Durability;
  /** Settings of the topic, the same on all sides, besides those that durability asks for. */
  readonly topicConfig?: Readonly<Record<string, string>>;
  /** Limit of a fetch; without it one batch. */
  readonly fetchBytes?: number;
  /** Values a partition holds before it is fetched, MiB; fractions too. */
  readonly fillMib?: number;
  /** Each byte of the log is read once, after its pages have been dropped from the cache. */
  readonly isCold?: boolean;
  /** Produce: partitions in each request, a batch for each. Fetch: a session over that many, which is all. */
  readonly requestPartitions?: number;
  /** Fetch with a session: so many of its partitions have records ahead; the others are at their end. */
  readonly hotPartitions?: number;
  /** It takes a broker with fetch sessions (KIP-227). */
  readonly hasSessions?: boolean;
  /** The log grows into memory that nobody holds: on a virtual machine it is touched for the first time. */
  readonly isMemoryCold?: boolean;
  /** Requests a second with intended send times; without it a closed loop. */
  readonly ratePerSecond?: number;
  /** The measured phase ends after so many MiB of values, so that both sides touch as much memory. */
  readonly maxMib?: number;
  /** Cases of one curve over the offered rate share this name. */
  readonly series?: string;
  /** What the ratio compares. */
  readonly cost: Cost;
  readonly goals: readonly Goal[];
  /** Part of `--quick`. */
  readonly isQuick?: boolean;
  /** Whether it is part of `--goals`; without it when it has a goal and one replica. */
  readonly isInGoals?: boolean;
}

const base = {
  connections: 1,
  partitions: 1,
  inflight: 1,
  records: 1,
  valueBytes: 100,
  codec: "none",
  acks: 1,
  consumers: 1,
  replication: 1,
  durability: "page-cache",
  goals: [],
} as const;

/** Fills in what most workloads share: one connection, one partition, 100-byte values, `acks=1` from the page cache. */
export function workload(
  given: Pick<Workload, "name" | "about" | "verb" | "cost"> & Partial<Workload>,
): Workload {
  return { ...base, ...given };
}
