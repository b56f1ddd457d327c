/**
 * The comparison every sample goes through: the bytes Kafka wrote must decode to the values Kafka reads from them, to
 * the last byte, and encode to the same bytes again.
 */
import { Reader } from "#protocol/codec/reader.ts";
import { Writer } from "#protocol/codec/writer.ts";
import { fromKafkaJson } from "./kafka-values.ts";
import type { TestedMessage } from "./messages.ts";
import type { Sample } from "./samples.ts";

/** What went wrong with a sample, or null. */
export function mismatchOf(message: TestedMessage, sample: Sample): string | null {
  const where = `${sample.name} v${sample.version}`;
  const bytes = Uint8Array.fromHex(sample.hex);
  const reader = new Reader(bytes);
  const decoded = message.codec.decode(reader, sample.version);
  if (reader.failure !== null) return `${where}: ${reader.failure}`;
  if (reader.remaining > 0) return `${where}: ${reader.remaining} bytes left over`;
  const expected = fromKafkaJson(message.schema, sample.values);
  if (!Bun.deepEquals(decoded, expected, true)) {
    return `${where}: values differ\nours   ${Bun.inspect(decoded, { depth: 12 })}\nKafka's ${Bun.inspect(expected, { depth: 12 })}`;
  }
  const writer = new Writer();
  message.codec.encode(writer, decoded, sample.version);
  const again = writer.bytes().toHex();
  return again === sample.hex ? null : `${where}: bytes differ\nours   ${again}\nKafka's ${sample.hex}`;
}
