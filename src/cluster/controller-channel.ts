/**
 * How a node asks the active controller, wherever that is: here, or on another node, where the request travels in Kafka's Envelope.
 * While the controller moves, requests wait and are sent again within their time; one that may have been carried out and whose answer
 * was lost is sent again only where that does no harm.
 *
 * One connection a channel, so that requests that must not wait behind others (heartbeats behind a creation of many topics) have a
 * channel of their own.
 */
import { ClientError } from "#client/client-error.ts";
import type { Connection } from "#client/connection.ts";
import { ErrorCode } from "#common/error-code.ts";
import type { Clock, Scheduler } from "#common/time.ts";
import type { ApiMessages } from "#protocol/api.ts";
import { Reader } from "#protocol/codec/reader.ts";
import { Writer } from "#protocol/codec/writer.ts";
import { EnvelopeApi, makeEnvelopeRequest } from "#protocol/generated/envelope.ts";
import { decodeResponseHeader, encodeRequestHeader } from "#protocol/headers.ts";
import { openPeerConnection, type PeerAddress, type PeerConnector } from "./peer-connection.ts";

/** Why the controller gave no answer. */
export class ControllerUnavailableError extends Error {
  override readonly name = "ControllerUnavailableError";
  /** NOT_CONTROLLER: it was never carried out. REQUEST_TIMED_OUT: nobody knows. */
  readonly errorCode: number;

  constructor(errorCode: number, message: string) {
    super(message);
    this.errorCode = errorCode;
  }
}

/** A request as it is served by the controller of this very process. */
export type LocalController = <Req, Res>(
  api: ApiMessages<Req, Res>,
  version: number,
  request: Req,
  clientId: string | null,
) => Promise<Res> | Res;

/** What a channel works with. */
export interface ControllerChannelOptions {
  readonly connector: PeerConnector;
  readonly clock: Clock;
  readonly scheduler: Scheduler;
  readonly nodeId: number;
  /** Node id of the quorum's leader, -1 when none is known. */
  readonly leaderId: () => number;
  /** Where a controller is reached; null when that is not known. */
  readonly addressOf: (nodeId: number) => PeerAddress | null;
  /** Serves a request here. Throws {@link ControllerUnavailableError} NOT_CONTROLLER while this node is not the active controller. */
  readonly local: LocalController;
}

/** How one request is sent. */
export interface ControllerRequestOptions {
  readonly timeoutMs: number;
  readonly clientId?: string | null;
  /** Whether it may be carried out twice. */
  readonly isRepeatable?: boolean;
}

/** Pause before the controller is looked for again, ms. */
const RETRY_MS = 20;

/** See the head of the file. */
export class ControllerChannel {
  readonly #options: ControllerChannelOptions;
  #connection: { readonly nodeId: number; readonly opening: Promise<Connection> } | null = null;
  #isClosed = false;

  constructor(options: ControllerChannelOptions) {
    this.#options = options;
  }

  /**
   * Asks the active controller.
   *
   * @throws ControllerUnavailableError when it could not be asked in time, or its answer was lost.
   */
  async send<Req, Res>(
    api: ApiMessages<Req, Res>,
    version: number,
    request: Req,
    options: ControllerRequestOptions,
  ): Promise<Res> {
    const { clock, leaderId } = this.#options;
    const deadlineMs = clock.monotonicMs() + options.timeoutMs;
    let last = new ControllerUnavailableError(
      ErrorCode.NOT_CONTROLLER,
      "there is no active controller",
    );
    for (;;) {
      const leftMs = deadlineMs - clock.monotonicMs();
      if (leftMs <= 0 || this.#isClosed) throw last;
      const leader = leaderId();
      if (leader >= 0) {
        try {
          return await this.#ask(leader, api, version, request, options, leftMs);
        } catch (error) {
          if (!(error instanceof ControllerUnavailableError)) throw error;
          last = error;
          if (error.errorCode !== ErrorCode.NOT_CONTROLLER && options.isRepeatable !== true)
            throw error;
        }
      }
      await this.#pause(Math.min(RETRY_MS, Math.max(leftMs, 1)));
    }
  }

  /** Ends the connection; requests under way fail. */
  close(): void {
    this.#isClosed = true;
    this.#drop();
  }

  async #ask<Req, Res>(
    leader: number,
    api: ApiMessages<Req, Res>,
    version: number,
    request: Req,
    options: ControllerRequestOptions,
    timeoutMs: number,
  ): Promise<Res> {
    const clientId = options.clientId ?? null;
    if (leader === this.#options.nodeId)
      return this.#options.local(api, version, request, clientId);
    const connection = await this.#connect(leader);
    const envelope = makeEnvelopeRequest({
      requestData: encodeRequest(api, version, request, clientId),
      requestPrincipal: null,
    });
    let answer;
    try {
      answer = await connection.sendAt(EnvelopeApi, 0, envelope, timeoutMs);
    } catch (error) {
      if (!(error instanceof ClientError)) throw error;
      throw new ControllerUnavailableError(ErrorCode.REQUEST_TIMED_OUT, error.message);
    }
    if (answer.errorCode !== ErrorCode.NONE || answer.responseData === null) {
      const message = `node ${leader} is not the active controller`;
      throw new ControllerUnavailableError(answer.errorCode || ErrorCode.NOT_CONTROLLER, message);
    }
    return decodeResponse(api, version, answer.responseData);
  }

  async #connect(leader: number): Promise<Connection> {
    const known = this.#connection;
    if (known?.nodeId === leader) {
      const connection = await known.opening.catch(() => null);
      if (connection?.isOpen === true) return connection;
      if (this.#connection !== known && this.#connection !== null) return this.#connect(leader);
    }
    const address = this.#options.addressOf(leader);
    if (address === null) {
      const message = `nobody knows where controller ${leader} is`;
      throw new ControllerUnavailableError(ErrorCode.NOT_CONTROLLER, message);
    }
    this.#drop();
    const opening = openPeerConnection(address, this.#options.connector);
    this.#connection = { nodeId: leader, opening };
    try {
      return await opening;
    } catch (error) {
      if (this.#connection?.opening === opening) this.#connection = null;
      const message = error instanceof Error ? error.message : String(error);
      throw new ControllerUnavailableError(ErrorCode.NOT_CONTROLLER, message);
    }
  }

  #drop(): void {
    const dropped = this.#connection;
    this.#connection = null;
    dropped?.opening.then(
      (connection) => connection.close(),
      () => {},
    );
  }

  #pause(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      this.#options.scheduler.after(delayMs, resolve);
    });
  }
}

function encodeRequest<Req>(
  api: ApiMessages<Req, unknown>,
  version: number,
  request: Req,
  clientId: string | null,
): Uint8Array {
  const writer = new Writer(256);
  encodeRequestHeader(writer, { apiKey: api.key, apiVersion: version, correlationId: 0, clientId });
  api.request.encode(writer, request, version);
  return writer.toBytes();
}

function decodeResponse<Req, Res>(
  api: ApiMessages<Req, Res>,
  version: number,
  bytes: Uint8Array,
): Res {
  const reader = new Reader(bytes);
  decodeResponseHeader(reader, api.key, version);
  const response = api.response.decode(reader, version);
  if (reader.failure !== null) {
    const message = `the controller's answer cannot be read: ${reader.failure}`;
    throw new ControllerUnavailableError(ErrorCode.UNKNOWN_SERVER_ERROR, message);
  }
  return response;
}
