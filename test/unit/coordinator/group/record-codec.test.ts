/** Records of `__consumer_offsets`, against bytes that Kafka 4.4.0 wrote (2026-11-22, read from its segments). */
import { describe, expect, test } from "bun:test";
import { decodeGroupRecord, writeGroupRecord } from "#coordinator/group/record-codec.ts";
import type { OffsetRowsRecord, StoredGroupRecord } from "#coordinator/group/records.ts";
import { RecordBlock } from "#protocol/records/record-block.ts";
import { encodeGroupRecord } from "../../../support/group-records.ts";

const bytes = (hex: string): Uint8Array => new Uint8Array(Buffer.from(hex, "hex"));

const hex = (of: Uint8Array): string => Buffer.from(of).toString("hex");

const GOLDEN: readonly [string, key: string, value: string | null, StoredGroupRecord][] = [
  [
    "an offset, v4 with topic id",
    "00010008743234383032376700077432343830323700000000",
    "00040000000000000003ffffffff01000001a2056b93a70100100cdb6bcc69114f469354e6eab8151a2c",
    {
      kind: "offset-commit",
      groupId: "t248027g",
      topic: "t248027",
      partition: 0,
      value: {
        offset: 3,
        leaderEpoch: -1,
        metadata: "",
        commitTimestampMs: 1795387265959,
        expireTimestampMs: -1,
        topicId: "DNtrzGkRT0aTVObquBUaLA",
      },
    },
  ],
  [
    "an offset with a retention time of its own, v1",
    "0001001573696d706c652d67726f75702d3632736c72316e38000f67726f7570732d3632736c72316e3800000000",
    "00010000000000000009000172000001a205741968000001a2057503c8",
    {
      kind: "offset-commit",
      groupId: "simple-group-62slr1n8",
      topic: "groups-62slr1n8",
      partition: 0,
      value: {
        offset: 9,
        leaderEpoch: -1,
        metadata: "r",
        commitTimestampMs: 1795387824488,
        expireTimestampMs: 1795387884488,
        topicId: "AAAAAAAAAAAAAAAAAAAAAA",
      },
    },
  ],
  [
    "an offset's tombstone",
    "00010008743234383032376700077432343830323700000000",
    null,
    { kind: "offset-commit", groupId: "t248027g", topic: "t248027", partition: 0, value: null },
  ],
  [
    "a group that has just come into being, v3",
    "000200087432343830323767",
    "0003000000000000ffffffff000001a2056b87c200000000",
    {
      kind: "group-metadata",
      groupId: "t248027g",
      value: {
        protocolType: "",
        generationId: 0,
        protocolName: null,
        leader: null,
        currentStateTimestampMs: 1795387262914,
        members: [],
      },
    },
  ],
  [
    "a group's tombstone",
    "000200087432343830323767",
    null,
    { kind: "group-metadata", groupId: "t248027g", value: null },
  ],
];

/** Records of consumer groups: read and written back they are the same bytes. */
const CONSUMER_GOLDEN: readonly [string, key: string, value: string | null][] = [
  [
    "a resolved pattern, buried",
    "0010001a636f6e73756d65722d7061747465726e732d677a33706e7a6676001167726f7570732d677a33706e7a66762e2a",
    null,
  ],
  [
    "a resolved pattern",
    "0010001a636f6e73756d65722d7061747465726e732d677a33706e7a6676001167726f7570732d677a33706e7a66762e2a",
    "000001000000000000bc6e000001a206e77f4200",
  ],
  [
    "a classic group that a consumer group was, buried",
    "00020017636f6e73756d65722d6d697865642d7569717a35736d33",
    null,
  ],
  [
    "a classic group that a consumer group was",
    "00020017636f6e73756d65722d6d697865642d7569717a35736d33",
    "00030008636f6e73756d657200000003000572616e6765000163000001a206e8e01300000001000163ffff000c646966666572656e7469616c000a2f3132372e302e302e3100002710000027100000001b000000000001000f67726f7570732d7569717a35736d33ffffffff00000023000000000001000f67726f7570732d7569717a35736d330000000100000001ffffffff",
  ],
  [
    "the epoch of a consumer group, buried",
    "00030018636f6e73756d65722d7374617469632d6a6a63716d706174",
    null,
  ],
  [
    "the epoch of a consumer group",
    "00030018636f6e73756d65722d7374617469632d6a6a63716d706174",
    "000000000002010008708d725f837adcf4",
  ],
  [
    "topics of a consumer group (old), buried",
    "00040018636f6e73756d65722d7374617469632d6a6a63716d706174",
    null,
  ],
  [
    "a member of the consumer protocol, buried",
    "00050018636f6e73756d65722d7374617469632d6a6a63716d706174000161",
    null,
  ],
  [
    "a member of the consumer protocol",
    "00050018636f6e73756d65722d7374617469632d6a6a63716d706174000161",
    "00000269000d646966666572656e7469616c0b2f3132372e302e302e31021067726f7570732d6a6a63716d70617401000075300001000100",
  ],
  [
    "the epoch of a target, buried",
    "00060018636f6e73756d65722d7374617469632d6a6a63716d706174",
    null,
  ],
  [
    "the epoch of a target",
    "00060018636f6e73756d65722d7374617469632d6a6a63716d706174",
    "000000000002010008000001a206e8ce9e",
  ],
  ["a target, buried", "00070018636f6e73756d65722d7374617469632d6a6a63716d706174000161", null],
  [
    "a target",
    "00070018636f6e73756d65722d7374617469632d6a6a63716d706174000161",
    "000002cb6d9fe12082459ca451c9dc770f10f20300000000000000010000",
  ],
  [
    "what a member has, buried",
    "00080018636f6e73756d65722d7374617469632d6a6a63716d706174000161",
    null,
  ],
  [
    "what a member has",
    "00080018636f6e73756d65722d7374617469632d6a6a63716d706174000161",
    "000000000002000000000002cb6d9fe12082459ca451c9dc770f10f20300000000000000010100090300000002000000020100",
  ],
];

