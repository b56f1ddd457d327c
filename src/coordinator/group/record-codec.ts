/**
 * Bytes of the records in `__consumer_offsets`, exactly as Kafka 4.4 writes them and as far back as Kafka reads them.
 *
 * ```
 * key    type int16 | message             type 0, 1: offset commit; 2: classic group; 3 to 8, 16: consumer group
 * value  version int16 | message          null: tombstone
 * ```
 * Written: OffsetCommitValue v4, or v1 when the client chose a retention time (later versions can't hold it);
 * GroupMetadataValue v3; the values of consumer groups have a version 0 only.
 */
import { ZERO_UUID } from "#common/uuid.ts";
import type { RecordMessages } from "#protocol/api.ts";
import type { ConsumerGroupMemberMetadataValue } from "#protocol/generated/records/consumer-group-member-metadata.ts";
import type { GroupCoordinatorRecord as StoredRecord } from "#protocol/generated/records/coordinator-record-table.ts";
import {
  type GroupMetadataValue,
  GroupMetadataKeyCodec,
  GroupMetadataValueCodec,
} from "#protocol/generated/records/group-metadata.ts";
import type { LegacyOffsetCommitValue } from "#protocol/generated/records/legacy-offset-commit.ts";
import {
  makeOffsetCommitValue,
  OffsetCommitKeyCodec,
  type OffsetCommitValue,
  OffsetCommitValueCodec,
} from "#protocol/generated/records/offset-commit.ts";
import { decodeGroupRecord as decodeStored, groupRecordCodecs } from "#protocol/records/framing.ts";
import type { RecordBlock } from "#protocol/records/record-block.ts";
import type {
  CommittedRow,
  ConsumerGroupRecord,
  GroupCoordinatorRecord,
  GroupRecordValue,
  OffsetRecordValue,
  OffsetRowsRecord,
  StoredGroupRecord,
} from "./records.ts";

const OFFSET_COMMIT_VERSION = 4;
const OFFSET_COMMIT_VERSION_WITH_EXPIRY = 1;
const GROUP_METADATA_VERSION = 3;
const CONSUMER_GROUP_VERSION = 0;

/** The partition is the last field of an offset's key. */
const PARTITION_BYTES = 4;

/**
 * Writes a record's key and value; of the rows of a commit, all of them.
 *
 * @throws EncodeError when a string is longer than its field can hold; the record can't be stored at all then.
 */
export function writeGroupRecord(record: GroupCoordinatorRecord, into: RecordBlock): void {
  const { writer } = into;
  switch (record.kind) {
    case "offset-commit": {
      const { groupId: group, topic, partition, value } = record;
      writeKey(into, OffsetCommitKeyCodec, { group, topic, partition });
      if (value !== null) writeOffset(into, value);
      into.endValue(value === null);
      return;
    }
    case "offset-rows":
      writeOffsetRows(record, into);
      return;
    case "group-metadata": {
      const { groupId: group, value } = record;
      writeKey(into, GroupMetadataKeyCodec, { group });
      if (value !== null) {
        writer.int16(GROUP_METADATA_VERSION);
        GroupMetadataValueCodec.encode(writer, groupMessage(value), GROUP_METADATA_VERSION);
      }
      into.endValue(value === null);
      return;
    }
    default: {
      const { kind, key, value } = consumerGroupRecord(record);
      const codecs = groupRecordCodecs(kind);
      writeKey<unknown>(into, codecs.key, key);
      if (value !== null) {
        writer.int16(CONSUMER_GROUP_VERSION);
        codecs.value.encode(writer, value, CONSUMER_GROUP_VERSION);
      }
      into.endValue(value === null);
    }
  }
}

/** The stored offset that is written now: one for all rows, so that none is made for a row. */
const OFFSET: { -readonly [Field in keyof OffsetRecordValue]: OffsetRecordValue[Field] } = {
  offset: -1,
  leaderEpoch: -1,
  metadata: "",
  commitTimestampMs: -1,
  expireTimestampMs: -1,
  topicId: ZERO_UUID,
};

function writeOffsetRows(record: OffsetRowsRecord, into: RecordBlock): void {
  const { groupId: group, topic, rows } = record;
  OFFSET.expireTimestampMs = record.expireTimestampMs;
  OFFSET.topicId = record.topicId;
  for (let index = 0; index < rows.length; index++) {
    const row = rows[index] as CommittedRow;
    if (index === 0) {
      writeKey(into, OffsetCommitKeyCodec, { group, topic, partition: row.partitionIndex });
    } else {
      into.repeatKey(PARTITION_BYTES);
      into.writer.int32(row.partitionIndex);
      into.endKey();
    }
    OFFSET.offset = row.committedOffset;
    OFFSET.leaderEpoch = row.committedLeaderEpoch;
    OFFSET.metadata = row.committedMetadata ?? "";
    OFFSET.commitTimestampMs = row.commitTimestamp === -1 ? record.nowMs : row.commitTimestamp;
    writeOffset(into, OFFSET);
    into.endValue(false);
  }
}

