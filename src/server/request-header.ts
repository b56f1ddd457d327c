/**
 * The head of a request, read before anything is known about the rest: two int16 that say which API and version follow.
 * They decide whether the request can be served at all, and which header version the remaining fields have.
 */

/** ApiVersions: the one API that is answered whatever version it comes in. */
export const API_VERSIONS_KEY = 18;
/** Bytes of API key, API version and correlation id. */
export const HEADER_BYTES_MIN = 8;

/** A big-endian int16. */
export function readInt16(bytes: Uint8Array, at: number): number {
  return (((bytes[at] as number) << 24) >> 16) | (bytes[at + 1] as number);
}