describe("records of __consumer_offsets", () => {
  for (const [name, key, value, record] of GOLDEN) {
    test(`${name}, as Kafka writes it`, () => {
      const stored = { key: bytes(key), value: value === null ? null : bytes(value) };
      expect(decodeGroupRecord(stored.key, stored.value)).toEqual(record);
      expect(encodeGroupRecord(record)).toEqual(stored);
    });
  }

  test("the rows of a commit are a record each, as if written alone", () => {
    const ids = { groupId: "a group", topic: "a topic", topicId: "DNtrzGkRT0aTVObquBUaLA" };
    for (const expireTimestampMs of [-1, 900]) {
      const rows = [0, 7, 7, 300].map((partitionIndex, index) => ({
        partitionIndex,
        committedOffset: 10 ** (index * 5),
        committedLeaderEpoch: index - 1,
        commitTimestamp: index === 2 ? 17 : -1,
        committedMetadata: index === 0 ? null : "x".repeat(index * 100),
      }));
      const record: OffsetRowsRecord = {
        ...ids,
        kind: "offset-rows",
        rows,
        nowMs: 500,
        expireTimestampMs,
      };
      const block = new RecordBlock();
      writeGroupRecord(record, block);
      expect(block.count).toBe(rows.length);
      for (const [index, row] of rows.entries()) {
        const single = encodeGroupRecord({
          kind: "offset-commit",
          groupId: ids.groupId,
          topic: ids.topic,
          partition: row.partitionIndex,
          value: {
            offset: row.committedOffset,
            leaderEpoch: row.committedLeaderEpoch,
            metadata: row.committedMetadata ?? "",
            commitTimestampMs: index === 2 ? 17 : 500,
            expireTimestampMs,
            topicId: ids.topicId,
          },
        });
        const written = block.writer.toBytes();
        const keyEnd = block.keyEnd(index);
        expect(hex(written.slice(block.keyStart(index), keyEnd))).toBe(hex(single.key));
        const value = written.slice(keyEnd, block.valueEnd(index));
        expect(hex(value)).toBe(hex(single.value ?? new Uint8Array(0)));
      }
    }
  });

  test("a group with members survives the round trip, with bytes of its own", () => {
    const record: StoredGroupRecord = {
      kind: "group-metadata",
      groupId: "g",
      value: {
        protocolType: "consumer",
        generationId: 7,
        protocolName: "range",
        leader: "m",
        currentStateTimestampMs: -1,
        members: [
          {
            memberId: "m",
            groupInstanceId: "i",
            clientId: "c",
            clientHost: "/127.0.0.1",
            rebalanceTimeoutMs: 60_000,
            sessionTimeoutMs: 10_000,
            subscription: new Uint8Array([1, 2]),
            assignment: new Uint8Array([3]),
          },
        ],
      },
    };
    const { key, value } = encodeGroupRecord(record);
    const decoded = decodeGroupRecord(key, value);
    value?.fill(0xff);
    expect(decoded).toEqual(record);
  });

  test("what it does not know is skipped, what is damaged too", () => {
    const [, key, value] = GOLDEN[0] ?? ["", "", null];
    const offset = bytes(value ?? "");
    expect(decodeGroupRecord(null, offset)).toBeNull();
    expect(decodeGroupRecord(bytes("0063"), offset)).toBeNull();
    expect(decodeGroupRecord(bytes("00"), offset)).toBeNull();
    expect(decodeGroupRecord(bytes(key), bytes("0063"))).toBeNull();
    for (let length = 0; length < offset.length - 1; length++) {
      expect(decodeGroupRecord(bytes(key), offset.slice(0, length))).toBeNull();
    }
  });

  for (const [name, key, value] of CONSUMER_GOLDEN) {
    test(`${name}, as Kafka writes it`, () => {
      const record = decodeGroupRecord(bytes(key), value === null ? null : bytes(value));
      expect(record).not.toBeNull();
      if (record === null) return;
      const encoded = encodeGroupRecord(record);
      expect(Buffer.from(encoded.key).toString("hex")).toBe(key);
      expect(encoded.value === null ? null : Buffer.from(encoded.value).toString("hex")).toBe(
        value,
      );
    });
  }
});
