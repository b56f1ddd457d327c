/**
 * The state machine behind one partition of `__consumer_offsets`: its groups and their offsets.
 *
 * Every operation takes a step (the effects so far) and the request, changes the state and returns the answer. Offsets and
 * deletions change it only through `replay` of the records they produce; a classic group's rebalance state changes directly,
 * since it is never stored (its record holds the outcome). Nothing here waits, reads a clock or fails: outcomes are
 * error codes.
 */
import { ErrorCode } from "#common/error-code.ts";
import { ZERO_UUID } from "#common/uuid.ts";
import type { StoredRecord } from "#protocol/records/record-walk.ts";
import { TimerBook } from "../runtime/step.ts";
import { Timeline, VersionedMap } from "../runtime/timeline.ts";
import { ClassicGroup } from "./classic/classic-group.ts";
import type { AppendToken, ClassicContext, GroupStep, TimerAction } from "./classic/context.ts";
import {
  checkMember,
  completeJoin,
  completeSync,
  endSession,
  joinRefused,
  joinTimerKey,
  resetSession,
  syncRefused,
  syncTimerKey,
} from "./classic/context.ts";
import { join, onStaticMemberStored } from "./classic/join.ts";
import { heartbeat, leave, onSessionEnd } from "./classic/membership.ts";
import {
  completeRebalance,
  onInitialDelay,
  onSyncDeadline,
  prepareRebalance,
} from "./classic/rebalance.ts";
import { onAssignmentStored, sync } from "./classic/sync.ts";
import type { GroupCoordinatorConfig } from "./config.ts";
import type {
  CommitInput,
  CommitOutput,
  DeleteOffsetsInput,
  DeleteOffsetsOutput,
  DescribedGroup,
  FetchedOffset,
  FetchOffsetsInput,
  FetchOffsetsOutput,
  GroupStatistics,
  HeartbeatInput,
  JoinInput,
  LeaveInput,
  LeaveOutput,
  ListedGroup,
  SyncInput,
} from "./messages.ts";
import { isOffsetExpired } from "./offset-expiry.ts";
import { OffsetRecordReader } from "./offset-record-reader.ts";
import type { View } from "./offset-store.ts";
import { OffsetStore } from "./offset-store.ts";
import type { GroupCoordinatorRecord, GroupRecordValue } from "./records.ts";

const EMPTY_BYTES: Uint8Array = new Uint8Array(0);
const RETENTION_TIMER_KEY = "offset-retention";

/** All groups of one coordinator partition. */
export class GroupShard {
  readonly timeline: Timeline = new Timeline();
  readonly #config: GroupCoordinatorConfig;
  readonly #timers = new TimerBook<TimerAction>();
  readonly #context: ClassicContext;
  readonly #groups: VersionedMap<string, ClassicGroup>;
  readonly #offsets = new OffsetStore(this.timeline);
  /** There while the log is loaded. */
  #reader: OffsetRecordReader | null = null;
  /** Groups whose creation was undone, with requests parked in them. */
  #orphans: ClassicGroup[] = [];

