/** One record a request, most of 100 bytes: what a request costs, apart from its bytes. */
import { largeProduce, smallProduce, synced } from "./goals.ts";
import { workload, type Workload } from "./workload.ts";

const small = { verb: "produce", cost: "cpuSecondsPer100kRequests" } as const;

export const produceSmall: readonly Workload[] = [
  workload({
    ...small,
    name: "produce-100B-1conn",
    about: "one record a request, one connection, one in flight",
    isQuick: true,
  }),
  workload({
    ...small,
    name: "produce-100B-1conn-5inflight",
    about: "one record a request, one connection, five in flight",
    inflight: 5,
  }),
  workload({
    ...small,
    name: "produce-100B-64conn",
    about: "one record a request, 64 connections",
    connections: 64,
    goals: smallProduce,
    isQuick: true,
  }),
  workload({
    ...small,
    name: "produce-100B-64conn-acks-all",
    about: "the same with acks=all, both sides answering from the page cache",
    connections: 64,
    acks: -1,
    goals: smallProduce,
  }),
  workload({
    ...small,
    name: "produce-100B-64conn-acks-all-fsync",
    about: "the same with acks=all, both sides answering after an fsync",
    connections: 64,
    acks: -1,
    durability: "fsync",
    goals: synced,
  }),
  workload({
    ...small,
    name: "produce-100B-64conn-6part",
    about: "one record a request, 64 connections over 6 partitions",
    connections: 64,
    partitions: 6,
    goals: smallProduce,
  }),
  workload({
    ...small,
    name: "produce-100B-64conn-100part",
    about: "one record a request, 64 connections over 100 partitions",
    connections: 64,
    partitions: 100,
  }),
  workload({
    ...small,
    name: "produce-100B-64conn-2000part",
    about: "one record a request, 64 connections over 2,000 partitions",
    connections: 64,
    partitions: 2000,
  }),
  workload({
    ...small,
    name: "produce-100B-1000conn",
    about: "one record a request, 1,000 connections",
    connections: 1000,
  }),
  workload({
    ...small,
    name: "produce-1KiB-64conn",
    about: "one record of 1 KiB a request, 64 connections",
    valueBytes: 1024,
    connections: 64,
  }),
  workload({
    ...small,
    name: "produce-64KiB-8conn",
    about: "one record of 64 KiB a request, 8 connections",
    cost: "cpuSecondsPerValueGib",
    valueBytes: 64 << 10,
    connections: 8,
    maxMib: 1024,
    goals: largeProduce,
  }),
  workload({
    ...small,
    name: "produce-1MiB-4conn",
    about: "one record of 1 MiB a request, 4 connections",
    cost: "cpuSecondsPerValueGib",
    valueBytes: 1 << 20,
    connections: 4,
    maxMib: 1024,
    topicConfig: { "max.message.bytes": String(2 << 20) },
    goals: largeProduce,
  }),
  workload({
    ...small,
    name: "produce-100B-64conn-5000-per-second",
    about: "one record a request at a fixed rate (open loop): latency below saturation",
    connections: 64,
    inflight: 5,
    ratePerSecond: 5000,
  }),
];
