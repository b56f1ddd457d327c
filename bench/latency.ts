/** Histograms of several runs merged into one, so that percentiles are of all requests and not averages of percentiles. */
import {
  decodeFromCompressedBase64,
  encodeIntoCompressedBase64,
  type Histogram,
} from "hdr-histogram-js";
import type { LatencyMs, LoadResult } from "./record.ts";

/** Percentiles of a histogram of nanoseconds. */
function percentilesMs(histogram: Histogram): LatencyMs {
  const ms = (nanoseconds: number): number => Math.round(nanoseconds / 100) / 1e4;
  const at = (percentile: number): number => ms(histogram.getValueAtPercentile(percentile));
  return {
    count: histogram.totalCount,
    mean: ms(histogram.mean),
    p50: at(50),
    p90: at(90),
    p99: at(99),
    p999: at(99.9),
    max: ms(histogram.maxValue),
  };
}

/** Merges the histograms of valid runs; `null` when there is none. */
export function mergeLatency(
  runs: readonly LoadResult[],
): { latencyMs: LatencyMs; histogram: string } | null {
  let merged: Histogram | null = null;
  for (const run of runs) {
    if (!run.isValid || run.latencyHistogram === undefined || run.latencyHistogram === "") continue;
    const histogram = decodeFromCompressedBase64(run.latencyHistogram);
    if (merged === null) merged = histogram;
    else merged.add(histogram);
  }
  if (merged === null) return null;
  return { latencyMs: percentilesMs(merged), histogram: encodeIntoCompressedBase64(merged) };
}
