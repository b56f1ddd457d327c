/**
 * The main thread's side of the broker threads: starts them, keeps their partition directories up to date, and serves the
 * requests they pass on as if they had come in here.
 *
 * Threads are started once and end with the broker; none is ever ended while it serves.
 */
import type { Logger } from "#common/logger.ts";
import type { ThreadSnapshot } from "#metrics/thread-snapshot.ts";
import type { DirectoryChange } from "#replica/partition-directory.ts";
import type { ConnectionAddress } from "#transport/connection.ts";
import type { FrameConnection, FrameHandler, ReplyTarget } from "#transport/ports.ts";
import type { BoundListener, ConnectionCounts, ListenOptions } from "#transport/transport.ts";
import type { FromThread, ThreadStart, ToThread } from "./thread-messages.ts";

/** What broker threads work with. */
export interface BrokerThreadsOptions {
  readonly count: number;
  readonly start: ThreadStart;
  /** Serves the requests that threads pass on. */
  readonly frames: FrameHandler;
  readonly logger: Logger;
  readonly onFatal: (line: string) => void;
}

/** A connection that a broker thread owns, as the dispatcher here sees it. */
class RemoteConnection implements FrameConnection {
  readonly id: number;
  readonly address: ConnectionAddress;
  attachment: unknown = null;
  isClosed = false;
  readonly canSendSlices: boolean = false;
  /** Request being dispatched; a connection passes on one at a time. */
  requestId = 0;
  readonly #post: (message: ToThread) => void;

  constructor(id: number, address: ConnectionAddress, post: (message: ToThread) => void) {
    this.id = id;
    this.address = address;
    this.#post = post;
  }

  reply(bytes: Uint8Array): void {
    this.answer(this.requestId, bytes);
  }

  replySliced(): void {
    // Responses with slices come from Fetch alone, which the threads serve themselves.
    this.close();
  }

  replyNothing(): void {
    this.answer(this.requestId, null);
  }

  defer(): ReplyTarget {
    const requestId = this.requestId;
    return {
      reply: (bytes) => this.answer(requestId, bytes),
      replySliced: () => this.close(),
      replyNothing: () => this.answer(requestId, null),
      close: () => this.close(),
    };
  }

  onPeer(nodeId: number): void {
    this.#post({ kind: "peer", connectionId: this.id, nodeId });
  }

  close(): void {
    this.#close(false);
  }

  reset(): void {
    this.#close(true);
  }

  #close(isReset: boolean): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.#post({ kind: "close", connectionId: this.id, isReset });
  }

  answer(requestId: number, bytes: Uint8Array | null): void {
    if (this.isClosed) return;
    this.#post({ kind: "reply", connectionId: this.id, requestId, bytes: bytes?.slice() ?? null });
  }
}

/** One Worker and its connections. */
class BrokerThread {
  readonly #worker: Worker;
  readonly #options: BrokerThreadsOptions;
  readonly #loopId: number;
  readonly #connections: Map<number, RemoteConnection> = new Map();
  readonly #applied: Map<number, () => void> = new Map();
  #onListening: ((listeners: readonly BoundListener[]) => void) | null = null;
  #onFailed: ((error: Error) => void) | null = null;
  #onStopped: (() => void) | null = null;
  #nextChangeId = 1;
  readonly #snapshots: Map<number, (snapshot: ThreadSnapshot | null) => void> = new Map();
  #nextSnapshotId = 1;

  constructor(options: BrokerThreadsOptions, loopId: number) {
    this.#options = options;
    this.#loopId = loopId;
    // Beside this file as source, beside the bundle when bundled (build.ts).
    const extension = import.meta.url.endsWith(".ts") ? "ts" : "js";
    this.#worker = new Worker(new URL(`./broker-thread.${extension}`, import.meta.url).href);
    this.#worker.onmessage = (event: MessageEvent<FromThread>) => this.#onMessage(event.data);
    this.#worker.onerror = (event: ErrorEvent) => {
      const error = new Error(`broker thread: ${event.message}`);
      if (this.#onFailed !== null) this.#onFailed(error);
      else options.onFatal(error.message);
    };
  }

  listen(listeners: readonly ListenOptions[]): Promise<readonly BoundListener[]> {
    return new Promise((resolve, reject) => {
      this.#onListening = resolve;
      this.#onFailed = reject;
      const { start } = this.#options;
      const transport = { ...start.transport, loopId: this.#loopId };
      this.post({ kind: "start", start: { ...start, transport, listeners } });
    });
  }

  publish(changes: readonly DirectoryChange[]): Promise<void> {
    return this.#change((id) => ({ kind: "directory", id, changes }));
  }

  limitConnections(counts: ConnectionCounts): Promise<void> {
    return this.#change((id) => ({ kind: "limit-connections", id, counts }));
  }

  /** Sends a change; settles when the thread has applied it. */
  #change(message: (id: number) => ToThread): Promise<void> {
    const id = this.#nextChangeId++;
    return new Promise((resolve) => {
      this.#applied.set(id, resolve);
      this.post(message(id));
    });
  }

