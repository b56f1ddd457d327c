/**
 * Listens, accepts and keeps the connections of one event loop, over Bun's own sockets.
 *
 * All timing is coarse: one ticker a loop looks at every connection about once a second, so no request ever costs a
 * timer. Connections that say nothing for `connections.max.idle.ms` are closed, as are those that begin a frame and
 * do not finish it. The second deadline grows with what has arrived, so a slow link may upload a large frame while
 * a peer that feeds single bytes may not hold one open.
 */
import { BytePool } from "./byte-pool.ts";
import { Connection, type ConnectionEnvironment, type ConnectionLimits } from "./connection.ts";
import {
  LaneReason,
  type DirectReceiver,
  type FastLane,
  type FrameHandler,
  type LaneCounts,
  type LaneHost,
  type LaneOptions,
  type SlicedReply,
  type SlicedSender,
  type SocketPort,
  type ConnectionCut,
  type TransportEvents,
  type TransportStatistics,
} from "./ports.ts";
import { GatherBuffer, UnsentBytes } from "./send-queue.ts";
import { SharedCounters } from "./shared-counters.ts";

const TICK_MS = 1000;
/** Connections answered in one turn from which joining their replies at its end pays. */
const BURST_CONNECTIONS_MIN = 4;
/** Replies that leave by themselves before a turn is tried with all at its end. */
const SINGLE_REPLIES_BEFORE_BURST = 32;
/** A frame under assembly earns a second for each of these. */
const FRAME_PROGRESS_BYTES_PER_SECOND = 16 * 1024;

/** While memory is short, a frame that holds some must grow by this much between two looks, ... */
const SHORTAGE_PROGRESS_BYTES = 64 * 1024;
/** ... or its connection is closed after so many looks in a row. */
const SHORTAGE_LOOKS = 5;
/** New connections that may wait for their turn before more are refused, ms. */
const RATE_WAIT_MAX_MS = 10_000;
const NO_LIMIT = 2147483647;
/** Input from which a connection counts as holding some. */
const HOLDER_BYTES_MIN = 32 * 1024;
/** Time for connections that wait for their next turn, between two looks at the sockets, ms. */
const BACKLOG_MS = 3;

/** Limits on who may connect; may change while the transport runs. They hold for all loops together. */
export interface ConnectionCounts {
  /** Connections at the same time, all listeners together (`max.connections`). */
  readonly maxConnections: number;
  /** Connections from one address (`max.connections.per.ip`). */
  readonly maxConnectionsPerAddress: number;
  /** Exceptions to it by address (`max.connections.per.ip.overrides`). */
  readonly maxConnectionsPerAddressOverrides: ReadonlyMap<string, number>;
  /** New connections a second (`max.connection.creation.rate`): the rest is accepted and not read until it is its turn. */
  readonly maxConnectionsPerSecond: number;
}

/** Limits and deadlines of a transport. */
export interface TransportOptions extends ConnectionLimits, ConnectionCounts {
  /** `socket.send.buffer.bytes`; -1 leaves it to the system. */
  readonly sendBufferBytes: number;
  /** `socket.receive.buffer.bytes`; -1 leaves it to the system. */
  readonly receiveBufferBytes: number;
  /** Idle time after which a connection is closed (`connections.max.idle.ms`); negative for never. */
  readonly idleDeadlineMs: number;
  /** Time a frame may take from its first byte, plus a second for each 16 KiB received. */
  readonly frameDeadlineMs: number;
  /** Time in which something of what waits to be sent must move. */
  readonly sendDeadlineMs: number;
  /** Connections for which there are descriptors. */
  readonly maxConnectionsByDescriptors: number;
  /** Bytes that frames under assembly and held input may take, all loops together. */
  readonly poolBytes: number;
  /** Reply bytes that may wait in memory on this loop. */
  readonly unsentBytes: number;
  /** Memory of the counters that all loops share; absent for a transport on its own. */
  readonly counters?: SharedArrayBuffer;
  /** Number of this loop among them, from 1. */
  readonly loopId?: number;
  /** Bytes of idle frame buffers kept. */
  readonly poolKeepBytes: number;
  /** Memory of this loop's fast lane for frames that arrive in pieces; 0 for no lane (`sluice.fast.lane.enable`). */
  readonly laneBytes?: number;
}

