/** Records of `__consumer_offsets`, against bytes that Kafka 4.4.0 wrote (2026-11-22, read from its segments). */
import { describe, expect, test } from "bun:test";
import { decodeGroupRecord } from "#coordinator/group/record-codec.ts";
import type { GroupCoordinatorRecord } from "#coordinator/group/records.ts";
import { encodeGroupRecord } from "../../../support/group-records.ts";

const bytes = (hex: string): Uint8Array => new Uint8Array(Buffer.from(hex, "hex"));

const GOLDEN: readonly [string, key: string, value: string | null, GroupCoordinatorRecord][] = [
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

describe("records of __consumer_offsets", () => {
  for (const [name, key, value, record] of GOLDEN) {
    test(`${name}, as Kafka writes it`, () => {
      const stored = { key: bytes(key), value: value === null ? null : bytes(value) };
      expect(decodeGroupRecord(stored.key, stored.value)).toEqual(record);
      expect(encodeGroupRecord(record)).toEqual(stored);
    });
  }

  test("a group with members survives the round trip, with bytes of its own", () => {
    const record: GroupCoordinatorRecord = {
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
});
