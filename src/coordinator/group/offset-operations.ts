/**
 * Committed offsets of the groups of one coordinator partition: who may store, read and delete them, and when they expire.
 */
import { ErrorCode } from "#common/error-code.ts";
import { ZERO_UUID } from "#common/uuid.ts";
import type { ClassicGroup } from "./classic/classic-group.ts";
import {
  checkMember,
  type ClassicContext,
  type GroupStep,
  resetSession,
} from "./classic/context.ts";
import { tombstones } from "./consumer/bury.ts";
import { checkConsumerCommit, checkConsumerFetch } from "./consumer/offsets.ts";
import type { Group, GroupRegistry } from "./group-registry.ts";
import type {
  CommitInput,
  CommitOutput,
  CommittedTopic,
  DeleteOffsetsInput,
  DeleteOffsetsOutput,
  FetchedOffset,
  FetchOffsetsInput,
  FetchOffsetsOutput,
} from "./messages.ts";
import { isOffsetExpired } from "./offset-expiry.ts";
import type { OffsetStore, View } from "./offset-store.ts";

/** See the head of the file. They change only through `replay` of the records that are made here. */
export class OffsetOperations {
  readonly #context: ClassicContext;
  readonly #groups: GroupRegistry;
  readonly #offsets: OffsetStore;

  constructor(context: ClassicContext, groups: GroupRegistry, offsets: OffsetStore) {
    this.#context = context;
    this.#groups = groups;
    this.#offsets = offsets;
  }

  /** OffsetCommit. */
  commit(step: GroupStep, input: CommitInput): CommitOutput {
    const { groupId, memberId, generationIdOrMemberEpoch } = input;
    let group = this.#groups.get(groupId);
    if (group === undefined) {
      if (generationIdOrMemberEpoch >= 0) {
        const errorCode = input.isUnknownGroupNamed
          ? ErrorCode.GROUP_ID_NOT_FOUND
          : ErrorCode.ILLEGAL_GENERATION;
        return { errorCode, topics: [] };
      }
      group = this.#groups.createClassic(groupId, step.nowMs);
    }
    const errorCode =
      group.type === "consumer" ? checkConsumerCommit(group, input) : checkCommit(group, input);
    if (errorCode !== ErrorCode.NONE) return { errorCode, topics: [] };
    if (group.type === "classic") {
      const member = group.member(memberId);
      const isSessionKept = group.state === "Stable" || group.state === "PreparingRebalance";
      // A commit proves that the member is alive.
      if (isSessionKept && member !== undefined) resetSession(this.#context, step, group, member);
    }
    const expireTimestampMs =
      input.retentionTimeMs === -1 ? -1 : step.nowMs + input.retentionTimeMs;
    const maxBytes = this.#context.config.offsetMetadataMaxBytes;
    const topics: CommittedTopic[] = [];
    for (const { name: topic, topicId, partitions } of input.topics) {
      const answers: CommittedTopic["partitions"] = [];
      let isAnyTooLarge = false;
      for (const { partitionIndex, committedMetadata } of partitions) {
        const isTooLarge = committedMetadata !== null && committedMetadata.length > maxBytes;
        const rowError = isTooLarge ? ErrorCode.OFFSET_METADATA_TOO_LARGE : ErrorCode.NONE;
        answers.push({ partitionIndex, errorCode: rowError });
        if (isTooLarge) isAnyTooLarge = true;
      }
      topics.push({ name: topic, topicId, partitions: answers });
      const rows = isAnyTooLarge
        ? partitions.filter((_, index) => answers[index]?.errorCode === ErrorCode.NONE)
        : partitions;
      const { nowMs } = step;
      if (rows.length > 0) {
        const kind = "offset-rows";
        step.records.push({ kind, groupId, topic, topicId, rows, nowMs, expireTimestampMs });
      }
    }
    return { errorCode: ErrorCode.NONE, topics };
  }

  /** Offsets as of the given view; what was never committed answers -1, also for unknown groups. */
  fetch(input: FetchOffsetsInput, view: View): FetchOffsetsOutput {
    const { groupId } = input;
    const group = this.#groups.getCommitted(groupId);
    const errorCode =
      group?.type === "consumer" ? checkConsumerFetch(group, input) : ErrorCode.NONE;
    if (errorCode !== ErrorCode.NONE) return { groupId, errorCode, topics: [] };
    const topics =
      input.topics === null
        ? this.#offsets.topics(groupId, view).map(([name, rows]) => ({
            name,
            topicId: ZERO_UUID,
            partitions: rows.map(([partition, value]) => fetched(partition, value)),
          }))
        : input.topics.map(({ name, topicId, partitionIndexes }) => ({
            name,
            topicId,
            partitions: partitionIndexes.map((partition) =>
              fetched(partition, this.#offsets.get(groupId, name, partition, view)),
            ),
          }));
    return { groupId, errorCode: ErrorCode.NONE, topics };
  }

  /** OffsetDelete: offsets of topics that members are subscribed to stay (KIP-496). */
  delete(step: GroupStep, input: DeleteOffsetsInput): DeleteOffsetsOutput {
    const { groupId } = input;
    const group = this.#groups.get(groupId);
    if (group === undefined || group.state === "Dead") {
      return { errorCode: ErrorCode.GROUP_ID_NOT_FOUND, topics: [] };
    }
    if (group.type === "classic" && group.state !== "Empty" && !group.isConsumerGroup) {
      return { errorCode: ErrorCode.NON_EMPTY_GROUP, topics: [] };
    }
    const topics = input.topics.map(({ name, partitions }) => {
      const errorCode = group.isSubscribedTo(name)
        ? ErrorCode.GROUP_SUBSCRIBED_TO_TOPIC
        : ErrorCode.NONE;
      for (const { partitionIndex } of partitions) {
        if (errorCode === ErrorCode.NONE) this.#buryOffset(step, groupId, name, partitionIndex);
      }
      const rows = partitions.map(({ partitionIndex }) => ({ partitionIndex, errorCode }));
      return { name, partitions: rows };
    });
    return { errorCode: ErrorCode.NONE, topics };
  }

  /** Removes all offsets of topics that were deleted from the cluster. */
  onTopicsDeleted(step: GroupStep, names: ReadonlySet<string>): void {
    step.isAtomic = false;
    for (const groupId of this.#offsets.groupIds()) {
      for (const topic of names) {
        for (const [partition] of this.#offsets.rows(groupId, topic))
          this.#buryOffset(step, groupId, topic, partition);
      }
    }
  }

  /** DeleteGroups for one group: its offsets and itself. */
  deleteGroup(step: GroupStep, groupId: string): number {
    const group = this.#groups.get(groupId);
    if (group === undefined || group.state === "Dead") return ErrorCode.GROUP_ID_NOT_FOUND;
    if (group.state !== "Empty") return ErrorCode.NON_EMPTY_GROUP;
    for (const [topic, rows] of this.#offsets.topics(groupId)) {
      for (const [partition] of rows) this.#buryOffset(step, groupId, topic, partition);
    }
    buryEmpty(step, group);
    step.isAtomic = false;
    return ErrorCode.NONE;
  }

  /** KIP-211: offsets age from the last commit, or from when the group became empty; live subscriptions keep theirs. */
  expire(step: GroupStep): void {
    step.isAtomic = false;
    this.#offsets.prune();
    for (const [groupId, group] of this.#groups.entries()) {
      let areAllGone = true;
      for (const [topic, rows] of this.#offsets.topics(groupId)) {
        for (const [partition, value] of rows) {
          if (
            isOffsetExpired(
              group,
              topic,
              value,
              step.nowMs,
              this.#context.config.offsetsRetentionMs,
            )
          ) {
            this.#buryOffset(step, groupId, topic, partition);
          } else {
            areAllGone = false;
          }
        }
      }
      // An id that was handed out is about to join.
      const isAwaited = group.type === "classic" && group.pendingJoins.size > 0;
      if (areAllGone && group.state === "Empty" && !isAwaited) {
        buryEmpty(step, group);
      }
    }
  }

  #buryOffset(step: GroupStep, groupId: string, topic: string, partition: number): void {
    if (this.#offsets.get(groupId, topic, partition) === undefined) return;
    step.records.push({ kind: "offset-commit", groupId, topic, partition, value: null });
  }
}

