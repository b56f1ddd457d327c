/**
 * What must hold for any bytes at all, stated once for the property tests and the fuzz target.
 */
import { Reader } from "#protocol/codec/reader.ts";
import { EncodeError, Writer } from "#protocol/codec/writer.ts";
import type { TestedMessage } from "./messages.ts";

/**
 * Decodes `bytes` and checks what must hold.
 *
 * - Decoding never throws.
 * - The arrays of the result have together no more elements than there are bytes, so memory is bounded by the input.
 * - What was taken can be written, and reading that gives the same again.
 *
 * @returns whether the bytes were taken.
 * @throws Error naming the rule that was broken.
 */
export function checkDecoding(message: TestedMessage, version: number, bytes: Uint8Array): boolean {
  const reader = new Reader(bytes);
  const decoded = message.codec.decode(reader, version);
  const elements = countElements(decoded);
  if (elements > bytes.length) throw new Error(`${elements} elements from ${bytes.length} bytes`);
  if (reader.position > bytes.length) throw new Error("read past the end");
  if (reader.failure !== null) return false;
  const writer = new Writer();
  try {
    message.codec.encode(writer, decoded, version);
  } catch (error) {
    // Malformed UTF-8 grows when it is replaced, so a taken string can be too long to be written.
    if (error instanceof EncodeError && error.message.startsWith("string is longer")) return true;
    throw error;
  }
  const again = new Reader(writer.bytes());
  const repeated = message.codec.decode(again, version);
  if (again.failure !== null) throw new Error(`what we wrote cannot be read: ${again.failure}`);
  if (again.remaining > 0) throw new Error("what we wrote is not read to its end");
  if (!Bun.deepEquals(repeated, decoded, true)) throw new Error("what we wrote reads differently");
  return true;
}

/** Elements of all arrays inside `value`. */
export function countElements(value: unknown): number {
  if (typeof value !== "object" || value === null || value instanceof Uint8Array) return 0;
  if (Array.isArray(value)) return value.reduce((sum: number, each) => sum + countElements(each), value.length);
  let sum = 0;
  for (const each of Object.values(value)) sum += countElements(each);
  return sum;
}
