/**
 * Staying in and getting out: heartbeats, LeaveGroup, sessions that end.
 */
import { ErrorCode } from "#common/error-code.ts";
import type { HeartbeatInput, LeaveInput, LeaveOutput } from "../messages.ts";
import type { ClassicGroup, ClassicMember } from "./classic-group.ts";
import type { ClassicContext, GroupStep } from "./context.ts";
import {
  checkMember,
  completeJoin,
  completeSync,
  endSession,
  joinRefused,
  resetSession,
  syncRefused,
} from "./context.ts";
import { completeIfAllJoined, rebalanceOrComplete } from "./rebalance.ts";

/** Handles a heartbeat; returns its error code. REBALANCE_IN_PROGRESS also keeps the session alive. */
export function heartbeat(
  context: ClassicContext,
  step: GroupStep,
  group: ClassicGroup,
  input: HeartbeatInput,
): number {
  if (group.state === "Dead") return ErrorCode.COORDINATOR_NOT_AVAILABLE;
  const error = checkMember(group, input.memberId, input.groupInstanceId);
  if (error !== ErrorCode.NONE) return error;
  if (input.generationId !== group.generationId) return ErrorCode.ILLEGAL_GENERATION;
  const member = group.member(input.memberId);
  if (member === undefined || group.state === "Empty") return ErrorCode.UNKNOWN_MEMBER_ID;
  resetSession(context, step, group, member);
  const isCalledBack = group.state === "PreparingRebalance";
  return isCalledBack ? ErrorCode.REBALANCE_IN_PROGRESS : ErrorCode.NONE;
}

/**
 * Handles LeaveGroup for any number of members. A static member may be named by its instance id alone: that is how an
 * administrator removes it.
 */
export function leave(
  context: ClassicContext,
  step: GroupStep,
  group: ClassicGroup,
  input: LeaveInput,
): LeaveOutput {
  if (group.state === "Dead") {
    return { errorCode: ErrorCode.COORDINATOR_NOT_AVAILABLE, members: [] };
  }
  const members = input.members.map(({ memberId, groupInstanceId }) => {
    const errorCode = leaveOne(context, step, group, memberId, groupInstanceId);
    return { memberId, groupInstanceId, errorCode };
  });
  if (members.some(({ errorCode }) => errorCode === ErrorCode.NONE)) {
    goOnWithout(context, step, group);
  }
  return { errorCode: ErrorCode.NONE, members };
}

function leaveOne(
  context: ClassicContext,
  step: GroupStep,
  group: ClassicGroup,
  memberId: string,
  groupInstanceId: string | null,
): number {
  if (memberId === "") {
    const current = groupInstanceId === null ? undefined : group.staticMemberId(groupInstanceId);
    if (current === undefined) return ErrorCode.UNKNOWN_MEMBER_ID;
    removeMember(context, step, group, current);
    return ErrorCode.NONE;
  }
  if (group.pendingJoins.has(memberId)) {
    group.remove(memberId);
    endSession(context, step, group.groupId, memberId);
    return ErrorCode.NONE;
  }
  const error = checkMember(group, memberId, groupInstanceId);
  if (error === ErrorCode.NONE) removeMember(context, step, group, memberId);
  return error;
}

function removeMember(
  context: ClassicContext,
  step: GroupStep,
  group: ClassicGroup,
  memberId: string,
): void {
  const member = group.member(memberId);
  if (member === undefined) return;
  endSession(context, step, group.groupId, memberId);
  dismiss(step, group, member);
}

/** Takes a member out. Whatever it still waits for is answered, so that a client that is alive joins anew. */
function dismiss(step: GroupStep, group: ClassicGroup, member: ClassicMember): void {
  completeJoin(step, group, member, joinRefused("", ErrorCode.UNKNOWN_MEMBER_ID));
  completeSync(step, member, syncRefused(ErrorCode.UNKNOWN_MEMBER_ID));
  group.remove(member.memberId);
}

function goOnWithout(context: ClassicContext, step: GroupStep, group: ClassicGroup): void {
  switch (group.state) {
    case "Stable":
    case "CompletingRebalance":
      rebalanceOrComplete(context, step, group);
      break;
    case "PreparingRebalance":
      completeIfAllJoined(context, step, group);
      break;
    case "Empty":
    case "Dead":
      break;
  }
}

/**
 * A session timer fired. A member that is parked in JoinGroup or SyncGroup lives as long as its request, except for one that
 * has never been answered: that one has waited long enough.
 */
export function onSessionEnd(
  context: ClassicContext,
  step: GroupStep,
  group: ClassicGroup,
  memberId: string,
): void {
  if (group.state === "Dead") return;
  if (group.pendingJoins.has(memberId)) {
    group.remove(memberId);
    if (group.state === "PreparingRebalance") completeIfAllJoined(context, step, group);
    return;
  }
  const member = group.member(memberId);
  if (member === undefined) return;
  const isParked = member.joinWaiter !== null || member.syncWaiter !== null;
  if (isParked && !member.isNew) return;
  dismiss(step, group, member);
  goOnWithout(context, step, group);
}
