/** A socket whose kernel is the test: it says how many bytes it takes, and remembers them. */
import type { SlicedReply, SlicedSender, SocketPort } from "#transport/ports.ts";

export class FakeSocket implements SocketPort {
  readonly fd: number = 7;
  /** Bytes the kernel takes before it is full. */
  roomBytes: number = Number.POSITIVE_INFINITY;
  readonly writes: Uint8Array[] = [];
  isPaused = false;
  isEnded = false;

  write(bytes: Uint8Array, byteOffset: number, byteLength: number): number {
    if (this.isEnded) return -1;
    const count = Math.min(this.roomBytes, byteLength);
    this.roomBytes -= count;
    if (count > 0) this.writes.push(bytes.slice(byteOffset, byteOffset + count));
    return count;
  }

  pause(): void {
    this.isPaused = true;
  }

  resume(): void {
    this.isPaused = false;
  }

  shutdown(): void {
    this.isEnded = true;
  }

  terminate(): void {
    this.isEnded = true;
  }

  end(): void {
    this.isEnded = true;
  }

  get sent(): Buffer {
    return Buffer.concat(this.writes);
  }
}

export class FakeSender implements SlicedSender {
  readonly sent: { readonly plan: number; readonly token: number }[] = [];
  readonly dropped: number[] = [];
  /** What `send` returns: -1 as the sender thread takes it, 0 sent at once, else an errno. */
  status = -1;

  send(reply: SlicedReply, _fd: number, token: number): number {
    this.sent.push({ plan: reply.plan, token });
    return this.status;
  }

  readonly cancelled: number[] = [];

  cancel(token: number): void {
    this.cancelled.push(token);
  }

  close(): void {}

  drop(plan: number): void {
    this.dropped.push(plan);
  }
}
