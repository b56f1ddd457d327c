import { describe, expect, test } from "bun:test";
import { Writer } from "#protocol/codec/writer.ts";
import {
  GROUP_COORDINATOR_CODECS,
  type GroupCoordinatorRecord,
} from "#protocol/generated/records/coordinator-record-table.ts";
import { ConsumerProtocolSubscriptionCodec } from "#protocol/generated/records/consumer-protocol-subscription.ts";
import { GroupMetadataKeyCodec } from "#protocol/generated/records/group-metadata.ts";
import {
  METADATA_CODECS,
  type MetadataRecord,
  metadataRecordKind,
} from "#protocol/generated/records/metadata-record-table.ts";
import {
  decodeConsumerAssignment,
  decodeConsumerSubscription,
  decodeCoordinatorKey,
  decodeGroupRecord,
  decodeMetadataRecord,
  decodeShareRecord,
  decodeTransactionRecord,
  encodeCoordinatorKey,
  encodeGroupRecord,
  encodeMetadataRecord,
  encodeShareRecord,
  encodeTransactionRecord,
  encodeVersioned,
} from "#protocol/records/framing.ts";
import { damaged, randomFrom } from "../../../golden/damage.ts";

const seed = Number(process.env["SEED"] ?? Math.floor(Math.random() * 0x7fffffff));

const commit: GroupCoordinatorRecord = {
  kind: "OffsetCommit",
  key: { group: "g", topic: "t", partition: 3 },
  value: {
    offset: 42,
    leaderEpoch: 1,
    metadata: "m",
    commitTimestamp: 1000,
    expireTimestamp: -1,
    topicId: "AAAAAAAAAAAAAAAAAAAAAA",
  },
};

describe("coordinator records", () => {
  test("the key starts with its type, the value with its version", () => {
    const { key, value } = encodeGroupRecord(commit, 3);
    expect(key.toHex()).toBe(["0001", "000167", "000174", "00000003"].join(""));
    expect(value?.toHex()).toBe(
      ["0003", "000000000000002a", "00000001", "00016d", "00000000000003e8"].join(""),
    );
    expect(decodeGroupRecord(key, value)).toEqual({ kind: "record", record: commit });
  });

  test("a null value is a tombstone", () => {
    const tombstone: GroupCoordinatorRecord = { ...commit, value: null };
    const { key, value } = encodeGroupRecord(tombstone, 0);
    expect(value).toBeNull();
    expect(decodeGroupRecord(key, null)).toEqual({ kind: "record", record: tombstone });
  });

  test("a type from the future is not a failure", () => {
    expect(decodeGroupRecord(Uint8Array.of(0x03, 0xe7, 1, 2), null)).toEqual({
      kind: "unknown",
      type: 999,
    });
  });

  test("what cannot be read says why", () => {
    const { key, value } = encodeGroupRecord(commit, 3);
    expect(decodeGroupRecord(key.subarray(0, 1), value)).toEqual({
      kind: "failure",
      reason: "coordinator key: message ends inside int16 at byte 0",
    });
    expect(decodeGroupRecord(key.subarray(0, 6), value)).toMatchObject({ kind: "failure" });
    expect(decodeGroupRecord(key, Uint8Array.of(0, 99))).toMatchObject({
      kind: "failure",
      reason: expect.stringContaining("OffsetCommitValue has no version 99"),
    });
    expect(decodeGroupRecord(key, new Uint8Array(0))).toMatchObject({ kind: "failure" });
  });

  test("a key picks its codec by the type in front", () => {
    const key = encodeCoordinatorKey(GroupMetadataKeyCodec, { group: "g" });
    expect(decodeCoordinatorKey(GROUP_COORDINATOR_CODECS, key)).toEqual({
      kind: "record",
      record: { codecs: GROUP_COORDINATOR_CODECS.get(2)!, key: { group: "g" } },
    });
  });

  test("transaction and share coordinators have tables of their own", () => {
    const transaction = encodeTransactionRecord(
      { kind: "TransactionLog", key: { transactionalId: "tx" }, value: null },
      0,
    );
    expect(transaction.key.toHex()).toBe("000000027478");
    expect(decodeTransactionRecord(transaction.key, null)).toMatchObject({
      record: { kind: "TransactionLog" },
    });
    const share = encodeShareRecord(
      {
        kind: "ShareUpdate",
        key: { groupId: "g", topicId: "AAAAAAAAAAAAAAAAAAAAAQ", partition: 1 },
        value: null,
      },
      0,
    );
    expect(decodeShareRecord(share.key, null)).toMatchObject({
      record: { kind: "ShareUpdate", value: null },
    });
    expect(() => encodeGroupRecord({ kind: "Nothing" } as never, 0)).toThrow(
      "no coordinator record is called Nothing",
    );
  });

  test("types are Kafka's: 0 and 1 commits, 2 classic groups, 3 and up the newer ones", () => {
    expect(
      [...GROUP_COORDINATOR_CODECS].slice(0, 4).map(([type, codecs]) => [type, codecs.kind]),
    ).toEqual([
      [0, "LegacyOffsetCommit"],
      [1, "OffsetCommit"],
      [2, "GroupMetadata"],
      [3, "ConsumerGroupMetadata"],
    ]);
  });
});

