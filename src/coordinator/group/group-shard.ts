/**
 * The state machine behind one partition of `__consumer_offsets`: its groups and their offsets.
 *
 * Every operation takes a step (the effects so far) and the request, changes the state and returns the answer. Offsets and
 * deletions change it only through `replay` of the records they produce; a classic group's rebalance state changes directly,
 * since it is never stored (its record holds the outcome). Nothing here waits, reads a clock or fails: outcomes are
 * error codes.
 */
import { assert } from "#common/assert.ts";
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
import type { ConsumerContext } from "./consumer/context.ts";
import { endTimers, resetConsumerSession, startRevocation } from "./consumer/context.ts";
import { ConsumerGroup } from "./consumer/consumer-group.ts";
import { canDowngrade, downgrade, upgrade } from "./consumer/conversion.ts";
import { describeConsumerGroup } from "./consumer/describe.ts";
import { tombstones } from "./consumer/bury.ts";
import {
  type ClassicJoin,
  heartbeatAsClassic,
  joinAsClassic,
  leaveAsClassic,
  onClassicJoined,
  syncAsClassic,
} from "./consumer/classic-members.ts";
import { heartbeat as consumerHeartbeat } from "./consumer/heartbeat.ts";
import { type Downgrade, fence, leave as consumerLeave } from "./consumer/leave.ts";
import { type ConsumerMember, MemberEpoch, MemberState } from "./consumer/member.ts";
import { checkConsumerCommit, checkConsumerFetch } from "./consumer/offsets.ts";
import { resolvePatterns } from "./consumer/patterns.ts";
import { GroupError } from "./group-error.ts";
import type {
  CommitInput,
  CommitOutput,
  ConsumerHeartbeatInput,
  ConsumerHeartbeatOutput,
  DeleteOffsetsInput,
  DeleteOffsetsOutput,
  DescribedConsumerGroup,
  DescribedGroup,
  FetchedOffset,
  FetchOffsetsInput,
  FetchOffsetsOutput,
  GroupStatistics,
  HeartbeatInput,
  JoinInput,
  JoinOutput,
  LeaveInput,
  LeaveOutput,
  ListedGroup,
  SyncInput,
} from "./messages.ts";
import { isOffsetExpired } from "./offset-expiry.ts";
import { OffsetRecordReader } from "./offset-record-reader.ts";
import type { View } from "./offset-store.ts";
import { OffsetStore } from "./offset-store.ts";
import type { ConsumerGroupRecord, GroupCoordinatorRecord, GroupRecordValue } from "./records.ts";

const EMPTY_BYTES: Uint8Array = new Uint8Array(0);
const RETENTION_TIMER_KEY = "offset-retention";

/** A group of either protocol, told apart by `type`. */
export type Group = ClassicGroup | ConsumerGroup;

type ClassicMemberJoined = Extract<AppendToken, { readonly kind: "classic-member-joined" }>;

/** What a shard shares with the other shards of its coordinator. */
export type ShardSurroundings = Omit<ConsumerContext, "config" | "timers" | "emit">;

/** All groups of one coordinator partition. */
export class GroupShard {
  readonly timeline: Timeline = new Timeline();
  readonly #config: GroupCoordinatorConfig;
  readonly #timers = new TimerBook<TimerAction>();
  readonly #context: ClassicContext;
  readonly #consumers: ConsumerContext;
  readonly #groups: VersionedMap<string, Group>;
  readonly #offsets = new OffsetStore(this.timeline);
  /** There while the log is loaded. */
  #reader: OffsetRecordReader | null = null;
  /** Groups whose creation was undone, with requests parked in them. */
  #orphans: Group[] = [];
  /** Members of consumer groups whose removal was undone. */
  #membersBack: { readonly groupId: string; readonly memberId: string }[] = [];
  /** Classic groups whose conversion was undone. */
  #classicBack: ClassicGroup[] = [];
  /** JoinGroups of classic members that are answered once they are in the log. */
  readonly #joining = new Set<ClassicMemberJoined>();
  /** What to do once the running attempt has succeeded. */
  #onSuccess: (() => void)[] = [];

