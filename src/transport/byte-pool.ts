/**
 * Memory for frames that do not fit into one chunk. A peer announces a frame's size before it has sent a byte of it,
 * so the announcement buys nothing: a frame gets room for what has arrived and a little more, and the room grows with
 * it. All growing frames of a process, whatever thread reads them, share one budget; who finds it empty stops reading and waits in
 * line. A quarter of it is for small buffers alone, so that ordinary requests get through while large ones wait.
 *
 * Finished buffers are kept for the next frame (up to `keepBytes`), because first touching fresh memory costs more than
 * copying into it. An idle buffer of sufficient size may be lent whole: it is already paid for.
 *
 * One frame at a time may exceed the budget. Without that, several half-received frames could hold all of it and none
 * could ever finish.
 *
 * Input that arrived and cannot be taken yet is charged to the same budget. It cannot be refused, since it is there; who holds
 * it when the budget is spent has to go (`isOverfull`).
 */
import { SharedCounters } from "./shared-counters.ts";

const CLASS_BITS_MIN = 10;
const CLASS_BITS_MAX = 30;
/** Buffers up to this size may use the whole budget, larger ones three quarters of it. */
const SMALL_BYTES = 64 * 1024;
/** How often a loop with waiters looks by itself whether there is room: another loop may have given bytes back. */
const LOOK_AGAIN_MS = 20;
/** Memory from this size on is worth giving back by hand. */
const FREE_NOW_BYTES_MIN = 32 * 1024;
/** Waiters woken at a time: when many wait, most would find nothing. */
const WOKEN_COUNT = 16;

/** Limits of a {@link BytePool}. */
export interface BytePoolOptions {
  /** Bytes that frames under assembly may hold together, over all pools that share counters. */
  readonly maxBytes: number;
  /** Bytes of idle buffers this pool keeps for reuse. */
  readonly keepBytes: number;
  /** Counters shared with the pools of other threads; own ones unless given. */
  readonly counters?: SharedCounters;
  /** Number of this pool among those that share counters, from 1. */
  readonly loopId?: number;
}

/** Someone who may wait for bytes: woken once, after which it asks again. */
export interface BytePoolWaiter {
  onBytesAvailable(): void;
}

/** Lends buffers in power-of-two sizes under one budget. */
export class BytePool {
  readonly #maxKib: number;
  readonly #maxLargeKib: number;
  readonly #keepBytes: number;
  readonly #counters: SharedCounters;
  readonly #loopId: number;
  readonly #free: Uint8Array[][] = [];
  readonly #waiters: Set<BytePoolWaiter> = new Set();
  #overdraftHolder: BytePoolWaiter | null = null;
  #usedBytes = 0;
  #idleBytes = 0;
  #lookAgain: ReturnType<typeof setTimeout> | null = null;

  constructor(options: BytePoolOptions) {
    this.#maxKib = Math.floor(options.maxBytes / 1024);
    this.#maxLargeKib = Math.floor((this.#maxKib * 3) / 4);
    this.#keepBytes = options.keepBytes;
    this.#counters = options.counters ?? new SharedCounters();
    this.#loopId = options.loopId ?? 1;
    for (let bits = CLASS_BITS_MIN; bits <= CLASS_BITS_MAX; bits++) this.#free.push([]);
  }

  /** Bytes this pool has lent or charged at the moment. */
  get usedBytes(): number {
    return this.#usedBytes;
  }

  /** Bytes of idle buffers held for reuse. */
  get idleBytes(): number {
    return this.#idleBytes;
  }

  /** True while somebody of this loop waits for room. */
  get hasWaiters(): boolean {
    return this.#waiters.size > 0;
  }

  /** True when what is lent and charged exceeds the budget, the one overdraft aside. */
  get isOverfull(): boolean {
    return this.#counters.usedKib - this.#counters.overdraftKib > this.#maxKib;
  }

