/** What records mean in the logs that the broker keeps for itself, as plain objects for people and for JSON. */
import { ControlRecordType, controlRecordType } from "#protocol/records/control-records.ts";
import {
  type Decoded,
  decodeConsumerAssignment,
  decodeConsumerSubscription,
  decodeGroupRecord,
  decodeMetadataRecord,
  decodeTransactionRecord,
} from "#protocol/records/framing.ts";
import type { LogRecord } from "#protocol/records/record-batch.ts";

/** How to read records: as bytes, or as what one of the broker's own topics holds. */
export type RecordDecoding = "none" | "offsets" | "metadata" | "transactions";

/** The decoding that suits a partition's directory. */
export function decodingOf(directoryName: string): RecordDecoding {
  if (/^__consumer_offsets-\d+$/.test(directoryName)) return "offsets";
  if (/^__cluster_metadata-\d+$/.test(directoryName)) return "metadata";
  if (/^__transaction_state-\d+$/.test(directoryName)) return "transactions";
  return "none";
}

/** A record's meaning; null where it is only bytes. */
export function decodeRecord(decoding: RecordDecoding, record: LogRecord): object | null {
  switch (decoding) {
    case "none":
      return null;
    case "metadata":
      return record.value === null ? null : shown(decodeMetadataRecord(record.value));
    case "offsets":
      return record.key === null
        ? null
        : withGroupProtocol(shown(decodeGroupRecord(record.key, record.value)));
    case "transactions":
      return record.key === null ? null : shown(decodeTransactionRecord(record.key, record.value));
  }
}

/** The name of a control record, `LEADER_CHANGE` for instance. */
export function controlName(key: Uint8Array | null): string {
  const type = controlRecordType(key);
  const found = Object.entries(ControlRecordType).find(([, number]) => number === type);
  return found?.[0] ?? `type ${type ?? "unknown"}`;
}

function shown(decoded: Decoded<unknown>): object {
  switch (decoded.kind) {
    case "record":
      return decoded.record as object;
    case "unknown":
      return { unknownType: decoded.type };
    case "failure":
      return { failure: decoded.reason };
  }
}

/** Members of classic groups carry their subscription and assignment as bytes; these have a meaning too. */
function withGroupProtocol(record: object): object {
  const { value } = record as { readonly value?: unknown };
  if (typeof value !== "object" || value === null || !("members" in value)) return record;
  const { members } = value as { readonly members: unknown };
  if (!Array.isArray(members)) return record;
  return {
    ...record,
    value: {
      ...value,
      members: members.map((member: Readonly<Record<string, unknown>>) => ({
        ...member,
        subscription: bytesMeaning(member["subscription"], decodeConsumerSubscription),
        assignment: bytesMeaning(member["assignment"], decodeConsumerAssignment),
      })),
    },
  };
}

function bytesMeaning(value: unknown, decode: (bytes: Uint8Array) => Decoded<unknown>): unknown {
  if (!(value instanceof Uint8Array) || value.length === 0) return value;
  const decoded = decode(value);
  return decoded.kind === "record" ? decoded.record : value;
}
