/**
 * Carries raft messages: one connection to each other member, made again with a growing pause when it is lost. What is sent within
 * one turn of the loop leaves in one frame. While a member cannot be reached its messages are dropped, oldest first: raft repeats
 * them.
 *
 * A connection on which nothing was to be sent for a while carries an empty frame: a process that lives is heard on each of its connections, which is
 * how one that takes its node id is told from its next life (`peer-gate.ts`).
 *
 * A lost connection that is refused twice when it is made again is evidence that the process at the other end is gone.
 */
import { ClientError } from "#client/client-error.ts";
import type { Connection } from "#client/connection.ts";
import type { Scheduler, Timer } from "#common/time.ts";
import {
  isConnectionRefused,
  meetPeer,
  type PeerAddress,
  type PeerConnector,
} from "./peer-connection.ts";
import { encodeRaftMessages } from "./peer-gate.ts";
import type { PeerHelloAnswer } from "./peer-hello.ts";

/** What the links work with. */
export interface RaftLinksOptions {
  readonly connector: PeerConnector;
  readonly scheduler: Scheduler;
  /** A member could not be reached with what was to be sent. */
  readonly onUnreachable: (nodeId: number) => void;
  /** A member's process is gone: its connection ended and two more were refused. */
  readonly onGone: (nodeId: number) => void;
  /** A member can be reached (again). */
  readonly onReached?: (nodeId: number, incarnationId: string) => void;
  /** A connection was refused for a reason that will not pass by itself. */
  readonly onRefused: (peer: PeerAddress, error: ClientError) => void;
}

const QUEUE_BYTES_MAX = 32 << 20;
const UNSENT_BYTES_MAX = 32 << 20;
const FIRST_PAUSE_MS = 20;
const LAST_PAUSE_MS = 1000;
/** Longest silence of a connection; a quarter of what makes the other side doubt. */
const SILENCE_MAX_MS = 250;
/** Connects that must be refused in a row after a connection was lost. */
const REFUSALS_OF_THE_GONE = 2;

/** See the head of the file. */
export class RaftLinks {
  readonly #options: RaftLinksOptions;
  readonly #links: Map<number, RaftLink> = new Map();
  #isClosed = false;

  constructor(options: RaftLinksOptions) {
    this.#options = options;
  }