  constructor(config: GroupCoordinatorConfig) {
    this.#config = config;
    this.#context = { config, timers: this.#timers };
    this.#groups = new VersionedMap<string, ClassicGroup>(this.timeline, (undone, restored) => {
      if (undone !== undefined && undone !== restored) this.#orphans.push(undone);
    });
  }

  // ---- records

  /** Applies one record, from the log or just produced. Never fails on a record we wrote. */
  replay(record: GroupCoordinatorRecord, nowMs: number): void {
    switch (record.kind) {
      case "offset-commit": {
        const { groupId, topic, partition, value } = record;
        if (value !== null && this.#groups.get(groupId) === undefined) {
          this.#groups.set(groupId, new ClassicGroup(groupId, nowMs));
        }
        this.#offsets.replay(groupId, topic, partition, value);
        break;
      }
      case "group-metadata": {
        const { groupId, value } = record;
        const group = value === null ? undefined : ClassicGroup.fromRecord(groupId, value);
        this.#groups.set(groupId, group);
        break;
      }
    }
  }

  /** Applies an offset commit straight from its bytes; false for any other record. */
  replayStored(record: StoredRecord, nowMs: number): boolean {
    this.#reader ??= new OffsetRecordReader();
    const reader = this.#reader;
    if (!reader.read(record)) return false;
    if (!reader.isTombstone && this.#groups.get(reader.groupId) === undefined) {
      this.#groups.set(reader.groupId, new ClassicGroup(reader.groupId, nowMs));
    }
    this.#offsets.load(reader);
    return true;
  }

  /** Everything in the log has been replayed: sessions start to run, offsets to age. */
  onLoaded(step: GroupStep): void {
    this.#reader = null;
    for (const [, group] of this.#groups.entries()) {
      for (const member of group.members()) resetSession(this.#context, step, group, member);
      if (group.memberCount > this.#config.groupMaxSize) {
        prepareRebalance(this.#context, step, group);
      }
    }
    this.#scheduleRetention(step);
  }

  // ---- classic members

  /** JoinGroup: answered by a reply to `input.waiter`. */
  join(step: GroupStep, input: JoinInput): void {
    let group = this.#groups.get(input.groupId);
    const isNew = group === undefined;
    if (group === undefined) {
      if (input.memberId !== "") {
        step.reply(input.waiter, joinRefused(input.memberId, ErrorCode.UNKNOWN_MEMBER_ID));
        return;
      }
      group = this.#createGroup(step, input.groupId);
    }
    join(this.#context, step, group, input);
    if (isNew && step.records.length === 0) {
      const value = emptyGroupRecord(group);
      step.records.push({ kind: "group-metadata", groupId: input.groupId, value });
      step.isReplayed = false;
      step.afterAppend = { kind: "group-created", groupId: input.groupId, waiter: input.waiter };
    }
  }

  /** SyncGroup: answered by a reply to `input.waiter`. */
  sync(step: GroupStep, input: SyncInput): void {
    const group = this.#groups.get(input.groupId);
    if (group === undefined) {
      step.reply(input.waiter, syncRefused(ErrorCode.UNKNOWN_MEMBER_ID));
    } else {
      sync(this.#context, step, group, input);
    }
  }

  heartbeat(step: GroupStep, input: HeartbeatInput): number {
    const group = this.#groups.get(input.groupId);
    if (group === undefined) return ErrorCode.UNKNOWN_MEMBER_ID;
    return heartbeat(this.#context, step, group, input);
  }

  leave(step: GroupStep, input: LeaveInput): LeaveOutput {
    const group = this.#groups.get(input.groupId);
    if (group !== undefined) return leave(this.#context, step, group, input);
    const errorCode = ErrorCode.UNKNOWN_MEMBER_ID;
    const members = input.members.map(({ memberId, groupInstanceId }) => ({
      memberId,
      groupInstanceId,
      errorCode,
    }));
    return { errorCode: ErrorCode.NONE, members };
  }

  // ---- offsets

  commitOffsets(step: GroupStep, input: CommitInput): CommitOutput {
    const { groupId, memberId, generationIdOrMemberEpoch } = input;
    let group = this.#groups.get(groupId);
    if (group === undefined) {
      if (generationIdOrMemberEpoch >= 0) {
        const errorCode = input.isUnknownGroupNamed
          ? ErrorCode.GROUP_ID_NOT_FOUND
          : ErrorCode.ILLEGAL_GENERATION;
        return { errorCode, topics: [] };
      }
      group = this.#createGroup(step, groupId);
    }
    const errorCode = checkCommit(group, input);
    if (errorCode !== ErrorCode.NONE) return { errorCode, topics: [] };
    const member = group.member(memberId);
    const isSessionKept = group.state === "Stable" || group.state === "PreparingRebalance";
    // A commit proves that the member is alive.
    if (isSessionKept && member !== undefined) resetSession(this.#context, step, group, member);
    const expireTimestampMs =
      input.retentionTimeMs === -1 ? -1 : step.nowMs + input.retentionTimeMs;
    const topics = input.topics.map(({ name, topicId, partitions }) => ({
      name,
      topicId,
      partitions: partitions.map((row) => {
        const metadata = row.committedMetadata ?? "";
        if (metadata.length > this.#config.offsetMetadataMaxBytes) {
          const rowError = ErrorCode.OFFSET_METADATA_TOO_LARGE;
          return { partitionIndex: row.partitionIndex, errorCode: rowError };
        }
        step.records.push({
          kind: "offset-commit",
          groupId,
          topic: name,
          partition: row.partitionIndex,
          value: {
            offset: row.committedOffset,
            leaderEpoch: row.committedLeaderEpoch,
            metadata,
            commitTimestampMs: row.commitTimestamp === -1 ? step.nowMs : row.commitTimestamp,
            expireTimestampMs,
            topicId,
          },
        });
        return { partitionIndex: row.partitionIndex, errorCode: ErrorCode.NONE };
      }),
    }));
    return { errorCode: ErrorCode.NONE, topics };
  }

  /** Offsets as of the given view; what was never committed answers -1, also for unknown groups. */
  fetchOffsets(input: FetchOffsetsInput, view: View): FetchOffsetsOutput {
    const { groupId } = input;
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
  deleteOffsets(step: GroupStep, input: DeleteOffsetsInput): DeleteOffsetsOutput {
    const { groupId } = input;
    const group = this.#groups.get(groupId);
    if (group === undefined || group.state === "Dead") {
      return { errorCode: ErrorCode.GROUP_ID_NOT_FOUND, topics: [] };
    }
    if (group.state !== "Empty" && !group.isConsumerGroup) {
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

  // ---- administration

  /** DeleteGroups for one group: its offsets and itself. */
  deleteGroup(step: GroupStep, groupId: string): number {
    const group = this.#groups.get(groupId);
    if (group === undefined || group.state === "Dead") return ErrorCode.GROUP_ID_NOT_FOUND;
    if (group.state !== "Empty") return ErrorCode.NON_EMPTY_GROUP;
    for (const [topic, rows] of this.#offsets.topics(groupId)) {
      for (const [partition] of rows) this.#buryOffset(step, groupId, topic, partition);
    }
    step.records.push({ kind: "group-metadata", groupId, value: null });
    step.isAtomic = false;
    return ErrorCode.NONE;
  }

  /** DescribeGroups for one group; `null` when it does not exist (as committed). */
  describeGroup(groupId: string): DescribedGroup | null {
    const group = this.#groups.getCommitted(groupId);
    if (group === undefined) return null;
    const isStable = group.state === "Stable";
    return {
      errorCode: ErrorCode.NONE,
      groupId,
      groupState: group.state,
      protocolType: group.protocolType ?? "",
      protocolData: isStable ? (group.protocolName ?? "") : "",
      members: Array.from(group.members(), (member) => ({
        memberId: member.memberId,
        groupInstanceId: member.groupInstanceId,
        clientId: member.clientId,
        clientHost: member.clientHost,
        memberMetadata: isStable ? group.metadataOf(member) : EMPTY_BYTES,
        memberAssignment: member.assignment,
      })),
    };
  }

  /** All groups, as committed. */
  listGroups(): ListedGroup[] {
    return Array.from(this.#groups.committedEntries(), ([groupId, group]) => ({
      groupId,
      protocolType: group.protocolType ?? "",
      groupState: group.state,
      groupType: "classic",
    }));
  }

  /** Groups by state, and members of all of them. */
  countGroups(): Pick<GroupStatistics, "groupsByState" | "memberCount"> {
    const groupsByState = new Map<string, number>();
    let memberCount = 0;
    for (const [, group] of this.#groups.committedEntries()) {
      memberCount += group.memberCount;
      groupsByState.set(group.state, (groupsByState.get(group.state) ?? 0) + 1);
    }
    return { groupsByState, memberCount };
  }

  // ---- events

  /** A timer fired. Stale tokens do nothing. */
  onTimer(step: GroupStep, key: string, token: number): void {
    const action = this.#timers.fire(key, token);
    if (action === null) return;
    if (action.kind === "offset-retention") {
      this.#expireOffsets(step);
      this.#scheduleRetention(step);
      return;
    }
    const group = this.#groups.get(action.groupId);
    if (group === undefined) return;
    switch (action.kind) {
      case "session":
        onSessionEnd(this.#context, step, group, action.memberId);
        break;
      case "initial-delay":
        onInitialDelay(this.#context, step, group, action.delayMs, action.remainingMs);
        break;
      case "join-deadline":
        completeRebalance(this.#context, step, group);
        break;
      case "sync-deadline":
        onSyncDeadline(this.#context, step, group, action.generationId);
        break;
    }
  }

  /** The records of an earlier step are in the log, or could not be written; `errorCode` is already the members' view. */
  onAppended(step: GroupStep, token: AppendToken, errorCode: number): void {
    const group = this.#groups.get(token.groupId);
    if (group === undefined) return;
    switch (token.kind) {
      case "group-created":
        break;
      case "assignment-stored":
        onAssignmentStored(this.#context, step, group, token, errorCode);
        break;
      case "static-member-replaced":
        onStaticMemberStored(this.#context, step, group, token, errorCode);
        break;
    }
  }

  /** Answers what is parked in groups that no longer exist, and forgets their timers. */
  buryOrphans(step: GroupStep, errorCode: number): void {
    const orphans = this.#orphans;
    this.#orphans = [];
    for (const group of orphans) this.#bury(step, group, errorCode);
  }

  /** This broker stops coordinating the partition: everything parked is answered. */
  onUnloaded(step: GroupStep, errorCode: number): void {
    for (const [, group] of this.#groups.entries()) this.#bury(step, group, errorCode);
    this.#timers.clear(step.timers, RETENTION_TIMER_KEY);
  }

  /** Relations that must hold between steps; for tests. */
  checkInvariants(): void {
    for (const [, group] of this.#groups.entries()) group.checkInvariants();
  }

  // ---- inside

  #createGroup(step: GroupStep, groupId: string): ClassicGroup {
    const group = new ClassicGroup(groupId, step.nowMs);
    this.#groups.set(groupId, group);
    return group;
  }

  #bury(step: GroupStep, group: ClassicGroup, errorCode: number): void {
    for (const member of group.members()) {
      completeJoin(step, group, member, joinRefused(member.memberId, errorCode));
      completeSync(step, member, syncRefused(errorCode));
      endSession(this.#context, step, group.groupId, member.memberId);
    }
    for (const memberId of group.pendingJoins) {
      endSession(this.#context, step, group.groupId, memberId);
    }
    this.#timers.clear(step.timers, joinTimerKey(group.groupId));
    this.#timers.clear(step.timers, syncTimerKey(group.groupId));
    group.transitionTo("Dead", step.nowMs);
  }

  #buryOffset(step: GroupStep, groupId: string, topic: string, partition: number): void {
    if (this.#offsets.get(groupId, topic, partition) === undefined) return;
    step.records.push({ kind: "offset-commit", groupId, topic, partition, value: null });
  }

  #scheduleRetention(step: GroupStep): void {
    const delayMs = this.#config.offsetsRetentionCheckIntervalMs;
    this.#timers.set(step.timers, RETENTION_TIMER_KEY, delayMs, { kind: "offset-retention" });
  }

  /** KIP-211: offsets age from the last commit, or from when the group became empty; live subscriptions keep theirs. */
  #expireOffsets(step: GroupStep): void {
    step.isAtomic = false;
    this.#offsets.prune();
    for (const [groupId, group] of this.#groups.entries()) {
      let areAllGone = true;
      for (const [topic, rows] of this.#offsets.topics(groupId)) {
        for (const [partition, value] of rows) {
          if (isOffsetExpired(group, topic, value, step.nowMs, this.#config.offsetsRetentionMs)) {
            this.#buryOffset(step, groupId, topic, partition);
          } else {
            areAllGone = false;
          }
        }
      }
      if (areAllGone && group.state === "Empty") {
        step.records.push({ kind: "group-metadata", groupId, value: null });
      }
    }
  }
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

/** What Kafka stores when a group comes into being: nothing but its existence. */
function emptyGroupRecord(group: ClassicGroup): GroupRecordValue {
  return {
    protocolType: "",
    generationId: 0,
    protocolName: null,
    leader: null,
    currentStateTimestampMs: group.currentStateTimestampMs,
    members: [],
  };
}
