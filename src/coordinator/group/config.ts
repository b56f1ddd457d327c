/**
 * Settings of the group coordinator. Names are the Kafka keys in camelCase; `config/` resolves them, this folder only reads
 * them.
 */

import type { GroupSettings } from "#config/group-config.ts";

/** Resolved settings; all broker-wide. */
export interface GroupCoordinatorConfig {
  /** `group.initial.rebalance.delay.ms`: how long an empty group waits for more members before its first rebalance. */
  readonly groupInitialRebalanceDelayMs: number;
  /** `group.min.session.timeout.ms` and `group.max.session.timeout.ms`: bounds of what a member may ask for. */
  readonly groupMinSessionTimeoutMs: number;
  readonly groupMaxSessionTimeoutMs: number;
  /** `group.max.size`: members of a classic group. */
  readonly groupMaxSize: number;
  /** `offset.metadata.max.bytes`: longest metadata of a committed offset; Kafka counts UTF-16 units, and so do we. */
  readonly offsetMetadataMaxBytes: number;
  /** `offsets.retention.minutes`, in milliseconds. */
  readonly offsetsRetentionMs: number;
  /** `offsets.retention.check.interval.ms`. */
  readonly offsetsRetentionCheckIntervalMs: number;
  /** `offsets.topic.num.partitions`; must not change once the topic exists. */
  readonly offsetsTopicNumPartitions: number;
  /**
   * `offsets.commit.timeout.ms`: an operation whose records are not committed by then is answered with
   * COORDINATOR_NOT_AVAILABLE; its records may still be committed later.
   */
  readonly offsetsCommitTimeoutMs: number;
  /** `group.consumer.max.size`: members of a consumer group. */
  readonly groupConsumerMaxSize: number;
  /** `group.consumer.assignors`, the default first. */
  readonly groupConsumerAssignors: readonly string[];
  /** `group.consumer.migration.policy`. */
  readonly groupConsumerMigrationPolicy: MigrationPolicy;
  /** `group.consumer.regex.refresh.interval.ms`. */
  readonly groupConsumerRegexRefreshIntervalMs: number;
}

/** Which way groups may go between the classic and the consumer protocol while they have members. */
export type MigrationPolicy = "disabled" | "upgrade" | "downgrade" | "bidirectional";

/** Kafka 4.4's defaults. */
export const GROUP_COORDINATOR_DEFAULTS: GroupCoordinatorConfig = {
  groupInitialRebalanceDelayMs: 3_000,
  groupMinSessionTimeoutMs: 6_000,
  groupMaxSessionTimeoutMs: 1_800_000,
  groupMaxSize: 2_147_483_647,
  offsetMetadataMaxBytes: 4_096,
  offsetsRetentionMs: 10_080 * 60_000,
  offsetsRetentionCheckIntervalMs: 600_000,
  offsetsTopicNumPartitions: 50,
  offsetsCommitTimeoutMs: 5_000,
  groupConsumerMaxSize: 2_147_483_647,
  groupConsumerAssignors: ["uniform", "range"],
  groupConsumerMigrationPolicy: "bidirectional",
  groupConsumerRegexRefreshIntervalMs: 600_000,
};

/** Kafka 4.4's defaults of a group's own settings. */
export const GROUP_SETTINGS_DEFAULTS: GroupSettings = {
  consumerSessionTimeoutMs: 45_000,
  consumerHeartbeatIntervalMs: 5_000,
  consumerAssignmentIntervalMs: 1_000,
};

/**
 * How long a member that joined without an id is kept while its JoinGroup is parked. Such a member can't heartbeat, and a
 * parked request hides a lost connection, so a client that retries would leave dead members behind without this limit.
 */
export const NEW_MEMBER_JOIN_TIMEOUT_MS = 300_000;
