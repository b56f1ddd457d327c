/**
 * Frames and damage to them. A sound request is written by our codecs through a writer that notes where each field lies; damage
 * is then one replacement of bytes at a noted place, so that everything around it stays as a client would have sent it.
 */
import type { ApiMessages } from "#protocol/api.ts";
import { Writer } from "#protocol/codec/writer.ts";
import type { Turn } from "./case.ts";

/** Kinds of fields whose bytes begin with a length or a count. */
export type FieldKind =
  "string" | "compactString" | "bytes" | "compactBytes" | "array" | "compactArray";

/** Where a field lies in a body. */
export interface FieldMark {
  readonly kind: FieldKind;
  readonly start: number;
  /** One past the length or count. */
  readonly prefixEnd: number;
  /** One past the field; for an array the end of its count. */
  readonly end: number;
}

/** A writer that notes the fields it writes. */
export class MarkingWriter extends Writer {
  readonly marks: FieldMark[] = [];

  override string(value: string): void {
    this.#mark("string", 2, () => super.string(value));
  }

  override nullableString(value: string | null): void {
    if (value === null) this.#mark("string", 2, () => super.nullableString(null));
    else this.string(value);
  }

  override compactString(value: string): void {
    this.#mark("compactString", 1, () => super.compactString(value));
  }

  override compactNullableString(value: string | null): void {
    if (value === null) this.#mark("compactString", 1, () => super.compactNullableString(null));
    else this.compactString(value);
  }

  override byteArray(value: Uint8Array): void {
    this.#mark("bytes", 4, () => super.byteArray(value));
  }

  override compactBytes(value: Uint8Array): void {
    const lengthBytes = value.length + 1 < 0x80 ? 1 : value.length + 1 < 0x4000 ? 2 : 3;
    this.#mark("compactBytes", lengthBytes, () => super.compactBytes(value));
  }

  override arrayCount(count: number): void {
    this.#mark("array", 4, () => super.arrayCount(count));
  }

  override compactArrayCount(count: number): void {
    this.#mark("compactArray", 1, () => super.compactArrayCount(count));
  }

  #mark(kind: FieldKind, prefixBytes: number, write: () => void): void {
    const start = this.length;
    write();
    this.marks.push({ kind, start, prefixEnd: start + prefixBytes, end: this.length });
  }
}

/** A body and its fields. */
export interface MarkedBody {
  readonly bytes: Uint8Array;
  readonly marks: readonly FieldMark[];
}

/** The body of a request. */
export function bodyOf<Req>(
  api: ApiMessages<Req, unknown>,
  version: number,
  request: Req,
): MarkedBody {
  const writer = new MarkingWriter();
  api.request.encode(writer, request, version);
  return { bytes: writer.toBytes(), marks: writer.marks };
}

/** Parts of a request header that a case may want otherwise. */
export interface HeaderOptions {
  readonly correlationId?: number;
  /** Client id with its length, as bytes. */
  readonly clientId?: Uint8Array;
  /** The tagged section of the header; empty for a header without one. */
  readonly tags?: Uint8Array;
}

const NO_TAGS = new Uint8Array([0]);
const CLIENT_ID = concat(int16(6), utf8("corpus"));
/** Correlation id where a case does not choose: fixed, so that both brokers get the same bytes. */
const CORRELATION_ID = 1001;

/** The header of a request; tagged fields are added when `isFlexible`. */
export function header(
  apiKey: number,
  apiVersion: number,
  isFlexible: boolean,
  options: HeaderOptions = {},
): Uint8Array {
  return concat(
    int16(apiKey),
    int16(apiVersion),
    int32(options.correlationId ?? CORRELATION_ID),
    options.clientId ?? CLIENT_ID,
    options.tags ?? (isFlexible ? NO_TAGS : new Uint8Array(0)),
  );
}

/** Content with its size in front. */
export function frame(...content: readonly Uint8Array[]): Uint8Array {
  const bytes = concat(...content);
  return concat(int32(bytes.length), bytes);
}

/** A whole frame of a request, its body possibly changed by `damage`. */
export function requestFrame<Req>(
  api: ApiMessages<Req, unknown>,
  version: number,
  request: Req,
  options: HeaderOptions & { readonly damage?: (body: MarkedBody) => Uint8Array } = {},
): Uint8Array {
  const body = bodyOf(api, version, request);
  const isFlexible = version >= api.firstFlexibleVersion;
  return frame(
    header(api.key, version, isFlexible, options),
    options.damage === undefined ? body.bytes : options.damage(body),
  );
}

/** A turn of one request. */
export function ask<Req>(
  api: ApiMessages<Req, unknown>,
  version: number,
  request: Req,
  options: HeaderOptions & { readonly damage?: (body: MarkedBody) => Uint8Array } = {},
): Turn {
  return { writes: [requestFrame(api, version, request, options)], replies: 1 };
}

/** A turn of these bytes, written at once. */
export function raw(bytes: Uint8Array, replies = 1): Turn {
  return { writes: [bytes], replies };
}

/** A body with other bytes in `[start, end)`. */
export function replace(
  body: Uint8Array,
  start: number,
  end: number,
  bytes: Uint8Array,
): Uint8Array {
  return concat(body.subarray(0, start), bytes, body.subarray(end));
}

export function utf8(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

export function int16(value: number): Uint8Array {
  return new Uint8Array([(value >> 8) & 255, value & 255]);
}

export function int32(value: number): Uint8Array {
  return new Uint8Array([
    (value >> 24) & 255,
    (value >> 16) & 255,
    (value >> 8) & 255,
    value & 255,
  ]);
}

/** An unsigned varint of the low 32 bits. */
export function unsignedVarint(value: number): Uint8Array {
  const writer = new Writer();
  writer.unsignedVarint(value);
  return writer.toBytes();
}

export function concat(...parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts));
}

export function repeat(byte: number, count: number): Uint8Array {
  return new Uint8Array(count).fill(byte);
}
