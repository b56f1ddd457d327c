/**
 * The records of `__consumer_offsets` as the coordinator thinks of them: one union, free of versions and bytes. What they
 * look like in the log is the business of `record-codec.ts`.
 */

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

/** One record; a `null` value is a tombstone. */
export type GroupCoordinatorRecord =
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
