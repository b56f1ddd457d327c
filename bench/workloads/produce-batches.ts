/** Full batches: what a byte costs. Five requests in flight, as Java's producer has them. */
import { coldProduce, largeProduce, synced } from "./goals.ts";
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
    goals: largeProduce,
    isQuick: true,
  }),
  workload({
    ...batches,
    name: "produce-128KiB-1200x100B-1conn-cold-memory",
    about: "the same, the log growing into memory that nobody touched before",
    records: 1200,
    isMemoryCold: true,
    goals: coldProduce,
  }),
  workload({
    ...batches,
    name: "produce-128KiB-1200x100B-6conn-6part-acks-all",
    about: "the same on 6 connections and partitions, acks=all, both sides from the page cache",
    records: 1200,
    connections: 6,
    partitions: 6,
    acks: -1,
    goals: largeProduce,
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
    goals: synced,
  }),
  workload({
    ...batches,
    name: "produce-128KiB-125x1KiB-1conn",
    about: "128 KiB batches of 1 KiB records, one connection",
    records: 125,
    valueBytes: 1024,
    goals: largeProduce,
  }),
  workload({
    ...batches,
    name: "produce-960KiB-937x1KiB-1conn",
    about: "960 KiB batches of 1 KiB records, one connection: near the largest request by default",
    records: 937,
    valueBytes: 1024,
    goals: largeProduce,
  }),
  workload({
    ...batches,
    name: "produce-16KiB-150x100B-64conn-100part",
    about: "16 KiB batches of 100-byte records, 64 connections over 100 partitions, one in flight",
    records: 150,
    connections: 64,
    partitions: 100,
    inflight: 1,
  }),
  workload({
    ...batches,
    name: "produce-lz4-1200x100B-1conn",
    about: "batches of 1,200 records of 100 bytes of text, lz4, one connection",
    records: 1200,
    codec: "lz4",
  }),
  workload({
    ...batches,
    name: "produce-zstd-1200x100B-1conn",
    about: "batches of 1,200 records of 100 bytes of text, zstd, one connection",
    records: 1200,
    codec: "zstd",
  }),
];