/** Ways past Bun's buffers, supplied by `sendfile.ts`; a transport works without them. */
export interface NativeAssist {
  /** Sets the kernel's buffers of a socket, in bytes; -1 leaves one as it is. */
  setSocketBuffers(fd: number, sendBytes: number, receiveBytes: number): void;
  /** Bytes that the peer has acknowledged so far; -1 when the system does not tell. */
  acknowledgedBytes(fd: number): number;
  readonly receiver: DirectReceiver;
  /** Opens a fast lane; absent where there is none. */
  openLane?(options: LaneOptions, host: LaneHost): FastLane;
  /** Starts the sender; `onSent` is called on this thread for each finished reply. */
  openSender(onSent: (token: number, status: number) => void): SlicedSender;
}

/** Where to listen. */
export interface ListenOptions {
  /** Kafka's listener name, `PLAINTEXT` and the like. */
  readonly listenerName: string;
  /** Address or name to bind; the empty string is every address. */
  readonly hostname: string;
  /** 0 for a free port. */
  readonly port: number;
  /** True when several threads listen on the same port. */
  readonly reusePort?: boolean;
}

/** A bound listener. */
export interface BoundListener {
  readonly listenerName: string;
  readonly hostname: string;
  readonly port: number;
}

interface SocketData {
  connection: Connection | null;
}
// The descriptor, pause and resume exist at run time and are missing from the published types.
type BunSocket = Bun.Socket<SocketData> & { readonly fd?: number; pause(): void; resume(): void };

class BunSocketPort implements SocketPort {
  readonly #socket: BunSocket;

  constructor(socket: BunSocket) {
    this.#socket = socket;
  }

  get fd(): number {
    return this.#socket.fd ?? -1;
  }

  write(bytes: Uint8Array, byteOffset: number, byteLength: number): number {
    return this.#socket.write(bytes, byteOffset, byteLength);
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  shutdown(): void {
    this.#socket.shutdown();
  }

  terminate(): void {
    this.#socket.terminate();
  }

  end(): void {
    this.#socket.end();
  }
}

/** Sockets of one event loop. */
export class Transport {
  readonly statistics: TransportStatistics = {
    acceptedCount: 0,
    refusedCount: 0,
    refusedAddressCount: 0,
    refusedDescriptorsCount: 0,
    refusedRateCount: 0,
    openCount: 0,
    framesCount: 0,
    laneFramesCount: 0,
    receivedBytes: 0,
    writesCount: 0,
    slicedSendsCount: 0,
    laneWaitingCount: 0,
    closedIdleCount: 0,
    closedFrameDeadlineCount: 0,
    closedBadFrameCount: 0,
    closedSendDeadlineCount: 0,
    closedMemoryCount: 0,
  };
  readonly #options: TransportOptions;
  #counts: ConnectionCounts;
  readonly #handler: FrameHandler;
  readonly #assist: NativeAssist | null;
  readonly #events: TransportEvents | null;
  readonly #environment: ConnectionEnvironment & { isServing: boolean; hasBacklog: boolean };
  readonly #connections: Map<number, Connection> = new Map();
  readonly #counters: SharedCounters;
  readonly #listeners: Bun.TCPSocketListener<SocketData>[] = [];
  #dirty: Connection[] = [];
  /** Connections whose replies leave at the end of the turn. */
  #late: Connection[] = [];
  #singleReplyCount = 0;
  #isFlushQueued = false;
  /** Connections that hold input, and some that held it. */
  readonly #holders: Set<Connection> = new Set();
  /** Connections that go on after the others. */
  #nextTurn: Connection[] = [];
  #ticker: ReturnType<typeof setInterval> | null = null;
  #nextId = 1;
  #nowMs = 0;
  #isStopping = false;
  #whenEmpty: (() => void) | null = null;

