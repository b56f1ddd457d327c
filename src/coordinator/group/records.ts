/**
 * The records of `__consumer_offsets` as the coordinator thinks of them: one union, free of versions and bytes. What they
 * look like in the log is the business of `record-codec.ts`.
 */

import type { ConsumerGroupCurrentMemberAssignmentValue } from "#protocol/generated/records/consumer-group-current-member-assignment.ts";
import type { ConsumerGroupMemberMetadataValue } from "#protocol/generated/records/consumer-group-member-metadata.ts";
import type { ConsumerGroupMetadataValue } from "#protocol/generated/records/consumer-group-metadata.ts";
import type { ConsumerGroupPartitionMetadataValue } from "#protocol/generated/records/consumer-group-partition-metadata.ts";
import type { ConsumerGroupRegularExpressionValue } from "#protocol/generated/records/consumer-group-regular-expression.ts";
import type { ConsumerGroupTargetAssignmentMemberValue } from "#protocol/generated/records/consumer-group-target-assignment-member.ts";
import type { ConsumerGroupTargetAssignmentMetadataValue } from "#protocol/generated/records/consumer-group-target-assignment-metadata.ts";

/** A committed position, as stored. */
export interface OffsetRecordValue {
  readonly offset: number;
  /** Leader epoch of the last consumed record, -1 when the client did not say. */
  readonly leaderEpoch: number;
  readonly metadata: string;
  readonly commitTimestampMs: number;
  /** Only set by OffsetCommit v2–v4 with a retention time; -1 otherwise. */
  readonly expireTimestampMs: number;
  /** Id of the topic at commit time; `ZERO_UUID` when unknown. */
  readonly topicId: string;
}

/** A row of a commit, as it came. */
export interface CommittedRow {
  readonly partitionIndex: number;
  readonly committedOffset: number;
  readonly committedLeaderEpoch: number;
  /** OffsetCommit v1 only: when the client says it committed, ms; -1: now. */
  readonly commitTimestamp: number;
  readonly committedMetadata: string | null;
}

/** A member as stored with its group: one protocol, the selected one. */
export interface GroupMemberRecord {
  readonly memberId: string;
  readonly groupInstanceId: string | null;
  readonly clientId: string;
  readonly clientHost: string;
  readonly rebalanceTimeoutMs: number;
  readonly sessionTimeoutMs: number;
  readonly subscription: Uint8Array;
  readonly assignment: Uint8Array;
}

/** A classic group as stored after each rebalance. */
export interface GroupRecordValue {
  readonly protocolType: string;
  readonly generationId: number;
  readonly protocolName: string | null;
  readonly leader: string | null;
  /** When the group entered the state it was stored in, ms; -1 when unknown. */
  readonly currentStateTimestampMs: number;
  readonly members: readonly GroupMemberRecord[];
}

/** What a consumer group (KIP-848) is made of, as stored; the values have one version each, so they are the messages themselves. */
export type ConsumerGroupRecord =
  /** A member's subscription and what else it says of itself. */
  | {
      readonly kind: "consumer-member";
      readonly groupId: string;
      readonly memberId: string;
      readonly value: ConsumerGroupMemberMetadataValue | null;
    }
  /** The group's epoch; its tombstone ends the group. */
  | {
      readonly kind: "consumer-epoch";
      readonly groupId: string;
      readonly value: ConsumerGroupMetadataValue | null;
    }
  /** Topics as the group saw them: written by Kafka before 4.1, since then only buried. */
  | {
      readonly kind: "consumer-topics";
      readonly groupId: string;
      readonly value: ConsumerGroupPartitionMetadataValue | null;
    }
  /** What one member shall have. */
  | {
      readonly kind: "consumer-target-member";
      readonly groupId: string;
      readonly memberId: string;
      readonly value: ConsumerGroupTargetAssignmentMemberValue | null;
    }
  /** The epoch whose target the target records hold. */
  | {
      readonly kind: "consumer-target";
      readonly groupId: string;
      readonly value: ConsumerGroupTargetAssignmentMetadataValue | null;
    }
  /** What one member has. */
  | {
      readonly kind: "consumer-current";
      readonly groupId: string;
      readonly memberId: string;
      readonly value: ConsumerGroupCurrentMemberAssignmentValue | null;
    }
  /** Topics that a pattern matched. */
  | {
      readonly kind: "consumer-pattern";
      readonly groupId: string;
      readonly pattern: string;
      readonly value: ConsumerGroupRegularExpressionValue | null;
    };

/** Offsets of a group for one topic as a request commits them: in the log a record for each row. Only written, never read. */
export interface OffsetRowsRecord {
  readonly kind: "offset-rows";
  readonly groupId: string;
  readonly topic: string;
  readonly topicId: string;
  /** At least one; read until the step is over, not kept. */
  readonly rows: readonly CommittedRow[];
  /** Commit time of rows that have none of their own, ms. */
  readonly nowMs: number;
  readonly expireTimestampMs: number;
}

/** One record as it is stored; a `null` value is a tombstone. */
export type StoredGroupRecord =
  | ConsumerGroupRecord
  | {
      readonly kind: "offset-commit";
      readonly groupId: string;
      readonly topic: string;
      readonly partition: number;
      readonly value: OffsetRecordValue | null;
    }
  | {
      readonly kind: "group-metadata";
      readonly groupId: string;
      readonly value: GroupRecordValue | null;
    };

/** What the coordinator writes: one record, or the rows of a commit. */
export type GroupCoordinatorRecord = StoredGroupRecord | OffsetRowsRecord;
