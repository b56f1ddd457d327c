/**
 * JoinGroup: who gets in, under which id, and whether the group must rebalance for it.
 *
 * Sources: KIP-62 (rebalance timeout), KIP-134 (initial delay), KIP-345 (static members), KIP-389 (size limit),
 * KIP-394 (member id required), KIP-814 (skipped assignment).
 */
import { ErrorCode } from "#common/error-code.ts";
import { NEW_MEMBER_JOIN_TIMEOUT_MS } from "../config.ts";
import type { JoinInput, JoinProtocol } from "../messages.ts";
import type { ClassicGroup, ClassicMember } from "./classic-group.ts";
import { hasSameProtocols } from "./classic-group.ts";
import type { ClassicContext, GroupStep } from "./context.ts";
import {
  checkMember,
  completeJoin,
  completeSync,
  joinAccepted,
  joinRefused,
  resetSession,
  sessionTimerKey,
  syncRefused,
} from "./context.ts";
import { completeIfAllJoined, rebalanceOrComplete } from "./rebalance.ts";

const EMPTY_BYTES: Uint8Array = new Uint8Array(0);

/**
 * Handles a JoinGroup for a group that exists (or has just been made). The answer is a reply to `input.waiter`, now or
 * when the rebalance completes.
 */
export function join(
  context: ClassicContext,
  step: GroupStep,
  group: ClassicGroup,
  input: JoinInput,
): void {
  if (!hasRoomFor(context, group, input.memberId)) {
    group.remove(input.memberId);
    step.reply(input.waiter, joinRefused("", ErrorCode.GROUP_MAX_SIZE_REACHED));
  } else if (input.memberId === "") {
    joinNew(context, step, group, input);
  } else {
    joinKnown(context, step, group, input);
  }
}

/**
 * The size limit (KIP-389). While members are collected those that wait count, so that a group over its limit keeps the
 * first to come back; otherwise members count.
 */
function hasRoomFor(context: ClassicContext, group: ClassicGroup, memberId: string): boolean {
  const member = group.member(memberId);
  switch (group.state) {
    case "Empty":
    case "Dead":
      return true;
    case "PreparingRebalance":
      if (member !== undefined && member.joinWaiter !== null) return true;
      return group.awaitingJoinCount < context.config.groupMaxSize;
    case "CompletingRebalance":
    case "Stable":
      return member !== undefined || group.memberCount < context.config.groupMaxSize;
  }
}

function joinNew(
  context: ClassicContext,
  step: GroupStep,
  group: ClassicGroup,
  input: JoinInput,
): void {
  if (group.state === "Dead") {
    step.reply(input.waiter, joinRefused("", ErrorCode.COORDINATOR_NOT_AVAILABLE));
    return;
  }
  if (!group.supports(input.protocolType, input.protocols)) {
    step.reply(input.waiter, joinRefused("", ErrorCode.INCONSISTENT_GROUP_PROTOCOL));
    return;
  }
  if (input.groupInstanceId !== null) {
    const memberId = `${input.groupInstanceId}-${input.freshId}`;
    const oldMemberId = group.staticMemberId(input.groupInstanceId);
    const old = oldMemberId === undefined ? undefined : group.member(oldMemberId);
    if (old === undefined) addMember(context, step, group, memberId, input);
    else replaceStaticMember(context, step, group, old, memberId, input);
    return;
  }
  const memberId = `${input.caller.clientId}-${input.freshId}`;
  if (!input.isMemberIdRequired) {
    addMember(context, step, group, memberId, input);
    return;
  }
  group.pendingJoins.add(memberId);
  const action = { kind: "session", groupId: group.groupId, memberId } as const;
  const key = sessionTimerKey(group.groupId, memberId);
  context.timers.set(step.timers, key, input.sessionTimeoutMs, action);
  step.reply(input.waiter, joinRefused(memberId, ErrorCode.MEMBER_ID_REQUIRED));
}

