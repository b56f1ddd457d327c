/**
 * A broker thread: the entry of a Worker that owns sockets, serves Produce and Fetch from its copy of the partition
 * directory, and passes everything else on. It holds no state that another thread would need.
 */
import { createLogger, describeError, type LogFields } from "#common/logger.ts";
import { TimerWheel } from "#common/timer-wheel.ts";
import { nativeLogCalls } from "#log/native-log.ts";
import { EventLoopDelay } from "#metrics/event-loop-delay.ts";
import { takeThreadSnapshot, type ThreadParts } from "#metrics/thread-snapshot.ts";
import { isInternalTopic } from "#metadata/cluster-image.ts";
import { PartitionDirectory } from "#replica/partition-directory.ts";
import { ReplicaManager } from "#replica/replica-manager.ts";
import { Dispatcher } from "#server/dispatcher.ts";
import { FetchSessionCache } from "#server/fetch-session.ts";
import type { AnyApiHandler, ConnectionInfo } from "#server/handler.ts";
import { HandlerTable } from "#server/handler-table.ts";
import { createFetchHandler } from "#server/handlers/fetch.ts";
import { createProduceHandler } from "#server/handlers/produce.ts";
import { directoryView } from "#server/replication-view.ts";
import { LaneFeed } from "#server/lane-feed.ts";
import { ReplyEncoder } from "#server/reply-encoder.ts";
import { readInt16 } from "#server/request-header.ts";
import type { FrameConnection, FrameHandler, ReplyTarget } from "#transport/ports.ts";
import { createNativeAssist } from "#transport/sendfile.ts";
import { Transport } from "#transport/transport.ts";
import { RequestLog } from "./request-log.ts";
import { SYSTEM_CLOCK, SYSTEM_RANDOM, SYSTEM_SCHEDULER } from "./system-ports.ts";
import type { FromThread, ThreadStart, ToThread } from "./thread-messages.ts";

const DEADLINE_SLOT_MS = 5;
const HEADER_BYTES_MIN = 8;

declare const self: {
  onmessage: ((event: { readonly data: ToThread }) => void) | null;
  postMessage(message: FromThread, transfer?: readonly ArrayBuffer[]): void;
};

function tell(message: FromThread, transfer: readonly ArrayBuffer[] = []): void {
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a Worker's port has no origin
  self.postMessage(message, transfer);
}

/** Lines of this thread; the main thread, which knows the threshold, writes them. */
const threadLogger = createLogger("debug", (level, message, fields) =>
  tell({ kind: "log", level, message, fields: plain(fields) }),
);

/** Fields that can be copied to another thread: an error becomes its description. */
function plain(fields: LogFields): LogFields {
  return Object.fromEntries(
    Object.entries(fields).map(([name, value]) => [
      name,
      value instanceof Error ? describeError(value) : value,
    ]),
  );
}

/** A connection and the requests of it that the main thread works on. */
interface Remote {
  readonly connection: FrameConnection;
  readonly waiting: Map<number, ReplyTarget>;
}

/** Serves what this thread can and forwards the rest. */
class ThreadFrameHandler implements FrameHandler {
  readonly #local: Dispatcher;
  readonly #table: HandlerTable;
  readonly #remotes: Map<number, Remote> = new Map();
  #nextRequestId = 1;

  constructor(local: Dispatcher, table: HandlerTable) {
    this.#local = local;
    this.#table = table;
  }

  onOpen(connection: FrameConnection): void {
    this.#local.onOpen(connection);
    this.#remotes.set(connection.id, { connection, waiting: new Map() });
    tell({ kind: "opened", connectionId: connection.id, address: connection.address });
  }

  onClose(connection: FrameConnection): void {
    this.#local.onClose(connection);
    this.#remotes.delete(connection.id);
    tell({ kind: "closed", connectionId: connection.id });
  }

  onFrame(connection: FrameConnection, bytes: Uint8Array, start: number, end: number): boolean {
    const isShort = end - start < HEADER_BYTES_MIN;
    if (isShort || this.#table.get(readInt16(bytes, start)) !== undefined) {
      return this.#local.onFrame(connection, bytes, start, end);
    }
    const remote = this.#remotes.get(connection.id);
    if (remote === undefined) {
      connection.close();
      return true;
    }
    const requestId = this.#nextRequestId++;
    remote.waiting.set(requestId, connection.defer(false));
    const copy = bytes.slice(start, end);
    tell({ kind: "frame", connectionId: connection.id, requestId, bytes: copy }, [copy.buffer]);
    return true;
  }

