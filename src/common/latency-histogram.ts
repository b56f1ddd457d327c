/**
 * Durations counted in fixed buckets: recording one is an index computed with a few compares and one increment in an array that
 * exists from the start, so it can sit on the path of every request.
 *
 * Buckets are log-linear in base ten: nine to a decade, from 1 µs to 90 s, so that a duration is known to within its first
 * digit and bucket edges are round numbers in seconds. A bucket's upper edge belongs to it, as Prometheus has it. What is longer
 * falls into a last bucket without an edge.
 */

/** Edges of buckets per decade: 1, 2, … 9. */
const STEPS = 9;
/** Decades with edges: 1-9 µs up to 10-90 s. */
const DECADES = 8;
const LAST = STEPS * DECADES;

/** Buckets of a histogram, the last one without an upper edge. */
export const LATENCY_BUCKETS: number = LAST + 1;

/** Upper edge of a bucket in seconds; infinite for the last one. */
export function upperEdgeSeconds(bucket: number): number {
  if (bucket >= LAST) return Number.POSITIVE_INFINITY;
  const decade = Math.floor(bucket / STEPS);
  // Divided, not multiplied: 3 / 1e6 is the number that prints as 0.000003.
  return ((bucket % STEPS) + 1) / 10 ** (6 - decade);
}

/** Bucket of a duration; zero and less fall into the first one. */
export function bucketOf(milliseconds: number): number {
  // The number of whole microseconds begun, minus one: an edge is the last value of its bucket.
  let rest = Math.ceil(milliseconds * 1000 - ROUNDING) - 1;
  if (rest < 9) return rest > 0 ? rest : 0;
  let bucket = STEPS;
  // In units of the decade: 10 … 90 µs are 1 … 9, and so on.
  for (;;) {
    rest = (rest / 10) | 0;
    if (rest < 9) return bucket + (rest > 0 ? rest : 0);
    bucket += STEPS;
    if (bucket >= LAST) return LAST;
  }
}

/** Of a microsecond: differences of clock readings carry noise of that size. */
const ROUNDING = 1e-3;

/** Histograms of one kind of duration, one for each index (an API key, say), in one array. */
export class LatencyHistograms {
  /** Bucket counts, {@link LATENCY_BUCKETS} an index. */
  readonly counts: Float64Array;
  /** Sum of what was recorded, ms, by index. */
  readonly sumsMs: Float64Array;

  constructor(size: number) {
    this.counts = new Float64Array(size * LATENCY_BUCKETS);
    this.sumsMs = new Float64Array(size);
  }

  /** Counts one duration. `index` must be below the size given at the start. */
  record(index: number, milliseconds: number): void {
    const at = index * LATENCY_BUCKETS + bucketOf(milliseconds);
    this.counts[at] = (this.counts[at] as number) + 1;
    this.sumsMs[index] = (this.sumsMs[index] as number) + milliseconds;
  }

  /** Adds durations that were counted elsewhere, in buckets of the same edges. */
  add(index: number, counts: Float64Array, sumMs: number): void {
    for (const [bucket, count] of counts.entries()) {
      const at = index * LATENCY_BUCKETS + bucket;
      this.counts[at] = (this.counts[at] as number) + count;
    }
    this.sumsMs[index] = (this.sumsMs[index] as number) + sumMs;
  }

  /** A copy of one histogram, or null when nothing was recorded in it. */
  snapshot(index: number): LatencySnapshot | null {
    const at = index * LATENCY_BUCKETS;
    const counts = this.counts.slice(at, at + LATENCY_BUCKETS);
    if (counts.every((count) => count === 0)) return null;
    return { counts, sumMs: this.sumsMs[index] as number };
  }
}

/** One histogram at a moment; plain data, so that it can be posted to another thread. */
export interface LatencySnapshot {
  /** By bucket, not cumulated. */
  readonly counts: Float64Array;
  readonly sumMs: number;
}

/** The histogram of both; null stands for an empty one. */
export function addLatency(
  one: LatencySnapshot | null,
  other: LatencySnapshot | null,
): LatencySnapshot | null {
  if (one === null || other === null) return one ?? other;
  return {
    counts: one.counts.map((count, bucket) => count + (other.counts[bucket] as number)),
    sumMs: one.sumMs + other.sumMs,
  };
}