  constructor(config: GroupCoordinatorConfig, surroundings: ShardSurroundings) {
    this.#config = config;
    this.#context = { config, timers: this.#timers };
    this.#consumers = {
      ...surroundings,
      config,
      timers: this.#timers,
      emit: (step, record) => {
        step.records.push(record);
        step.isReplayed = false;
        this.replay(record, step.nowMs);
      },
    };
    this.#groups = new VersionedMap<string, Group>(this.timeline, (undone, restored) => {
      if (undone !== undefined && undone !== restored) this.#orphans.push(undone);
      if (restored?.type === "classic" && undone !== restored) this.#classicBack.push(restored);
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
        if (value !== null) this.#groups.set(groupId, ClassicGroup.fromRecord(groupId, value));
        else if (this.#groups.get(groupId)?.type === "classic")
          this.#groups.set(groupId, undefined);
        break;
      }
      default:
        this.#replayConsumerGroup(record);
    }
  }

  #replayConsumerGroup(record: ConsumerGroupRecord): void {
    const { groupId, value } = record;
    const known = this.#groups.get(groupId);
    let group = known?.type === "consumer" ? known : undefined;
    if (record.kind === "consumer-epoch" && value === null) {
      if (group !== undefined) this.#groups.set(groupId, undefined);
      return;
    }
    if (group === undefined) {
      // What is left of a group that is gone, or of one that has become a classic group.
      if (value === null) return;
      group = this.#createConsumerGroup(groupId);
    }
    group.replay(record);
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
    for (const [groupId, group] of this.#groups.entries()) {
      if (group.type === "consumer") {
        for (const [memberId] of group.memberEntries()) {
          this.#startMember(step, groupId, memberId);
        }
        continue;
      }
      for (const member of group.members()) resetSession(this.#context, step, group, member);
      if (group.memberCount > this.#config.groupMaxSize) {
        prepareRebalance(this.#context, step, group);
      }
    }
    this.#scheduleRetention(step);
  }

  // ---- members of the consumer protocol

  /** ConsumerGroupHeartbeat: joins, stays, leaves. */
  consumerHeartbeat(step: GroupStep, input: ConsumerHeartbeatInput): ConsumerHeartbeatOutput {
    const { groupId, memberEpoch } = input;
    return this.#attempt(
      step,
      () => {
        if (memberEpoch < MemberEpoch.JOIN) {
          const group = this.#consumerGroup(groupId, `Group ${groupId} not found.`);
          return consumerLeave(this.#consumers, step, group, input, this.#downgrade(step, group));
        }
        const group =
          memberEpoch === MemberEpoch.JOIN
            ? this.#consumerGroupToJoin(step, groupId)
            : this.#consumerGroup(groupId, `Consumer group ${groupId} not found.`);
        return consumerHeartbeat(this.#consumers, step, group, input);
      },
      consumerHeartbeatRefused,
    );
  }

  #consumerGroup(groupId: string, notFound: string): ConsumerGroup {
    const group = this.#groups.get(groupId);
    if (group?.type === "consumer") return group;
    const reason = group === undefined ? notFound : `Group ${groupId} is not a consumer group.`;
    throw new GroupError(ErrorCode.GROUP_ID_NOT_FOUND, reason);
  }

  #consumerGroupToJoin(step: GroupStep, groupId: string): ConsumerGroup {
    const group = this.#groups.get(groupId);
    if (group?.type === "consumer") return group;
    if (group !== undefined && group.state !== "Empty") return this.#upgrade(step, group);
    if (group !== undefined) {
      this.#consumers.emit(step, { kind: "group-metadata", groupId, value: null });
    }
    return this.#createConsumerGroup(groupId);
  }

  #upgrade(step: GroupStep, classic: ClassicGroup): ConsumerGroup {
    const { groupId } = classic;
    upgrade(this.#consumers, step, classic);
    const group = this.#groups.get(groupId);
    assert(group?.type === "consumer", `group ${groupId} was not converted`);
    this.#onSuccess.push(() => {
      this.#dismiss(step, classic, ErrorCode.REBALANCE_IN_PROGRESS);
      for (const [memberId] of group.memberEntries()) this.#startMember(step, groupId, memberId);
    });
    return group;
  }

  /** Lets a group go on as a classic one when the members that leave are the last of the consumer protocol. */
  #downgrade(step: GroupStep, group: ConsumerGroup): Downgrade {
    return (leaving) => {
      if (!canDowngrade(this.#consumers, group, leaving)) return false;
      this.#becomeClassic(step, group, leaving, true);
      return true;
    };
  }

  #becomeClassic(
    step: GroupStep,
    group: ConsumerGroup,
    gone: readonly ConsumerMember[],
    isRebalanced: boolean,
  ): void {
    const { groupId } = group;
    const memberIds = Array.from(group.memberEntries(), ([memberId]) => memberId);
    const classic = downgrade(this.#consumers, step, group, gone);
    // In place of the one that its record made: this one knows what else the members offered.
    this.#groups.set(groupId, classic);
    this.#onSuccess.push(() => {
      for (const memberId of memberIds) endTimers(this.#consumers, step, groupId, memberId);
      for (const member of classic.members()) resetSession(this.#context, step, classic, member);
      if (isRebalanced) prepareRebalance(this.#context, step, classic);
    });
  }

  /** Runs a decision that may be refused half-way; a refusal takes back what was emitted. */
  #attempt<Output>(
    step: GroupStep,
    run: () => Output,
    refused: (error: GroupError) => Output,
  ): Output {
    this.#onSuccess = [];
    try {
      const output = run();
      for (const finish of this.#onSuccess) finish();
      return output;
    } catch (error) {
      if (!(error instanceof GroupError)) throw error;
      this.timeline.rollback(this.timeline.current - 1);
      step.records.length = 0;
      // A conversion that is refused half-way has not yet told the members of the classic group.
      this.#classicBack = [];
      this.buryOrphans(step, ErrorCode.COORDINATOR_NOT_AVAILABLE);
      return refused(error);
    }
  }

  #startMember(step: GroupStep, groupId: string, memberId: string): void {
    const group = this.#groups.get(groupId);
    const member = group?.type === "consumer" ? group.member(memberId) : undefined;
    if (member === undefined) return;
    const timeoutMs = member.classic?.sessionTimeoutMs;
    resetConsumerSession(this.#consumers, step, groupId, memberId, timeoutMs);
    if (member.state === MemberState.UNREVOKED_PARTITIONS && member.classic === null) {
      startRevocation(this.#consumers, step, groupId, member);
    }
  }

  // ---- classic members

  /** JoinGroup: answered by a reply to `input.waiter`. */
  join(step: GroupStep, input: JoinInput): void {
    let group = this.#groups.get(input.groupId);
    if (group?.type === "consumer" && !group.isEmpty) {
      this.#joinAsClassic(step, group, input);
      return;
    }
    const isNew = group?.type !== "classic";
    if (group?.type !== "classic") {
      if (input.memberId !== "") {
        step.reply(input.waiter, joinRefused(input.memberId, ErrorCode.UNKNOWN_MEMBER_ID));
        return;
      }
      // An empty group takes on the protocol of whoever comes first.
      if (group !== undefined) {
        for (const record of tombstones(group)) this.#consumers.emit(step, record);
      }
      group = this.#createGroup(step, input.groupId);
    }
    const recordCount = step.records.length;
    join(this.#context, step, group, input);
    if (isNew && step.records.length === recordCount) {
      const value = emptyGroupRecord(group);
      step.records.push({ kind: "group-metadata", groupId: input.groupId, value });
      step.isReplayed = false;
      step.afterAppend = { kind: "group-created", groupId: input.groupId, waiter: input.waiter };
    }
  }

  #joinAsClassic(step: GroupStep, group: ConsumerGroup, input: JoinInput): void {
    const { groupId } = group;
    const { waiter, sessionTimeoutMs, rebalanceTimeoutMs } = input;
    const joined = this.#attempt<ClassicJoin | JoinOutput>(
      step,
      () =>
        joinAsClassic(this.#consumers, step, group, input, (isRebalanced) => {
          this.#becomeClassic(step, group, [], isRebalanced);
        }),
      ({ errorCode }) => joinRefused("", errorCode),
    );
    if (!("output" in joined)) {
      step.reply(waiter, joined);
      return;
    }
    const { output } = joined;
    const timeouts = { sessionTimeoutMs, rebalanceTimeoutMs };
    const token = { kind: "classic-member-joined", groupId, output, waiter, ...timeouts } as const;
    if (step.records.length > 0) {
      step.afterAppend = token;
      this.#joining.add(token);
    } else if (output.errorCode === ErrorCode.NONE) this.#onClassicJoined(step, token);
    else step.reply(waiter, output);
  }

  #onClassicJoined(step: GroupStep, token: ClassicMemberJoined): void {
    const { groupId, output } = token;
    if (this.#groups.get(groupId)?.type === "consumer") {
      onClassicJoined(this.#consumers, step, groupId, output.memberId, token);
    }
    step.reply(token.waiter, output);
  }

  /** SyncGroup: answered by a reply to `input.waiter`. */
  sync(step: GroupStep, input: SyncInput): void {
    const group = this.#groups.get(input.groupId);
    if (group?.type === "consumer" && !group.isEmpty) {
      const output = this.#attempt(
        step,
        () => syncAsClassic(this.#consumers, step, group, input),
        ({ errorCode }) => syncRefused(errorCode),
      );
      step.reply(input.waiter, output);
    } else if (group?.type !== "classic") {
      step.reply(input.waiter, syncRefused(ErrorCode.UNKNOWN_MEMBER_ID));
    } else {
      sync(this.#context, step, group, input);
    }
  }

  heartbeat(step: GroupStep, input: HeartbeatInput): number {
    const group = this.#groups.get(input.groupId);
    if (group?.type === "consumer") {
      return this.#attempt(
        step,
        () => heartbeatAsClassic(this.#consumers, step, group, input),
        ({ errorCode }) => errorCode,
      );
    }
    if (group === undefined) return ErrorCode.UNKNOWN_MEMBER_ID;
    return heartbeat(this.#context, step, group, input);
  }

  leave(step: GroupStep, input: LeaveInput): LeaveOutput {
    const group = this.#groups.get(input.groupId);
    if (group?.type === "classic") return leave(this.#context, step, group, input);
    if (group?.type === "consumer") {
      return this.#attempt(
        step,
        () => leaveAsClassic(this.#consumers, step, group, input, this.#downgrade(step, group)),
        ({ errorCode }) => ({ errorCode, members: [] }),
      );
    }
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
  deleteOffsets(step: GroupStep, input: DeleteOffsetsInput): DeleteOffsetsOutput {
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

  // ---- administration

  /** DeleteGroups for one group: its offsets and itself. */
  deleteGroup(step: GroupStep, groupId: string): number {
    const group = this.#groups.get(groupId);
    if (group === undefined || group.state === "Dead") return ErrorCode.GROUP_ID_NOT_FOUND;
    if (group.state !== "Empty") return ErrorCode.NON_EMPTY_GROUP;
    for (const [topic, rows] of this.#offsets.topics(groupId)) {
      for (const [partition] of rows) this.#buryOffset(step, groupId, topic, partition);
    }
    this.#buryEmptyGroup(step, group);
    step.isAtomic = false;
    return ErrorCode.NONE;
  }

  /** DescribeGroups for one group; `null` when it does not exist (as committed). */
  describeGroup(groupId: string): DescribedGroup | null {
    const group = this.#groups.getCommitted(groupId);
    if (group === undefined) return null;
    if (group.type === "consumer") return notClassic(groupId);
    const isStable = group.state === "Stable";
    return {
      errorCode: ErrorCode.NONE,
      errorMessage: null,
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
      protocolType: group.type === "consumer" ? "consumer" : (group.protocolType ?? ""),
      groupState: group.type === "consumer" ? group.stateIn("committed") : group.state,
      groupType: group.type,
    }));
  }

  /** ConsumerGroupDescribe for one group, as committed. */
  describeConsumerGroup(groupId: string): DescribedConsumerGroup {
    const group = this.#groups.getCommitted(groupId);
    if (group?.type === "consumer") return describeConsumerGroup(this.#consumers, group);
    const reason = group === undefined ? "not found" : "is not a consumer group";
    return noConsumerGroup(groupId, ErrorCode.GROUP_ID_NOT_FOUND, `Group ${groupId} ${reason}.`);
  }

  /** Groups by state, and members of all of them. */
  countGroups(): Pick<GroupStatistics, "groupsByState" | "memberCount"> {
    const groupsByState = new Map<string, number>();
    let memberCount = 0;
    for (const [, group] of this.#groups.committedEntries()) {
      memberCount += group.memberCount;
      const state = group.type === "consumer" ? group.stateIn("committed") : group.state;
      groupsByState.set(state, (groupsByState.get(state) ?? 0) + 1);
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
    if (group.type === "consumer") {
      this.#attempt(
        step,
        () => this.#onConsumerTimer(step, group, action),
        () => {},
      );
      return;
    }
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
      default:
        // The group spoke the consumer protocol when the timer was set.
        break;
    }
  }

  #onConsumerTimer(step: GroupStep, group: ConsumerGroup, action: TimerAction): void {
    switch (action.kind) {
      case "consumer-patterns":
        resolvePatterns(this.#consumers, step, group);
        break;
      case "consumer-rebalance":
      case "consumer-session":
      case "consumer-round": {
        const member = group.member(action.memberId);
        if (member === undefined) return;
        const isLate =
          action.kind !== "consumer-rebalance" || member.memberEpoch === action.memberEpoch;
        if (isLate) fence(this.#consumers, step, group, [member], this.#downgrade(step, group));
        break;
      }
      default:
        break;
    }
  }

  /** The records of an earlier step are in the log, or could not be written; `errorCode` is already the members' view. */
  onAppended(step: GroupStep, token: AppendToken, errorCode: number): void {
    if (token.kind === "classic-member-joined") {
      this.#joining.delete(token);
      if (errorCode === ErrorCode.NONE) this.#onClassicJoined(step, token);
      else step.reply(token.waiter, joinRefused("", errorCode));
      return;
    }
    const group = this.#groups.get(token.groupId);
    if (group?.type !== "classic") return;
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
    const membersBack = this.#membersBack;
    this.#membersBack = [];
    for (const { groupId, memberId } of membersBack) this.#startMember(step, groupId, memberId);
    const classicBack = this.#classicBack;
    this.#classicBack = [];
    for (const group of classicBack) this.#restart(step, group);
  }

  /** A classic group whose conversion could not be written: what its members waited for was answered, so they join anew. */
  #restart(step: GroupStep, group: ClassicGroup): void {
    if (this.#groups.get(group.groupId) !== group || group.memberCount === 0) return;
    for (const member of group.members()) resetSession(this.#context, step, group, member);
    if (group.canRebalance) prepareRebalance(this.#context, step, group);
    else if (group.state === "PreparingRebalance") {
      const { groupId, rebalanceTimeoutMs } = group;
      const action = { kind: "join-deadline", groupId } as const;
      this.#timers.set(step.timers, joinTimerKey(groupId), rebalanceTimeoutMs, action);
    }
  }

  /** This broker stops coordinating the partition: everything parked is answered. */
  onUnloaded(step: GroupStep, errorCode: number): void {
    for (const [, group] of this.#groups.entries()) this.#bury(step, group, errorCode);
    for (const { waiter } of this.#joining) step.reply(waiter, joinRefused("", errorCode));
    this.#joining.clear();
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

  #createConsumerGroup(groupId: string): ConsumerGroup {
    const group = new ConsumerGroup(groupId, this.timeline, (memberId) => {
      this.#membersBack.push({ groupId, memberId });
    });
    this.#groups.set(groupId, group);
    return group;
  }

  #buryEmptyGroup(step: GroupStep, group: Group): void {
    const { groupId } = group;
    if (group.type === "consumer") step.records.push(...tombstones(group));
    else step.records.push({ kind: "group-metadata", groupId, value: null });
  }

  #bury(step: GroupStep, group: Group, errorCode: number): void {
    if (group.type === "consumer") {
      for (const [memberId] of group.memberEntries()) {
        endTimers(this.#consumers, step, group.groupId, memberId);
      }
      return;
    }
    this.#dismiss(step, group, errorCode);
    group.transitionTo("Dead", step.nowMs);
  }

  /** Answers everything that is parked in a classic group and forgets its timers. */
  #dismiss(step: GroupStep, group: ClassicGroup, errorCode: number): void {
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
      // An id that was handed out is about to join.
      const isAwaited = group.type === "classic" && group.pendingJoins.size > 0;
      if (areAllGone && group.state === "Empty" && !isAwaited) {
        this.#buryEmptyGroup(step, group);
      }
    }
  }
}

/** A refused heartbeat. */
export function consumerHeartbeatRefused({
  errorCode,
  message,
}: {
  readonly errorCode: number;
  readonly message: string | null;
}): ConsumerHeartbeatOutput {
  return {
    errorCode,
    errorMessage: message,
    memberId: null,
    memberEpoch: 0,
    heartbeatIntervalMs: 0,
    assignment: null,
  };
}

/** A group that can't be described. */
export function noConsumerGroup(
  groupId: string,
  errorCode: number,
  errorMessage: string | null,
): DescribedConsumerGroup {
  return {
    errorCode,
    errorMessage,
    groupId,
    groupState: "",
    groupEpoch: 0,
    assignmentEpoch: 0,
    assignorName: "",
    members: [],
  };
}

function notClassic(groupId: string): DescribedGroup {
  return {
    errorCode: ErrorCode.GROUP_ID_NOT_FOUND,
    errorMessage: `Group ${groupId} is not a classic group.`,
    groupId,
    groupState: "Dead",
    protocolType: "",
    protocolData: "",
    members: [],
  };
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
