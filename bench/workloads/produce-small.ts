/** One record of 100 bytes a request: what a request costs, apart from its bytes. */
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
    target: 0.5,
    isQuick: true,
  }),
  workload({
    ...small,
    name: "produce-100B-64conn-acks-all",
    about: "the same with acks=all, both sides answering from the page cache",
    connections: 64,
    acks: -1,
    target: 0.5,
  }),
  workload({
    ...small,
    name: "produce-100B-64conn-acks-all-fsync",
    about: "the same with acks=all, both sides answering after an fsync",
    connections: 64,
    acks: -1,
    durability: "fsync",
  }),
  workload({
    ...small,
    name: "produce-100B-64conn-6part",
    about: "one record a request, 64 connections over 6 partitions",
    connections: 64,
    partitions: 6,
    target: 0.5,
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
