/**
 * Memory for frames that do not fit into one chunk. A peer announces a frame's size before it has sent a byte of it,
 * so the announcement buys nothing: a frame gets room for what has arrived and a little more, and the room grows with
 * it. All growing frames of a process share one budget; who finds it empty stops reading and waits in line.
 *
 * Finished buffers are kept for the next frame (up to `keepBytes`), because first touching fresh memory costs more than
 * copying into it. An idle buffer of sufficient size may be lent whole: it is already paid for.
 *
 * One frame at a time may exceed the budget. Without that, several half-received frames could hold all of it and none
 * could ever finish.
 */

const CLASS_BITS_MIN = 10;
const CLASS_BITS_MAX = 30;

/** Limits of a {@link BytePool}. */
export interface BytePoolOptions {
  /** Bytes that frames under assembly may hold together. */
  readonly maxBytes: number;
  /** Bytes of idle buffers kept for reuse. */
  readonly keepBytes: number;
}

/** Someone who may wait for bytes: woken once, after which it asks again. */
export interface BytePoolWaiter {
  onBytesAvailable(): void;
}

/** Lends buffers in power-of-two sizes under one budget. */
export class BytePool {
  readonly #maxBytes: number;
  readonly #keepBytes: number;
  readonly #free: Uint8Array[][] = [];
  readonly #waiters: Set<BytePoolWaiter> = new Set();
  #overdraftHolder: BytePoolWaiter | null = null;
  #usedBytes = 0;
  #idleBytes = 0;

  constructor(options: BytePoolOptions) {
    this.#maxBytes = options.maxBytes;
    this.#keepBytes = options.keepBytes;
    for (let bits = CLASS_BITS_MIN; bits <= CLASS_BITS_MAX; bits++) this.#free.push([]);
  }

  /** Bytes lent at the moment. */
  get usedBytes(): number {
    return this.#usedBytes;
  }

  /** Bytes of idle buffers held for reuse. */
  get idleBytes(): number {
    return this.#idleBytes;
  }

  /** An idle buffer of at least `bytes`, or null when there is none: never allocates. */
  takeIdle(bytes: number): Uint8Array | null {
    const index = classIndex(bytes);
    // Two classes up at most: a small frame must not sit on a large buffer.
    for (let at = index; at < this.#free.length && at <= index + 1; at++) {
      const size = 1 << (at + CLASS_BITS_MIN);
      if (this.#usedBytes + size > this.#maxBytes) return null;
      const buffer = this.#free[at]?.pop();
      if (buffer === undefined) continue;
      this.#idleBytes -= buffer.length;
      this.#usedBytes += buffer.length;
      return buffer;
    }
    return null;
  }

  /**
   * A buffer of at least `bytes`, or null when the budget is spent: `waiter` is then in line and hears once bytes
   * are back. The first in line gets its buffer beyond the budget instead, one at a time.
   */
  take(bytes: number, waiter: BytePoolWaiter): Uint8Array | null {
    const index = classIndex(bytes);
    const size = 1 << (index + CLASS_BITS_MIN);
    if (this.#usedBytes + size > this.#maxBytes) {
      if (this.#overdraftHolder !== null && this.#overdraftHolder !== waiter) {
        this.#waiters.add(waiter);
        return null;
      }
      this.#overdraftHolder = waiter;
    }
    const idle = this.#free[index]?.pop();
    if (idle !== undefined) this.#idleBytes -= idle.length;
    this.#usedBytes += size;
    return idle ?? new Uint8Array(Buffer.allocUnsafeSlow(size).buffer);
  }

  /**
   * Takes a buffer back. With `isRetained` somebody still holds a view of its bytes: it leaves the budget but is not
   * lent again.
   */
  release(buffer: Uint8Array, isRetained = false): void {
    this.#usedBytes -= buffer.length;
    if (!isRetained && this.#idleBytes + buffer.length <= this.#keepBytes) {
      this.#free[classIndex(buffer.length)]?.push(buffer);
      this.#idleBytes += buffer.length;
    }
    this.#wake();
  }

  /** Forgets a waiter: its frame is finished or its connection is gone. */
  leave(waiter: BytePoolWaiter): void {
    this.#waiters.delete(waiter);
    if (this.#overdraftHolder === waiter) {
      this.#overdraftHolder = null;
      this.#wake();
    }
  }

  #wake(): void {
    if (this.#waiters.size === 0) return;
    const waiting = [...this.#waiters];
    this.#waiters.clear();
    for (const waiter of waiting) waiter.onBytesAvailable();
  }
}

function classIndex(bytes: number): number {
  const bits = 32 - Math.clz32(Math.max(bytes, 1) - 1);
  return Math.max(bits, CLASS_BITS_MIN) - CLASS_BITS_MIN;
}
