/**
 * The state machine behind one partition of `__consumer_offsets`: its groups and their offsets.
 *
 * Every operation takes a step (the effects so far) and the request, changes the state and returns the answer. Offsets and
 * deletions change it only through `replay` of the records they produce; a classic group's rebalance state changes directly,
 * since it is never stored (its record holds the outcome). Nothing here waits, reads a clock or fails: outcomes are
 * error codes.
 */
import { ErrorCode } from "#common/error-code.ts";
import type { StoredRecord } from "#protocol/records/record-walk.ts";
import { TimerBook } from "../runtime/step.ts";
import { Timeline } from "../runtime/timeline.ts";
import type { ClassicGroup } from "./classic/classic-group.ts";
import type { AppendToken, ClassicContext, GroupStep, TimerAction } from "./classic/context.ts";
import { dismissAll, joinRefused, resetSession, syncRefused } from "./classic/context.ts";
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
import { tombstones } from "./consumer/bury.ts";
import type { ConsumerContext } from "./consumer/context.ts";
import { describeConsumerGroup } from "./consumer/describe.ts";
import { ConsumerOperations } from "./consumer/operations.ts";
import { type Group, GroupRegistry } from "./group-registry.ts";
import type {
  CommitInput,
  CommitOutput,
  ConsumerHeartbeatInput,
  ConsumerHeartbeatOutput,
  DeleteOffsetsInput,
  DeleteOffsetsOutput,
  DescribedConsumerGroup,
  DescribedGroup,
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
import { OffsetOperations } from "./offset-operations.ts";
import { OffsetRecordReader } from "./offset-record-reader.ts";
import type { View } from "./offset-store.ts";
import { OffsetStore } from "./offset-store.ts";
import type { GroupCoordinatorRecord, GroupRecordValue } from "./records.ts";

const EMPTY_BYTES: Uint8Array = new Uint8Array(0);
const RETENTION_TIMER_KEY = "offset-retention";

/** What a shard shares with the other shards of its coordinator. */
export type ShardSurroundings = Omit<ConsumerContext, "config" | "timers" | "emit">;

/** All groups of one coordinator partition. */
export class GroupShard {
  readonly timeline: Timeline = new Timeline();
  readonly #config: GroupCoordinatorConfig;
  readonly #timers = new TimerBook<TimerAction>();
  readonly #context: ClassicContext;
  readonly #consumers: ConsumerContext;
  readonly #groups = new GroupRegistry(this.timeline);
  readonly #consumerOperations: ConsumerOperations;
  readonly #offsets = new OffsetStore(this.timeline);
  readonly #offsetOperations: OffsetOperations;
  /** There while the log is loaded. */
  #reader: OffsetRecordReader | null = null;

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
    const { timeline } = this;
    const groups = this.#groups;
    this.#consumerOperations = new ConsumerOperations(
      timeline,
      this.#context,
      this.#consumers,
      groups,
    );
    this.#offsetOperations = new OffsetOperations(this.#context, groups, this.#offsets);
  }

  // ---- records

  /** Applies one record, from the log or just produced. Never fails on a record we wrote. */
  replay(record: GroupCoordinatorRecord, nowMs: number): void {
    switch (record.kind) {
      case "offset-commit": {
        const { groupId, topic, partition, value } = record;
        if (value !== null && this.#groups.get(groupId) === undefined) {
          this.#groups.createClassic(groupId, nowMs);
        }
        this.#offsets.replay(groupId, topic, partition, value);
        break;
      }
      case "offset-rows":
        if (this.#groups.get(record.groupId) === undefined) {
          this.#groups.createClassic(record.groupId, nowMs);
        }
        this.#offsets.replayRows(record);
        break;
      case "group-metadata": {
        const { groupId, value } = record;
        this.#groups.replayClassic(groupId, value);
        break;
      }
      default:
        this.#groups.replayConsumer(record);
    }
  }

  /** Applies an offset commit straight from its bytes; false for any other record. */
  replayStored(record: StoredRecord, nowMs: number): boolean {
    this.#reader ??= new OffsetRecordReader();
    const reader = this.#reader;
    if (!reader.read(record)) return false;
    if (!reader.isTombstone && this.#groups.get(reader.groupId) === undefined) {
      this.#groups.createClassic(reader.groupId, nowMs);
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
          this.#consumerOperations.startMember(step, groupId, memberId);
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
    return this.#consumerOperations.heartbeat(step, input);
  }

  // ---- classic members

  /** JoinGroup: answered by a reply to `input.waiter`. */
  join(step: GroupStep, input: JoinInput): void {
    let group = this.#groups.get(input.groupId);
    if (group?.type === "consumer" && !group.isEmpty) {
      this.#consumerOperations.joinAsClassic(step, group, input);
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
      group = this.#groups.createClassic(input.groupId, step.nowMs);
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

  /** SyncGroup: answered by a reply to `input.waiter`. */
  sync(step: GroupStep, input: SyncInput): void {
    const group = this.#groups.get(input.groupId);
    if (group?.type === "consumer" && !group.isEmpty) {
      this.#consumerOperations.syncAsClassic(step, group, input);
    } else if (group?.type !== "classic") {
      step.reply(input.waiter, syncRefused(ErrorCode.UNKNOWN_MEMBER_ID));
    } else {
      sync(this.#context, step, group, input);
    }
  }

  heartbeat(step: GroupStep, input: HeartbeatInput): number {
    const group = this.#groups.get(input.groupId);
    if (group?.type === "consumer") {
      return this.#consumerOperations.heartbeatAsClassic(step, group, input);
    }
    if (group === undefined) return ErrorCode.UNKNOWN_MEMBER_ID;
    return heartbeat(this.#context, step, group, input);
  }

  leave(step: GroupStep, input: LeaveInput): LeaveOutput {
    const group = this.#groups.get(input.groupId);
    if (group?.type === "classic") return leave(this.#context, step, group, input);
    if (group?.type === "consumer") {
      return this.#consumerOperations.leaveAsClassic(step, group, input);
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

  /** OffsetCommit. */
  commitOffsets(step: GroupStep, input: CommitInput): CommitOutput {
    return this.#offsetOperations.commit(step, input);
  }

  /** OffsetFetch. */
  fetchOffsets(input: FetchOffsetsInput, view: View): FetchOffsetsOutput {
    return this.#offsetOperations.fetch(input, view);
  }

  /** OffsetDelete. */
  deleteOffsets(step: GroupStep, input: DeleteOffsetsInput): DeleteOffsetsOutput {
    return this.#offsetOperations.delete(step, input);
  }

  /** Removes all offsets of topics that were deleted from the cluster. */
  onTopicsDeleted(step: GroupStep, names: ReadonlySet<string>): void {
    this.#offsetOperations.onTopicsDeleted(step, names);
  }

  // ---- administration

  /** DeleteGroups for one group: its offsets and itself. */
  deleteGroup(step: GroupStep, groupId: string): number {
    return this.#offsetOperations.deleteGroup(step, groupId);
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
      this.#offsetOperations.expire(step);
      this.#scheduleRetention(step);
      return;
    }
    const group = this.#groups.get(action.groupId);
    if (group === undefined) return;
    if (group.type === "consumer") {
      this.#consumerOperations.onTimer(step, group, action);
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

  /** The records of an earlier step are in the log, or could not be written; `errorCode` is already the members' view. */
  onAppended(step: GroupStep, token: AppendToken, errorCode: number): void {
    if (token.kind === "classic-member-joined") {
      this.#consumerOperations.onJoinAppended(step, token, errorCode);
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
    const { orphans, members, classicGroups } = this.#groups.takeUndone();
    for (const group of orphans) this.#bury(step, group, errorCode);
    for (const { groupId, memberId } of members) {
      this.#consumerOperations.startMember(step, groupId, memberId);
    }
    for (const group of classicGroups) this.#consumerOperations.restartClassic(step, group);
  }

  /** This broker stops coordinating the partition: everything parked is answered. */
  onUnloaded(step: GroupStep, errorCode: number): void {
    for (const [, group] of this.#groups.entries()) this.#bury(step, group, errorCode);
    this.#consumerOperations.onUnloaded(step, errorCode);
    this.#timers.clear(step.timers, RETENTION_TIMER_KEY);
  }

  /** Relations that must hold between steps; for tests. */
  checkInvariants(): void {
    for (const [, group] of this.#groups.entries()) group.checkInvariants();
  }

  // ---- inside

  #bury(step: GroupStep, group: Group, errorCode: number): void {
    if (group.type === "consumer") {
      this.#consumerOperations.bury(step, group);
      return;
    }
    dismissAll(this.#context, step, group, errorCode);
    group.transitionTo("Dead", step.nowMs);
  }

  #scheduleRetention(step: GroupStep): void {
    const delayMs = this.#config.offsetsRetentionCheckIntervalMs;
    this.#timers.set(step.timers, RETENTION_TIMER_KEY, delayMs, { kind: "offset-retention" });
  }
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
