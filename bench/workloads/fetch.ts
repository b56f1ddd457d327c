/** Warm reads: the log fits in the page cache and was read before. */
import { workload, type Workload } from "./workload.ts";

const mebibyte = 1 << 20;
const small = { verb: "fetch", cost: "cpuSecondsPer100kRequests", fillMib: 2 } as const;
const large = {
  verb: "fetch",
  cost: "cpuSecondsPerValueGib",
  fillMib: 256,
  fetchBytes: mebibyte,
  target: 0.7,
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
    isQuick: true,
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
];
