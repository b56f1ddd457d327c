/**
 * From a frame to its handler and back; the first of the files a produce or a fetch goes through.
 *
 * The dispatcher reads the header, looks the API up in the handler table, decodes the body and calls the handler. A
 * handler that can answer at once is answered within the data event that brought its frame: no promise, no closure, no
 * timer. What cannot be read closes its connection, as in Kafka: after bytes that make no sense there is no telling where
 * the next request begins. The one exception is an ApiVersions request of a version from the future, which is answered
 * in version 0 so that the client can step down (KIP-511).
 */
import { ErrorCode } from "#common/error-code.ts";
import { Reader } from "#protocol/codec/reader.ts";
import type { FrameConnection, FrameHandler, ReplyTarget } from "#transport/ports.ts";
import {
  type AnyApiHandler,
  BlockingAnswer,
  CLOSE_CONNECTION,
  type ConnectionInfo,
  type RequestContext,
  SlicedResponse,
} from "./handler.ts";
import type { HandlerTable } from "./handler-table.ts";
import type { ReplyEncoder } from "./reply-encoder.ts";
import { API_VERSIONS_KEY, HEADER_BYTES_MIN, readInt16 } from "./request-header.ts";
import { RequestStatistics, type UnreadableReason } from "./request-statistics.ts";

/** A frame that is no request we serve. */
export interface UnreadableRequest {
  readonly reason: UnreadableReason;
  /** -1 when the frame is too short to tell. */
  readonly apiKey: number;
  readonly apiVersion: number;
  /** Bytes of the frame. */
  readonly bytes: number;
}

/** What a dispatcher reports to the outside. */
export interface DispatcherEvents {
  /** A handler failed in a way that it should not: its connection has been closed. */
  onHandlerFailure(error: unknown, context: RequestContext): void;
  /** A connection was closed because its request could not be read, or asks for what is not served. */
  onUnreadableRequest?(request: UnreadableRequest, connection: ConnectionInfo | null): void;
}

/** Routes the frames of one event loop. */
export class Dispatcher implements FrameHandler {
  /** What was counted of the requests so far. */
  readonly statistics: RequestStatistics = new RequestStatistics();
  readonly #table: HandlerTable;
  readonly #encoder: ReplyEncoder;
  readonly #events: DispatcherEvents;
  readonly #monotonicMs: () => number;
  readonly #reader: Reader = new Reader(new Uint8Array(0));

  constructor(
    table: HandlerTable,
    encoder: ReplyEncoder,
    events: DispatcherEvents,
    monotonicMs: () => number,
  ) {
    this.#table = table;
    this.#encoder = encoder;
    this.#events = events;
    this.#monotonicMs = monotonicMs;
  }

  onOpen(connection: FrameConnection): void {
    const info: ConnectionInfo = {
      id: connection.id,
      listenerName: connection.address.listenerName,
      localHost: connection.address.localHost,
      localPort: connection.address.localPort,
      clientHost: connection.address.clientHost,
      clientPort: connection.address.clientPort,
      clientSoftwareName: "unknown",
      clientSoftwareVersion: "unknown",
      peerNodeId: -1,
    };
    connection.attachment = info;
  }

  onClose(connection: FrameConnection): void {
    connection.attachment = null;
  }

  onFrame(connection: FrameConnection, bytes: Uint8Array, start: number, end: number): boolean {
    if (end - start < HEADER_BYTES_MIN) {
      return this.#refuse(connection, "header", -1, -1, end - start);
    }
    const startedMs = this.#monotonicMs();
    const apiKey = readInt16(bytes, start);
    const apiVersion = readInt16(bytes, start + 2);
    const handler = this.#table.get(apiKey);
    if (handler === undefined) {
      return this.#refuse(connection, "unknown-api", apiKey, apiVersion, end - start);
    }
    const isServed = apiVersion >= handler.minVersion && apiVersion <= handler.maxVersion;
    if (!isServed && apiKey !== API_VERSIONS_KEY) {
      return this.#refuse(connection, "version", apiKey, apiVersion, end - start);
    }
    const reader = this.#reader;
    reader.reset(bytes, start + 4, end);
    const correlationId = reader.int32();
    const clientId = reader.nullableString();
    if (apiVersion >= handler.api.firstFlexibleVersion) reader.skipTags();
    if (reader.failure !== null) {
      return this.#refuse(connection, "header", apiKey, apiVersion, end - start);
    }
    if (!isServed) {
      this.statistics.begin(apiKey, 0, end - start);
      const reply = this.#unsupportedApiVersions(handler, correlationId);
      this.statistics.reply(apiKey, reply.length);
      connection.reply(reply);
      return true;
    }
    const request = handler.api.request.decode(reader, apiVersion);
    if (reader.failure !== null) {
      return this.#refuse(connection, "body", apiKey, apiVersion, end - start);
    }
    this.statistics.begin(apiKey, apiVersion, end - start);
    const context: RequestContext = {
      apiKey,
      apiVersion,
      correlationId,
      clientId,
      connection: connection.attachment as ConnectionInfo,
      receivedMonotonicMs: startedMs,
    };
    this.#serve(handler, request, context, connection);
    return handler.isFrameReleased === true;
  }

