/**
 * One connection, watched: bytes go out as given, frames come in, and the end of the socket is noted with its kind. Nothing is
 * retried and nothing is interpreted but the four bytes in front of each frame.
 */
import { connect, type Socket } from "node:net";

/** A connection to one broker. */
export class Exchange implements Disposable {
  /** Frames received and not taken, without their sizes. */
  readonly frames: Uint8Array[] = [];
  /** True once the broker ended the connection, in whatever way. */
  isClosed = false;
  readonly #socket: Socket;
  #received: Buffer = Buffer.alloc(0);
  #wake: (() => void) | null = null;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("data", (chunk: Buffer) => this.#take(chunk));
    socket.on("end", () => this.#close());
    socket.on("error", () => this.#close());
    socket.on("close", () => this.#close());
  }

  /** Opens a connection. */
  static connect(address: string): Promise<Exchange> {
    const colon = address.lastIndexOf(":");
    const host = address.slice(0, colon);
    const port = Number(address.slice(colon + 1));
    return new Promise((resolve, reject) => {
      const socket = connect({ host, port, noDelay: true, allowHalfOpen: true });
      socket.once("error", reject);
      socket.once("connect", () => {
        socket.off("error", reject);
        resolve(new Exchange(socket));
      });
    });
  }

  /** Bytes that came in and make no whole frame. */
  get leftoverBytes(): number {
    return this.#received.length;
  }

  write(bytes: Uint8Array): void {
    if (!this.isClosed) this.#socket.write(bytes);
  }

  /** Says that nothing more will be sent. */
  finish(): void {
    this.#socket.end();
  }

  /** Resolves when `isDone` holds, the connection closed, or the time is up; true unless it is the latter. */
  async until(isDone: () => boolean, timeoutMs: number): Promise<boolean> {
    const deadline = performance.now() + timeoutMs;
    while (!isDone() && !this.isClosed) {
      const leftMs = deadline - performance.now();
      if (leftMs <= 0) return false;
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, leftMs);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
      this.#wake = null;
    }
    return true;
  }

  [Symbol.dispose](): void {
    this.#socket.destroy();
  }

  #close(): void {
    this.isClosed = true;
    this.#wake?.();
  }

  #take(chunk: Buffer): void {
    this.#received = this.#received.length === 0 ? chunk : Buffer.concat([this.#received, chunk]);
    while (this.#received.length >= 4) {
      const size = this.#received.readInt32BE(0);
      if (size < 0 || this.#received.length < 4 + size) break;
      this.frames.push(new Uint8Array(this.#received.subarray(4, 4 + size)));
      this.#received = this.#received.subarray(4 + size);
    }
    this.#wake?.();
  }
}
