/**
 * What the parts of the classic protocol share: settings, timers, the kinds of event that come back to them, and the few
 * verbs that answer parked requests.
 */
import { ErrorCode } from "#common/error-code.ts";
import type { Step, TimerBook } from "../../runtime/step.ts";
import type { GroupCoordinatorConfig } from "../config.ts";
import type { JoinOutput, JoinProtocol, ParkedOutput, SyncOutput } from "../messages.ts";
import type { GroupCoordinatorRecord } from "../records.ts";
import type { ClassicGroup, ClassicMember, SessionAction } from "./classic-group.ts";

/** What a timer of the group coordinator is for. */
export type TimerAction =
  | SessionAction
  | {
      readonly kind: "initial-delay";
      readonly groupId: string;
      readonly delayMs: number;
      readonly remainingMs: number;
    }
  | { readonly kind: "join-deadline"; readonly groupId: string }
  | { readonly kind: "sync-deadline"; readonly groupId: string; readonly generationId: number }
  | { readonly kind: "offset-retention" }
  /** A member of a consumer group was silent for too long. */
  | { readonly kind: "consumer-session"; readonly groupId: string; readonly memberId: string }
  /** A member of a consumer group did not give back its partitions in time. */
  | {
      readonly kind: "consumer-rebalance";
      readonly groupId: string;
      readonly memberId: string;
      readonly memberEpoch: number;
    }
  /** A classic member of a consumer group did not join, or sync, in time. */
  | { readonly kind: "consumer-round"; readonly groupId: string; readonly memberId: string }
  /** Patterns of a consumer group are to be matched. */
  | { readonly kind: "consumer-patterns"; readonly groupId: string };

/** What must happen when the records of a step are in the log, or can't be written. */
export type AppendToken =
  /** A group exists from now on; `waiter` asked for it. */
  | { readonly kind: "group-created"; readonly groupId: string; readonly waiter: number | null }
  /** The leader's assignment is stored. */
  | {
      readonly kind: "assignment-stored";
      readonly groupId: string;
      readonly generationId: number;
      readonly assignments: ReadonlyMap<string, Uint8Array>;
    }
  /** A static member came back under a new id without a rebalance. */
  | {
      readonly kind: "static-member-replaced";
      readonly groupId: string;
      readonly groupInstanceId: string;
      readonly oldMemberId: string;
      readonly newMemberId: string;
      readonly oldLeader: string | null;
      readonly oldProtocols: readonly JoinProtocol[];
      readonly oldRebalanceTimeoutMs: number;
      readonly oldSessionTimeoutMs: number;
      readonly canSkipAssignment: boolean;
      readonly waiter: number;
    }
  /** A member of the classic protocol is in a consumer group. */
  | {
      readonly kind: "classic-member-joined";
      readonly groupId: string;
      readonly output: JoinOutput;
      readonly sessionTimeoutMs: number;
      readonly rebalanceTimeoutMs: number;
      readonly waiter: number;
    };

export type GroupStep = Step<GroupCoordinatorRecord, ParkedOutput, AppendToken>;

/** Surroundings of the classic protocol. */
export interface ClassicContext {
  readonly config: GroupCoordinatorConfig;
  readonly timers: TimerBook<TimerAction>;
}

const EMPTY_BYTES: Uint8Array = new Uint8Array(0);

/** Key of a member's session timer. Lengths keep keys of different groups apart whatever the ids contain. */
export function sessionTimerKey(groupId: string, memberId: string): string {
  return `session:${groupId.length}:${groupId}:${memberId}`;
}

export function joinTimerKey(groupId: string): string {
  return `join:${groupId}`;
}

export function syncTimerKey(groupId: string): string {
  return `sync:${groupId}`;
}

/** A JoinGroup answer that only says why not. */
export function joinRefused(memberId: string, errorCode: number): JoinOutput {
  return {
    api: "join",
    errorCode,
    generationId: -1,
    protocolType: null,
    protocolName: null,
    leader: "",
    skipAssignment: false,
    memberId,
    members: [],
  };
}

/** A JoinGroup answer with the current generation. */
export function joinAccepted(
  group: ClassicGroup,
  memberId: string,
  options: { isMemberListed: boolean; leader?: string | null; skipAssignment?: boolean },
): JoinOutput {
  const leader = options.leader === undefined ? group.leaderId : options.leader;
  return {
    api: "join",
    errorCode: ErrorCode.NONE,
    generationId: group.generationId,
    protocolType: group.protocolType,
    protocolName: group.protocolName,
    leader: leader ?? "",
    skipAssignment: options.skipAssignment ?? false,
    memberId,
    members: options.isMemberListed ? group.joinedMembers() : [],
  };
}

export function syncRefused(errorCode: number): SyncOutput {
  return {
    api: "sync",
    errorCode,
    protocolType: null,
    protocolName: null,
    assignment: EMPTY_BYTES,
  };
}

/** Answers a member's parked JoinGroup, if there is one. */
export function completeJoin(
  step: GroupStep,
  group: ClassicGroup,
  member: ClassicMember,
  output: JoinOutput,
): void {
  if (member.joinWaiter === null) return;
  step.reply(member.joinWaiter, output);
  group.setJoinWaiter(member, null);
}

/** Answers a member's parked SyncGroup; false when there is none. */
export function completeSync(step: GroupStep, member: ClassicMember, output: SyncOutput): boolean {
  if (member.syncWaiter === null) return false;
  step.reply(member.syncWaiter, output);
  member.syncWaiter = null;
  return true;
}

/** Starts a member's session anew. */
export function resetSession(
  context: ClassicContext,
  step: GroupStep,
  group: ClassicGroup,
  member: ClassicMember,
  timeoutMs: number = member.sessionTimeoutMs,
): void {
  const { groupId } = group;
  const { memberId } = member;
  member.session ??= {
    key: sessionTimerKey(groupId, memberId),
    action: { kind: "session", groupId, memberId },
  };
  context.timers.set(step.timers, member.session.key, timeoutMs, member.session.action);
}

/** Ends a member's session timer. */
export function endSession(
  context: ClassicContext,
  step: GroupStep,
  groupId: string,
  memberId: string,
): void {
  context.timers.clear(step.timers, sessionTimerKey(groupId, memberId));
}

/** Answers everything that is parked in a group and forgets its timers. */
export function dismissAll(
  context: ClassicContext,
  step: GroupStep,
  group: ClassicGroup,
  errorCode: number,
): void {
  const { groupId } = group;
  for (const member of group.members()) {
    completeJoin(step, group, member, joinRefused(member.memberId, errorCode));
    completeSync(step, member, syncRefused(errorCode));
    endSession(context, step, groupId, member.memberId);
  }
  for (const memberId of group.pendingJoins) endSession(context, step, groupId, memberId);
  context.timers.clear(step.timers, joinTimerKey(groupId));
  context.timers.clear(step.timers, syncTimerKey(groupId));
}

/**
 * Checks that a request comes from a current member.
 *
 * @returns NONE; FENCED_INSTANCE_ID when another member runs under the same instance id; UNKNOWN_MEMBER_ID.
 */
export function checkMember(
  group: ClassicGroup,
  memberId: string,
  groupInstanceId: string | null,
): number {
  if (groupInstanceId !== null) {
    const current = group.staticMemberId(groupInstanceId);
    if (current === undefined) return ErrorCode.UNKNOWN_MEMBER_ID;
    if (current !== memberId) return ErrorCode.FENCED_INSTANCE_ID;
  }
  return group.member(memberId) === undefined ? ErrorCode.UNKNOWN_MEMBER_ID : ErrorCode.NONE;
}
