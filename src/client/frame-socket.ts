/**
 * The socket of a client connection: bytes out, frames in. Frames are cut by the same receiver that the broker's side uses, so a large
 * answer goes from the kernel straight into a buffer that the next one uses again, where the owner says so with `recycle`.
 */
import { FrameReceiver, ConsumeResult, type FrameMemory } from "#transport/frame-receiver.ts";
import { freeNow } from "#transport/byte-pool.ts";
import type { DirectReceiver } from "#transport/ports.ts";
import type { Address } from "./address.ts";

/** How a socket behaves. */
export interface FrameSocketOptions {
  /** Largest frame taken, size prefix excluded. */
  readonly maxFrameBytes: number;
  /** Reads large answers past the event loop's own buffer; null does without. */
  readonly receiver: DirectReceiver | null;
  /** Called with the descriptor once connected, for the kernel's settings of the socket. */
  readonly configure?: ((fd: number) => void) | undefined;
}

/** Who uses the socket. None is called after `destroy`. */
export interface FrameSocketOwner {
  /** An answer, whole. The bytes stay as they are until `recycle` is called after it, if ever. */
  onFrame(frame: Uint8Array): void;
  /** An answer was announced that is larger than allowed, or of no size at all. */
  onBadSize(bytes: number): void;
  /** The connection has ended; called once. */
  onClosed(reason: string | null): void;
}

type BunSocket = Bun.Socket<FrameSocket> & { readonly fd?: number };

/** Buffers up to this size are kept for the next answer. */
const KEPT_BYTES_MAX = 32 << 20;

/** See the head of the file. */
export class FrameSocket {
  readonly #memory: AnswerMemory = new AnswerMemory();
  readonly #receiver: FrameReceiver;
  readonly #direct: DirectReceiver | null;
  #socket: BunSocket | null = null;
  #owner: FrameSocketOwner | null = null;
  #pending: Uint8Array[] = [];
  #pendingBytes = 0;
  #onSent: (() => void)[] = [];
  /** Of {@link FrameReceiver}, which tells more than is needed here. */
  hasMoreInput = false;

  private constructor({ maxFrameBytes, receiver }: FrameSocketOptions) {
    this.#direct = receiver;
    this.#receiver = new FrameReceiver(this.#memory, this, maxFrameBytes);
  }

  /**
   * Connects. Nothing is received before `start`.
   *
   * @throws Error with a `code` of the system (`ECONNREFUSED`); null when `timeoutMs` passed. Nothing stays open.
   */
  static async open(
    { host, port }: Address,
    timeoutMs: number,
    options: FrameSocketOptions,
  ): Promise<FrameSocket | null> {
    const made = new FrameSocket(options);
    const { promise: late, resolve } = Promise.withResolvers<null>();
    const timer = setTimeout(() => resolve(null), timeoutMs);
    const connecting = Bun.connect<FrameSocket>({
      hostname: host,
      port,
      data: made,
      socket: HANDLERS,
    });
    try {
      const socket: BunSocket | null = await Promise.race([connecting, late]);
      if (socket === null) {
        connecting.then(
          (opened) => opened.terminate(),
          () => {},
        );
        return null;
      }
      socket.setNoDelay(true);
      made.#socket = socket;
      if (socket.fd !== undefined) options.configure?.(socket.fd);
      return made;
    } finally {
      clearTimeout(timer);
    }
  }

  /** Gives everything that comes from now on to `owner`. To be called in the same turn as `open` settles. */
  start(owner: FrameSocketOwner): void {
    this.#owner = owner;
  }

  /** Bytes that wait because the other side takes none. */
  get unsentBytes(): number {
    return this.#pendingBytes;
  }

  /** Sends; the bytes must stay as they are. */
  write(bytes: Uint8Array): void {
    if (this.#socket === null) return;
    const sent = this.#pendingBytes > 0 ? 0 : Math.max(0, this.#socket.write(bytes));
    if (sent === bytes.length) return;
    this.#pending.push(sent === 0 ? bytes : bytes.subarray(sent));
    this.#pendingBytes += bytes.length - sent;
  }

  /** Settles once everything was handed to the system, or never will be. */
  sent(): Promise<void> {
    if (this.#pendingBytes === 0) return Promise.resolve();
    return new Promise((resolve) => this.#onSent.push(resolve));
  }

  /** Says that nobody looks at the last answer any more: its memory may be used for the next one. */
  recycle(): void {
    this.#memory.recycle();
  }

  /** Closes at once, without a call of the owner. */
  destroy(): void {
    this.#owner = null;
    const socket = this.#socket;
    this.#socket = null;
    socket?.terminate();
    this.#end();
  }

  // ---- from the socket ----

  /** @internal */
  onData(chunk: Uint8Array): void {
    const result = this.#receiver.consume(chunk, 0, this);
    if (result === ConsumeResult.BAD_SIZE) this.#owner?.onBadSize(this.#receiver.refusedBytes);
    // Nobody looks at the bytes of a chunk that was copied whole.
    else if (!this.#isChunkKept) freeNow(chunk);
    this.#isChunkKept = false;
  }

  /** @internal */
  onDrain(): void {
    while (this.#pending.length > 0) {
      const bytes = this.#pending[0] as Uint8Array;
      const sent = Math.max(0, this.#socket?.write(bytes) ?? 0);
      this.#pendingBytes -= sent;
      if (sent < bytes.length) {
        this.#pending[0] = bytes.subarray(sent);
        return;
      }
      this.#pending.shift();
    }
    for (const resolve of this.#onSent.splice(0)) resolve();
  }

  /** @internal */
  onClosed(error: Error | null): void {
    const owner = this.#owner;
    this.#owner = null;
    this.#socket = null;
    this.#end();
    owner?.onClosed(error?.message ?? null);
  }

  // ---- from the receiver ----

  #isChunkKept = false;

  /** @internal */
  onFrame(bytes: Uint8Array, start: number, end: number): boolean {
    const isAssembled = this.#memory.isInUse(bytes);
    if (!isAssembled) this.#isChunkKept = true;
    this.#owner?.onFrame(bytes.subarray(start, end));
    return false;
  }

  /** @internal */
  get canTakeFrame(): boolean {
    return this.#owner !== null;
  }

  /** @internal */
  receiveDirect(into: Uint8Array, at: number, length: number): number {
    const fd = this.#socket?.fd;
    return fd === undefined ? 0 : (this.#direct?.receive(fd, into, at, length) ?? 0);
  }

  /** @internal Memory is there at once. */
  onBytesAvailable(): void {}

  #end(): void {
    this.#receiver.release();
    this.#pending = [];
    this.#pendingBytes = 0;
    for (const resolve of this.#onSent.splice(0)) resolve();
  }
}

const HANDLERS: Bun.SocketHandler<FrameSocket> = {
  data: (socket, chunk) => socket.data.onData(chunk),
  drain: (socket) => socket.data.onDrain(),
  close: (socket, error) => socket.data.onClosed(error ?? null),
  error: (socket, error) => socket.data.onClosed(error),
  // Told by the promise as well; without this it would be thrown besides.
  connectError: () => {},
};

/** Memory for answers under assembly: one buffer that is used again and again where answers are given back. */
class AnswerMemory implements FrameMemory {
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
