/**
 * What the transport needs from outside and what it offers: a socket, a thread that sends file slices, and somebody who
 * understands frames. The transport itself knows sizes and order, nothing of what a frame says.
 */
import type { ConnectionAddress } from "./connection.ts";

/** The part of a Bun socket that a connection uses. Bytes passed to `write` may be reused after it returns. */
export interface SocketPort {
  /** Returns how many bytes the kernel took; the rest is the caller's to keep. Negative when the socket is closed. */
  write(bytes: Uint8Array, byteOffset: number, byteLength: number): number;
  pause(): void;
  resume(): void;
  /** Ends the sending half, so that a file send in progress on a duplicate of the descriptor gives up as well. */
  shutdown(): void;
  /** Closes at once. */
  terminate(): void;
  /** Sends what the kernel has and closes. */
  end(): void;
  /** The socket's descriptor, negative where there is none (tests, TLS). */
  readonly fd: number;
}

/** A reply whose body is partly still in segment files. The plan belongs to whoever holds this reply. */
export interface SlicedReply {
  /** Frame bytes without the slices, size prefix included (counting the slices). Owned by the reply. */
  readonly head: Uint8Array;
  /** Pairs: position in `head` before which a row's slices go, row of the plan. Ascending. */
  readonly cuts: Float64Array;
  readonly plan: number;
  /** Bytes of all slices together. */
  readonly slicesBytes: number;
}

/** Sends {@link SlicedReply}s from a thread of its own. */
export interface SlicedSender {
  /**
   * Takes the plan and sends it on `fd`: at once when its bytes are in memory and the socket takes them, else on the sender
   * thread.
   *
   * @returns the status of a send that is over, 0 or an errno; -1 when `onSent` will be called with `token`. Nothing
   *   else may be written to the socket until then.
   */
  send(reply: SlicedReply, fd: number, token: number): number;
  /** Gives up a plan that will not be sent. */
  drop(plan: number): void;
  /** Gives up a send in progress: its connection is gone. */
  cancel(token: number): void;
  /** Ends the sender; nothing may be sent after that. */
  close(): void;
}

/** Reads straight from a descriptor into memory, past the event loop's own buffer. */
export interface DirectReceiver {
  /** Bytes read into `into` at `at`; 0 when nothing is there; negative on end or error, which the socket reports too. */
  receive(fd: number, into: Uint8Array, at: number, length: number): number;
}

/** Tells when a socket can be read that the event loop does not read; `createReadiness` makes it. */
export interface Readiness {
  /** Watches a socket until `close`, which must come before the socket's own. @returns null when the system refuses. */
  watch(fd: number, onReadable: () => void): SocketWatch | null;
}

/** A socket that is watched. */
export interface SocketWatch {
  /**
   * Calls back once when so many bytes can be read (0: all of the frame that begins there, or its size where that is above a MiB), or when the connection
   * has ended or the kernel holds no more.
   *
   * @returns false when it will not.
   */
  arm(lowBytes: number): boolean;
  /** Ends the watch; nothing is called any more. */
  close(): void;
}

/** Where the answer to one request goes. Answered exactly once; answering after the connection closed is harmless. */
export interface ReplyTarget {
  /** Answers with a frame (size prefix included). The bytes may be reused after the call. */
  reply(bytes: Uint8Array): void;
  /** Answers with file slices; the connection owns the plan from here on. */
  replySliced(reply: SlicedReply): void;
  /** Settles without sending anything (Produce with acks=0). */
  replyNothing(): void;
  /** Closes the connection instead of answering. */
  close(): void;
}

/** A connection as whoever understands its frames sees it; its own reply methods answer the frame at hand. */
export interface FrameConnection extends ReplyTarget {
  readonly id: number;
  readonly address: ConnectionAddress;
  /** Whatever the frame handler keeps per connection. */
  attachment: unknown;
  readonly isClosed: boolean;
  /** True when file slices can be sent on this connection. */
  readonly canSendSlices: boolean;
  /** The frame at hand is answered later; with `isPipelined` the next one may start before. */
  defer(isPipelined: boolean): ReplyTarget;
  /** Closes with a reset: what was sent has not been looked at, and whoever sent it may ask another broker. */
  reset(): void;
  /** Told when another node of the cluster turned out to be at the other end; for connections that somebody else keeps. */
  onPeer?(nodeId: number): void;
}

/** Understands frames. One instance serves all connections of a loop. */
export interface FrameHandler {
  onOpen(connection: FrameConnection): void;
  /**
   * Handles the frame `bytes[start, end)` (size prefix excluded) and, before returning, calls exactly one of the
   * connection's `reply`, `replySliced`, `replyNothing`, `defer` or `close`.
   *
   * @returns true when no view of the frame's bytes outlives the call, so that its buffer may be reused at once.
   */
  onFrame(connection: FrameConnection, bytes: Uint8Array, start: number, end: number): boolean;
  onClose(connection: FrameConnection): void;
}