/** The message that is encoded now; see `OFFSET`. */
const OFFSET_MESSAGE: OffsetCommitValue = makeOffsetCommitValue();

function writeOffset({ writer }: RecordBlock, value: OffsetRecordValue): void {
  const isExpiring = value.expireTimestampMs !== -1;
  const version = isExpiring ? OFFSET_COMMIT_VERSION_WITH_EXPIRY : OFFSET_COMMIT_VERSION;
  writer.int16(version);
  OFFSET_MESSAGE.offset = value.offset;
  OFFSET_MESSAGE.leaderEpoch = value.leaderEpoch;
  OFFSET_MESSAGE.metadata = value.metadata;
  OFFSET_MESSAGE.commitTimestamp = value.commitTimestampMs;
  OFFSET_MESSAGE.expireTimestamp = value.expireTimestampMs;
  OFFSET_MESSAGE.topicId = value.topicId;
  OffsetCommitValueCodec.encode(writer, OFFSET_MESSAGE, version);
}

function writeKey<T>(into: RecordBlock, codec: RecordMessages<T>, key: T): void {
  into.writer.int16(codec.type);
  codec.encode(into.writer, key, 0);
  into.endKey();
}

function groupMessage(value: GroupRecordValue): GroupMetadataValue {
  return {
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
}

function consumerGroupRecord(record: ConsumerGroupRecord): StoredRecord {
  const { groupId } = record;
  switch (record.kind) {
    case "consumer-member": {
      const { memberId, value } = record;
      return { kind: "ConsumerGroupMemberMetadata", key: { groupId, memberId }, value };
    }
    case "consumer-epoch":
      return { kind: "ConsumerGroupMetadata", key: { groupId }, value: record.value };
    case "consumer-topics":
      return { kind: "ConsumerGroupPartitionMetadata", key: { groupId }, value: record.value };
    case "consumer-target-member": {
      const { memberId, value } = record;
      return { kind: "ConsumerGroupTargetAssignmentMember", key: { groupId, memberId }, value };
    }
    case "consumer-target":
      return {
        kind: "ConsumerGroupTargetAssignmentMetadata",
        key: { groupId },
        value: record.value,
      };
    case "consumer-current": {
      const { memberId, value } = record;
      return { kind: "ConsumerGroupCurrentMemberAssignment", key: { groupId, memberId }, value };
    }
    case "consumer-pattern": {
      const key = { groupId, regularExpression: record.pattern };
      return { kind: "ConsumerGroupRegularExpression", key, value: record.value };
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
): StoredGroupRecord | null {
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
    case "ConsumerGroupMemberMetadata": {
      const value = record.value === null ? null : ownedMember(record.value);
      return { kind: "consumer-member", ...record.key, value };
    }
    case "ConsumerGroupMetadata":
      return { kind: "consumer-epoch", ...record.key, value: record.value };
    case "ConsumerGroupPartitionMetadata":
      return { kind: "consumer-topics", ...record.key, value: record.value };
    case "ConsumerGroupTargetAssignmentMember":
      return { kind: "consumer-target-member", ...record.key, value: record.value };
    case "ConsumerGroupTargetAssignmentMetadata":
      return { kind: "consumer-target", ...record.key, value: record.value };
    case "ConsumerGroupCurrentMemberAssignment":
      return { kind: "consumer-current", ...record.key, value: record.value };
    case "ConsumerGroupRegularExpression": {
      const { groupId, regularExpression: pattern } = record.key;
      return { kind: "consumer-pattern", groupId, pattern, value: record.value };
    }
    default:
      return null;
  }
}

/** The only bytes inside a consumer group's records are what classic members said when they joined. */
function ownedMember(message: ConsumerGroupMemberMetadataValue): ConsumerGroupMemberMetadataValue {
  const classic = message.classicMemberMetadata;
  if (classic === null) return message;
  const supportedProtocols = classic.supportedProtocols.map(({ name, metadata }) => ({
    name,
    metadata: metadata.slice(),
  }));
  return { ...message, classicMemberMetadata: { ...classic, supportedProtocols } };
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