function buryEmpty(step: GroupStep, group: Group): void {
  const { groupId } = group;
  if (group.type === "consumer") step.records.push(...tombstones(group));
  else step.records.push({ kind: "group-metadata", groupId, value: null });
}

function checkCommit(group: ClassicGroup, input: CommitInput): number {
  const { memberId, groupInstanceId, generationIdOrMemberEpoch: generationId } = input;
  if (group.state === "Dead") return ErrorCode.COORDINATOR_NOT_AVAILABLE;
  // A client that assigns partitions itself may commit as long as nobody is in the group.
  if (generationId < 0 && group.state === "Empty") return ErrorCode.NONE;
  if (generationId >= 0 || memberId !== "" || groupInstanceId !== null) {
    const error = checkMember(group, memberId, groupInstanceId);
    if (error !== ErrorCode.NONE) return error;
    if (generationId !== group.generationId) return ErrorCode.ILLEGAL_GENERATION;
  } else if (group.state !== "Empty") {
    return ErrorCode.UNKNOWN_MEMBER_ID;
  }
  // The member knows its generation but not its partitions yet.
  if (group.state === "CompletingRebalance") return ErrorCode.REBALANCE_IN_PROGRESS;
  return ErrorCode.NONE;
}

function fetched(
  partitionIndex: number,
  value: { offset: number; leaderEpoch: number; metadata: string } | undefined,
): FetchedOffset {
  return {
    partitionIndex,
    committedOffset: value?.offset ?? -1,
    committedLeaderEpoch: value?.leaderEpoch ?? -1,
    metadata: value?.metadata ?? "",
    errorCode: ErrorCode.NONE,
  };
}
