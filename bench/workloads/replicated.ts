/** Three replicas, acks=all, from the page cache on both sides: what replication adds. CPU is that of all brokers together. */
import { replicatedBatches } from "./goals.ts";
import { workload, type Workload } from "./workload.ts";

const replicatedLoad = { verb: "produce", acks: -1, replication: 3 } as const;

export const replicated: readonly Workload[] = [
  workload({
    ...replicatedLoad,
    name: "replicated-100B-1conn",
    about: "one record of 100 bytes a request, one connection",
    cost: "cpuSecondsPer100kRequests",
  }),
  workload({
    ...replicatedLoad,
    name: "replicated-100B-60conn-6part",
    about: "one record of 100 bytes a request, 60 connections, 6 partitions",
    cost: "cpuSecondsPer100kRequests",
    connections: 60,
    partitions: 6,
  }),
  workload({
    ...replicatedLoad,
    name: "replicated-128KiB-1200x100B-6conn-6part",
    about: "128 KiB batches of 100-byte records on 6 connections and partitions, 5 in flight",
    cost: "cpuSecondsPerValueGib",
    records: 1200,
    connections: 6,
    partitions: 6,
    inflight: 5,
    maxMib: 512,
    goals: replicatedBatches,
  }),
  workload({
    ...replicatedLoad,
    name: "replicated-128KiB-125x1KiB-6conn-6part",
    about: "128 KiB batches of 1 KiB records on 6 connections and partitions, 5 in flight",
    cost: "cpuSecondsPerValueGib",
    records: 125,
    valueBytes: 1024,
    connections: 6,
    partitions: 6,
    inflight: 5,
    maxMib: 512,
    goals: replicatedBatches,
  }),
];