  /** What the thread counted; null when it does not answer in time. */
  snapshot(deadlineMs: number): Promise<ThreadSnapshot | null> {
    const id = this.#nextSnapshotId++;
    return new Promise((resolve) => {
      const settle = (snapshot: ThreadSnapshot | null): void => {
        clearTimeout(timer);
        this.#snapshots.delete(id);
        resolve(snapshot);
      };
      const timer = setTimeout(() => settle(null), deadlineMs);
      this.#snapshots.set(id, settle);
      this.post({ kind: "statistics", id });
    });
  }

  post(message: ToThread): void {
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a Worker's port has no origin
    this.#worker.postMessage(message);
  }

  async stop(deadlineMs: number): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#onStopped = resolve;
      this.post({ kind: "stop", deadlineMs });
    });
    this.#worker.terminate();
  }

  #onMessage(message: FromThread): void {
    const { frames, logger } = this.#options;
    switch (message.kind) {
      case "listening":
        this.#onFailed = null;
        this.#onListening?.(message.listeners);
        return;
      case "failed":
        this.#onFailed?.(Object.assign(new Error(message.message), { code: message.code }));
        return;
      case "applied":
        this.#applied.get(message.id)?.();
        this.#applied.delete(message.id);
        return;
      case "opened": {
        const post = (answer: ToThread): void => this.post(answer);
        const connection = new RemoteConnection(message.connectionId, message.address, post);
        this.#connections.set(connection.id, connection);
        frames.onOpen(connection);
        return;
      }
      case "closed": {
        const connection = this.#connections.get(message.connectionId);
        this.#connections.delete(message.connectionId);
        if (connection === undefined) return;
        connection.isClosed = true;
        frames.onClose(connection);
        return;
      }
      case "frame": {
        const connection = this.#connections.get(message.connectionId);
        if (connection === undefined || connection.isClosed) return;
        connection.requestId = message.requestId;
        frames.onFrame(connection, message.bytes, 0, message.bytes.length);
        return;
      }
      case "statistics":
        this.#snapshots.get(message.id)?.(message.snapshot);
        return;
      case "log":
        logger[message.level](message.message, message.fields);
        return;
      case "fatal":
        this.#options.onFatal(message.line);
        return;
      case "stopped":
        this.#onStopped?.();
    }
  }
}

/** All broker threads of a broker. */
export class BrokerThreads {
  readonly #threads: readonly BrokerThread[];

  private constructor(threads: readonly BrokerThread[]) {
    this.#threads = threads;
  }

  /**
   * Starts the threads and binds. The first one takes the ports (which may be free ones), the others join it there.
   *
   * @throws the system's error when an address cannot be bound.
   */
  static async start(
    options: BrokerThreadsOptions,
  ): Promise<{ readonly threads: BrokerThreads; readonly listeners: readonly BoundListener[] }> {
    const threads = Array.from(
      { length: options.count },
      (_, index) => new BrokerThread(options, index + 1),
    );
    const all = new BrokerThreads(threads);
    try {
      const wanted = options.start.listeners;
      const [first, ...others] = threads;
      const bound = (await first?.listen(wanted)) ?? [];
      const taken = wanted.map((listener, index) => ({
        ...listener,
        port: bound[index]?.port ?? listener.port,
      }));
      await Promise.all(others.map((thread) => thread.listen(taken)));
      return { threads: all, listeners: bound };
    } catch (error) {
      await all.stop(0);
      throw error;
    }
  }

  /** Hands changes to every thread; settles when all of them have applied them. */
  async publish(changes: readonly DirectoryChange[]): Promise<void> {
    await Promise.all(this.#threads.map((thread) => thread.publish(changes)));
  }

  /** What each thread counted; null for one that does not answer in time. */
  snapshots(deadlineMs: number): Promise<readonly (ThreadSnapshot | null)[]> {
    return Promise.all(this.#threads.map((thread) => thread.snapshot(deadlineMs)));
  }

  /** Lets the threads take requests. */
  serve(): void {
    for (const thread of this.#threads) thread.post({ kind: "serve" });
  }

  /** Sets how many connections each thread may have; settles when all of them know. */
  async limitConnections(counts: ConnectionCounts): Promise<void> {
    await Promise.all(this.#threads.map((thread) => thread.limitConnections(counts)));
  }

  stopListening(): void {
    for (const thread of this.#threads) thread.post({ kind: "stop-listening" });
  }

  /** Answers what is in flight until the deadline, then ends the threads. */
  async stop(deadlineMs: number): Promise<void> {
    await Promise.all(this.#threads.map((thread) => thread.stop(deadlineMs)));
  }
}
