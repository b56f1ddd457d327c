/**
 * Cuts a byte stream into frames: a four-byte big-endian size, then that many bytes.
 *
 * A frame that lies whole inside a received chunk is handed over where it is. Only a frame that straddles chunks is
 * copied, into a pooled buffer that grows as bytes arrive (see `byte-pool.ts`); the rest of a large one is read directly
 * from the descriptor, which saves a copy. The receiver holds no policy beyond the size limit: the consumer says after
 * each frame whether to go on, and the position reached is returned so that the rest can wait.
 */
import type { BytePoolWaiter } from "./byte-pool.ts";

const SIZE_PREFIX_BYTES = 4;
/** First room for a frame under assembly. */
const FIRST_ROOM_BYTES = 1024;
/** Below this many missing bytes the next chunk brings them anyway; a direct read would be a wasted system call. */
const DIRECT_RECEIVE_MIN_BYTES = 16 * 1024;

/** Why {@link FrameReceiver.consume} returned. */
export const ConsumeResult = {
  /** The chunk is used up. */
  DONE: 0,
  /** The consumer asked to stop; `position` says where to go on. */
  STOPPED: 1,
  /** No room for the frame under assembly; go on at `position` once the pool has bytes. */
  NO_ROOM: 2,
  /** The size is not positive or above the limit: the connection must close. */
  BAD_SIZE: 3,
} as const;
export type ConsumeResult = (typeof ConsumeResult)[keyof typeof ConsumeResult];

/** Takes frames and says whether it will take another. */
export interface FrameConsumer {
  /** Handles `bytes[start, end)`. @returns true when the bytes may be reused as soon as this returns. */
  onFrame(bytes: Uint8Array, start: number, end: number): boolean;
  /** False to stop before the next frame. */
  readonly canTakeFrame: boolean;
  /** True while another whole frame is known to follow in the same chunk. */
  hasMoreInput: boolean;
  /** Reads directly from the socket; 0 or less when there is nothing or no such way. */
  receiveDirect(into: Uint8Array, at: number, length: number): number;
}

/** Where frames are assembled: `BytePool` for the connections of a broker. */
export interface FrameMemory {
  /** A buffer of at least `bytes` that is there already, or null. */
  takeIdle(bytes: number): Uint8Array | null;
  /** A buffer of at least `bytes`, or null: `waiter` is called when there is room. */
  take(bytes: number, waiter: BytePoolWaiter): Uint8Array | null;
  /** Takes a buffer back; with `isRetained` somebody still holds a view of it. */
  release(buffer: Uint8Array, isRetained?: boolean): void;
  /** `waiter` waits no more. */
  leave(waiter: BytePoolWaiter): void;
}

/** Receiving side of one connection. */
export class FrameReceiver {
  /** Where in the chunk the last `consume` stopped. */
  position = 0;
  /** The size that was not possible, after `consume` said so. */
  refusedBytes = 0;
  readonly #pool: FrameMemory;
  readonly #owner: BytePoolWaiter;
  readonly #maxFrameBytes: number;
  #prefixBytes = 0;
  #prefixValue = 0;
  #frameBytes = 0;
  #filledBytes = 0;
  #buffer: Uint8Array | null = null;

  constructor(pool: FrameMemory, owner: BytePoolWaiter, maxFrameBytes: number) {
    this.#pool = pool;
    this.#owner = owner;
    this.#maxFrameBytes = maxFrameBytes;
  }

  /** True while a frame has begun and is not complete. */
  get isMidFrame(): boolean {
    return this.#prefixBytes > 0 || this.#buffer !== null;
  }

  /** Bytes received of the frame under assembly. */
  get filledBytes(): number {
    return this.#filledBytes;
  }