function joinKnown(
  context: ClassicContext,
  step: GroupStep,
  group: ClassicGroup,
  input: JoinInput,
): void {
  const { memberId, waiter } = input;
  if (group.state === "Dead") {
    step.reply(waiter, joinRefused(memberId, ErrorCode.COORDINATOR_NOT_AVAILABLE));
    return;
  }
  if (!group.supports(input.protocolType, input.protocols)) {
    step.reply(waiter, joinRefused(memberId, ErrorCode.INCONSISTENT_GROUP_PROTOCOL));
    return;
  }
  if (group.pendingJoins.has(memberId)) {
    // Ids are only handed out to dynamic members; Kafka treats an instance id here as a fault of its own.
    if (input.groupInstanceId === null) addMember(context, step, group, memberId, input);
    else step.reply(waiter, joinRefused("", ErrorCode.UNKNOWN_SERVER_ERROR));
    return;
  }
  const error = checkMember(group, memberId, input.groupInstanceId);
  const member = group.member(memberId);
  if (error !== ErrorCode.NONE || member === undefined) {
    step.reply(waiter, joinRefused(memberId, error));
    return;
  }
  const isSame = hasSameProtocols(member, input.protocols);
  const isLeader = group.isLeader(memberId);
  if (group.state === "CompletingRebalance" && isSame) {
    // The answer was probably lost: the same again.
    step.reply(waiter, joinAccepted(group, memberId, { isMemberListed: isLeader }));
  } else if (group.state === "Stable" && isSame && !isLeader) {
    step.reply(waiter, joinAccepted(group, memberId, { isMemberListed: false }));
  } else {
    // Members are collected anyway, metadata changed, or the leader asks for a new assignment.
    const { rebalanceTimeoutMs, sessionTimeoutMs } = timeoutsOf(input);
    if (member.joinWaiter !== null && member.joinWaiter !== waiter) {
      // The client gave up on an earlier request of this member and sent another; Kafka leaves the first without an answer.
      // Ours gets one, so that its connection is not blocked.
      step.reply(member.joinWaiter, joinRefused(memberId, ErrorCode.REBALANCE_IN_PROGRESS));
    }
    const protocols = copyProtocols(input.protocols);
    group.update(member, protocols, rebalanceTimeoutMs, sessionTimeoutMs, waiter);
    rebalanceOrComplete(context, step, group);
  }
}

function addMember(
  context: ClassicContext,
  step: GroupStep,
  group: ClassicGroup,
  memberId: string,
  input: JoinInput,
): void {
  const { groupInstanceId, protocolType, waiter, caller } = input;
  const member: ClassicMember = {
    memberId,
    groupInstanceId,
    clientId: caller.clientId,
    clientHost: caller.clientHost,
    protocolType,
    ...timeoutsOf(input),
    protocols: copyProtocols(input.protocols),
    assignment: EMPTY_BYTES,
    joinWaiter: waiter,
    syncWaiter: null,
    isNew: true,
    session: null,
  };
  if (group.state === "PreparingRebalance" && group.previousState === "Empty") {
    group.isNewMemberAdded = true;
  }
  group.add(member);
  resetSession(context, step, group, member, NEW_MEMBER_JOIN_TIMEOUT_MS);
  rebalanceOrComplete(context, step, group);
}

/**
 * A static member is back under a new id. The old id is fenced at once. A stable group whose protocol stays the same is only
 * stored again; the member goes on with the old assignment.
 */
