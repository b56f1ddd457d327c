/** A connection as a handler of frames uses it; remembers what happened, in `events` by name. */
import type { FrameConnection, ReplyTarget, SlicedReply } from "#transport/ports.ts";

/** See the head of the file. */
export class FakeConnection implements FrameConnection {
  readonly id: number = 1;
  readonly address: FrameConnection["address"] = {
    listenerName: "PLAINTEXT",
    localHost: "127.0.0.1",
    localPort: 9092,
    clientHost: "10.0.0.9",
    clientPort: 50000,
  };
  attachment: unknown = null;
  isClosed: boolean = false;
  readonly canSendSlices: boolean = true;
  readonly events: string[] = [];
  readonly replies: Uint8Array[] = [];
  readonly sliced: SlicedReply[] = [];

  reply(bytes: Uint8Array): void {
    this.events.push("reply");
    this.replies.push(bytes.slice());
  }

  replySliced(reply: SlicedReply): void {
    this.events.push("sliced");
    this.sliced.push(reply);
  }

  replyNothing(): void {
    this.events.push("nothing");
  }

  defer(isPipelined: boolean): ReplyTarget {
    this.events.push(isPipelined ? "defer pipelined" : "defer");
    return this;
  }

  close(): void {
    this.events.push("close");
    this.isClosed = true;
  }

  reset(): void {
    this.events.push("reset");
    this.isClosed = true;
  }
}