describe("metadata records", () => {
  const record: MetadataRecord = {
    kind: "FeatureLevelRecord",
    record: { name: "metadata.version", featureLevel: 33 },
  };

  test("carry frame, type and version in front", () => {
    const bytes = encodeMetadataRecord(record, 0);
    // As a Kafka 4.4 controller writes it when it bootstraps.
    expect(bytes.toHex()).toBe(
      ["010c00", "11", "6d657461646174612e76657273696f6e", "0021", "00"].join(""),
    );
    expect(decodeMetadataRecord(bytes)).toEqual({
      kind: "record",
      record: { ...record, version: 0 },
    });
  });

  test.each([
    ["another frame", [2, 12, 0], "frame version 2"],
    ["a version from the future", [1, 12, 9], "FeatureLevelRecord has no version 9"],
    ["nothing", [], "message ends inside varint"],
    ["bytes after it", [1, 12, 0, 2, 0x61, 0, 1, 0, 77], "bytes after the record"],
  ])("%s is refused", (_what, bytes, reason) => {
    expect(decodeMetadataRecord(Uint8Array.from(bytes))).toMatchObject({
      kind: "failure",
      reason: expect.stringContaining(reason),
    });
  });

  test("a type from the future is not a failure", () => {
    expect(decodeMetadataRecord(Uint8Array.of(1, 0x7f, 0))).toEqual({ kind: "unknown", type: 127 });
  });

  test("every kind is found by its type", () => {
    for (const [kind, codec] of Object.entries(METADATA_CODECS)) {
      expect(metadataRecordKind(codec.type)).toBe(kind as MetadataRecord["kind"]);
    }
  });
});

describe("consumer protocol", () => {
  const subscription = {
    topics: ["a", "b"],
    userData: null,
    ownedPartitions: [],
    generationId: -1,
    rackId: null,
  };

  test("subscriptions and assignments carry their version", () => {
    const bytes = encodeVersioned(ConsumerProtocolSubscriptionCodec, subscription, 1);
    expect(bytes.toHex()).toBe(
      ["0001", "00000002", "000161", "000162", "ffffffff", "00000000"].join(""),
    );
    expect(decodeConsumerSubscription(bytes)).toEqual({ kind: "record", record: subscription });
    expect(
      decodeConsumerAssignment(Uint8Array.fromHex(["0000", "00000000", "ffffffff"].join(""))),
    ).toEqual({
      kind: "record",
      record: { assignedPartitions: [], userData: null },
    });
  });

  test("a version from the future is read as the highest known, a negative one refused", () => {
    const writer = new Writer();
    writer.int16(200);
    ConsumerProtocolSubscriptionCodec.encode(
      writer,
      subscription,
      ConsumerProtocolSubscriptionCodec.maxVersion,
    );
    writer.raw(Uint8Array.of(1, 2, 3));
    expect(decodeConsumerSubscription(writer.bytes())).toEqual({
      kind: "record",
      record: subscription,
    });
    expect(decodeConsumerSubscription(Uint8Array.of(0xff, 0xff))).toMatchObject({
      kind: "failure",
    });
  });
});

test("damaged bytes never throw", () => {
  const random = randomFrom(seed);
  const { key, value } = encodeGroupRecord(commit, 4);
  const metadata = encodeMetadataRecord({ kind: "NoOpRecord", record: {} }, 0);
  for (let index = 0; index < 3000; index += 1) {
    const spoiled = damaged(key, random);
    const outcomes = [
      decodeGroupRecord(spoiled, value),
      decodeGroupRecord(key, damaged(value!, random)),
      decodeTransactionRecord(spoiled, value),
      decodeShareRecord(spoiled, value),
      decodeMetadataRecord(damaged(metadata, random)),
      decodeConsumerSubscription(spoiled),
      decodeConsumerAssignment(spoiled),
    ];
    expect(outcomes.every(({ kind }) => ["record", "unknown", "failure"].includes(kind))).toBe(
      true,
    );
  }
});
