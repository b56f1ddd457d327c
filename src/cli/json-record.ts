/**
 * A record as one JSON object, the same way in and out, so that `consume --json | produce --json` copies a topic. Text is a string; bytes
 * that are not UTF-8 are base64 in a field of their own name:
 *
 * ```
 * { "topic", "partition", "offset", "timestamp": ms,  "key": text | null  or  "keyBase64",  "value": text | null  or  "valueBase64",
 *   "headers": [ { "key", "value": text | null  or  "valueBase64" } ] }
 * ```
 * `produce` takes `headers` as an object too, a value that is an object or a number as its JSON, and a timestamp as ISO text; it does not
 * look at `topic` and `offset`.
 */
import type { LogRecord, NewRecord, RecordHeader } from "#protocol/records/record-batch.ts";

const STRICT_UTF8: { decode(bytes: Uint8Array): string } = new TextDecoder("utf-8", {
  fatal: true,
  ignoreBOM: true,
});
const encoder: { encode(text: string): Uint8Array } = new TextEncoder();

/** Bytes as text, or null when they are not UTF-8. */
export function asText(bytes: Uint8Array): string | null {
  try {
    return STRICT_UTF8.decode(bytes);
  } catch {
    return null;
  }
}

/** `{ name: text }`, `{ name: null }` or `{ nameBase64: … }`. */
export function jsonBytes(name: string, bytes: Uint8Array | null): Record<string, string | null> {
  const text = bytes === null ? null : asText(bytes);
  return bytes !== null && text === null
    ? {
        [`${name}Base64`]: Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString(
          "base64",
        ),
      }
    : { [name]: text };
}

/** A record as the object above. */
export function recordToJson(topic: string, partition: number, record: LogRecord): object {
  return {
    topic,
    partition,
    offset: record.offset,
    timestamp: record.timestamp,
    ...jsonBytes("key", record.key),
    ...jsonBytes("value", record.value),
    headers: record.headers.map((header) => ({
      key: header.key,
      ...jsonBytes("value", header.value),
    })),
  };
}

/** A record read from JSON, and the partition it asks for. */
export interface JsonRecord {
  readonly record: NewRecord;
  readonly partition: number | null;
}

/** Reads the object above; a string says what is wrong with it. */
export function recordFromJson(text: string): JsonRecord | string {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    return "is not JSON";
  }
  if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed))
    return "is not a JSON object";
  const fields = parsed as Readonly<Record<string, unknown>>;
  const key = bytesOf(fields, "key");
  const value = bytesOf(fields, "value");
  const headers = headersOf(fields["headers"]);
  const timestamp = timestampOf(fields["timestamp"]);
  const partition = fields["partition"] ?? null;
  for (const part of [key, value, headers, timestamp]) if (typeof part === "string") return part;
  if (
    partition !== null &&
    !(typeof partition === "number" && Number.isSafeInteger(partition) && partition >= 0)
  )
    return "has a partition that is no whole number";
  return {
    record: {
      key: key as Uint8Array | null,
      value: value as Uint8Array | null,
      headers: headers as readonly RecordHeader[],
      ...(timestamp === null ? {} : { timestamp: timestamp as number }),
    },
    partition,
  };
}

function bytesOf(
  fields: Readonly<Record<string, unknown>>,
  name: string,
): Uint8Array | null | string {
  const encoded = fields[`${name}Base64`];
  if (encoded !== undefined) {
    if (typeof encoded !== "string" || !/^[A-Za-z0-9+/]*={0,2}$/.test(encoded))
      return `has a ${name}Base64 that is not base64`;
    return new Uint8Array(Buffer.from(encoded, "base64"));
  }
  const value = fields[name];
  if (value === undefined || value === null) return null;
  return encoder.encode(typeof value === "string" ? value : JSON.stringify(value));
}

function headersOf(value: unknown): readonly RecordHeader[] | string {
  if (value === undefined || value === null) return [];
  if (typeof value !== "object") return "has headers that are neither a list nor an object";
  const rows: unknown[] = Array.isArray(value)
    ? value
    : Object.entries(value).map(([key, text]) => ({ key, value: text as unknown }));
  const headers: RecordHeader[] = [];
  for (const row of rows) {
    if (typeof row !== "object" || row === null) return "has a header that is no object";
    const fields = row as Readonly<Record<string, unknown>>;
    const { key } = fields as { readonly key?: unknown };
    if (typeof key !== "string") return "has a header without a key";
    const bytes = bytesOf(fields, "value");
    if (typeof bytes === "string") return bytes;
    headers.push({ key, value: bytes });
  }
  return headers;
}

function timestampOf(value: unknown): number | null | string {
  if (value === undefined || value === null) return null;
  const time = typeof value === "string" ? Date.parse(value) : value;
  return typeof time === "number" && Number.isSafeInteger(time)
    ? time
    : "has a timestamp that is neither milliseconds nor a date";
}
