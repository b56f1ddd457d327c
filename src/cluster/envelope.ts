/**
 * Envelope (key 58): requests that belong to the controller, as brokers pass them on. The inside is a whole request; it is served by the
 * controller's own handlers, and answered as a whole response (KIP-590).
 *
 * - v0: flexible.
 *
 * Only nodes of the cluster may send it: CLUSTER_AUTHORIZATION_FAILED. A node that is not the active controller answers NOT_CONTROLLER
 * outside, and the sender looks for the one that is.
 */
import { ErrorCode } from "#common/error-code.ts";
import { Reader } from "#protocol/codec/reader.ts";
import { Writer } from "#protocol/codec/writer.ts";
import {
  EnvelopeApi,
  type EnvelopeRequest,
  type EnvelopeResponse,
  makeEnvelopeResponse,
} from "#protocol/generated/envelope.ts";
import { decodeRequestHeader, encodeResponseHeader } from "#protocol/headers.ts";
import type { ApiHandler, ConnectionInfo, RequestContext } from "#server/handler.ts";
import { BlockingAnswer, CLOSE_CONNECTION, SlicedResponse } from "#server/handler.ts";
import type { HandlerTable } from "#server/handler-table.ts";

/** What the handler works with. */
export interface EnvelopeDependencies {
  /** The controller's handlers. */
  readonly table: HandlerTable;
  /** Whether this node decides at the moment. */
  readonly isActive: () => boolean;
  /** A client sent one; it was refused. */
  readonly onStranger: (connection: ConnectionInfo) => void;
}

/** Serves Envelope. */
export function createEnvelopeHandler(
  dependencies: EnvelopeDependencies,
): ApiHandler<EnvelopeRequest, EnvelopeResponse> {
  return {
    api: EnvelopeApi,
    minVersion: 0,
    maxVersion: 0,
    isPipelined: true,
    handle: (request, context) => unwrap(dependencies, request, context),
  };
}

async function unwrap(
  { table, isActive, onStranger }: EnvelopeDependencies,
  { requestData }: EnvelopeRequest,
  context: RequestContext,
): Promise<EnvelopeResponse> {
  if (context.connection.peerNodeId < 0) {
    onStranger(context.connection);
    return makeEnvelopeResponse({ errorCode: ErrorCode.CLUSTER_AUTHORIZATION_FAILED });
  }
  if (!isActive()) return makeEnvelopeResponse({ errorCode: ErrorCode.NOT_CONTROLLER });
  const reader = new Reader(requestData);
  const header = decodeRequestHeader(reader);
  const { apiKey, apiVersion } = header;
  const handler = reader.failure === null ? table.get(apiKey) : undefined;
  if (handler === undefined || handler.api.key === EnvelopeApi.key)
    return makeEnvelopeResponse({ errorCode: ErrorCode.INVALID_REQUEST });
  if (apiVersion < handler.minVersion || apiVersion > handler.maxVersion)
    return makeEnvelopeResponse({ errorCode: ErrorCode.UNSUPPORTED_VERSION });
  const inner = handler.api.request.decode(reader, apiVersion);
  if (reader.failure !== null)
    return makeEnvelopeResponse({ errorCode: ErrorCode.INVALID_REQUEST });
  const result = handler.handle(inner, { ...context, ...header });
  const response: unknown = await (result instanceof BlockingAnswer ? result.answer : result);
  if (response === null || response === CLOSE_CONNECTION || response instanceof SlicedResponse)
    return makeEnvelopeResponse({ errorCode: ErrorCode.UNKNOWN_SERVER_ERROR });
  // Leadership was lost meanwhile: what was answered may be an echo of that.
  if (!isActive()) return makeEnvelopeResponse({ errorCode: ErrorCode.NOT_CONTROLLER });
  const writer = new Writer(256);
  encodeResponseHeader(writer, header);
  handler.api.response.encode(writer, response, apiVersion);
  return makeEnvelopeResponse({ responseData: writer.toBytes() });
}