function replaceStaticMember(
  context: ClassicContext,
  step: GroupStep,
  group: ClassicGroup,
  old: ClassicMember,
  newMemberId: string,
  input: JoinInput,
): void {
  const oldLeader = group.leaderId;
  const fenced = joinRefused(old.memberId, ErrorCode.FENCED_INSTANCE_ID);
  completeJoin(step, group, old, fenced);
  completeSync(step, old, syncRefused(ErrorCode.FENCED_INSTANCE_ID));
  const member = group.replaceStaticMember(old, newMemberId);
  resetSession(context, step, group, member);
  const { protocols, rebalanceTimeoutMs, sessionTimeoutMs } = member;
  const timeouts = timeoutsOf(input);
  group.update(
    member,
    copyProtocols(input.protocols),
    timeouts.rebalanceTimeoutMs,
    timeouts.sessionTimeoutMs,
    input.waiter,
  );
  if (group.state === "Stable" && group.selectProtocol() === group.protocolName) {
    const value = group.toRecord(group.assignments());
    step.records.push({ kind: "group-metadata", groupId: group.groupId, value });
    step.isReplayed = false;
    step.afterAppend = {
      kind: "static-member-replaced",
      groupId: group.groupId,
      groupInstanceId: old.groupInstanceId ?? "",
      oldMemberId: old.memberId,
      newMemberId,
      oldLeader,
      oldProtocols: protocols,
      oldRebalanceTimeoutMs: rebalanceTimeoutMs,
      oldSessionTimeoutMs: sessionTimeoutMs,
      canSkipAssignment: input.canSkipAssignment,
      waiter: input.waiter,
    };
  } else if (group.state === "PreparingRebalance") {
    completeIfAllJoined(context, step, group);
  } else {
    // The protocol changes, or the leader may already be assigning partitions to the id that is gone.
    rebalanceOrComplete(context, step, group);
  }
}

/** The group with the replaced static member is stored, or could not be: then the old member is put back. */
export function onStaticMemberStored(
  context: ClassicContext,
  step: GroupStep,
  group: ClassicGroup,
  token: StaticMemberReplaced,
  errorCode: number,
): void {
  const member = group.member(token.newMemberId);
  if (member === undefined) return;
  if (errorCode === ErrorCode.NONE) {
    const isLeader = group.isLeader(token.newMemberId);
    const output = token.canSkipAssignment
      ? joinAccepted(group, token.newMemberId, {
          isMemberListed: isLeader,
          skipAssignment: isLeader,
        })
      : // Before v9 the leader must not learn that it leads, or it would assign anew: it is shown the old id.
        joinAccepted(group, token.newMemberId, { isMemberListed: false, leader: token.oldLeader });
    if (member.joinWaiter === token.waiter) completeJoin(step, group, member, output);
    return;
  }
  const { oldProtocols, oldRebalanceTimeoutMs, oldSessionTimeoutMs } = token;
  const isParked = member.joinWaiter === token.waiter;
  completeJoin(step, group, member, {
    ...joinAccepted(group, "", { isMemberListed: false, leader: token.oldLeader }),
    errorCode,
  });
  if (!isParked) return;
  completeSync(step, member, syncRefused(errorCode));
  group.update(member, oldProtocols, oldRebalanceTimeoutMs, oldSessionTimeoutMs, null);
  const restored = group.replaceStaticMember(member, token.oldMemberId);
  resetSession(context, step, group, restored);
}

type StaticMemberReplaced = Extract<
  NonNullable<GroupStep["afterAppend"]>,
  { kind: "static-member-replaced" }
>;

function timeoutsOf({ rebalanceTimeoutMs, sessionTimeoutMs }: JoinInput): {
  rebalanceTimeoutMs: number;
  sessionTimeoutMs: number;
} {
  return { rebalanceTimeoutMs, sessionTimeoutMs };
}

/** Protocols with bytes of their own: the request's live only as long as its frame. A name given twice counts once. */
export function copyProtocols(protocols: readonly JoinProtocol[]): JoinProtocol[] {
  const seen = new Set<string>();
  const copies: JoinProtocol[] = [];
  for (const { name, metadata } of protocols) {
    if (seen.has(name)) continue;
    seen.add(name);
    copies.push({ name, metadata: metadata.slice() });
  }
  return copies;
}
