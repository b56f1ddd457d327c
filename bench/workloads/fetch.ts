/** Reads: warm, where the log fits in the page cache and was read before, and catching up, warm and cold. */
import { largeFetch, smallFetch } from "./goals.ts";
import { workload, type Workload } from "./workload.ts";

const mebibyte = 1 << 20;
const small = { verb: "fetch", cost: "cpuSecondsPer100kRequests", fillMib: 2 } as const;
const large = {
  verb: "fetch",
  cost: "cpuSecondsPerValueGib",
  fillMib: 256,
  fetchBytes: mebibyte,
  goals: largeFetch,
} as const;

export const fetches: readonly Workload[] = [
  workload({
    ...small,
    name: "fetch-1record-1conn",
    about: "one batch of one record a request, one connection",
  }),
  workload({
    ...small,
    name: "fetch-1record-64conn",
    about: "one batch of one record a request, 64 connections",
    connections: 64,
    goals: smallFetch,
    isQuick: true,
  }),
  workload({
    ...small,
    name: "fetch-1record-1000conn",
    about: "one batch of one record a request, 1,000 connections",
    connections: 1000,
  }),
  workload({
    ...small,
    name: "fetch-1record-64conn-100part",
    about: "one batch of one record a request, 64 connections over 100 partitions",
    connections: 64,
    partitions: 100,
    fillMib: 0.1,
  }),
  workload({
    ...small,
    name: "fetch-session-100part-1conn",
    about: "a session over 100 partitions, a batch of one record from each in every answer",
    partitions: 100,
    requestPartitions: 100,
    hasSessions: true,
    fillMib: 0.02,
  }),
  workload({
    ...small,
    name: "fetch-session-1000part-10hot-1conn",
    about:
      "a session over 1,000 partitions, of which ten have a batch of one record for every answer",
    partitions: 1000,
    requestPartitions: 1000,
    hotPartitions: 10,
    hasSessions: true,
    fillMib: 0.01,
  }),
  workload({
    ...large,
    name: "fetch-1MiB-of-16KiB-1conn",
    about: "1 MiB fetches of 16 KiB batches, one connection",
    records: 150,
  }),
  workload({
    ...large,
    name: "fetch-1MiB-of-128KiB-1conn",
    about: "1 MiB fetches of 128 KiB batches, one connection",
    records: 1200,
    isQuick: true,
  }),
  workload({
    ...large,
    name: "fetch-1MiB-of-128KiB-8conn",
    about: "1 MiB fetches of 128 KiB batches of 1 KiB records, 8 connections",
    records: 125,
    valueBytes: 1024,
    connections: 8,
  }),
  workload({
    ...large,
    name: "fetch-1MiB-of-zstd-1conn",
    about: "1 MiB fetches of batches of 1,200 records of 100 bytes, zstd, one connection",
    records: 1200,
    codec: "zstd",
    isInGoals: false,
  }),
  workload({
    ...large,
    name: "fetch-1MiB-of-64KiB-records-1conn",
    about: "1 MiB fetches of batches of one record of 64 KiB, one connection",
    valueBytes: 64 << 10,
    isInGoals: false,
  }),
];

const catchUp = {
  verb: "fetch",
  cost: "cpuSecondsPerValueGib",
  fillMib: 512,
  maxMib: 512,
  fetchBytes: mebibyte,
  records: 1200,
} as const;

/** A consumer that is far behind reads each byte once. */
export const catchUps: readonly Workload[] = [
  workload({
    ...catchUp,
    name: "catch-up-cold-1MiB-of-128KiB-1conn",
    about: "512 MiB read once in 1 MiB fetches, from the disk: pages dropped before each run",
    isCold: true,
  }),
  workload({
    ...catchUp,
    name: "catch-up-warm-1MiB-of-128KiB-1conn",
    about: "512 MiB read once in 1 MiB fetches, from the page cache",
  }),
];
