/**
 * The headers in front of every request and response.
 *
 * ```
 * request   v1  apiKey int16 · apiVersion int16 · correlationId int32 · clientId nullable string
 *           v2  the same, then tagged fields         (requests of flexible versions; the client id stays as it was)
 *           v0  without the client id                (ControlledShutdown v0 alone; Kafka no longer serves it)
 * response  v0  correlationId int32
 *           v1  the same, then tagged fields         (flexible versions, but never ApiVersions: its caller may not yet
 *                                                     know which version it will be answered in)
 * ```
 * @see KIP-482, KIP-511
 */
import { API_VERSIONS } from "./apis.ts";
import type { Reader } from "./codec/reader.ts";
import type { Writer } from "./codec/writer.ts";

/** What a request says about itself. */
export interface RequestHeader {
  readonly apiKey: number;
  readonly apiVersion: number;
  readonly correlationId: number;
  readonly clientId: string | null;
}

const API_VERSIONS_KEY = 18;
const CONTROLLED_SHUTDOWN_KEY = 7;

/** Lowest flexible version of every known key, indexed by key; keys without an entry are unknown. */
const FIRST_FLEXIBLE: readonly (number | undefined)[] = firstFlexibleByKey();

function firstFlexibleByKey(): (number | undefined)[] {
  const table: (number | undefined)[] = [];
  for (const info of API_VERSIONS.values()) table[info.key] = info.firstFlexibleVersion;
  return table;
}

/** True when requests of that version have tagged fields. An unknown key is not flexible. */
export function isFlexibleVersion(apiKey: number, apiVersion: number): boolean {
  const first = FIRST_FLEXIBLE[apiKey];
  return first !== undefined && apiVersion >= first;
}

/**
 * Reads a request header and leaves the reader at the body.
 *
 * A version outside the API's range is read as Kafka does, by whether it would be flexible: ApiVersions must be
 * answerable at any version. An unknown key leaves a failure in the reader, since its header cannot be known.
 */
export function decodeRequestHeader(reader: Reader): RequestHeader {
  const apiKey = reader.int16();
  const apiVersion = reader.int16();
  const correlationId = reader.int32();
  const first = FIRST_FLEXIBLE[apiKey];
  if (first === undefined && apiKey !== CONTROLLED_SHUTDOWN_KEY)
    reader.fail(`unknown api key ${apiKey}`);
  const hasClientId = apiKey !== CONTROLLED_SHUTDOWN_KEY || apiVersion > 0;
  const clientId = hasClientId ? reader.nullableString() : null;
  if (first !== undefined && apiVersion >= first) reader.skipTags();
  return { apiKey, apiVersion, correlationId, clientId };
}

/** Writes a request header in the form its API and version ask for. */
export function encodeRequestHeader(writer: Writer, header: RequestHeader): void {
  writer.int16(header.apiKey);
  writer.int16(header.apiVersion);
  writer.int32(header.correlationId);
  if (header.apiKey !== CONTROLLED_SHUTDOWN_KEY || header.apiVersion > 0) {
    writer.nullableString(header.clientId);
  }
  if (isFlexibleVersion(header.apiKey, header.apiVersion)) writer.int8(0);
}

/** Writes the header of the answer to a request of that API and version. */
export function encodeResponseHeader(
  writer: Writer,
  request: Pick<RequestHeader, "apiKey" | "apiVersion" | "correlationId">,
): void {
  writer.int32(request.correlationId);
  if (hasResponseTags(request.apiKey, request.apiVersion)) writer.int8(0);
}

/** Reads the header of an answer and returns its correlation id. */
export function decodeResponseHeader(reader: Reader, apiKey: number, apiVersion: number): number {
  const correlationId = reader.int32();
  if (hasResponseTags(apiKey, apiVersion)) reader.skipTags();
  return correlationId;
}

function hasResponseTags(apiKey: number, apiVersion: number): boolean {
  return apiKey !== API_VERSIONS_KEY && isFlexibleVersion(apiKey, apiVersion);
}
