/**
 * Where requests come in: sockets on this thread, or broker threads with sockets of their own. The rest of the broker does
 * not know which.
 */
import { describeError, type Logger } from "#common/logger.ts";
import type { BrokerSettings, ConnectionLimitSettings } from "#config/broker-settings.ts";
import type { ThreadSnapshot } from "#metrics/thread-snapshot.ts";
import type { DirectoryChange } from "#replica/partition-directory.ts";
import type { FrameHandler, TransportEvents } from "#transport/ports.ts";
import { createNativeAssist, openFileLimit, requireFreeAddress } from "#transport/sendfile.ts";
import { SharedCounters } from "#transport/shared-counters.ts";
import {
  type BoundListener,
  type ConnectionCounts,
  type ListenOptions,
  Transport,
  type TransportOptions,
} from "#transport/transport.ts";
import { BrokerStartError } from "./start-error.ts";

/** Requests of one connection that may wait at the same time. */
const IN_FLIGHT_MAX = 64;
/** Unsent reply bytes above which a connection is not read. */
const UNSENT_BYTES_MAX = 1 << 20;
/** Time that requests sent together may take in a row while other connections wait, ms. */
const TURN_MS = 2;
/** Budget of frames under assembly where `queued.max.request.bytes` leaves it to us. */
const POOL_BYTES = 64 << 20;
const POOL_KEEP_BYTES = 16 << 20;
/** Reply bytes that may wait in memory, all connections together. */
const UNSENT_TOTAL_BYTES_MAX = 16 << 20;
/** Memory of the fast lanes, all threads together; taken from that of frames under assembly, of which it is a quarter at most. */
const LANE_BYTES = 16 << 20;
/** Descriptors that are neither connections nor segments: listeners, epoll, timers, metadata, the runtime's own. */
const OTHER_DESCRIPTORS = 64;
/** Time after which an unused fetch session may make room for another; Kafka's, where it is no key either. */
export const SESSION_EVICTION_MS = 120_000;

/** Sockets, bound and holding requests back until `serve`. */
export interface Frontend {
  readonly listeners: readonly BoundListener[];
  /** Sockets of this thread; null when broker threads have them. */
  readonly transport: Transport | null;
  /** What each broker thread counted; null for one that does not answer in time. Empty without broker threads. */
  snapshots(deadlineMs: number): Promise<readonly (ThreadSnapshot | null)[]>;
  /** Takes up requests. */
  serve(): void;
  /** Tells whoever keeps a partition directory of its own; settles when they all know. */
  publish(changes: readonly DirectoryChange[]): void | Promise<void>;
  /** Takes up limits on the number of connections that changed; settles when they are in force. */
  limitConnections(limits: ConnectionLimitSettings): void | Promise<void>;
  stopListening(): void;
  /** Answers what is in flight until the deadline, then closes. */
  stop(deadlineMs: number): Promise<void>;
}

/**
 * Binds the configured addresses.
 *
 * @param events - told what happens to connections on this thread; broker threads log for themselves.
 *
 * @throws BrokerStartError ADDRESS_IN_USE, ADDRESS_UNAVAILABLE. Nothing stays bound.
 */
export async function openFrontend(
  settings: BrokerSettings,
  frames: FrameHandler,
  events: TransportEvents,
  logger: Logger,
  onFatal: (line: string) => void,
): Promise<Frontend> {
  const listeners = settings.listeners.map(({ name, host, port }) => ({
    listenerName: name,
    hostname: host,
    port,
  }));
  const threadCount = settings.numNetworkThreads;
  if (threadCount <= 1) return localFrontend(settings, frames, events, listeners);
  for (const listener of listeners) probe(listener);
  const counters = new SharedCounters().memory;
  const { BrokerThreads } = await import("./broker-threads.ts");
  const { threads, listeners: bound } = await BrokerThreads.start({
    count: threadCount,
    frames,
    logger,
    onFatal,
    start: {
      transport: { ...transportOptions(settings, threadCount), counters },
      listeners: listeners.map((listener) => ({ ...listener, reusePort: true })),
      nodeId: settings.nodeId,
      selectsByRack: settings.replicaSelectsByRack,
      fetchMaxBytes: settings.fetchMaxBytes,
      sessionSlots: Math.ceil(settings.maxIncrementalFetchSessionCacheSlots / threadCount),
      sessionEvictionMs: SESSION_EVICTION_MS,
      countedTopicsMax: settings.sluiceMetricsTopicsMax,
    },
  });
  return {
    listeners: bound,
    transport: null,
    snapshots: (deadlineMs) => threads.snapshots(deadlineMs),
    serve: () => threads.serve(),
    publish: (changes) => threads.publish(changes),
    limitConnections: (limits) => threads.limitConnections(connectionCounts(limits)),
    stopListening: () => threads.stopListening(),
    stop: (deadlineMs) => threads.stop(deadlineMs),
  };
}

