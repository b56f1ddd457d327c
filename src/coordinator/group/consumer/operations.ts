/**
 * What can be asked of the consumer groups of a partition, with what surrounds each decision: a refusal half-way is taken back, a group
 * may change its protocol on the way, classic members are answered when what they caused is in the log.
 */
import { assert } from "#common/assert.ts";
import { ErrorCode } from "#common/error-code.ts";
import type { Timeline } from "../../runtime/timeline.ts";
import type { ClassicGroup } from "../classic/classic-group.ts";
import {
  type AppendToken,
  type ClassicContext,
  dismissAll,
  type GroupStep,
  joinRefused,
  joinTimerKey,
  resetSession,
  syncRefused,
  type TimerAction,
} from "../classic/context.ts";
import { prepareRebalance } from "../classic/rebalance.ts";
import { GroupError } from "../group-error.ts";
import type { GroupRegistry } from "../group-registry.ts";
import type {
  ConsumerHeartbeatInput,
  ConsumerHeartbeatOutput,
  HeartbeatInput,
  JoinInput,
  JoinOutput,
  LeaveInput,
  LeaveOutput,
  SyncInput,
} from "../messages.ts";
import {
  type ClassicJoin,
  heartbeatAsClassic,
  joinAsClassic,
  leaveAsClassic,
  onClassicJoined,
  syncAsClassic,
} from "./classic-members.ts";
import type { ConsumerGroup } from "./consumer-group.ts";
import {
  type ConsumerContext,
  endTimers,
  resetConsumerSession,
  startRevocation,
} from "./context.ts";
import { canDowngrade, downgrade, upgrade } from "./conversion.ts";
import { heartbeat } from "./heartbeat.ts";
import { type Downgrade, fence, leave } from "./leave.ts";
import { type ConsumerMember, MemberEpoch, MemberState } from "./member.ts";
import { resolvePatterns } from "./patterns.ts";

/** The answer to a JoinGroup that is on its way to the log. */
export type ClassicMemberJoined = Extract<AppendToken, { readonly kind: "classic-member-joined" }>;

/** See the head of the file. */
export class ConsumerOperations {
  readonly #timeline: Timeline;
  readonly #context: ClassicContext;
  readonly #consumers: ConsumerContext;
  readonly #groups: GroupRegistry;
  /** JoinGroups of classic members that are answered once they are in the log. */
  readonly #joining = new Set<ClassicMemberJoined>();
  /** What to do once the running attempt has succeeded. */
  #onSuccess: (() => void)[] = [];

  constructor(
    timeline: Timeline,
    context: ClassicContext,
    consumers: ConsumerContext,
    groups: GroupRegistry,
  ) {
    this.#timeline = timeline;
    this.#context = context;
    this.#consumers = consumers;
    this.#groups = groups;
  }

