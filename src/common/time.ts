/**
 * Ports for time and chance. State machines receive these instead of reaching for globals, so that a test or
 * the simulator owns the clock and a run can be replayed from its seed.
 */

/** Wall clock and monotonic clock, in milliseconds. */
export interface Clock {
  /** Milliseconds since the Unix epoch: what goes into records. */
  nowMs(): number;
  /** Monotonic milliseconds (fractional): what deadlines are measured with. */
  monotonicMs(): number;
}

/** Handle of a scheduled callback. Cancelling twice, or after it fired, does nothing. */
export interface Timer {
  cancel(): void;
}

/** One-shot timers. */
export interface Scheduler {
  after(delayMs: number, run: () => void): Timer;
}

/** Source of randomness. */
export interface Random {
  /** Uniform in [0, 1). */
  next(): number;
  /** Fresh 16-byte id in Kafka's base64url form (22 characters). */
  uuid(): string;
}