  onReply(connectionId: number, requestId: number, bytes: Uint8Array | null): void {
    const waiting = this.#remotes.get(connectionId)?.waiting;
    const target = waiting?.get(requestId);
    waiting?.delete(requestId);
    if (bytes === null) target?.replyNothing();
    else target?.reply(bytes);
  }

  onPeer(connectionId: number, nodeId: number): void {
    const info = this.#remotes.get(connectionId)?.connection.attachment as ConnectionInfo | null;
    if (info != null) info.peerNodeId = nodeId;
  }

  close(connectionId: number, isReset: boolean): void {
    const connection = this.#remotes.get(connectionId)?.connection;
    if (isReset) connection?.reset();
    else connection?.close();
  }
}

interface Running {
  readonly parts: ThreadParts;
  readonly transport: Transport;
  readonly frames: ThreadFrameHandler;
  readonly replicas: ReplicaManager;
  readonly requestLog: RequestLog;
}

let directory: PartitionDirectory = new PartitionDirectory();
let running: Running | null = null;

function begin(start: ThreadStart): Running {
  directory = new PartitionDirectory(start.countedTopicsMax);
  const sessions = new FetchSessionCache(
    start.sessionSlots,
    start.sessionEvictionMs,
    SYSTEM_RANDOM,
  );
  const replicas = new ReplicaManager(
    nativeLogCalls,
    SYSTEM_CLOCK,
    new TimerWheel(SYSTEM_CLOCK, SYSTEM_SCHEDULER, DEADLINE_SLOT_MS),
  );
  const table = new HandlerTable();
  const view = directoryView(directory, start.nodeId, start.selectsByRack);
  const produce = createProduceHandler({ directory, replicas, view, isInternalTopic });
  const requestLog = new RequestLog(threadLogger, (error) =>
    tell({ kind: "fatal", line: describeError(error) }),
  );
  const fetch = createFetchHandler({
    directory,
    replicas,
    sessions,
    fetchMaxBytes: start.fetchMaxBytes,
    view,
    onFalseReplica: (id, connection) => requestLog.onFalseReplica(id, connection),
  });
  table.add(produce as unknown as AnyApiHandler, fetch as unknown as AnyApiHandler);
  const dispatcher = new Dispatcher(table, new ReplyEncoder(nativeLogCalls), requestLog, () =>
    SYSTEM_CLOCK.monotonicMs(),
  );
  const frames = new ThreadFrameHandler(dispatcher, table);
  const transport = new Transport(start.transport, frames, createNativeAssist(), requestLog);
  transport.pause();
  const parts: ThreadParts = {
    requests: dispatcher.statistics,
    transport,
    replicas,
    sessions,
    directory,
    loopDelay: new EventLoopDelay(),
    lane: new LaneFeed({
      transport,
      directory,
      replicas,
      requests: dispatcher.statistics,
      fetchMaxBytes: start.fetchMaxBytes,
    }),
  };
  return { parts, transport, frames, replicas, requestLog };
}

function listen(start: ThreadStart): void {
  try {
    running = begin(start);
    const { transport } = running;
    tell({
      kind: "listening",
      listeners: start.listeners.map((options) => transport.listen(options)),
    });
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : "START_FAILED";
    tell({ kind: "failed", code, message: describeError(error) });
  }
}

self.onmessage = ({ data }): void => {
  switch (data.kind) {
    case "start":
      listen(data.start);
      return;
    case "serve":
      running?.transport.resume();
      return;
    case "directory":
      for (const change of data.changes) directory.apply(change);
      tell({ kind: "applied", id: data.id });
      return;
    case "reply":
      running?.frames.onReply(data.connectionId, data.requestId, data.bytes);
      return;
    case "statistics": {
      const snapshot = running === null ? null : takeThreadSnapshot(running.parts);
      tell({ kind: "statistics", id: data.id, snapshot });
      return;
    }
    case "peer":
      running?.frames.onPeer(data.connectionId, data.nodeId);
      return;
    case "close":
      running?.frames.close(data.connectionId, data.isReset);
      return;
    case "limit-connections":
      running?.transport.limitConnections(data.counts);
      tell({ kind: "applied", id: data.id });
      return;
    case "stop-listening":
      running?.transport.stopListening();
      return;
    case "stop":
      void stop(data.deadlineMs);
  }
};

async function stop(deadlineMs: number): Promise<void> {
  running?.replicas.finishFetches();
  await running?.transport.stop(deadlineMs);
  running?.replicas.close();
  running?.requestLog.close();
  running?.parts.loopDelay.stop();
  tell({ kind: "stopped" });
}
