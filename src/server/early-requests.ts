/**
 * Requests that come before they can be served. A node that is only a broker has one listener, and its peers need that before clients are
 * served: the quorum's messages come there. A client that connects then may not be turned away, since many clients ask another broker only
 * where no connection came about, and tell their caller of one that ended. So its request waits, as it does on any other node that begins
 * and does not read yet: one request of each connection, in bounded memory, until the broker is in service.
 */
import type { FrameConnection, FrameHandler, ReplyTarget, SlicedReply } from "#transport/ports.ts";
import { HEADER_BYTES_MIN, readInt16 } from "./request-header.ts";

/** A longer request does not wait: clients begin with short ones. */
const REQUEST_BYTES_MAX = 1 << 16;
/** All requests that wait, together. */
const TOTAL_BYTES_MAX = 16 << 20;

/** A connection as the request that waited sees it: what answers the frame at hand goes to its place in the order of answers. */
class HeldConnection implements FrameConnection {
  readonly bytes: Uint8Array;
  readonly #connection: FrameConnection;
  readonly #slot: ReplyTarget;

  constructor(connection: FrameConnection, bytes: Uint8Array) {
    this.#connection = connection;
    this.#slot = connection.defer(false);
    this.bytes = bytes;
  }

  get id(): number {
    return this.#connection.id;
  }

  get address(): FrameConnection["address"] {
    return this.#connection.address;
  }

  get attachment(): unknown {
    return this.#connection.attachment;
  }

  set attachment(attachment: unknown) {
    this.#connection.attachment = attachment;
  }

  get isClosed(): boolean {
    return this.#connection.isClosed;
  }

  get canSendSlices(): boolean {
    return this.#connection.canSendSlices;
  }

  defer(): ReplyTarget {
    return this.#slot;
  }

  reply(bytes: Uint8Array): void {
    this.#slot.reply(bytes);
  }

  replySliced(reply: SlicedReply): void {
    this.#slot.replySliced(reply);
  }

  replyNothing(): void {
    this.#slot.replyNothing();
  }

  close(): void {
    this.#connection.close();
  }

  reset(): void {
    this.#connection.reset();
  }
}

/** See the head of the file. Stands before the handler of frames. */
export class EarlyRequests implements FrameHandler {
  readonly #frames: FrameHandler;
  readonly #isServed: (apiKey: number) => boolean;
  /** Null once everything is served. */
  #held: Map<FrameConnection, HeldConnection> | null = new Map();
  #heldBytes = 0;

  /** @param isServed - whether requests of an API are served already. */
  constructor(frames: FrameHandler, isServed: (apiKey: number) => boolean) {
    this.#frames = frames;
    this.#isServed = isServed;
  }

  /** Requests that wait. */
  get heldCount(): number {
    return this.#held?.size ?? 0;
  }

  /** Clients are served from now on: those that waited first. */
  serve(): void {
    const held = this.#held;
    this.#held = null;
    for (const connection of held?.values() ?? [])
      this.#frames.onFrame(connection, connection.bytes, 0, connection.bytes.length);
  }

  onOpen(connection: FrameConnection): void {
    this.#frames.onOpen(connection);
  }

  onClose(connection: FrameConnection): void {
    const held = this.#held?.get(connection);
    if (held !== undefined) {
      this.#held?.delete(connection);
      this.#heldBytes -= held.bytes.length;
    }
    this.#frames.onClose(connection);
  }

  onFrame(connection: FrameConnection, bytes: Uint8Array, start: number, end: number): boolean {
    const length = end - start;
    const held = this.#held;
    if (held === null || length < HEADER_BYTES_MIN || this.#isServed(readInt16(bytes, start)))
      return this.#frames.onFrame(connection, bytes, start, end);
    if (length > REQUEST_BYTES_MAX || this.#heldBytes + length > TOTAL_BYTES_MAX)
      connection.reset();
    else {
      this.#heldBytes += length;
      held.set(connection, new HeldConnection(connection, bytes.slice(start, end)));
    }
    return true;
  }
}
