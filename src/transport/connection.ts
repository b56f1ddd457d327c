/**
 * One client connection: frames in, replies out in the order of their requests.
 *
 * A request that can be answered at once is; its reply is collected with the others of the same data event and leaves
 * in one write. A request that must wait takes a slot, and later replies queue behind it. Whether the next request of
 * the connection may start meanwhile is the handler's to say (`defer(true)`); otherwise what follows waits unread.
 *
 * Nothing here grows without a limit: requests in flight, unsent reply bytes and frames under assembly each have one,
 * and a connection at its limit is not read until it is below again. What it sends then waits in the kernel, and in the
 * client.
 */
import { type BytePool, type BytePoolWaiter, chargedBytes, freeNow } from "./byte-pool.ts";
import { ConsumeResult, type FrameConsumer, FrameReceiver } from "./frame-receiver.ts";
import { LendingRow } from "./lending.ts";
import {
  LaneReason,
  type DirectReceiver,
  type FastLane,
  type FrameConnection,
  type FrameHandler,
  type ReplyTarget,
  type SlicedReply,
  type SlicedSender,
  type SocketPort,
  type TransportEvents,
  type TransportStatistics,
} from "./ports.ts";
import { type GatherBuffer, SendQueue, type UnsentBytes } from "./send-queue.ts";

/** Limits of one connection. */
export interface ConnectionLimits {
  /** Largest frame accepted (`socket.request.max.bytes`). */
  readonly maxFrameBytes: number;
  /** Requests of one connection that may wait for their answer at the same time. */
  readonly maxInFlight: number;
  /** Unsent reply bytes above which the connection is no longer read. */
  readonly maxUnsentBytes: number;
  /** Time that requests sent together may take in a row while other connections wait, ms. */
  readonly turnMs: number;
}

/** What the connections of one loop share. */
export interface ConnectionEnvironment {
  readonly limits: ConnectionLimits;
  readonly pool: BytePool;
  readonly handler: FrameHandler;
  readonly sender: SlicedSender | null;
  readonly receiver: DirectReceiver | null;
  /** Where busy connections go; null where there is none. */
  readonly lane: FastLane | null;
  readonly gather: GatherBuffer;
  readonly statistics: TransportStatistics;
  readonly events?: TransportEvents | null;
  /** False while the broker is not ready: connections are accepted and not read. */
  readonly isServing: boolean;
  /** Runs `connection.flush()` once the current burst of work is over. */
  scheduleFlush(connection: Connection): void;
  /** Runs `connection.flush()` once the sockets that are readable now have been read. */
  scheduleFlushAfterTurn(connection: Connection): void;
  /** True while many connections are answered in one turn of the loop: small replies then leave together at its end. */
  isBurst: boolean;
  /** A reply left by itself. */
  noteSingleReply(): void;
  /**
   * Makes room where there is too much input in memory: closes those who hold some and have been silent the longest.
   *
   * @returns false when there still is too much: `connection` has to go itself.
   */
  makeRoom(connection: Connection): boolean;
  /** The connection holds a good deal of input now. */
  noteHolder(connection: Connection): void;
  /** True while connections wait for their next turn: who comes anew gets one request then. */
  readonly hasBacklog: boolean;
  /** Runs `connection.continueTurn()` once the others have had theirs. */
  scheduleNextTurn(connection: Connection): void;
  /** Reply bytes that wait in memory, over the connections of this loop. */
  readonly unsent: UnsentBytes;
}

/** Addresses of a connection, fixed when it was accepted. */
export interface ConnectionAddress {
  readonly listenerName: string;
  readonly localHost: string;
  readonly localPort: number;
  readonly clientHost: string;
  readonly clientPort: number;
}

/** Input up to this size may be held also when the budget for it is spent: less is hardly a chunk. */
const HELD_BYTES_FREE = 4096;
/** Unsent bytes a connection may always have. When all together have too many, it is not read with more, and cut with much more. */
const UNSENT_BYTES_FREE = 64 * 1024;

/** After a larger chunk the runtime may read on at once: the connection is lent when the turn is over. */
const LENDING_CHUNK_BYTES = 32 * 1024;
/** Most input that goes along with a connection. */
const LENDING_BYTES_MAX = 1 << 20;

