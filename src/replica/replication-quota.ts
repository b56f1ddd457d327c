/**
 * How many bytes a second a broker may send to, or fetch for, replicas that are throttled (KIP-73): `leader.replication.throttled.rate`
 * and `follower.replication.throttled.rate`. As Kafka's, it is looked at before and counted after: who is over the limit is left out
 * of the next answers until the average over the windows is below again.
 *
 * The windows are in memory that threads share, since any of them may answer a follower.
 *
 * ```
 *   word 0       limit, bytes a second; NO_LIMIT for none
 *   then for each window, at number (time / width) mod count:
 *     word       start of the window, ms
 *     word       bytes
 * ```
 */

/** The limit while there is none. */
const NO_LIMIT = 0x7fff_ffff_ffff_ffffn;
const WINDOW_WORDS = 2;
const WORD_BYTES = 8;

/** How the rate is measured. */
export interface QuotaWindows {
  /** `replication.quota.window.num` */
  readonly count: number;
  /** `replication.quota.window.size.seconds`, as ms. */
  readonly widthMs: number;
}

/** Kafka's defaults. */
export const DEFAULT_QUOTA_WINDOWS: QuotaWindows = { count: 11, widthMs: 1_000 };

/** See the head of the file. Threads that share a quota give it times of one clock. */
export class ReplicationQuota {
  /** What another thread needs for a view of the same quota: `new ReplicationQuota(windows, memory)`. */
  readonly memory: SharedArrayBuffer;
  readonly #windows: QuotaWindows;
  readonly #words: BigInt64Array;

  constructor(
    windows: QuotaWindows = DEFAULT_QUOTA_WINDOWS,
    memory: SharedArrayBuffer = newMemory(windows),
  ) {
    this.#windows = windows;
    this.memory = memory;
    this.#words = new BigInt64Array(memory);
  }

  /** Bytes a second that are allowed, infinity for any number. */
  get limit(): number {
    const limit = Atomics.load(this.#words, 0);
    return limit === NO_LIMIT ? Number.POSITIVE_INFINITY : Number(limit);
  }

  set limit(bytesPerSecond: number) {
    const isFinite = bytesPerSecond < Number.MAX_SAFE_INTEGER;
    Atomics.store(this.#words, 0, isFinite ? BigInt(Math.max(0, bytesPerSecond)) : NO_LIMIT);
  }

  /** Counts bytes that went to or came for throttled replicas. */
  record(bytes: number, nowMs: number): void {
    const words = this.#words;
    const { widthMs } = this.#windows;
    const startMs = BigInt(Math.floor(nowMs / widthMs) * widthMs);
    const at = this.#place(nowMs);
    // Two threads that begin a window at once may lose what one of them counted: less than an answer.
    if (Atomics.exchange(words, at, startMs) !== startMs) Atomics.store(words, at + 1, 0n);
    Atomics.add(words, at + 1, BigInt(Math.round(bytes)));
  }

  /** Average of the windows, bytes a second. The first window counts as whole, so that a beginning is no burst. */
  rate(nowMs: number): number {
    const { count, widthMs } = this.#windows;
    const fromMs = (Math.floor(nowMs / widthMs) - count + 1) * widthMs;
    let oldestMs = nowMs;
    let bytes = 0;
    for (let window = 0; window < count; window += 1) {
      const at = 1 + window * WINDOW_WORDS;
      const startMs = Number(Atomics.load(this.#words, at));
      if (startMs < fromMs || startMs > nowMs) continue;
      oldestMs = Math.min(oldestMs, startMs);
      bytes += Number(Atomics.load(this.#words, at + 1));
    }
    return bytes / (Math.max(widthMs, nowMs - oldestMs) / 1_000);
  }

  /** Whether throttled replicas must wait. */
  isExceeded(nowMs: number): boolean {
    const { limit } = this;
    return limit !== Number.POSITIVE_INFINITY && this.rate(nowMs) > limit;
  }

  #place(nowMs: number): number {
    const { count, widthMs } = this.#windows;
    return 1 + (Math.floor(nowMs / widthMs) % count) * WINDOW_WORDS;
  }
}

function newMemory({ count }: QuotaWindows): SharedArrayBuffer {
  const memory = new SharedArrayBuffer((1 + count * WINDOW_WORDS) * WORD_BYTES);
  new BigInt64Array(memory)[0] = NO_LIMIT;
  return memory;
}
