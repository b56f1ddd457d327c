/**
 * Bytes of the records in `__consumer_offsets`, exactly as Kafka 4.4 writes them and as far back as Kafka reads them.
 *
 * ```
 * key    type int16 | message             type 0, 1: offset commit; 2: group metadata; others: newer kinds of groups
 * value  version int16 | message          null: tombstone
 * ```
 * Written: OffsetCommitValue v4, or v1 when the client chose a retention time (later versions can't hold it);
 * GroupMetadataValue v3.
 */
import { ZERO_UUID } from "#common/uuid.ts";
import {
  type GroupMetadataValue,
  GroupMetadataKeyCodec,
  GroupMetadataValueCodec,
} from "#protocol/generated/records/group-metadata.ts";
import type { LegacyOffsetCommitValue } from "#protocol/generated/records/legacy-offset-commit.ts";
import {
  OffsetCommitKeyCodec,
  type OffsetCommitValue,
  OffsetCommitValueCodec,
} from "#protocol/generated/records/offset-commit.ts";
import {
  decodeGroupRecord as decodeStored,
  encodeCoordinatorKey,
  encodeVersioned,
} from "#protocol/records/framing.ts";
import type { GroupCoordinatorRecord, GroupRecordValue, OffsetRecordValue } from "./records.ts";

/** Key and value as they go into a record batch. */
export interface EncodedRecord {
  readonly key: Uint8Array;
  readonly value: Uint8Array | null;
}

const OFFSET_COMMIT_VERSION = 4;
const OFFSET_COMMIT_VERSION_WITH_EXPIRY = 1;
const GROUP_METADATA_VERSION = 3;

/**
 * Encodes a record.
 *
 * @throws EncodeError when a string is longer than its field can hold; the record can't be stored at all then.
 */
export function encodeGroupRecord(record: GroupCoordinatorRecord): EncodedRecord {
  switch (record.kind) {
    case "offset-commit": {
      const { groupId: group, topic, partition, value } = record;
      const key = encodeCoordinatorKey(OffsetCommitKeyCodec, { group, topic, partition });
      if (value === null) return { key, value };
      const version =
        value.expireTimestampMs === -1 ? OFFSET_COMMIT_VERSION : OFFSET_COMMIT_VERSION_WITH_EXPIRY;
      const message = {
        offset: value.offset,
        leaderEpoch: value.leaderEpoch,
        metadata: value.metadata,
        commitTimestamp: value.commitTimestampMs,
        expireTimestamp: value.expireTimestampMs,
        topicId: value.topicId,
      };
      return { key, value: encodeVersioned(OffsetCommitValueCodec, message, version) };
    }
    case "group-metadata": {
      const { groupId: group, value } = record;
      const key = encodeCoordinatorKey(GroupMetadataKeyCodec, { group });
      if (value === null) return { key, value };
      const version = GROUP_METADATA_VERSION;
      const message = {
        protocolType: value.protocolType,
        generation: value.generationId,
        protocol: value.protocolName,
        leader: value.leader,
        currentStateTimestamp: value.currentStateTimestampMs,
        members: value.members.map((member) => ({
          memberId: member.memberId,
          groupInstanceId: member.groupInstanceId,
          clientId: member.clientId,
          clientHost: member.clientHost,
          rebalanceTimeout: member.rebalanceTimeoutMs,
          sessionTimeout: member.sessionTimeoutMs,
          subscription: member.subscription,
          assignment: member.assignment,
        })),
      };
      return { key, value: encodeVersioned(GroupMetadataValueCodec, message, version) };
    }
  }
}

/**
 * Decodes a record; the result owns its bytes.
 *
 * @returns `null` for kinds of records and versions of values that this coordinator does not know, as Kafka skips them,
 *   and for bytes that are no record.
 */
export function decodeGroupRecord(
  key: Uint8Array | null,
  value: Uint8Array | null,
): GroupCoordinatorRecord | null {
  if (key === null) return null;
  const decoded = decodeStored(key, value);
  if (decoded.kind !== "record") return null;
  const { record } = decoded;
  switch (record.kind) {
    case "OffsetCommit": {
      const { group: groupId, topic, partition } = record.key;
      const stored = record.value === null ? null : offsetValue(record.value);
      return { kind: "offset-commit", groupId, topic, partition, value: stored };
    }
    case "LegacyOffsetCommit": {
      const { group: groupId, topic, partition } = record.key;
      const stored = record.value === null ? null : legacyOffsetValue(record.value);
      return { kind: "offset-commit", groupId, topic, partition, value: stored };
    }
    case "GroupMetadata": {
      const groupId = record.key.group;
      const stored = record.value === null ? null : groupValue(record.value);
      return { kind: "group-metadata", groupId, value: stored };
    }
    default:
      return null;
  }
}

function offsetValue(message: OffsetCommitValue): OffsetRecordValue {
  return {
    offset: message.offset,
    leaderEpoch: message.leaderEpoch,
    metadata: message.metadata,
    commitTimestampMs: message.commitTimestamp,
    expireTimestampMs: message.expireTimestamp,
    topicId: message.topicId,
  };
}

function legacyOffsetValue(message: LegacyOffsetCommitValue): OffsetRecordValue {
  return {
    offset: message.offset,
    leaderEpoch: -1,
    metadata: message.metadata,
    commitTimestampMs: message.commitTimestamp,
    expireTimestampMs: -1,
    topicId: ZERO_UUID,
  };
}

function groupValue(message: GroupMetadataValue): GroupRecordValue {
  return {
    protocolType: message.protocolType,
    generationId: message.generation,
    protocolName: message.protocol,
    leader: message.leader,
    currentStateTimestampMs: message.currentStateTimestamp,
    members: message.members.map((member) => ({
      memberId: member.memberId,
      groupInstanceId: member.groupInstanceId,
      clientId: member.clientId,
      clientHost: member.clientHost,
      rebalanceTimeoutMs: member.rebalanceTimeout,
      sessionTimeoutMs: member.sessionTimeout,
      subscription: member.subscription.slice(),
      assignment: member.assignment.slice(),
    })),
  };
}
