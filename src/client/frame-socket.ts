/**
 * The socket of a client connection: bytes out, frames in. Frames are cut by the same receiver that the broker's side uses, so what does
 * not come with the first chunk of a large answer goes from the kernel straight into a buffer that the next one uses again, where the owner
 * says so with `recycle`.
 *
 * While answers are large they are pulled, where that is possible: the event loop is told not to read the socket, and all of an answer goes
 * straight into that buffer (`frame-puller.ts`).
 *
 * ```
 * handed over ──an answer of 64 KiB──► pulled ──eight in a row below 16 KiB──► handed over
 * ```
 */
import { FrameReceiver, ConsumeResult } from "#transport/frame-receiver.ts";
import { freeNow } from "#transport/byte-pool.ts";
import type { DirectReceiver, Readiness, SocketWatch } from "#transport/ports.ts";
import type { Address } from "./address.ts";
import { AnswerMemory } from "./answer-memory.ts";
import { FramePuller } from "./frame-puller.ts";

/** How a socket behaves. */
export interface FrameSocketOptions {
  /** Largest frame taken, size prefix excluded. */
  readonly maxFrameBytes: number;
  /** Reads large answers past the event loop's own buffer; null does without. */
  readonly receiver: DirectReceiver | null;
  /** Tells when there is something to pull; null has every answer handed over. */
  readonly readiness: Readiness | null;
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

// The descriptor, pause and resume exist at run time and are missing from the published types.
type BunSocket = Bun.Socket<FrameSocket> & { readonly fd?: number; pause(): void; resume(): void };

/** An answer of this size has the following ones pulled. */
const PULL_FROM_BYTES = 64 * 1024;
/** So many answers in a row below this size have them handed over by the event loop again, which is sooner told. */
const SMALL_BYTES = 16 * 1024;
const SMALL_COUNT_MAX = 8;

/** See the head of the file. */
export class FrameSocket {
  readonly #memory: AnswerMemory = new AnswerMemory();
  readonly #receiver: FrameReceiver;
  readonly #direct: DirectReceiver | null;
  readonly #readiness: Readiness | null;
  readonly #maxFrameBytes: number;
  #puller: FramePuller | null = null;
  #watch: SocketWatch | null = null;
  #lastFrameBytes = 0;
  #smallCount = 0;
  #socket: BunSocket | null = null;
  #owner: FrameSocketOwner | null = null;
  #pending: Uint8Array[] = [];
  #pendingBytes = 0;
  #onSent: (() => void)[] = [];
  /** Of {@link FrameReceiver}, which tells more than is needed here. */
  hasMoreInput = false;

  private constructor({ maxFrameBytes, receiver, readiness }: FrameSocketOptions) {
    this.#direct = receiver;
    this.#readiness = readiness;
    this.#maxFrameBytes = maxFrameBytes;
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
    // The watch holds the connection open as well.
    this.#end();
    socket?.terminate();
  }

  // ---- from the socket ----

  /** @internal */
  onData(chunk: Uint8Array): void {
    // The loop had read it already, or reads again because a write was cut short. It is in order all the same.
    if (this.#puller !== null) {
      this.#puller.take(chunk);
      return;
    }
    const result = this.#receiver.consume(chunk, 0, this);
    if (result === ConsumeResult.BAD_SIZE) this.#owner?.onBadSize(this.#receiver.refusedBytes);
    // Nobody looks at the bytes of a chunk that was copied whole.
    else if (!this.#isChunkKept) freeNow(chunk);
    this.#isChunkKept = false;
    if (this.#lastFrameBytes >= PULL_FROM_BYTES && !this.#receiver.isMidFrame) this.#startPulling();
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
    this.#lastFrameBytes = end - start;
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

  #startPulling(): void {
    const socket = this.#socket;
    const direct = this.#direct;
    if (socket?.fd === undefined || direct === null || this.#readiness === null) return;
    const { fd } = socket;
    const watch = this.#readiness.watch(fd, () => this.#puller?.onReadable());
    if (watch === null) return;
    socket.pause();
    this.#watch = watch;
    this.#smallCount = 0;
    this.#puller = new FramePuller({
      memory: this.#memory,
      maxFrameBytes: this.#maxFrameBytes,
      receive: (into, at, length) => direct.receive(fd, into, at, length),
      arm: (lowBytes) => {
        if (!watch.arm(lowBytes)) this.#stopPulling();
      },
      onFrame: (frame) => {
        this.#smallCount = frame.length < SMALL_BYTES ? this.#smallCount + 1 : 0;
        this.#owner?.onFrame(frame);
      },
      onIdle: () => {
        if (this.#smallCount >= SMALL_COUNT_MAX) this.#stopPulling();
      },
      onBadSize: (bytes) => this.#owner?.onBadSize(bytes),
      // The loop will find the same and tell it as it always does.
      onEnd: () => this.#stopPulling(),
    });
    this.#puller.begin();
  }

  /** Has the loop read again; what was pulled of an answer goes to the receiver first. */
  #stopPulling(): void {
    const puller = this.#puller;
    if (puller === null) return;
    const begun = puller.close();
    this.#puller = null;
    this.#watch?.close();
    this.#watch = null;
    this.#lastFrameBytes = 0;
    if (begun !== null) this.onData(begun);
    this.#socket?.resume();
  }

  #end(): void {
    this.#puller?.close();
    this.#puller = null;
    this.#watch?.close();
    this.#watch = null;
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