/** Why a transport closed or refused a connection by itself. */
export type ConnectionCut =
  | "idle"
  | "frame-deadline"
  | "bad-frame"
  | "send-deadline"
  | "memory"
  | "refused-connections"
  | "refused-address"
  | "refused-descriptors"
  | "refused-rate"
  | "refused-stopping";

/** Told of what a transport does to connections by itself. Must not throw. */
export interface TransportEvents {
  /** @param connectionId - -1 for a connection that was refused. */
  onConnectionCut(reason: ConnectionCut, connectionId: number, clientHost: string): void;
}

/** Counters of a transport, for metrics and tests. */
export interface TransportStatistics {
  acceptedCount: number;
  /** All refused connections; the three below are part of it. */
  refusedCount: number;
  /** Over `max.connections.per.ip`. */
  refusedAddressCount: number;
  /** For want of descriptors. */
  refusedDescriptorsCount: number;
  /** Over `max.connection.creation.rate`. */
  refusedRateCount: number;
  openCount: number;
  framesCount: number;
  /** Those of them that the fast lane served. */
  laneFramesCount: number;
  receivedBytes: number;
  writesCount: number;
  slicedSendsCount: number;
  /** Produces that the fast lane has appended and not answered yet. */
  laneWaitingCount: number;
  closedIdleCount: number;
  closedFrameDeadlineCount: number;
  closedBadFrameCount: number;
  /** Closed because nothing of what waits to be sent moved for `sluice.send.deadline.ms`. */
  closedSendDeadlineCount: number;
  /** Closed because their input or their replies did not fit into memory any more. */
  closedMemoryCount: number;
}

/** Why a connection came back from the lane; numbers of `native/crates/lane/src/lane.rs`. */
export const LaneReason = {
  NOT_MINE: 0,
  END: 1,
  /** The connection failed: it can only be closed. */
  FAILED: 2,
  IDLE: 3,
  NO_MEMORY: 4,
  ASKED: 5,
  STALLED: 6,
  /** Replies are lost: the connection can only be closed. */
  SEND_DEADLINE: 7,
  /** Something failed that should not: the connection can only be closed. */
  BROKEN: 8,
} as const;
export type LaneReason = (typeof LaneReason)[keyof typeof LaneReason];

/** What a lane may use. */
export interface LaneOptions {
  /** Memory for frames that arrive in pieces. */
  readonly bufferBytes: number;
  /** As `TransportOptions.sendDeadlineMs`. */
  readonly sendDeadlineMs: number;
}

/** Told of connections that come back. */
export interface LaneHost {
  /** `input` begins where a frame does; it and `output` belong to the host. */
  onReturned(token: number, reason: LaneReason, input: Uint8Array, output: Uint8Array): void;
}

/** What a lane counted since it was last asked. */
export interface LaneCounts {
  readonly framesCount: number;
  readonly receivedBytes: number;
  readonly writesCount: number;
  readonly slicedSendsCount: number;
  /** Requests that wait now; not since it was last asked. */
  readonly waitingCount: number;
  readonly apis: readonly {
    readonly apiKey: number;
    /** Requests by version; all were answered at once. */
    readonly versions: Float64Array;
    readonly requestBytes: number;
    readonly replyBytes: number;
    readonly latencySumMs: number;
    /** By bucket, as in `src/common/latency-histogram.ts`. */
    readonly latencyCounts: Float64Array;
    /** Partitions answered with an error, by its code. */
    readonly errors: readonly (readonly [number, number])[];
  }[];
}

/** A native thread that serves what is plain of busy connections; supplied by `fast-lane.ts`. */
export interface FastLane {
  /** True for a request of an API that lanes serve at all; `start` is where the frame begins, behind its size. */
  isCandidate(bytes: Uint8Array, start: number): boolean;
  /**
   * Lends a connection: nobody else may touch its socket until it comes back.
   *
   * @param input - what was received of its next frame, from the size on; copied
   * @returns false when it is not lent.
   */
  adopt(token: number, fd: number, input: Uint8Array): boolean;
  /** Asks for a connection; it comes back by `onReturned`. */
  takeBack(token: number): void;
  /** Lets go of a connection that is being closed. */
  forget(token: number): void;
  /** @param partitions - handle and leader epoch by index; a handle of -1 where the lane must not serve. */
  putTopic(name: string, topicId: string, token: number, partitions: Float64Array): void;
  removeTopic(name: string): void;
  /** Says the most that an answer to a fetch may hold; before that no fetch is served. */
  boundFetches(maxBytes: number): void;
  /** Null once it is closed. */
  takeCounts(): LaneCounts | null;
  takeTraffic(
    each: (
      token: number,
      producedRecords: number,
      producedBytes: number,
      failedProduces: number,
      fetchedBytes: number,
    ) => void,
  ): void;
  close(): void;
}
