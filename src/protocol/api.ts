/**
 * The shape every generated API file exports: one `ApiMessages` value tying key, versions and codecs together.
 */
import type { Reader } from "./codec/reader.ts";
import type { Writer } from "./codec/writer.ts";

/** Codec of one message type. `decode` never throws on hostile bytes: it leaves the reason in `reader.failure`. */
export interface MessageCodec<T> {
  decode(reader: Reader, version: number): T;
  encode(writer: Writer, message: T, version: number): void;
}

/** One Kafka API: its key, its version range as generated, and the codecs of its two messages. */
export interface ApiMessages<Req, Res> {
  readonly key: number;
  /** Name as the protocol guide spells it, without "Request": `Produce`, `OffsetForLeaderEpoch`. */
  readonly name: string;
  /** Lowest and highest version for which codecs exist. */
  readonly minVersion: number;
  readonly maxVersion: number;
  /** First flexible version, or `Infinity` for an API that never became flexible. */
  readonly firstFlexibleVersion: number;
  /** True when the highest version is still marked unstable by Kafka: never advertise it. */
  readonly isLatestVersionUnstable: boolean;
  readonly request: MessageCodec<Req>;
  readonly response: MessageCodec<Res>;
}

/** One message that is stored rather than sent: a record's key or value, or the content of a file. */
export interface RecordMessages<T> extends MessageCodec<T> {
  readonly name: string;
  readonly kind: "metadata" | "coordinator-key" | "coordinator-value" | "data";
  /** Record type: the int16 in front of a coordinator's key, the varint in a metadata record's frame; -1 for data. */
  readonly type: number;
  readonly minVersion: number;
  readonly maxVersion: number;
  readonly firstFlexibleVersion: number;
}