  /** ConsumerGroupHeartbeat: joins, stays, leaves. */
  heartbeat(step: GroupStep, input: ConsumerHeartbeatInput): ConsumerHeartbeatOutput {
    const { groupId, memberEpoch } = input;
    return this.#attempt(
      step,
      () => {
        if (memberEpoch < MemberEpoch.JOIN) {
          const group = this.#consumerGroup(groupId, `Group ${groupId} not found.`);
          return leave(this.#consumers, step, group, input, this.#downgrade(step, group));
        }
        const group =
          memberEpoch === MemberEpoch.JOIN
            ? this.#consumerGroupToJoin(step, groupId)
            : this.#consumerGroup(groupId, `Consumer group ${groupId} not found.`);
        return heartbeat(this.#consumers, step, group, input);
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
    return this.#groups.createConsumer(groupId);
  }

  #upgrade(step: GroupStep, classic: ClassicGroup): ConsumerGroup {
    const { groupId } = classic;
    upgrade(this.#consumers, step, classic);
    const group = this.#groups.get(groupId);
    assert(group?.type === "consumer", `group ${groupId} was not converted`);
    this.#onSuccess.push(() => {
      dismissAll(this.#context, step, classic, ErrorCode.REBALANCE_IN_PROGRESS);
      for (const [memberId] of group.memberEntries()) this.startMember(step, groupId, memberId);
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
    this.#groups.putClassic(classic);
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
      this.#timeline.rollback(this.#timeline.current - 1);
      step.records.length = 0;
      // A conversion that is refused half-way has not told anybody in the classic group, which is as it was.
      const { orphans, members } = this.#groups.takeUndone();
      for (const group of orphans) this.bury(step, group);
      for (const { groupId, memberId } of members) this.startMember(step, groupId, memberId);
      return refused(error);
    }
  }

  /** Sets the timers of a member that has none. */
  startMember(step: GroupStep, groupId: string, memberId: string): void {
    const group = this.#groups.get(groupId);
    const member = group?.type === "consumer" ? group.member(memberId) : undefined;
    if (member === undefined) return;
    const timeoutMs = member.classic?.sessionTimeoutMs;
    resetConsumerSession(this.#consumers, step, groupId, memberId, timeoutMs);
    if (member.state === MemberState.UNREVOKED_PARTITIONS && member.classic === null) {
      startRevocation(this.#consumers, step, groupId, member);
    }
  }

  // ---- members of the classic protocol

  /** JoinGroup of a classic member: answered by a reply to `input.waiter`. */
  joinAsClassic(step: GroupStep, group: ConsumerGroup, input: JoinInput): void {
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

  /** The records of a JoinGroup are in the log, or could not be written. */
  onJoinAppended(step: GroupStep, token: ClassicMemberJoined, errorCode: number): void {
    this.#joining.delete(token);
    if (errorCode === ErrorCode.NONE) this.#onClassicJoined(step, token);
    else step.reply(token.waiter, joinRefused("", errorCode));
  }

  /** SyncGroup of a classic member: answered by a reply to `input.waiter`. */
  syncAsClassic(step: GroupStep, group: ConsumerGroup, input: SyncInput): void {
    const output = this.#attempt(
      step,
      () => syncAsClassic(this.#consumers, step, group, input),
      ({ errorCode }) => syncRefused(errorCode),
    );
    step.reply(input.waiter, output);
  }

  heartbeatAsClassic(step: GroupStep, group: ConsumerGroup, input: HeartbeatInput): number {
    return this.#attempt(
      step,
      () => heartbeatAsClassic(this.#consumers, step, group, input),
      ({ errorCode }) => errorCode,
    );
  }

  leaveAsClassic(step: GroupStep, group: ConsumerGroup, input: LeaveInput): LeaveOutput {
    return this.#attempt(
      step,
      () => leaveAsClassic(this.#consumers, step, group, input, this.#downgrade(step, group)),
      ({ errorCode }) => ({ errorCode, members: [] }),
    );
  }

  // ---- events

  /** A timer of the group fired. */
  onTimer(step: GroupStep, group: ConsumerGroup, action: TimerAction): void {
    this.#attempt(
      step,
      () => this.#onTimer(step, group, action),
      () => {},
    );
  }

  #onTimer(step: GroupStep, group: ConsumerGroup, action: TimerAction): void {
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

  /** A classic group whose conversion could not be written: what its members waited for was answered, so they join anew. */
  restartClassic(step: GroupStep, group: ClassicGroup): void {
    if (this.#groups.get(group.groupId) !== group || group.memberCount === 0) return;
    for (const member of group.members()) resetSession(this.#context, step, group, member);
    if (group.canRebalance) prepareRebalance(this.#context, step, group);
    else if (group.state === "PreparingRebalance") {
      const { groupId, rebalanceTimeoutMs } = group;
      const action = { kind: "join-deadline", groupId } as const;
      this.#context.timers.set(step.timers, joinTimerKey(groupId), rebalanceTimeoutMs, action);
    }
  }

  /** Forgets the timers of a group that does not exist, or is answered by others from now on. */
  bury(step: GroupStep, group: ConsumerGroup | ClassicGroup): void {
    if (group.type === "classic") return;
    for (const [memberId] of group.memberEntries()) {
      endTimers(this.#consumers, step, group.groupId, memberId);
    }
  }

  /** The last event: answers every JoinGroup that waits for the log. */
  onUnloaded(step: GroupStep, errorCode: number): void {
    for (const { waiter } of this.#joining) step.reply(waiter, joinRefused("", errorCode));
    this.#joining.clear();
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