const PRODUCE_KEY = 0;

/** Larger replies leave at once even in a burst: one write for them is no waste. */
const MAX_DEFERRED_BYTES = 4096;

const SlotState = { WAITING: 0, BYTES: 1, SLICED: 2, NOTHING: 3 } as const;

/** Place of one reply in the order of replies. */
export class ReplySlot implements ReplyTarget {
  readonly #connection: Connection;
  readonly isPipelined: boolean;
  /** @internal */ state: number = SlotState.WAITING;
  /** @internal */ bytes: Uint8Array | null = null;
  /** @internal */ sliced: SlicedReply | null = null;

  constructor(connection: Connection, isPipelined: boolean) {
    this.#connection = connection;
    this.isPipelined = isPipelined;
  }

  /** False once the connection is gone: whoever still works for it may stop. */
  get isWanted(): boolean {
    return !this.#connection.isClosed;
  }

  /** Answers with a frame (size prefix included). The bytes are copied. */
  reply(bytes: Uint8Array): void {
    if (this.state !== SlotState.WAITING) return;
    this.state = SlotState.BYTES;
    this.bytes = this.#connection.isClosed ? null : bytes.slice();
    this.#connection.settle();
  }

  /** Answers with file slices; the connection owns the plan from here on. */
  replySliced(reply: SlicedReply): void {
    if (this.state !== SlotState.WAITING || this.#connection.isClosed) {
      this.#connection.dropPlan(reply.plan);
      return;
    }
    this.state = SlotState.SLICED;
    this.sliced = reply;
    this.#connection.settle();
  }

  /** Settles without sending anything (Produce with acks=0). */
  replyNothing(): void {
    if (this.state !== SlotState.WAITING) return;
    this.state = SlotState.NOTHING;
    this.#connection.settle();
  }

  /** Closes the connection instead of answering. */
  close(): void {
    this.#connection.close();
  }
}

/** One accepted connection. */
export class Connection implements FrameConnection, FrameConsumer, BytePoolWaiter {
  readonly id: number;
  readonly address: ConnectionAddress;
  /** Whatever the frame handler keeps per connection. */
  attachment: unknown = null;
  /** Set by the receiver while a data event is being worked off. */
  hasMoreInput = false;
  /** Coarse time of the last byte in or out, ms; maintained with the transport's tick. */
  lastActivityMs = 0;
  /** Coarse time at which the frame under assembly began, or -1. Time in which it waited for room is not counted. */
  frameStartedMs = -1;
  /** Bytes of the frame under assembly when the transport last looked, for the rate while memory is short. */
  lastMidFrameBytes = 0;
  /** Looks in a row at which those had hardly grown. */
  slowLookCount = 0;
  /** Coarse time since which nothing that waits to be sent has moved, or -1. */
  stalledSinceMs = -1;
  /** What the kernel said was acknowledged when the transport last looked. */
  lastAcknowledgedBytes = -1;

  readonly #environment: ConnectionEnvironment;
  readonly #socket: SocketPort;
  readonly #receiver: FrameReceiver;
  readonly #queue: SendQueue;
  #slots: ReplySlot[] = [];
  /** Input that arrived while the connection could not take it. */
  #held: Uint8Array[] = [];
  #heldPosition = 0;
  /** Bytes of held input that are charged to the pool. */
  #chargedBytes = 0;
  #turnStartedMs = 0;
  #isTurnOver = false;
  #isContinuing = false;
  #isThrottled = false;
  #isPaused = false;
  #isWaitingForRoom = false;
  #isBlockedByRequest = false;
  #isInEvent = false;
  #isFlushScheduled = false;
  #isClosed = false;
  #isClosingAfterReplies = false;
  #corked: Uint8Array;
  #corkedBytes = 0;
  readonly #row: LendingRow = new LendingRow();
  #isLent = false;