  /** Sets where a member is reached, and begins to connect. */
  add(peer: PeerAddress): void {
    if (this.#isClosed) return;
    const known = this.#links.get(peer.nodeId);
    if (known !== undefined) {
      if (known.peer.host === peer.host && known.peer.port === peer.port) return;
      known.close();
    }
    this.#links.set(peer.nodeId, new RaftLink(peer, this.#options));
  }

  /** Ends the connection to a member. */
  remove(nodeId: number): void {
    this.#links.get(nodeId)?.close();
    this.#links.delete(nodeId);
  }

  /** Where a member is reached, or null. */
  addressOf(nodeId: number): PeerAddress | null {
    return this.#links.get(nodeId)?.peer ?? null;
  }

  /** Whether there is a connection to a member. */
  isConnected(nodeId: number): boolean {
    return this.#links.get(nodeId)?.isConnected ?? false;
  }

  /** The directory that a member has at the other end of its connection; null without one. */
  directoryOf(nodeId: number): string | null {
    return this.#links.get(nodeId)?.directoryId ?? null;
  }

  /** Queues a message; it leaves at the end of this turn. */
  send(to: number, bytes: Uint8Array): void {
    this.#links.get(to)?.send(bytes);
  }

  /** Tries the members that cannot be reached at once instead of after their pause. */
  retryNow(): void {
    for (const link of this.#links.values()) link.retryNow();
  }

  close(): void {
    this.#isClosed = true;
    for (const link of this.#links.values()) link.close();
    this.#links.clear();
  }
}

class RaftLink {
  readonly peer: PeerAddress;
  readonly #options: RaftLinksOptions;
  #connection: Connection | null = null;
  #directoryId: string | null = null;
  #queue: Uint8Array[] = [];
  #queuedBytes = 0;
  #isFlushing = false;
  #isSilent = true;
  #isConnecting = false;
  #pauseMs = FIRST_PAUSE_MS;
  #timer: Timer | null = null;
  #keepTimer: Timer | null = null;
  #wasConnected = false;
  #refusals = 0;
  #isClosed = false;

  constructor(peer: PeerAddress, options: RaftLinksOptions) {
    this.peer = peer;
    this.#options = options;
    this.#connect();
  }

  get isConnected(): boolean {
    return this.#connection !== null;
  }

  get directoryId(): string | null {
    return this.#connection === null ? null : this.#directoryId;
  }

  send(bytes: Uint8Array): void {
    this.#queue.push(bytes);
    this.#queuedBytes += bytes.length;
    while (this.#queuedBytes > QUEUE_BYTES_MAX)
      this.#queuedBytes -= this.#queue.shift()?.length ?? 0;
    if (this.#isFlushing) return;
    this.#isFlushing = true;
    queueMicrotask(() => this.#flush());
  }

  retryNow(): void {
    if (this.#timer === null) return;
    this.#timer.cancel();
    this.#pauseMs = FIRST_PAUSE_MS;
    this.#connect();
  }

  close(): void {
    this.#isClosed = true;
    this.#timer?.cancel();
    this.#keepTimer?.cancel();
    this.#connection?.close();
    this.#connection = null;
    this.#queue = [];
  }

  #flush(): void {
    this.#isFlushing = false;
    const connection = this.#connection;
    if (connection === null || connection.unsentBytes > UNSENT_BYTES_MAX) {
      if (!this.#isConnecting) this.#drop();
      return;
    }
    const messages = this.#queue;
    this.#queue = [];
    this.#queuedBytes = 0;
    if (messages.length === 0) return;
    this.#isSilent = false;
    connection.post(encodeRaftMessages(messages));
  }

  /** Says at least something on a connection, as long as it is there. */
  #keepAlive(connection: Connection): void {
    this.#keepTimer = this.#options.scheduler.after(SILENCE_MAX_MS, () => {
      if (this.#connection !== connection) return;
      if (this.#isSilent && connection.unsentBytes === 0) connection.post(encodeRaftMessages([]));
      this.#isSilent = true;
      this.#keepAlive(connection);
    });
  }

  #drop(): void {
    this.#queue = [];
    this.#queuedBytes = 0;
    this.#options.onUnreachable(this.peer.nodeId);
  }

  #connect(): void {
    this.#timer = null;
    this.#isConnecting = true;
    meetPeer(this.peer, this.#options.connector, () => this.#onLost()).then(
      ({ connection, answer }) => this.#onConnected(connection, answer),
      (error: unknown) => this.#onFailed(error),
    );
  }

  #onConnected(
    connection: Connection,
    { incarnationId, directoryId }: Pick<PeerHelloAnswer, "incarnationId" | "directoryId">,
  ): void {
    this.#isConnecting = false;
    if (this.#isClosed) {
      connection.close();
      return;
    }
    this.#connection = connection;
    this.#directoryId = directoryId;
    this.#wasConnected = true;
    this.#refusals = 0;
    this.#pauseMs = FIRST_PAUSE_MS;
    this.#options.onReached?.(this.peer.nodeId, incarnationId);
    if (this.#connection === null) return;
    this.#keepTimer?.cancel();
    this.#keepAlive(connection);
    this.#flush();
  }

  #onLost(): void {
    if (this.#isClosed) return;
    this.#connection = null;
    this.#options.onUnreachable(this.peer.nodeId);
    this.#connect();
  }

  #onFailed(error: unknown): void {
    this.#isConnecting = false;
    if (this.#isClosed) return;
    this.#drop();
    if (isConnectionRefused(error)) {
      this.#refusals += 1;
      if (this.#wasConnected && this.#refusals === REFUSALS_OF_THE_GONE) {
        this.#wasConnected = false;
        this.#options.onGone(this.peer.nodeId);
      }
    } else {
      this.#refusals = 0;
      if (error instanceof ClientError && (error.code === "REFUSED" || error.code === "BAD_ANSWER"))
        this.#options.onRefused(this.peer, error);
    }
    this.#timer = this.#options.scheduler.after(this.#pauseMs, () => this.#connect());
    this.#pauseMs = Math.min(this.#pauseMs * 2, LAST_PAUSE_MS);
  }
}
