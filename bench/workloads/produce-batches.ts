/** Full batches: what a byte costs. Five requests in flight, as Java's producer has them. */
import { workload, type Workload } from "./workload.ts";

const batches = {
  verb: "produce",
  cost: "cpuSecondsPerValueGib",
  inflight: 5,
  maxMib: 1024,
} as const;

export const produceBatches: readonly Workload[] = [
  workload({
    ...batches,
    name: "produce-16KiB-150x100B-1conn",
    about: "16 KiB batches of 100-byte records, one connection",
    records: 150,
  }),
  workload({
    ...batches,
    name: "produce-128KiB-1200x100B-1conn",
    about: "128 KiB batches of 100-byte records, one connection",
    records: 1200,
    target: 0.4,
    isQuick: true,
  }),
  workload({
    ...batches,
    name: "produce-128KiB-1200x100B-6conn-6part-acks-all",
    about: "the same on 6 connections and partitions, acks=all, both sides from the page cache",
    records: 1200,
    connections: 6,
    partitions: 6,
    acks: -1,
    target: 0.4,
  }),
  workload({
    ...batches,
    name: "produce-128KiB-1200x100B-6conn-6part-acks-all-fsync",
    about: "the same, both sides after an fsync",
    records: 1200,
    connections: 6,
    partitions: 6,
    acks: -1,
    durability: "fsync",
  }),
  workload({
    ...batches,
    name: "produce-128KiB-125x1KiB-1conn",
    about: "128 KiB batches of 1 KiB records, one connection",
    records: 125,
    valueBytes: 1024,
    target: 0.4,
    isQuick: true,
  }),
  workload({
    ...batches,
    name: "produce-960KiB-937x1KiB-1conn",
    about: "960 KiB batches of 1 KiB records, one connection: near the largest request by default",
    records: 937,
    valueBytes: 1024,
  }),
];
