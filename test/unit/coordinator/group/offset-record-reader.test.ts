import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { ZERO_UUID } from "#common/uuid.ts";
import { OffsetRecordReader } from "#coordinator/group/offset-record-reader.ts";
import { decodeGroupRecord } from "#coordinator/group/record-codec.ts";
import { OffsetCommitValueCodec } from "#protocol/generated/records/offset-commit.ts";
import { encodeVersioned } from "#protocol/records/framing.ts";
import type { StoredRecord } from "#protocol/records/record-walk.ts";
import { encodeGroupRecord } from "../../../support/group-records.ts";

const text = fc.oneof(fc.constantFrom("", "orders", "payments"), fc.string({ unit: "grapheme" }));
const topicId = fc.constantFrom(ZERO_UUID, "c2x1aWNlLWNsYXNzaWMtMQ", "d2x1aWNlLWNsYXNzaWMtMQ");

/** A record as it lies in a batch: after some other bytes. */
function stored(key: Uint8Array, value: Uint8Array | null): StoredRecord {
  const bytes = new Uint8Array(
    Buffer.concat([new Uint8Array(5), key, value ?? new Uint8Array(0), new Uint8Array(3)]),
  );
  const valueStart = 5 + key.length;
  return {
    offset: 0,
    bytes,
    keyStart: 5,
    keyEnd: valueStart,
    valueStart,
    valueEnd: value === null ? -1 : valueStart + value.length,
  };
}

describe("a stored offset", () => {
  test("is read as the codec reads it, in each version", () => {
    const reader = new OffsetRecordReader();
    const property = fc.property(
      fc.record({
        groupId: text,
        topic: text,
        partition: fc.nat(),
        version: fc.constantFrom(2, 3, 4),
        offset: fc.integer({ min: -9, max: Number.MAX_SAFE_INTEGER }),
        leaderEpoch: fc.integer({ min: -1 }),
        metadata: text,
        commitTimestamp: fc.nat(),
        topicId,
        isTombstone: fc.boolean(),
      }),
      (row) => {
        const { groupId, topic, partition } = row;
        const { key } = encodeGroupRecord({
          kind: "offset-commit",
          groupId,
          topic,
          partition,
          value: null,
        });
        const message = { ...row, expireTimestamp: -1 };
        const value = row.isTombstone
          ? null
          : encodeVersioned(OffsetCommitValueCodec, message, row.version);
        expect(reader.read(stored(key, value))).toBe(true);
        const read = {
          kind: "offset-commit",
          groupId: reader.groupId,
          topic: reader.topic,
          partition: reader.partition,
          value: reader.isTombstone
            ? null
            : {
                offset: reader.offset,
                leaderEpoch: reader.leaderEpoch,
                metadata: reader.metadata,
                commitTimestampMs: reader.commitTimestampMs,
                expireTimestampMs: -1,
                topicId: reader.topicId,
              },
        };
        expect(read).toEqual(decodeGroupRecord(key, value) as never);
      },
    );
    fc.assert(property, { numRuns: 500 });
  });

  test("with an expiry, of a group, or cut short is left to the codec", () => {
    const reader = new OffsetRecordReader();
    const value = {
      offset: 1,
      leaderEpoch: -1,
      metadata: "",
      commitTimestampMs: 1,
      expireTimestampMs: 9,
      topicId: ZERO_UUID,
    };
    const expiring = encodeGroupRecord({
      kind: "offset-commit",
      groupId: "g",
      topic: "t",
      partition: 0,
      value,
    });
    expect(reader.read(stored(expiring.key, expiring.value))).toBe(false);
    const group = encodeGroupRecord({ kind: "group-metadata", groupId: "g", value: null });
    expect(reader.read(stored(group.key, group.value))).toBe(false);
    const plain = encodeGroupRecord({
      kind: "offset-commit",
      groupId: "g",
      topic: "t",
      partition: 0,
      value: { ...value, expireTimestampMs: -1 },
    });
    const bytes = plain.value ?? new Uint8Array(0);
    for (let length = 0; length < bytes.length; length++)
      expect(reader.read(stored(plain.key, bytes.subarray(0, length)))).toBe(false);
    for (let length = 0; length < plain.key.length; length++)
      expect(reader.read(stored(plain.key.subarray(0, length), bytes))).toBe(false);
    expect(reader.read({ ...stored(plain.key, bytes), keyEnd: -1 })).toBe(false);
  });
});
