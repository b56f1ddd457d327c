/** Memory for the answers of one connection. */
import { freeNow } from "#transport/byte-pool.ts";
import type { FrameMemory } from "#transport/frame-receiver.ts";

/** Buffers up to this size are kept for the next answer. */
const KEPT_BYTES_MAX = 32 << 20;

/** Memory for answers under assembly: one buffer that is used again and again where answers are given back. */
export class AnswerMemory implements FrameMemory {
  #inUse: Uint8Array | null = null;
  #lent: Uint8Array | null = null;
  #idle: Uint8Array | null = null;

  isInUse(buffer: Uint8Array): boolean {
    return buffer === this.#inUse;
  }

  takeIdle(bytes: number): Uint8Array | null {
    const idle = this.#idle;
    if (idle === null || idle.length < bytes) return null;
    this.#idle = null;
    this.#inUse = idle;
    return idle;
  }

  take(bytes: number): Uint8Array {
    const size = 2 ** Math.ceil(Math.log2(Math.max(1024, bytes)));
    this.#inUse = new Uint8Array(Buffer.allocUnsafeSlow(size).buffer);
    return this.#inUse;
  }

  release(buffer: Uint8Array, isRetained = false): void {
    if (buffer === this.#inUse) this.#inUse = null;
    if (isRetained) this.#lent = buffer;
    else this.#keep(buffer);
  }

  leave(): void {}

  /** Lets go of a buffer of which several views are in use. */
  forget(buffer: Uint8Array): void {
    if (buffer === this.#inUse) this.#inUse = null;
  }

  recycle(): void {
    const lent = this.#lent;
    this.#lent = null;
    if (lent !== null) this.#keep(lent);
  }

  #keep(buffer: Uint8Array): void {
    const isLarger = buffer.length > (this.#idle?.length ?? 0);
    if (isLarger && buffer.length <= KEPT_BYTES_MAX) {
      if (this.#idle !== null) freeNow(this.#idle);
      this.#idle = buffer;
    } else freeNow(buffer);
  }
}
