/** Buckets and their edges, recording, snapshots. */
import { describe, expect, test } from "bun:test";
import {
  addLatency,
  bucketOf,
  LATENCY_BUCKETS,
  LatencyHistograms,
  upperEdgeSeconds,
} from "../../../src/common/latency-histogram.ts";

describe("buckets", () => {
  test("an edge is the last value of its bucket, at every edge", () => {
    for (let bucket = 0; bucket < LATENCY_BUCKETS - 1; bucket++) {
      const edgeMs = upperEdgeSeconds(bucket) * 1000;
      expect(bucketOf(edgeMs)).toBe(bucket);
      expect(bucketOf(edgeMs * 1.001 + 0.0001)).toBe(bucket + 1);
    }
  });
  test("edges are round numbers that ascend", () => {
    const edges = Array.from({ length: LATENCY_BUCKETS }, (_, bucket) => upperEdgeSeconds(bucket));
    expect(edges).toEqual([...edges].sort((a, b) => a - b));
    expect(edges.slice(0, 12)).toEqual([
      0.000001, 0.000002, 0.000003, 0.000004, 0.000005, 0.000006, 0.000007, 0.000008, 0.000009,
      0.00001, 0.00002, 0.00003,
    ]);
    expect(edges.slice(-3)).toEqual([80, 90, Number.POSITIVE_INFINITY]);
  });
  test("nothing falls outside", () => {
    expect([bucketOf(-5), bucketOf(0), bucketOf(1e12)]).toEqual([0, 0, LATENCY_BUCKETS - 1]);
    expect(bucketOf(90_000.1)).toBe(LATENCY_BUCKETS - 1);
  });
});

describe("histograms", () => {
  test("count by index, and are copied", () => {
    const histograms = new LatencyHistograms(2);
    histograms.record(1, 0.0025);
    histograms.record(1, 0.0025);
    histograms.record(1, 15);
    const snapshot = histograms.snapshot(1);
    histograms.record(1, 15);
    const counts = new Float64Array(LATENCY_BUCKETS);
    counts[2] = 2;
    counts[bucketOf(15)] = 1;
    expect(snapshot).toEqual({ counts, sumMs: 15.005 });
    expect(histograms.snapshot(0)).toBeNull();
  });
  test("add up, an empty one being null", () => {
    const histograms = new LatencyHistograms(1);
    histograms.record(0, 1);
    const one = histograms.snapshot(0);
    expect(addLatency(one, null)).toBe(one);
    expect(addLatency(null, null)).toBeNull();
    const both = addLatency(one, one);
    expect([both?.sumMs, both?.counts[bucketOf(1)]]).toEqual([2, 2]);
  });
});