async function localFrontend(
  settings: BrokerSettings,
  frames: FrameHandler,
  events: TransportEvents,
  listeners: readonly ListenOptions[],
): Promise<Frontend> {
  const transport = new Transport(
    transportOptions(settings, 1),
    frames,
    createNativeAssist(),
    events,
  );
  transport.pause();
  const bound: BoundListener[] = [];
  for (const listener of listeners) {
    try {
      bound.push(transport.listen(listener));
    } catch (error) {
      await transport.stop(0);
      throw addressError(listener, error);
    }
  }
  return {
    listeners: bound,
    transport,
    snapshots: () => Promise.resolve([]),
    serve: () => transport.resume(),
    publish: () => undefined,
    limitConnections: (limits) => transport.limitConnections(connectionCounts(limits)),
    stopListening: () => transport.stopListening(),
    stop: (deadlineMs) => transport.stop(deadlineMs),
  };
}

/** Threads share a port willingly, also with threads of another program: this finds out whether somebody has it. */
function probe(listener: ListenOptions): void {
  if (listener.port === 0) return;
  try {
    requireFreeAddress(listener.hostname, listener.port);
  } catch (error) {
    throw addressError(listener, error);
  }
}

export function addressError(
  { listenerName, hostname, port }: ListenOptions,
  error: unknown,
): BrokerStartError {
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  if (code === "EADDRINUSE") {
    const where = hostname === "" ? "it" : `${hostname}:${port}`;
    const message = `port ${port} is taken: another program listens on ${where}`;
    return new BrokerStartError("ADDRESS_IN_USE", message, error);
  }
  const address = `${listenerName}://${hostname}:${port}`;
  return new BrokerStartError(
    "ADDRESS_UNAVAILABLE",
    `cannot listen on ${address}: ${describeError(error)}`,
    error,
  );
}

/** Limits on connections, which hold for all threads together. */
function connectionCounts(settings: ConnectionLimitSettings): ConnectionCounts {
  return {
    maxConnections: settings.maxConnections,
    maxConnectionsPerAddress: settings.maxConnectionsPerIp,
    maxConnectionsPerAddressOverrides: settings.maxConnectionsPerIpOverrides,
    maxConnectionsPerSecond: settings.maxConnectionCreationRate,
  };
}

/**
 * Connections for which the system has descriptors. Every stalled one may need a second for its file slices, and segments get
 * theirs first, up to half of all.
 */
function descriptorsForConnections(settings: BrokerSettings): number {
  const limit = openFileLimit();
  if (limit === Number.POSITIVE_INFINITY) return limit;
  const forFiles = Math.min(settings.sluiceMaxOpenFiles, Math.floor(limit / 2));
  return Math.max(16, limit - forFiles - OTHER_DESCRIPTORS);
}

/** Limits of one thread: what is counted by each thread for itself is divided. */
export function transportOptions(settings: BrokerSettings, threadCount: number): TransportOptions {
  const share = (limit: number): number => Math.ceil(limit / threadCount);
  const poolBytes =
    settings.queuedMaxRequestBytes > 0 ? settings.queuedMaxRequestBytes : POOL_BYTES;
  const laneBytes = settings.sluiceFastLaneEnable ? Math.min(LANE_BYTES, poolBytes >> 2) : 0;
  return {
    sendBufferBytes: settings.socketSendBufferBytes,
    receiveBufferBytes: settings.socketReceiveBufferBytes,
    maxFrameBytes: settings.socketRequestMaxBytes,
    maxInFlight: IN_FLIGHT_MAX,
    maxUnsentBytes: UNSENT_BYTES_MAX,
    turnMs: TURN_MS,
    idleDeadlineMs: settings.connectionsMaxIdleMs,
    frameDeadlineMs: settings.sluiceFrameDeadlineMs,
    sendDeadlineMs: settings.sluiceSendDeadlineMs,
    ...connectionCounts(settings),
    maxConnectionsByDescriptors: descriptorsForConnections(settings),
    poolBytes: poolBytes - laneBytes,
    laneBytes: share(laneBytes),
    poolKeepBytes: share(POOL_KEEP_BYTES),
    unsentBytes: share(UNSENT_TOTAL_BYTES_MAX),
  };
}