  /** Closes a connection whose frame makes no sense. @returns true, since nothing of the frame is kept. */
  #refuse(
    connection: FrameConnection,
    reason: UnreadableReason,
    apiKey: number,
    apiVersion: number,
    bytes: number,
  ): true {
    const info = connection.attachment as ConnectionInfo | null;
    connection.close();
    this.statistics.unreadable(reason);
    this.#events.onUnreadableRequest?.({ reason, apiKey, apiVersion, bytes }, info);
    return true;
  }

  #serve(
    handler: AnyApiHandler,
    request: never,
    context: RequestContext,
    connection: FrameConnection,
  ): void {
    let result: unknown;
    try {
      result = handler.handle(request, context);
    } catch (error) {
      this.#fail(error, context, connection);
      return;
    }
    const isBlocking = result instanceof BlockingAnswer;
    if (isBlocking || result instanceof Promise) {
      const slot = connection.defer(!isBlocking && handler.isPipelined === true);
      const answer: Promise<unknown> = isBlocking
        ? (result as BlockingAnswer<unknown>).answer
        : (result as Promise<unknown>);
      const waitsFromMs = this.#monotonicMs();
      answer.then(
        (settled) => {
          const waitMs = this.#monotonicMs() - waitsFromMs;
          this.#answer(handler, settled, context, connection, slot);
          const totalMs = this.#monotonicMs() - context.receivedMonotonicMs;
          this.statistics.answeredAfterWait(context.apiKey, totalMs, waitMs);
        },
        (error: unknown) => this.#fail(error, context, connection),
      );
      return;
    }
    this.#answer(handler, result, context, connection, null);
    this.statistics.answeredAtOnce(
      context.apiKey,
      this.#monotonicMs() - context.receivedMonotonicMs,
    );
  }

  /** Encodes and hands over one answer: to the slot when there is one, else to the connection directly. */
  #answer(
    handler: AnyApiHandler,
    result: unknown,
    context: RequestContext,
    connection: FrameConnection,
    slot: ReplyTarget | null,
  ): void {
    const target = slot ?? connection;
    if (connection.isClosed) {
      if (result instanceof SlicedResponse) this.#encoder.drop(result.plan);
      return;
    }
    if (result === null) {
      target.replyNothing();
      return;
    }
    const { statistics } = this;
    if (result === CLOSE_CONNECTION) {
      statistics.failedCount++;
      connection.close();
      return;
    }
    const { apiKey, apiVersion, correlationId } = context;
    try {
      statistics.response(apiKey, result instanceof SlicedResponse ? result.response : result);
      if (result instanceof SlicedResponse) {
        const reply = this.#encoder.encodeSliced(
          handler.api,
          apiVersion,
          correlationId,
          result.response,
          result.plan,
          result.slicesBytes,
          connection.canSendSlices,
        );
        if (reply === null) {
          statistics.failedCount++;
          connection.close();
        } else if (reply instanceof Uint8Array) {
          statistics.reply(apiKey, reply.length);
          target.reply(reply);
        } else {
          statistics.reply(apiKey, reply.head.length + reply.slicesBytes);
          target.replySliced(reply);
        }
      } else {
        const reply = this.#encoder.encode(handler.api, apiVersion, correlationId, result);
        statistics.reply(apiKey, reply.length);
        target.reply(reply);
      }
    } catch (error) {
      this.#fail(error, context, connection);
    }
  }

  #fail(error: unknown, context: RequestContext, connection: FrameConnection): void {
    this.statistics.failedCount++;
    connection.close();
    this.#events.onHandlerFailure(error, context);
  }

  /** The version 0 answer to an ApiVersions request we cannot read: the versions of this API alone (KIP-511). */
  #unsupportedApiVersions(handler: AnyApiHandler, correlationId: number): Uint8Array {
    return this.#encoder.encode(handler.api, 0, correlationId, {
      errorCode: ErrorCode.UNSUPPORTED_VERSION,
      apiKeys: [
        {
          apiKey: API_VERSIONS_KEY,
          minVersion: handler.minVersion,
          maxVersion: handler.maxVersion,
        },
      ],
      throttleTimeMs: 0,
      supportedFeatures: [],
      finalizedFeaturesEpoch: -1,
      finalizedFeatures: [],
      zkMigrationReady: false,
    });
  }
}
