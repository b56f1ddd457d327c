/**
 * The rebalance itself: collecting members, opening the next generation, waiting for its members' SyncGroup.
 *
 * A rebalance of an empty group first waits `group.initial.rebalance.delay.ms`, and again for each newcomer, up to the
 * rebalance timeout; any other waits until all known members came back, at most the longest rebalance timeout of them.
 * Dynamic members that did not come back are dropped then; static ones stay (KIP-345).
 */
import { ErrorCode } from "#common/error-code.ts";
import type { ClassicGroup } from "./classic-group.ts";
import type { ClassicContext, GroupStep } from "./context.ts";
import {
  completeJoin,
  completeSync,
  endSession,
  joinAccepted,
  joinTimerKey,
  resetSession,
  syncRefused,
  syncTimerKey,
} from "./context.ts";

const EMPTY_BYTES: Uint8Array = new Uint8Array(0);
const NO_ASSIGNMENTS: ReadonlyMap<string, Uint8Array> = new Map();

/** Starts a rebalance where one may start; otherwise sees whether the running one is complete. */
export function rebalanceOrComplete(
  context: ClassicContext,
  step: GroupStep,
  group: ClassicGroup,
): void {
  if (group.canRebalance) prepareRebalance(context, step, group);
  else completeIfAllJoined(context, step, group);
}

/** Calls all members back: parked SyncGroups are refused, and members learn of it by heartbeat. */
export function prepareRebalance(
  context: ClassicContext,
  step: GroupStep,
  group: ClassicGroup,
): void {
  const { groupId } = group;
  if (group.state === "CompletingRebalance") {
    refuseSyncs(context, step, group, ErrorCode.REBALANCE_IN_PROGRESS);
  }
  endSyncDeadline(context, step, group);
  if (group.state === "Empty") {
    const delayMs = context.config.groupInitialRebalanceDelayMs;
    const remainingMs = Math.max(group.rebalanceTimeoutMs - delayMs, 0);
    const action = { kind: "initial-delay", groupId, delayMs, remainingMs } as const;
    context.timers.set(step.timers, joinTimerKey(groupId), delayMs, action);
    group.transitionTo("PreparingRebalance", step.nowMs);
    return;
  }
  group.transitionTo("PreparingRebalance", step.nowMs);
  if (group.haveAllMembersJoined) {
    completeRebalance(context, step, group);
  } else {
    const action = { kind: "join-deadline", groupId } as const;
    context.timers.set(step.timers, joinTimerKey(groupId), group.rebalanceTimeoutMs, action);
  }
}

/** The initial delay is over: waits on when somebody joined meanwhile and there is time left. */
export function onInitialDelay(
  context: ClassicContext,
  step: GroupStep,
  group: ClassicGroup,
  delayMs: number,
  remainingMs: number,
): void {
  if (!group.isNewMemberAdded || remainingMs === 0) {
    completeRebalance(context, step, group);
    return;
  }
  group.isNewMemberAdded = false;
  const action = {
    kind: "initial-delay",
    groupId: group.groupId,
    delayMs: Math.min(context.config.groupInitialRebalanceDelayMs, remainingMs),
    remainingMs: Math.max(remainingMs - delayMs, 0),
  } as const;
  context.timers.set(step.timers, joinTimerKey(group.groupId), action.delayMs, action);
}

/** Completes a running rebalance when all have joined. An initial rebalance always waits for its delay. */
export function completeIfAllJoined(
  context: ClassicContext,
  step: GroupStep,
  group: ClassicGroup,
): void {
  const isWaiting = group.state === "PreparingRebalance" && group.previousState !== "Empty";
  if (isWaiting && group.haveAllMembersJoined) completeRebalance(context, step, group);
}

/** Ends the collecting of members and opens the next generation. */
export function completeRebalance(
  context: ClassicContext,
  step: GroupStep,
  group: ClassicGroup,
): void {
  const { groupId } = group;
  context.timers.clear(step.timers, joinTimerKey(groupId));
  if (group.state !== "PreparingRebalance") return;
  for (const member of group.members()) {
    if (member.joinWaiter !== null || member.groupInstanceId !== null) continue;
    group.remove(member.memberId);
    endSession(context, step, groupId, member.memberId);
  }
  if (group.memberCount > 0 && !group.electJoinedLeader()) {
    // Only static members are left and none came back. Wait on until one does, or their sessions end.
    const action = { kind: "join-deadline", groupId } as const;
    context.timers.set(step.timers, joinTimerKey(groupId), group.rebalanceTimeoutMs, action);
    return;
  }
  group.beginGeneration(step.nowMs);
  if (group.memberCount === 0) {
    // Stored so that the group keeps its generation, and its offsets start to age.
    const value = group.toRecord(NO_ASSIGNMENTS);
    step.records.push({ kind: "group-metadata", groupId, value });
    step.isReplayed = false;
    return;
  }
  for (const member of group.members()) {
    const isMemberListed = group.isLeader(member.memberId);
    completeJoin(step, group, member, joinAccepted(group, member.memberId, { isMemberListed }));
    resetSession(context, step, group, member);
    member.isNew = false;
    group.pendingSyncs.add(member.memberId);
  }
  const { generationId } = group;
  const action = { kind: "sync-deadline", groupId, generationId } as const;
  context.timers.set(step.timers, syncTimerKey(groupId), group.rebalanceTimeoutMs, action);
}

/** Some members never asked for their assignment: they are dropped, the others start over. */
export function onSyncDeadline(
  context: ClassicContext,
  step: GroupStep,
  group: ClassicGroup,
  generationId: number,
): void {
  if (group.generationId !== generationId) return;
  if (group.state !== "CompletingRebalance" && group.state !== "Stable") return;
  if (group.pendingSyncs.size === 0) return;
  for (const memberId of group.pendingSyncs) {
    group.remove(memberId);
    endSession(context, step, group.groupId, memberId);
  }
  prepareRebalance(context, step, group);
}

/** A member's SyncGroup arrived; the deadline ends with the last one. */
export function noteSync(
  context: ClassicContext,
  step: GroupStep,
  group: ClassicGroup,
  memberId: string,
): void {
  group.pendingSyncs.delete(memberId);
  if (group.pendingSyncs.size === 0) endSyncDeadline(context, step, group);
}

/** Hands each member its assignment and answers the parked SyncGroups. */
export function grantAssignments(
  context: ClassicContext,
  step: GroupStep,
  group: ClassicGroup,
  assignments: ReadonlyMap<string, Uint8Array>,
): void {
  for (const member of group.members()) {
    member.assignment = assignments.get(member.memberId) ?? EMPTY_BYTES;
    const isAnswered = completeSync(step, member, {
      api: "sync",
      errorCode: ErrorCode.NONE,
      protocolType: group.protocolType,
      protocolName: group.protocolName,
      assignment: member.assignment,
    });
    // While SyncGroup was parked the session counted as alive; from here on heartbeats must show it.
    if (isAnswered) resetSession(context, step, group, member);
  }
}

/** Takes all assignments back and refuses the parked SyncGroups. */
export function refuseSyncs(
  context: ClassicContext,
  step: GroupStep,
  group: ClassicGroup,
  errorCode: number,
): void {
  for (const member of group.members()) {
    member.assignment = EMPTY_BYTES;
    const isAnswered = completeSync(step, member, syncRefused(errorCode));
    if (isAnswered) resetSession(context, step, group, member);
  }
}

function endSyncDeadline(context: ClassicContext, step: GroupStep, group: ClassicGroup): void {
  group.pendingSyncs.clear();
  context.timers.clear(step.timers, syncTimerKey(group.groupId));
}
