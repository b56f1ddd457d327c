/**
 * Sending side of one connection: bytes and file slices leave in the order they were put in.
 *
 * Bytes go straight to the kernel when nothing waits before them; what it does not take is kept and continues on drain.
 * A sliced reply goes to the sender thread, and while that thread owns the socket nothing is written here. Small
 * pieces that wait together leave in one write.
 */
import { freeNow } from "./byte-pool.ts";
import type { SlicedReply, SlicedSender, SocketPort, TransportStatistics } from "./ports.ts";

/** Waiting pieces up to this size are gathered into one write. */
const GATHER_BYTES = 64 * 1024;

/** Memory shared by the connections of a loop for gathering pieces; never holds anything between calls. */
export class GatherBuffer {
  readonly bytes: Uint8Array = new Uint8Array(GATHER_BYTES);
}

/** Reply bytes that wait in memory, counted over the connections of one loop. */
export class UnsentBytes {
  bytes = 0;
  readonly #maxBytes: number;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** True when connections with more than a little should not be read. */
  get isMuch(): boolean {
    return this.bytes > this.#maxBytes / 2;
  }

  /** True when those that add to it have to go. */
  get isTooMuch(): boolean {
    return this.bytes > this.#maxBytes;
  }
}

/** What waits to be sent on one connection. */
export class SendQueue {
  readonly #socket: SocketPort;
  readonly #sender: SlicedSender | null;
  readonly #token: number;
  readonly #gather: GatherBuffer;
  readonly #statistics: TransportStatistics;
  readonly #unsent: UnsentBytes;
  #items: (Uint8Array | SlicedReply)[] = [];
  /** Bytes of the first item that the kernel already took. */
  #sentOfFirstBytes = 0;
  #queuedBytes = 0;
  #isSending = false;
  #isBlocked = false;
  #isClosed = false;

  constructor(
    socket: SocketPort,
    sender: SlicedSender | null,
    token: number,
    gather: GatherBuffer,
    statistics: TransportStatistics,
    unsent: UnsentBytes,
  ) {
    this.#socket = socket;
    this.#sender = sender;
    this.#token = token;
    this.#gather = gather;
    this.#statistics = statistics;
    this.#unsent = unsent;
  }

  /** Bytes kept in memory because the kernel did not take them yet; file slices do not count. */
  get queuedBytes(): number {
    return this.#queuedBytes;
  }

  /** True when nothing waits and no file send is in progress. */
  get isEmpty(): boolean {
    return this.#items.length === 0 && !this.#isSending;
  }

  /** True while the sender thread owns the socket. */
  get isSending(): boolean {
    return this.#isSending;
  }

  /**
   * Sends `bytes`, or as much as the kernel takes now. The bytes may be a view that is overwritten after this returns:
   * a rest is copied.
   *
   * @returns false when the socket is closed.
   */
  sendNow(bytes: Uint8Array, byteLength: number): boolean {
    if (this.#isClosed) return false;
    let sentBytes = 0;
    if (this.isEmpty && !this.#isBlocked) {
      this.#statistics.writesCount++;
      sentBytes = this.#socket.write(bytes, 0, byteLength);
      if (sentBytes < 0) return false;
      if (sentBytes >= byteLength) return true;
      this.#isBlocked = true;
    }
    this.#push(bytes.slice(sentBytes, byteLength));
    return true;
  }

  /** Appends owned bytes without trying to send them: `flush` does. */
  enqueue(bytes: Uint8Array): void {
    if (this.#isClosed) return;
    this.#push(bytes);
  }

  /** Appends a sliced reply; the queue owns its plan from here on. `flush` starts it. */
  enqueueSliced(reply: SlicedReply): void {
    if (this.#isClosed || this.#sender === null) {
      this.#sender?.drop(reply.plan);
      return;
    }
    this.#items.push(reply);
    this.#count(reply.head.length);
  }

  /**
   * Sends what can be sent; without `isGoingOn` only bytes, since a file send would outlive the connection.
   *
   * @returns false when the socket turned out to be closed.
   */
  flush(isGoingOn = true): boolean {
    while (this.#items.length > 0 && !this.#isSending && !this.#isBlocked && !this.#isClosed) {
      const first = this.#items[0] as Uint8Array | SlicedReply;
      if (!(first instanceof Uint8Array)) {
        if (!isGoingOn) return true;
        this.#items.shift();
        this.#count(-first.head.length);
        this.#isSending = true;
        this.#statistics.slicedSendsCount++;
        const status = this.#sender?.send(first, this.#socket.fd, this.#token) ?? -1;
        if (status < 0) return true;
        this.#isSending = false;
        if (status > 0) return false;
        continue;
      }
      if (!this.#writeSome(first)) return false;
    }
    return true;
  }

  /** The kernel takes bytes again. */
  onDrain(): boolean {
    this.#isBlocked = false;
    return this.flush();
  }

  /** The sender thread is done with the socket. @returns false when it failed, so that the connection must close. */
  onSent(status: number): boolean {
    this.#isSending = false;
    if (status !== 0) return false;
    return this.flush();
  }

  /** Gives up everything that waits. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    if (this.#isSending) this.#sender?.cancel(this.#token);
    for (const item of this.#items) {
      if (item instanceof Uint8Array) freeNow(item);
      else this.#sender?.drop(item.plan);
    }
    this.#items = [];
    this.#count(-this.#queuedBytes);
  }

  #push(bytes: Uint8Array): void {
    this.#items.push(bytes);
    this.#count(bytes.length);
  }

  #count(bytes: number): void {
    this.#queuedBytes += bytes;
    this.#unsent.bytes += bytes;
  }

  /** One write from the front of the queue. */
  #writeSome(first: Uint8Array): boolean {
    const items = this.#items;
    const skipBytes = this.#sentOfFirstBytes;
    let source = first;
    let from = skipBytes;
    let length = first.length - skipBytes;
    if (items.length > 1 && length < GATHER_BYTES) {
      const gather = this.#gather.bytes;
      let filledBytes = 0;
      for (let index = 0; index < items.length; index++) {
        const item = items[index] as Uint8Array | SlicedReply;
        if (!(item instanceof Uint8Array)) break;
        const piece = index === 0 && skipBytes > 0 ? item.subarray(skipBytes) : item;
        if (filledBytes + piece.length > GATHER_BYTES) break;
        gather.set(piece, filledBytes);
        filledBytes += piece.length;
      }
      source = gather;
      from = 0;
      length = filledBytes;
    }
    this.#statistics.writesCount++;
    const sentBytes = this.#socket.write(source, from, length);
    if (sentBytes < 0) return false;
    this.#count(-sentBytes);
    let restBytes = sentBytes + skipBytes;
    let wholeCount = 0;
    while (wholeCount < items.length) {
      const item = items[wholeCount] as Uint8Array | SlicedReply;
      if (!(item instanceof Uint8Array) || restBytes < item.length) break;
      restBytes -= item.length;
      wholeCount++;
      freeNow(item);
    }
    if (wholeCount === items.length) this.#items = [];
    else if (wholeCount > 0) items.splice(0, wholeCount);
    this.#sentOfFirstBytes = restBytes;
    if (sentBytes < length) this.#isBlocked = true;
    return true;
  }
}