  /** Feeds `chunk[start..]`; frames go to `consumer` in order. The chunk is not kept. */
  consume(chunk: Uint8Array, start: number, consumer: FrameConsumer): ConsumeResult {
    const length = chunk.length;
    let at = start;
    while (at < length) {
      if (this.#buffer !== null) {
        at = this.#fill(chunk, at);
        if (this.#filledBytes < this.#frameBytes) {
          if (at < length) return this.#stop(at, ConsumeResult.NO_ROOM);
          const outcome = this.#fillDirect(consumer);
          if (outcome !== ConsumeResult.DONE || this.#filledBytes < this.#frameBytes) {
            return this.#stop(length, outcome);
          }
        }
        consumer.hasMoreInput = at < length;
        this.#finish(consumer);
        if (!consumer.canTakeFrame && at < length) return this.#stop(at, ConsumeResult.STOPPED);
        continue;
      }
      let frameBytes: number;
      if (this.#prefixBytes === 0 && at + SIZE_PREFIX_BYTES <= length) {
        frameBytes = readInt32(chunk, at);
        at += SIZE_PREFIX_BYTES;
      } else {
        while (this.#prefixBytes < SIZE_PREFIX_BYTES && at < length) {
          this.#prefixValue = (this.#prefixValue << 8) | (chunk[at] as number);
          this.#prefixBytes++;
          at++;
        }
        if (this.#prefixBytes < SIZE_PREFIX_BYTES) break;
        frameBytes = this.#prefixValue;
        this.#prefixBytes = 0;
        this.#prefixValue = 0;
      }
      if (frameBytes <= 0 || frameBytes > this.#maxFrameBytes) {
        this.refusedBytes = frameBytes;
        return this.#stop(at, ConsumeResult.BAD_SIZE);
      }
      if (at + frameBytes <= length) {
        const end = at + frameBytes;
        consumer.hasMoreInput = end < length;
        consumer.onFrame(chunk, at, end);
        at = end;
        if (at < length && !consumer.canTakeFrame) return this.#stop(at, ConsumeResult.STOPPED);
        continue;
      }
      this.#frameBytes = frameBytes;
      this.#filledBytes = 0;
      this.#buffer =
        this.#pool.takeIdle(frameBytes) ??
        this.#pool.take(Math.min(frameBytes, Math.max(FIRST_ROOM_BYTES, length - at)), this.#owner);
      if (this.#buffer === null) {
        // Nothing of the frame is taken: put its size back as a prefix to be read again.
        this.#prefixValue = frameBytes;
        this.#prefixBytes = SIZE_PREFIX_BYTES;
        return this.#stop(at, ConsumeResult.NO_ROOM);
      }
    }
    consumer.hasMoreInput = false;
    this.position = length;
    return ConsumeResult.DONE;
  }

  /** A copy of what is held: the beginning of a frame, from its size on. Fed to `consume` again after `release`, it leads to the same. */
  partial(): Uint8Array {
    const isBegun = this.#buffer !== null;
    const prefixBytes = isBegun ? SIZE_PREFIX_BYTES : this.#prefixBytes;
    const value = isBegun ? this.#frameBytes : this.#prefixValue;
    const filledBytes = isBegun ? this.#filledBytes : 0;
    const bytes = new Uint8Array(prefixBytes + filledBytes);
    for (let at = 0; at < prefixBytes; at++) bytes[at] = value >>> (8 * (prefixBytes - 1 - at));
    if (this.#buffer !== null) bytes.set(this.#buffer.subarray(0, filledBytes), prefixBytes);
    return bytes;
  }

  /** Gives back and forgets what is held. */
  release(): void {
    const buffer = this.#buffer;
    this.#buffer = null;
    this.#prefixBytes = 0;
    this.#prefixValue = 0;
    this.#filledBytes = 0;
    if (buffer !== null) this.#pool.release(buffer);
    this.#pool.leave(this.#owner);
  }

  #stop(at: number, result: ConsumeResult): ConsumeResult {
    this.position = at;
    return result;
  }

  /** Copies from the chunk what belongs to the frame, growing the buffer; stops early when there is no room. */
  #fill(chunk: Uint8Array, from: number): number {
    let at = from;
    while (at < chunk.length && this.#filledBytes < this.#frameBytes) {
      const buffer = this.#buffer as Uint8Array;
      const wantedBytes = Math.min(this.#frameBytes - this.#filledBytes, chunk.length - at);
      const roomBytes = buffer.length - this.#filledBytes;
      if (roomBytes === 0) {
        if (!this.#grow(wantedBytes)) return at;
        continue;
      }
      const count = Math.min(wantedBytes, roomBytes);
      buffer.set(
        at === 0 && count === chunk.length ? chunk : chunk.subarray(at, at + count),
        this.#filledBytes,
      );
      this.#filledBytes += count;
      at += count;
    }
    return at;
  }

  #fillDirect(consumer: FrameConsumer): ConsumeResult {
    while (this.#frameBytes - this.#filledBytes >= DIRECT_RECEIVE_MIN_BYTES) {
      let buffer = this.#buffer as Uint8Array;
      if (buffer.length === this.#filledBytes) {
        if (!this.#grow(1)) return ConsumeResult.NO_ROOM;
        buffer = this.#buffer as Uint8Array;
      }
      const wantedBytes = Math.min(this.#frameBytes, buffer.length) - this.#filledBytes;
      const count = consumer.receiveDirect(buffer, this.#filledBytes, wantedBytes);
      if (count <= 0) return ConsumeResult.DONE;
      this.#filledBytes += count;
      if (count < wantedBytes) return ConsumeResult.DONE;
    }
    return ConsumeResult.DONE;
  }

  /** Moves the frame to a larger buffer: four times what arrived, or what the next chunk needs, never beyond the frame. */
  #grow(moreBytes: number): boolean {
    const old = this.#buffer as Uint8Array;
    const wantedBytes = Math.min(
      this.#frameBytes,
      Math.max(this.#filledBytes * 4, this.#filledBytes + moreBytes),
    );
    const grown =
      this.#pool.takeIdle(this.#frameBytes) ?? this.#pool.take(wantedBytes, this.#owner);
    if (grown === null) return false;
    grown.set(old.subarray(0, this.#filledBytes));
    this.#buffer = grown;
    this.#pool.release(old);
    return true;
  }

  #finish(consumer: FrameConsumer): void {
    const buffer = this.#buffer as Uint8Array;
    const frameBytes = this.#frameBytes;
    this.#buffer = null;
    this.#frameBytes = 0;
    this.#filledBytes = 0;
    const isFree = consumer.onFrame(buffer, 0, frameBytes);
    this.#pool.release(buffer, !isFree);
    this.#pool.leave(this.#owner);
  }
}

/** A big-endian 32-bit integer, signed. */
export function readInt32(bytes: Uint8Array, at: number): number {
  return (
    ((bytes[at] as number) << 24) |
    ((bytes[at + 1] as number) << 16) |
    ((bytes[at + 2] as number) << 8) |
    (bytes[at + 3] as number)
  );
}
