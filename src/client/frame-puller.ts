/**
 * Answers read straight from a socket into one buffer, size prefix and all, without a copy: the buffer of the last answer is the place for
 * the next one, where the owner gives it back.
 *
 * A read asks for as much as there is room until the size is known, and then for no more than the frame. What is missing after a read that
 * found less than it asked for is waited for in one piece, as far as the kernel will hold it.
 *
 * No sockets and no waiting: both are the owner's, so that only the order of calls matters here.
 */
import { readInt32 } from "#transport/frame-receiver.ts";
import type { AnswerMemory } from "./answer-memory.ts";

/** What a puller works with. Each of the callbacks may close the puller. */
export interface FramePullerOptions {
  readonly memory: AnswerMemory;
  /** Largest frame taken, size prefix excluded. */
  readonly maxFrameBytes: number;
  /** As `DirectReceiver.receive`, from the socket. */
  readonly receive: (into: Uint8Array, at: number, length: number) => number;
  /** Has `onReadable` called once when so many bytes are there; 0 is a frame, of which nothing has come. */
  readonly arm: (lowBytes: number) => void;
  /** A frame, whole, without its size. The bytes stay until the memory is recycled. */
  readonly onFrame: (frame: Uint8Array) => void;
  /** Everything received was handed over, and nothing is waited for yet. */
  readonly onIdle: () => void;
  /** A size that is not possible; nothing more is read. */
  readonly onBadSize: (bytes: number) => void;
  /** The connection has ended or failed; nothing more is read. */
  readonly onEnd: () => void;
}

const SIZE_PREFIX_BYTES = 4;
const FIRST_ROOM_BYTES = 256 * 1024;
/** Most to wait for at once: what the kernel will hold. */
const WAIT_BYTES_MAX = 1024 * 1024;
/** Waits for a frame, whole or most of it. */
const FRAME = 0;

/** See the head of the file. */
export class FramePuller {
  readonly #options: FramePullerOptions;
  #buffer: Uint8Array | null = null;
  #filledBytes = 0;
  #isClosed = false;

  constructor(options: FramePullerOptions) {
    this.#options = options;
  }

  /** Waits for the first answer. */
  begin(): void {
    this.#options.arm(FRAME);
  }

  /** Reads what is there. */
  onReadable(): void {
    while (!this.#isClosed) {
      const { buffer, endBytes } = this.#room();
      const wantedBytes = endBytes - this.#filledBytes;
      const count = this.#options.receive(buffer, this.#filledBytes, wantedBytes);
      if (count < 0) {
        this.#options.onEnd();
        return;
      }
      this.#filledBytes += count;
      if (count > 0) this.#cut();
      if (this.#isClosed) return;
      if (this.#filledBytes === 0) {
        this.#options.onIdle();
        if (!this.#isClosed) this.#options.arm(FRAME);
        return;
      }
      if (count < wantedBytes) {
        this.#options.arm(Math.min(this.#missingBytes(), WAIT_BYTES_MAX));
        return;
      }
    }
  }

  /** Takes bytes that somebody else has read, in their order among all others. The chunk is not kept. */
  take(chunk: Uint8Array): void {
    let at = 0;
    while (at < chunk.length && !this.#isClosed) {
      const { buffer, endBytes } = this.#room();
      const count = Math.min(chunk.length - at, endBytes - this.#filledBytes);
      buffer.set(chunk.subarray(at, at + count), this.#filledBytes);
      this.#filledBytes += count;
      at += count;
      this.#cut();
    }
  }

  /** Ends it. @returns a copy of the beginning of a frame that was received; null for none. */
  close(): Uint8Array | null {
    this.#isClosed = true;
    const buffer = this.#buffer;
    this.#buffer = null;
    if (buffer === null) return null;
    const begun = this.#filledBytes === 0 ? null : buffer.slice(0, this.#filledBytes);
    this.#filledBytes = 0;
    this.#options.memory.release(buffer);
    return begun;
  }

  /** Size of the frame under assembly with its prefix; null while that is unknown. It was found possible when its prefix was complete. */
  #frameEnd(): number | null {
    return this.#buffer === null || this.#filledBytes < SIZE_PREFIX_BYTES
      ? null
      : SIZE_PREFIX_BYTES + readInt32(this.#buffer, 0);
  }

  #missingBytes(): number {
    return (this.#frameEnd() ?? SIZE_PREFIX_BYTES) - this.#filledBytes;
  }

  /** Where the next bytes go, and up to where they may. */
  #room(): { readonly buffer: Uint8Array; readonly endBytes: number } {
    const { memory } = this.#options;
    const frameEnd = this.#frameEnd();
    const old = this.#buffer;
    const wantedBytes = frameEnd ?? SIZE_PREFIX_BYTES;
    if (old !== null && old.length >= wantedBytes) {
      return { buffer: old, endBytes: frameEnd ?? old.length };
    }
    const buffer =
      memory.takeIdle(wantedBytes) ?? memory.take(Math.max(FIRST_ROOM_BYTES, wantedBytes));
    this.#buffer = buffer;
    if (old !== null) {
      buffer.set(old.subarray(0, this.#filledBytes));
      memory.release(old);
    }
    return { buffer, endBytes: frameEnd ?? buffer.length };
  }

  /** Hands over the frames that are whole. What is left begins a buffer. */
  #cut(): void {
    const buffer = this.#buffer;
    if (buffer === null) return;
    const { memory, maxFrameBytes, onFrame, onBadSize } = this.#options;
    const filledBytes = this.#filledBytes;
    let at = 0;
    const frames: Uint8Array[] = [];
    let refusedBytes: number | null = null;
    while (filledBytes - at >= SIZE_PREFIX_BYTES) {
      const frameBytes = readInt32(buffer, at);
      if (frameBytes <= 0 || frameBytes > maxFrameBytes) {
        refusedBytes = frameBytes;
        break;
      }
      const start = at + SIZE_PREFIX_BYTES;
      if (filledBytes - start < frameBytes) break;
      at = start + frameBytes;
      frames.push(buffer.subarray(start, at));
    }
    if (frames.length > 0) {
      this.#buffer = null;
      this.#filledBytes = 0;
      if (frames.length === 1) memory.release(buffer, true);
      else memory.forget(buffer);
      if (at < filledBytes) {
        const rest = buffer.subarray(at, filledBytes);
        this.#buffer = memory.take(Math.max(FIRST_ROOM_BYTES, rest.length));
        this.#buffer.set(rest);
        this.#filledBytes = rest.length;
      }
      for (const frame of frames) onFrame(frame);
    }
    if (refusedBytes === null || this.#isClosed) return;
    this.#isClosed = true;
    onBadSize(refusedBytes);
  }
}