  /** An idle buffer of at least `bytes`, or null when there is none: never allocates. */
  takeIdle(bytes: number): Uint8Array | null {
    const index = classIndex(bytes);
    // Two classes up at most: a small frame must not sit on a large buffer.
    for (let at = index; at < this.#free.length && at <= index + 1; at++) {
      const size = 1 << (at + CLASS_BITS_MIN);
      if (this.#counters.usedKib + (size >> 10) > this.#limitKib(size)) return null;
      const buffer = this.#free[at]?.pop();
      if (buffer === undefined) continue;
      this.#idleBytes -= buffer.length;
      this.#use(buffer.length);
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
    if (this.#counters.usedKib + (size >> 10) > this.#limitKib(size)) {
      if (this.#overdraftHolder !== waiter && !this.#tryOverdraw(waiter)) {
        this.#waiters.add(waiter);
        this.#lookAgain ??= setTimeout(() => this.#onLookAgain(), LOOK_AGAIN_MS);
        return null;
      }
      this.#counters.setOverdraftKib(size >> 10);
    }
    const idle = this.#free[index]?.pop();
    if (idle !== undefined) this.#idleBytes -= idle.length;
    this.#use(size);
    return idle ?? new Uint8Array(Buffer.allocUnsafeSlow(size).buffer);
  }

  /**
   * Takes a buffer back. With `isRetained` somebody still holds a view of its bytes: it leaves the budget but is not
   * lent again.
   */
  release(buffer: Uint8Array, isRetained = false): void {
    this.#use(-buffer.length);
    if (!isRetained && this.#idleBytes + buffer.length <= this.#keepBytes) {
      this.#free[classIndex(buffer.length)]?.push(buffer);
      this.#idleBytes += buffer.length;
    } else if (!isRetained) freeNow(buffer);
    this.#wake();
  }

  /** Counts bytes that are held elsewhere, whole KiB: input that arrived and cannot be taken yet. */
  charge(bytes: number): void {
    this.#use(bytes);
  }

  /** Ends a charge of as many bytes. */
  uncharge(bytes: number): void {
    this.#use(-bytes);
    this.#wake();
  }

  /** Forgets a waiter: its frame is finished or its connection is gone. */
  leave(waiter: BytePoolWaiter): void {
    this.#waiters.delete(waiter);
    if (this.#overdraftHolder === waiter) {
      this.#overdraftHolder = null;
      this.#counters.endOverdraft(this.#loopId);
      this.#wake();
    }
  }

  /** Frees the idle buffers and stops looking for bytes of other loops. */
  close(): void {
    if (this.#lookAgain !== null) clearTimeout(this.#lookAgain);
    this.#lookAgain = null;
    for (const buffers of this.#free) buffers.length = 0;
    this.#idleBytes = 0;
  }

  #limitKib(size: number): number {
    return size <= SMALL_BYTES ? this.#maxKib : this.#maxLargeKib;
  }

  #tryOverdraw(waiter: BytePoolWaiter): boolean {
    if (this.#overdraftHolder !== null || !this.#counters.tryOverdraw(this.#loopId)) return false;
    this.#overdraftHolder = waiter;
    return true;
  }

  #use(bytes: number): void {
    this.#usedBytes += bytes;
    this.#counters.addUsedKib(bytes / 1024);
  }

  #onLookAgain(): void {
    this.#lookAgain = null;
    this.#wake();
    if (this.#waiters.size > 0)
      this.#lookAgain = setTimeout(() => this.#onLookAgain(), LOOK_AGAIN_MS);
  }

  #wake(): void {
    if (this.#waiters.size === 0) return;
    let count = 0;
    for (const waiter of this.#waiters) {
      if (count++ === WOKEN_COUNT) return;
      this.#waiters.delete(waiter);
      waiter.onBytesAvailable();
    }
  }
}

/**
 * Gives back the memory of a large chunk at once: many of them may come in one turn of the loop, long before anybody
 * collects garbage. Nothing may look at the chunk any more.
 */
export function freeNow(chunk: Uint8Array): void {
  // Asking a small array for its buffer would allocate one.
  if (chunk.length < FREE_NOW_BYTES_MIN) return;
  const { buffer } = chunk;
  if (buffer.byteLength !== chunk.length) return;
  if (buffer instanceof ArrayBuffer) buffer.transfer(0);
}

/** What to charge for a piece of input: whole KiB, since that is what the counters count. */
export function chargedBytes(bytes: number): number {
  return Math.ceil(bytes / 1024) * 1024;
}

function classIndex(bytes: number): number {
  const bits = 32 - Math.clz32(Math.max(bytes, 1) - 1);
  return Math.max(bits, CLASS_BITS_MIN) - CLASS_BITS_MIN;
}