  constructor(
    options: TransportOptions,
    handler: FrameHandler,
    assist: NativeAssist | null,
    events: TransportEvents | null = null,
  ) {
    this.#options = options;
    this.#counts = options;
    this.#handler = handler;
    this.#nowMs = performance.now();
    this.#assist = assist;
    this.#events = events;
    this.#counters = new SharedCounters(options.counters);
    this.#environment = {
      limits: options,
      pool: new BytePool({
        maxBytes: options.poolBytes,
        keepBytes: options.poolKeepBytes,
        ...(options.counters === undefined ? {} : { counters: this.#counters }),
        loopId: options.loopId ?? 1,
      }),
      unsent: new UnsentBytes(options.unsentBytes),
      handler,
      sender: assist?.openSender((token, status) => this.#onSent(token, status)) ?? null,
      receiver: assist?.receiver ?? null,
      lane: this.#openLane(options, assist),
      gather: new GatherBuffer(),
      statistics: this.statistics,
      events,
      isServing: true,
      hasBacklog: false,
      makeRoom: (connection) => this.#makeRoom(connection),
      noteHolder: (connection) => void this.#holders.add(connection),
      scheduleFlush: (connection) => this.#scheduleFlush(connection),
      scheduleFlushAfterTurn: (connection) => this.#scheduleFlushAfterTurn(connection),
      isBurst: false,
      noteSingleReply: () => this.#noteSingleReply(),
      scheduleNextTurn: (connection) => this.#scheduleNextTurn(connection),
    };
  }

  /** The fast lane of this loop, to be told of topics; null where there is none. */
  get lane(): FastLane | null {
    return this.#environment.lane;
  }

  /** Connections that the fast lane has. */
  get lentCount(): number {
    let count = 0;
    for (const { isLent } of this.#connections.values()) if (isLent) count++;
    return count;
  }

  /** Adds what the fast lane has counted of its connections to the statistics, and returns the part that is about requests. */
  takeLaneCounts(): LaneCounts | null {
    const counts = this.#environment.lane?.takeCounts() ?? null;
    if (counts === null) return null;
    this.statistics.framesCount += counts.framesCount;
    this.statistics.laneFramesCount += counts.framesCount;
    this.statistics.receivedBytes += counts.receivedBytes;
    this.statistics.writesCount += counts.writesCount;
    this.statistics.slicedSendsCount += counts.slicedSendsCount;
    this.statistics.laneWaitingCount = counts.waitingCount;
    return counts;
  }

  #openLane(options: TransportOptions, assist: NativeAssist | null): FastLane | null {
    const { laneBytes: bufferBytes = 0, sendDeadlineMs } = options;
    if (bufferBytes <= 0 || assist?.openLane === undefined) return null;
    return assist.openLane(
      { bufferBytes, sendDeadlineMs },
      {
        onReturned: (token, reason, input, output) => {
          const connection = this.#connections.get(token);
          if (connection === undefined) return;
          if (reason === LaneReason.SEND_DEADLINE) {
            this.statistics.closedSendDeadlineCount++;
            const { clientHost } = connection.address;
            this.#events?.onConnectionCut("send-deadline", token, clientHost);
          }
          connection.onReturned(reason, input, output, this.#nowMs);
        },
      },
    );
  }

  /** Bytes of request buffers: lent to frames under assembly, and kept for the next ones. */
  get bufferBytes(): { readonly usedBytes: number; readonly idleBytes: number } {
    const { usedBytes, idleBytes } = this.#environment.pool;
    return { usedBytes, idleBytes };
  }

  /** Reply bytes that wait in memory on this loop. */
  get unsentBytes(): number {
    return this.#environment.unsent.bytes;
  }

  /** Open connections. */
  get connectionCount(): number {
    return this.#connections.size;
  }

  /**
   * Holds back every request until `resume`: connections are accepted, so that clients wait instead of failing while the
   * broker is still getting ready.
   */
  pause(): void {
    this.#environment.isServing = false;
  }

  /** Takes up what was held back. */
  resume(): void {
    this.#environment.isServing = true;
    for (const connection of this.#connections.values()) this.#scheduleFlush(connection);
  }

  /**
   * Binds and accepts from now on.
   *
   * @throws the system's error (`code` EADDRINUSE, EACCES, ...) when the address cannot be bound.
   */
  listen(options: ListenOptions): BoundListener {
    const listenerName = options.listenerName;
    const listener = Bun.listen<SocketData>({
      hostname: options.hostname === "" ? "::" : options.hostname,
      port: options.port,
      exclusive: options.reusePort !== true,
      ...(options.reusePort === true ? { reusePort: true } : {}),
      data: { connection: null },
      socket: {
        binaryType: "uint8array",
        open: (socket) => this.#onOpen(socket, listenerName),
        data: (socket, chunk) => socket.data.connection?.onData(chunk, this.#nowMs),
        drain: (socket) => socket.data.connection?.onDrain(this.#nowMs),
        close: (socket) => this.#onClose(socket),
        error: (socket) => socket.terminate(),
      },
    } as Bun.TCPSocketListenOptions<SocketData>);
    this.#listeners.push(listener);
    this.#ticker ??= setInterval(() => this.#tick(), TICK_MS);
    return { listenerName, hostname: listener.hostname, port: listener.port };
  }

  /** Accepts no more connections; those that are open go on. */
  stopListening(): void {
    for (const listener of this.#listeners.splice(0)) listener.stop(false);
  }

  /**
   * Stops: no new connections, no new requests; requests in flight are answered until `deadlineMs` has passed, then
   * what is left is cut off.
   */
  async stop(deadlineMs: number): Promise<void> {
    this.#isStopping = true;
    this.stopListening();
    for (const connection of this.#connections.values()) connection.closeAfterReplies();
    if (this.#connections.size > 0) {
      const timer = setTimeout(() => this.#closeAll(), deadlineMs);
      await new Promise<void>((resolve) => {
        this.#whenEmpty = resolve;
      });
      clearTimeout(timer);
    }
    if (this.#ticker !== null) clearInterval(this.#ticker);
    this.#ticker = null;
    this.#environment.lane?.close();
    this.#environment.sender?.close();
    this.#environment.pool.close();
  }

  /** Sets how many connections there may be from now on; those there are stay. */
  limitConnections(counts: ConnectionCounts): void {
    this.#counts = counts;
  }

  #closeAll(): void {
    for (const connection of this.#connections.values()) connection.close();
  }

  #onOpen(socket: BunSocket, listenerName: string): void {
    const clientHost = plainAddress(socket.remoteAddress);
    const refusal = this.#admit(clientHost);
    if (refusal !== null) {
      this.#refuse(clientHost, refusal);
      socket.data = { connection: null };
      socket.terminate();
      return;
    }
    if (socket.fd !== undefined) {
      const { sendBufferBytes, receiveBufferBytes } = this.#options;
      this.#assist?.setSocketBuffers(socket.fd, sendBufferBytes, receiveBufferBytes);
    }
    const connection = new Connection(
      this.#nextId++,
      {
        listenerName,
        localHost: plainAddress(socket.localAddress),
        localPort: socket.localPort,
        clientHost,
        clientPort: socket.remotePort,
      },
      new BunSocketPort(socket),
      this.#environment,
    );
    connection.lastActivityMs = this.#nowMs;
    // The listener's initial data object is shared by all its sockets: each gets its own.
    socket.data = { connection };
    this.#connections.set(connection.id, connection);
    this.statistics.acceptedCount++;
    this.statistics.openCount++;
    this.#handler.onOpen(connection);
    this.#awaitTurn(connection);
  }

  /** Counts a new connection, or says why it is refused: then nothing is counted. */
  #admit(clientHost: string): ConnectionCut | null {
    const counts = this.#counts;
    if (this.#isStopping) return "refused-stopping";
    const counters = this.#counters;
    const before = counters.addConnection();
    let refusal: ConnectionCut | null = null;
    if (before >= counts.maxConnections) refusal = "refused-connections";
    else if (before >= this.#options.maxConnectionsByDescriptors) refusal = "refused-descriptors";
    if (refusal === null) {
      const limit =
        counts.maxConnectionsPerAddressOverrides.get(clientHost) ?? counts.maxConnectionsPerAddress;
      if (counters.addAddress(clientHost) < limit) return null;
      counters.removeAddress(clientHost);
      refusal = "refused-address";
    }
    counters.removeConnection();
    return refusal;
  }

  /** Lets a new connection wait while too many come a second. */
  #awaitTurn(connection: Connection): void {
    const rate = this.#counts.maxConnectionsPerSecond;
    if (rate >= NO_LIMIT) return;
    const waitMs =
      rate === 0
        ? Number.POSITIVE_INFINITY
        : this.#counters.takeSlot(performance.timeOrigin + performance.now(), 1000 / rate);
    if (waitMs <= 0) return;
    if (waitMs > RATE_WAIT_MAX_MS) {
      this.statistics.refusedCount++;
      this.statistics.refusedRateCount++;
      this.#events?.onConnectionCut("refused-rate", -1, connection.address.clientHost);
      connection.close();
      return;
    }
    connection.throttle();
    setTimeout(() => connection.resumeThrottled(), waitMs);
  }

  #refuse(clientHost: string, reason: ConnectionCut): void {
    this.statistics.refusedCount++;
    if (reason === "refused-address") this.statistics.refusedAddressCount++;
    if (reason === "refused-descriptors") this.statistics.refusedDescriptorsCount++;
    this.#events?.onConnectionCut(reason, -1, clientHost);
  }

  #onClose(socket: BunSocket): void {
    const connection = socket.data.connection;
    if (connection === null) return;
    socket.data.connection = null;
    connection.onSocketClosed();
    this.#connections.delete(connection.id);
    this.#holders.delete(connection);
    this.statistics.openCount--;
    this.#counters.removeConnection();
    this.#counters.removeAddress(connection.address.clientHost);
    if (this.#connections.size === 0) this.#whenEmpty?.();
  }

  #onSent(token: number, status: number): void {
    this.#connections.get(token)?.onSent(status, this.#nowMs);
  }

  #scheduleFlush(connection: Connection): void {
    this.#dirty.push(connection);
    if (this.#isFlushQueued) return;
    this.#isFlushQueued = true;
    queueMicrotask(() => this.#flushDirty());
  }

  /**
   * Replies that leave one by one wake their client one by one, and under many connections those wakes cost more than the
   * replies. Every so often a turn is tried with all replies at its end; as long as that joins several, it stays so.
   */
  #noteSingleReply(): void {
    if (++this.#singleReplyCount < SINGLE_REPLIES_BEFORE_BURST) return;
    this.#singleReplyCount = 0;
    this.#environment.isBurst = true;
  }

  #scheduleFlushAfterTurn(connection: Connection): void {
    this.#late.push(connection);
    if (this.#late.length === 1) setImmediate(() => this.#flushLate());
  }

  #flushLate(): void {
    const late = this.#late;
    this.#late = [];
    if (late.length < BURST_CONNECTIONS_MIN) this.#environment.isBurst = false;
    for (const connection of late) connection.flush();
  }

  #makeRoom(forWhom: Connection): boolean {
    const { pool } = this.#environment;
    while (pool.isOverfull) {
      let victim: Connection | null = null;
      for (const holder of this.#holders) {
        if (holder.isClosed || holder.heldBytes < HOLDER_BYTES_MIN) this.#holders.delete(holder);
        else if (holder !== forWhom && (victim === null || isBefore(holder, victim)))
          victim = holder;
      }
      if (victim === null) return false;
      this.#holders.delete(victim);
      victim.closeForMemory();
    }
    return true;
  }

  #scheduleNextTurn(connection: Connection): void {
    this.#nextTurn.push(connection);
    if (this.#environment.hasBacklog) return;
    this.#environment.hasBacklog = true;
    setImmediate(() => this.#onNextTurn());
  }

  #onNextTurn(): void {
    const connections = this.#nextTurn.splice(0);
    const startedMs = performance.now();
    let count = 0;
    // At least one, and then as many as fit: the sockets are looked at in between.
    while (
      count < connections.length &&
      (count === 0 || performance.now() - startedMs < BACKLOG_MS)
    ) {
      connections[count++]?.continueTurn();
    }
    this.#nextTurn.unshift(...connections.slice(count));
    this.#environment.hasBacklog = this.#nextTurn.length > 0;
    if (this.#environment.hasBacklog) setImmediate(() => this.#onNextTurn());
  }

  #flushDirty(): void {
    this.#isFlushQueued = false;
    const dirty = this.#dirty;
    this.#dirty = [];
    for (const connection of dirty) connection.flush();
  }

  #tick(): void {
    const nowMs = performance.now();
    this.#nowMs = nowMs;
    const isShort = this.#environment.pool.hasWaiters;
    for (const connection of this.#connections.values()) {
      const reason = this.#overdue(connection, nowMs, isShort);
      if (reason === null) continue;
      this.#events?.onConnectionCut(reason, connection.id, connection.address.clientHost);
      connection.close();
    }
  }

  /** Why a connection must be closed now, counted, or null. */
  #overdue(connection: Connection, nowMs: number, isShort: boolean): ConnectionCut | null {
    // The lane gives back who is silent.
    if (connection.isLent) return null;
    const { idleDeadlineMs, frameDeadlineMs } = this.#options;
    if (idleDeadlineMs >= 0 && nowMs - connection.lastActivityMs > idleDeadlineMs) {
      this.statistics.closedIdleCount++;
      return "idle";
    }
    if (connection.frameStartedMs >= 0 && connection.isReading) {
      const bytes = connection.midFrameBytes;
      const earnedMs = (bytes / FRAME_PROGRESS_BYTES_PER_SECOND) * 1000;
      if (nowMs - connection.frameStartedMs > frameDeadlineMs + earnedMs) {
        this.statistics.closedFrameDeadlineCount++;
        return "frame-deadline";
      }
      const isSlow = bytes - connection.lastMidFrameBytes < SHORTAGE_PROGRESS_BYTES;
      connection.lastMidFrameBytes = bytes;
      const holdsMuch = bytes >= SHORTAGE_PROGRESS_BYTES;
      connection.slowLookCount = isShort && isSlow && holdsMuch ? connection.slowLookCount + 1 : 0;
      if (connection.slowLookCount >= SHORTAGE_LOOKS) {
        this.statistics.closedMemoryCount++;
        return "memory";
      }
    }
    if (connection.isSending && this.#isStalled(connection, nowMs)) {
      this.statistics.closedSendDeadlineCount++;
      return "send-deadline";
    }
    return null;
  }

  /** True when nothing of what waits to be sent has moved for too long, as far as the kernel can tell. */
  #isStalled(connection: Connection, nowMs: number): boolean {
    const fd = connection.fd;
    const acknowledged = fd >= 0 ? (this.#assist?.acknowledgedBytes(fd) ?? -1) : -1;
    if (connection.stalledSinceMs < 0 || acknowledged !== connection.lastAcknowledgedBytes) {
      connection.stalledSinceMs = nowMs;
      connection.lastAcknowledgedBytes = acknowledged;
      return false;
    }
    return nowMs - connection.stalledSinceMs > this.#options.sendDeadlineMs;
  }
}

/** True when `one` has to go before `other`: who waits for room cannot send, so the silent ones that could come first. */
function isBefore(one: Connection, other: Connection): boolean {
  if (one.isReading !== other.isReading) return one.isReading;
  return one.lastActivityMs < other.lastActivityMs;
}

/** An IPv4 address that a dual-stack socket reports in IPv6 form, without the wrapping. */
export function plainAddress(address: string): string {
  return address.startsWith("::ffff:") && address.includes(".") ? address.slice(7) : address;
}

export type { SlicedReply };
