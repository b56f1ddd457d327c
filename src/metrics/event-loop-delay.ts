/**
 * How late the event loop is: a timer that should fire ten times a second, and by how much it missed. Work that keeps the loop
 * from its sockets keeps it from this timer as well, so the histogram shows what clients feel, at a cost of ten wake-ups a
 * second.
 */
import { LatencyHistograms, type LatencySnapshot } from "#common/latency-histogram.ts";

const INTERVAL_MS = 100;

/** Measures until stopped; does not keep the process alive. */
export class EventLoopDelay {
  readonly #histogram: LatencyHistograms = new LatencyHistograms(1);
  readonly #timer: ReturnType<typeof setInterval>;
  #dueMs: number;

  constructor() {
    this.#dueMs = performance.now() + INTERVAL_MS;
    this.#timer = setInterval(() => this.#onTimer(), INTERVAL_MS);
    this.#timer.unref();
  }

  /** What was measured so far, or null before the first time. */
  snapshot(): LatencySnapshot | null {
    return this.#histogram.snapshot(0);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #onTimer(): void {
    const nowMs = performance.now();
    this.#histogram.record(0, Math.max(0, nowMs - this.#dueMs));
    this.#dueMs = nowMs + INTERVAL_MS;
  }
}