  constructor(
    id: number,
    address: ConnectionAddress,
    socket: SocketPort,
    environment: ConnectionEnvironment,
  ) {
    this.id = id;
    this.address = address;
    this.#socket = socket;
    this.#environment = environment;
    this.#receiver = new FrameReceiver(environment.pool, this, environment.limits.maxFrameBytes);
    this.#queue = new SendQueue(
      socket,
      environment.sender,
      id,
      environment.gather,
      environment.statistics,
      environment.unsent,
    );
    this.#corked = environment.gather.bytes;
  }

  /** True once the connection is closed, by either side. */
  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** True when file slices can be sent on this connection. */
  get canSendSlices(): boolean {
    return this.#environment.sender !== null && this.#socket.fd >= 0;
  }

  /** Reply bytes that wait in memory. */
  get unsentBytes(): number {
    return this.#queue.queuedBytes + this.#corkedBytes;
  }

  /** True while something waits to be sent, in memory or as file slices. */
  get isSending(): boolean {
    return !this.#queue.isEmpty;
  }

  /** The socket's descriptor, for questions to the kernel; negative where there is none. */
  get fd(): number {
    return this.#socket.fd;
  }

  /** Requests that wait for their answer. */
  get inFlightCount(): number {
    return this.#slots.length;
  }

  /** True when no request is in flight and nothing waits to be sent. */
  get isQuiet(): boolean {
    return (
      this.#slots.length === 0 && this.#corkedBytes === 0 && this.#queue.isEmpty && !this.#isLent
    );
  }

  /** True while the fast lane has it: nothing here may touch the socket, and no deadline applies. */
  get isLent(): boolean {
    return this.#isLent;
  }

  /** True while bytes of an incomplete frame are held. */
  get isMidFrame(): boolean {
    return this.#receiver.isMidFrame;
  }

  /** Bytes received of the frame under assembly. */
  get midFrameBytes(): number {
    return this.#receiver.filledBytes;
  }

  /** True when it is the client that we wait for, not the other way round. */
  get isReading(): boolean {
    return !this.#isPaused;
  }

  get canTakeFrame(): boolean {
    return (
      !this.#isClosed &&
      this.#environment.isServing &&
      !this.#isBlockedByRequest &&
      !this.#isClosingAfterReplies &&
      !this.#isTurnOver &&
      !this.#isThrottled &&
      // Its row is long enough: it is lent as soon as what is under way is answered.
      (this.#slots.length === 0 || !this.#row.isLongEnough) &&
      this.#slots.length < this.#environment.limits.maxInFlight &&
      this.unsentBytes <= this.#unsentLimit
    );
  }

  /** Unsent bytes with which the connection is still read: few when all together have too many. */
  get #unsentLimit(): number {
    const { unsent, limits } = this.#environment;
    return unsent.isMuch
      ? Math.min(UNSENT_BYTES_FREE, limits.maxUnsentBytes)
      : limits.maxUnsentBytes;
  }

  /** Takes no request before `resumeThrottled`. */
  throttle(): void {
    this.#isThrottled = true;
    this.#pause();
  }

  /** Ends `throttle`. */
  resumeThrottled(): void {
    this.#isThrottled = false;
    this.#scheduleFlush();
  }

  // ---- from the socket ----

  /** A chunk arrived; it belongs to the connection. */
  onData(chunk: Uint8Array, nowMs: number): void {
    if (this.#isClosed) return;
    if (this.#isLent) {
      // Read by the runtime after it was told to pause: nobody knows what the lane has read since.
      this.close();
      return;
    }
    this.#environment.statistics.receivedBytes += chunk.length;
    this.#take(chunk, nowMs);
    if (chunk.length <= LENDING_CHUNK_BYTES) this.#lend();
    else if (this.#row.isLongEnough && !this.#isFlushScheduled && !this.#isClosed) {
      this.#isFlushScheduled = true;
      this.#environment.scheduleFlushAfterTurn(this);
    }
  }

  /** Takes input, from the socket or from the lane. */
  #take(chunk: Uint8Array, nowMs: number): void {
    this.lastActivityMs = nowMs;
    if (this.#held.length > 0 || this.#isWaitingForRoom || !this.canTakeFrame) {
      this.#held.push(chunk);
      this.#pause();
      this.#charge(chunk.length);
      return;
    }
    this.#isInEvent = true;
    const framesCount = this.#environment.statistics.framesCount;
    this.#consume(chunk, 0, false);
    this.#endEvent();
    // Nobody looks at the bytes of a chunk that was copied, or dropped, as a whole.
    if (framesCount === this.#environment.statistics.framesCount && this.#held.length === 0) {
      freeNow(chunk);
      if (chunk.length > HELD_BYTES_FREE && !this.#isClosed) this.#environment.noteHolder(this);
    }
    this.#turnStartedMs = 0;
    this.frameStartedMs = this.#receiver.isMidFrame
      ? this.frameStartedMs < 0
        ? nowMs
        : this.frameStartedMs
      : -1;
  }

  /** Goes to the fast lane after a row of requests that it might have served, when none is under way. */
  #lend(): void {
    const { lane } = this.#environment;
    if (lane === null || !this.#row.isLongEnough || !this.isQuiet || !this.canTakeFrame) return;
    if (this.#isFlushScheduled || this.#isWaitingForRoom || this.#socket.fd < 0) return;
    // Who sends ahead is never between two frames: what is there of the next ones goes along.
    const input = this.#unconsumed();
    if (input === null) {
      this.#row.onReturned();
      return;
    }
    if (!this.#isPaused) this.#socket.pause();
    this.#isPaused = true;
    this.#isLent = true;
    if (lane.adopt(this.id, this.#socket.fd, input)) {
      this.#receiver.release();
      this.#held = [];
      this.#heldPosition = 0;
      this.#uncharge(this.#chargedBytes);
      this.frameStartedMs = -1;
      return;
    }
    this.#isLent = false;
    this.#row.onReturned();
    this.#scheduleFlush();
  }

  /** What was received and not consumed; null where that is too much to go along. */
  #unconsumed(): Uint8Array | null {
    if (this.#receiver.filledBytes > LENDING_BYTES_MAX) return null;
    const partial = this.#receiver.partial();
    if (this.#held.length === 0) return partial;
    const pieces = [partial, ...this.#held];
    pieces[1] = (this.#held[0] as Uint8Array).subarray(this.#heldPosition);
    const bytes = pieces.reduce((sum, { length }) => sum + length, 0);
    if (bytes > LENDING_BYTES_MAX) return null;
    const all = new Uint8Array(bytes);
    let at = 0;
    for (const piece of pieces) {
      all.set(piece, at);
      at += piece.length;
    }
    return all;
  }

  /** The fast lane is done with it. `input` and `output` belong to the connection. */
  onReturned(reason: LaneReason, input: Uint8Array, output: Uint8Array, nowMs: number): void {
    if (this.#isClosed || !this.#isLent) return;
    this.#isLent = false;
    this.lastActivityMs = nowMs;
    this.#row.onReturned();
    if (
      reason === LaneReason.FAILED ||
      reason === LaneReason.BROKEN ||
      reason === LaneReason.SEND_DEADLINE
    ) {
      this.#socket.terminate();
      this.onSocketClosed();
      return;
    }
    if (output.length > 0) this.#queue.enqueue(output);
    this.#scheduleFlush();
    if (input.length > 0) this.#take(input, nowMs);
  }

  /** The kernel takes bytes again. */
  onDrain(nowMs: number): void {
    if (this.#isClosed) return;
    if (this.#isLent) return;
    this.lastActivityMs = nowMs;
    this.stalledSinceMs = -1;
    if (!this.#queue.onDrain()) this.close();
    else this.#afterSending();
  }

  /** The sender thread finished the slices of this connection. */
  onSent(status: number, nowMs: number): void {
    this.lastActivityMs = nowMs;
    this.stalledSinceMs = -1;
    if (this.#isClosed) return;
    if (!this.#queue.onSent(status)) this.close();
    else this.#afterSending();
  }

  /** The socket is gone: forgets everything. */
  onSocketClosed(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#leaveLane();
    this.#receiver.release();
    this.#queue.close();
    for (const slot of this.#slots) {
      if (slot.sliced !== null) this.dropPlan(slot.sliced.plan);
      slot.sliced = null;
      slot.bytes = null;
    }
    this.#slots = [];
    this.#held = [];
    this.#uncharge(this.#chargedBytes);
    this.#corkedBytes = 0;
    this.#environment.handler.onClose(this);
  }

  /** The byte pool has room again. */
  onBytesAvailable(): void {
    if (!this.#isWaitingForRoom) return;
    this.#isWaitingForRoom = false;
    this.#scheduleFlush();
  }

  /** @internal The others have had their turn: this connection goes on with what it holds. */
  continueTurn(): void {
    this.#isTurnOver = false;
    if (this.#isClosed) return;
    this.#isContinuing = true;
    this.#turnStartedMs = performance.now();
    this.#afterSending();
    this.#isContinuing = false;
  }

  /** @internal True while the frame under assembly waits for room: the client cannot help that. */
  get isWaitingForRoom(): boolean {
    return this.#isWaitingForRoom;
  }

  // ---- from the frame handler, during onFrame ----

  /** Answers the current frame. `bytes` (a whole frame with its size prefix) may be reused after the call. */
  reply(bytes: Uint8Array): void {
    if (this.#isClosed) return;
    if (this.#slots.length > 0) {
      const slot = new ReplySlot(this, true);
      slot.state = SlotState.BYTES;
      slot.bytes = bytes.slice();
      this.#slots.push(slot);
      return;
    }
    this.#emit(bytes);
  }

  /** Answers the current frame with file slices; the connection owns the plan from here on. */
  replySliced(reply: SlicedReply): void {
    if (this.#isClosed) {
      this.dropPlan(reply.plan);
      return;
    }
    if (this.#slots.length > 0) {
      const slot = new ReplySlot(this, true);
      slot.state = SlotState.SLICED;
      slot.sliced = reply;
      this.#slots.push(slot);
      return;
    }
    this.#uncork();
    this.#queue.enqueueSliced(reply);
    this.#scheduleFlush();
  }

  /** The current frame gets no answer. */
  replyNothing(): void {}

  /** The current frame is answered later; with `isPipelined` the next one may start before. */
  defer(isPipelined: boolean): ReplySlot {
    const slot = new ReplySlot(this, isPipelined);
    this.#slots.push(slot);
    if (!isPipelined) this.#isBlockedByRequest = true;
    return slot;
  }

  #leaveLane(): void {
    if (!this.#isLent) return;
    this.#isLent = false;
    this.#environment.lane?.forget(this.id);
  }

  /** Closes at once; replies that wait are lost. */
  close(): void {
    if (this.#isClosed) return;
    if (this.#isLent) {
      // The lane's duplicate keeps the connection up until its thread lets go of it; the sending half ends now.
      this.#leaveLane();
      this.#socket.shutdown();
      // Its own end is seen only by who reads.
      this.#socket.resume();
    }
    // What was answered before the offending frame still leaves, if the kernel takes it now.
    this.#uncork();
    this.#queue.flush(false);
    if (this.#queue.isEmpty) this.#socket.end();
    else {
      this.#socket.shutdown();
      this.#socket.terminate();
    }
    this.onSocketClosed();
  }

  /** Closes at once, with a reset. */
  reset(): void {
    if (this.#isClosed) return;
    if (this.#isLent) this.#leaveLane();
    this.#socket.terminate();
    this.onSocketClosed();
  }

  /** Takes no further request and closes when the last reply has left. */
  closeAfterReplies(): void {
    if (this.#isClosed) return;
    this.#isClosingAfterReplies = true;
    if (this.#isLent) this.#environment.lane?.takeBack(this.id);
    else if (this.isQuiet) this.close();
    else this.#scheduleFlush();
  }

  // ---- from slots and the transport ----

  /** @internal Moves settled replies from the front of the line to the queue. */
  settle(): void {
    if (this.#isClosed) return;
    const slots = this.#slots;
    let settledCount = 0;
    while (settledCount < slots.length) {
      const slot = slots[settledCount] as ReplySlot;
      if (slot.state === SlotState.WAITING) break;
      if (slot.bytes !== null) {
        this.#uncork();
        this.#queue.enqueue(slot.bytes);
      } else if (slot.sliced !== null) {
        this.#uncork();
        this.#queue.enqueueSliced(slot.sliced);
      }
      slot.bytes = null;
      slot.sliced = null;
      settledCount++;
    }
    if (settledCount === slots.length) this.#slots = [];
    else if (settledCount > 0) slots.splice(0, settledCount);
    if (this.#isBlockedByRequest) {
      this.#isBlockedByRequest = this.#slots.some(
        (slot) => !slot.isPipelined && slot.state === SlotState.WAITING,
      );
    }
    this.#scheduleFlush();
  }

  /** @internal Sends what waits, then takes up input that was held. */
  flush(): void {
    this.#isFlushScheduled = false;
    if (this.#isClosed) return;
    this.#uncork();
    if (!this.#queue.flush()) {
      this.close();
      return;
    }
    if (this.hasExcessUnsent) {
      this.closeForMemory();
      return;
    }
    if (this.#held.length > 0) this.#lend();
    if (this.#isLent) return;
    this.#afterSending();
    this.#lend();
  }

  /** @internal */
  dropPlan(plan: number): void {
    this.#environment.sender?.drop(plan);
  }

  onFrame(bytes: Uint8Array, start: number, end: number): boolean {
    if (this.#isClosed) return true;
    this.#environment.statistics.framesCount++;
    const { lane } = this.#environment;
    // One without a descriptor (TLS) is never lent, and must not wait for it.
    const isCandidate = lane !== null && this.#socket.fd >= 0 && lane.isCandidate(bytes, start);
    const isProduce = isCandidate && bytes[start + 1] === PRODUCE_KEY;
    const isReleased = this.#environment.handler.onFrame(this, bytes, start, end);
    // A Produce may wait also in the lane.
    if (lane !== null) this.#row.note(isCandidate && (this.#slots.length === 0 || isProduce));
    // Only who sends several requests at once is watched: a single one costs no look at the clock.
    if (this.hasMoreInput) {
      const nowMs = performance.now();
      if (this.#turnStartedMs === 0) {
        this.#turnStartedMs = nowMs;
        this.#isTurnOver = this.#environment.hasBacklog && !this.#isContinuing;
      } else if (nowMs - this.#turnStartedMs > this.#environment.limits.turnMs)
        this.#isTurnOver = true;
    }
    return isReleased;
  }

  receiveDirect(into: Uint8Array, at: number, length: number): number {
    const receiver = this.#environment.receiver;
    const fd = this.#socket.fd;
    if (receiver === null || fd < 0) return 0;
    const count = receiver.receive(fd, into, at, length);
    if (count > 0) this.#environment.statistics.receivedBytes += count;
    return count;
  }

  /** @param isCharged - true for input that was held before. */
  #consume(chunk: Uint8Array, start: number, isCharged: boolean): void {
    const result = this.#receiver.consume(chunk, start, this);
    this.hasMoreInput = false;
    if (this.#isClosed) {
      // Closed by a frame: the receiver may have taken a buffer after that.
      this.#receiver.release();
      return;
    }
    switch (result) {
      case ConsumeResult.DONE:
        return;
      case ConsumeResult.STOPPED:
        this.#hold(chunk, isCharged);
        return;
      case ConsumeResult.NO_ROOM:
        this.#isWaitingForRoom = true;
        this.#hold(chunk, isCharged);
        return;
      case ConsumeResult.BAD_SIZE:
        this.#environment.statistics.closedBadFrameCount++;
        this.#environment.events?.onConnectionCut("bad-frame", this.id, this.address.clientHost);
        this.close();
        return;
    }
  }

  #hold(chunk: Uint8Array, isCharged: boolean): void {
    this.#heldPosition = this.#receiver.position;
    this.#held.unshift(chunk);
    this.#pause();
    if (this.#isTurnOver) this.#environment.scheduleNextTurn(this);
    if (!isCharged) this.#charge(chunk.length);
  }

  /** Counts held input. When there is too much of it in all, whoever comes with more has to go. */
  #charge(bytes: number): void {
    const { pool } = this.#environment;
    this.#chargedBytes += chargedBytes(bytes);
    pool.charge(chargedBytes(bytes));
    if (bytes <= HELD_BYTES_FREE) return;
    this.#environment.noteHolder(this);
    if (pool.isOverfull && !this.#environment.makeRoom(this)) this.closeForMemory();
  }

  /** Input this connection holds: what it was sent of a frame, and what it could not take yet. */
  get heldBytes(): number {
    return this.#chargedBytes + (this.#receiver.isMidFrame ? this.#receiver.filledBytes : 0);
  }

  /** Closes because memory is short, and gives back what was held at once. */
  closeForMemory(): void {
    const { statistics, events } = this.#environment;
    statistics.closedMemoryCount++;
    events?.onConnectionCut("memory", this.id, this.address.clientHost);
    const held = this.#held;
    this.close();
    for (const chunk of held) freeNow(chunk);
  }

  #uncharge(bytes: number): void {
    if (bytes === 0) return;
    this.#chargedBytes -= bytes;
    this.#environment.pool.uncharge(bytes);
  }

  #pause(): void {
    if (this.#isPaused || this.#isClosed) return;
    this.#isPaused = true;
    this.#socket.pause();
  }

  /** Collects a reply, or sends it at once when it is the only one of this event. */
  #emit(bytes: Uint8Array): void {
    const length = bytes.length;
    if (this.#environment.isBurst && this.#corkedBytes === 0 && length <= MAX_DEFERRED_BYTES) {
      this.#queue.enqueue(bytes.slice());
      if (!this.#isFlushScheduled) {
        this.#isFlushScheduled = true;
        this.#environment.scheduleFlushAfterTurn(this);
      }
      return;
    }
    if (this.#queue.isEmpty) {
      if (this.#corkedBytes === 0 && (!this.hasMoreInput || length > this.#corked.length)) {
        this.#environment.noteSingleReply();
        if (!this.#queue.sendNow(bytes, length)) this.#socket.terminate();
        return;
      }
      if (this.#isInEvent && this.#corkedBytes + length <= this.#corked.length) {
        this.#corked.set(bytes, this.#corkedBytes);
        this.#corkedBytes += length;
        return;
      }
    }
    this.#uncork();
    this.#queue.enqueue(bytes.slice());
    this.#scheduleFlush();
  }

  #uncork(): void {
    const length = this.#corkedBytes;
    if (length === 0) return;
    this.#corkedBytes = 0;
    if (!this.#queue.sendNow(this.#corked, length)) this.#socket.terminate();
  }

  #endEvent(): void {
    this.#isInEvent = false;
    if (!this.#isClosed) this.#uncork();
  }

  #afterSending(): void {
    if (this.#isClosed) return;
    if (this.#isClosingAfterReplies) {
      if (this.isQuiet) this.close();
      return;
    }
    while (this.#held.length > 0 && !this.#isWaitingForRoom && this.canTakeFrame) {
      const chunk = this.#held.shift() as Uint8Array;
      const position = this.#heldPosition;
      this.#heldPosition = 0;
      this.#isInEvent = true;
      this.#consume(chunk, position, true);
      this.#endEvent();
      if (this.#isClosed) return;
      if (this.#held[0] !== chunk) this.#uncharge(chargedBytes(chunk.length));
    }
    this.#turnStartedMs = 0;
    if (this.#isPaused && this.#held.length === 0 && !this.#isWaitingForRoom && this.canTakeFrame) {
      this.#isPaused = false;
      // Time in which nothing was read does not count against the client.
      this.frameStartedMs = this.#receiver.isMidFrame ? performance.now() : -1;
      this.#socket.resume();
    }
  }

  /** @internal Too much waits to be sent in all, and this connection does not take its share. */
  get hasExcessUnsent(): boolean {
    return this.#environment.unsent.isTooMuch && this.unsentBytes > UNSENT_BYTES_FREE;
  }

  #scheduleFlush(): void {
    if (this.#isFlushScheduled || this.#isClosed) return;
    this.#isFlushScheduled = true;
    this.#environment.scheduleFlush(this);
  }
}
