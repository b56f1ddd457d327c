/**
 * What an API handler is. One file per API under `handlers/`, each exporting `create<Api>Handler(deps)`.
 * The handler table (`handler-table.ts`) is the only source of what ApiVersions advertises: a handler that is
 * not in it does not exist for a client, and one that is in it serves every version between its bounds.
 */
import type { ApiMessages } from "#protocol/api.ts";

/** Who sent a request and how; immutable for the life of the request. */
export interface RequestContext {
  readonly apiKey: number;
  readonly apiVersion: number;
  readonly correlationId: number;
  readonly clientId: string | null;
  readonly connection: ConnectionInfo;
  /** Monotonic clock at which the frame was complete, ms: for durations, not for dates. */
  readonly receivedMonotonicMs: number;
}

/** The connection a request came on, as far as handlers may know it. */
export interface ConnectionInfo {
  readonly id: number;
  readonly listenerName: string;
  /** Address the client reached us on; used when the listener advertises the accepting socket's address. */
  readonly localHost: string;
  readonly localPort: number;
  readonly clientHost: string;
  readonly clientPort: number;
  /** KIP-511 software name and version, "unknown" until ApiVersions told. */
  clientSoftwareName: string;
  clientSoftwareVersion: string;
  /**
   * Node of this cluster at the other end, authenticated by its hello (`src/cluster/peer-gate.ts`); -1 for a client. Replica fetches
   * and requests of brokers to the controller are served for nodes only.
   */
  peerNodeId: number;
}

/** A response whose records stay in segment files until they are sent: the plan knows where the bytes are. */
export class SlicedResponse<Res> {
  readonly response: Res;
  /** Plan of the native log; whoever holds this response owns it. */
  readonly plan: number;
  /** Bytes of all slices together. */
  readonly slicesBytes: number;

  constructor(response: Res, plan: number, slicesBytes: number) {
    this.response = response;
    this.plan = plan;
    this.slicesBytes = slicesBytes;
  }
}

/** Answer of a handler that wants the connection closed: the only way to tell a client that waits for no reply. */
export const CLOSE_CONNECTION: unique symbol = Symbol("close connection");

/**
 * An answer that comes later and that the connection's next requests wait for, also where the handler is pipelined otherwise: an
 * effect of this request is still to come, and theirs must not pass it.
 */
export class BlockingAnswer<Res> {
  readonly answer: Promise<HandlerResult<Res>>;

  constructor(answer: Promise<HandlerResult<Res>>) {
    this.answer = answer;
  }
}

/** What a handler answers: a response, a response with slices, nothing, or the end of the connection. */
export type HandlerResult<Res> = Res | SlicedResponse<Res> | typeof CLOSE_CONNECTION | null;

/**
 * Serves one API.
 *
 * `handle` returns the response, or a promise of it when something must happen first (a commit, a timer). It never
 * throws for bad input: outcomes are error codes inside the response. A `null` answer sends nothing (Produce with acks=0).
 */
export interface ApiHandler<Req, Res> {
  readonly api: ApiMessages<Req, Res>;
  /** Lowest and highest version served. */
  readonly minVersion: number;
  readonly maxVersion: number;
  /** Lowest version advertised when it differs from the lowest served (Produce advertises 0: KAFKA-18659). */
  readonly advertisedMinVersion?: number;
  /**
   * True when the next request of the same connection may start before this one's promise settles: all effects
   * happen before `handle` returns. Replies still leave in request order.
   */
  readonly isPipelined?: boolean;
  /** True when no view of the request's bytes is kept once `handle` has returned, even if the answer comes later. */
  readonly isFrameReleased?: boolean;
  handle(
    request: Req,
    context: RequestContext,
  ): HandlerResult<Res> | Promise<HandlerResult<Res>> | BlockingAnswer<Res>;
}

// The table holds handlers of many message types; only the dispatcher, which pairs codec and handler, sees this erased form.
export type AnyApiHandler = ApiHandler<never, unknown>;

/** Forgets the message types of a handler, for the table. */
export function erased<Req, Res>(handler: ApiHandler<Req, Res>): AnyApiHandler {
  return handler as unknown as AnyApiHandler;
}
