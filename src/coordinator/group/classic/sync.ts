/**
 * SyncGroup: the leader hands in the assignment, everyone gets theirs once it is in the log.
 *
 * Sources: KIP-345 (instance ids), KIP-559 (protocol type and name checked).
 */
import { ErrorCode } from "#common/error-code.ts";
import type { SyncInput, SyncOutput } from "../messages.ts";
import type { ClassicGroup, ClassicMember } from "./classic-group.ts";
import type { ClassicContext, GroupStep } from "./context.ts";
import { checkMember, resetSession, syncRefused } from "./context.ts";
import { grantAssignments, noteSync, rebalanceOrComplete, refuseSyncs } from "./rebalance.ts";

const EMPTY_BYTES: Uint8Array = new Uint8Array(0);

/** Handles a SyncGroup; the answer is a reply to `input.waiter`, now or when the leader's assignment is stored. */
export function sync(
  context: ClassicContext,
  step: GroupStep,
  group: ClassicGroup,
  input: SyncInput,
): void {
  const error = checkSync(group, input);
  const member = group.member(input.memberId);
  if (error !== ErrorCode.NONE || member === undefined) {
    step.reply(input.waiter, syncRefused(error));
    return;
  }
  switch (group.state) {
    case "Dead":
    case "Empty":
      step.reply(input.waiter, syncRefused(ErrorCode.UNKNOWN_MEMBER_ID));
      return;
    case "PreparingRebalance":
      step.reply(input.waiter, syncRefused(ErrorCode.REBALANCE_IN_PROGRESS));
      return;
    case "CompletingRebalance":
      park(step, member, input.waiter);
      noteSync(context, step, group, member.memberId);
      if (group.isLeader(member.memberId)) storeAssignment(step, group, input);
      return;
    case "Stable":
      noteSync(context, step, group, member.memberId);
      step.reply(input.waiter, granted(group, member));
      resetSession(context, step, group, member);
      return;
  }
}

function checkSync(group: ClassicGroup, input: SyncInput): number {
  if (group.state === "Dead") return ErrorCode.COORDINATOR_NOT_AVAILABLE;
  const error = checkMember(group, input.memberId, input.groupInstanceId);
  if (error !== ErrorCode.NONE) return error;
  if (input.generationId !== group.generationId) return ErrorCode.ILLEGAL_GENERATION;
  const isConsistent =
    agrees(input.protocolType, group.protocolType) &&
    agrees(input.protocolName, group.protocolName);
  return isConsistent ? ErrorCode.NONE : ErrorCode.INCONSISTENT_GROUP_PROTOCOL;
}

function agrees(asked: string | null, actual: string | null): boolean {
  return asked === null || actual === null || asked === actual;
}

function park(step: GroupStep, member: ClassicMember, waiter: number): void {
  // A second SyncGroup of the same member takes the place of the first, which still deserves an answer.
  if (member.syncWaiter !== null) {
    step.reply(member.syncWaiter, syncRefused(ErrorCode.REBALANCE_IN_PROGRESS));
  }
  member.syncWaiter = waiter;
}

function storeAssignment(step: GroupStep, group: ClassicGroup, input: SyncInput): void {
  const assignments = new Map<string, Uint8Array>();
  for (const { memberId } of group.members()) assignments.set(memberId, EMPTY_BYTES);
  for (const { memberId, assignment } of input.assignments) {
    if (assignments.has(memberId)) assignments.set(memberId, assignment.slice());
  }
  const { groupId, generationId } = group;
  step.records.push({ kind: "group-metadata", groupId, value: group.toRecord(assignments) });
  step.isReplayed = false;
  step.afterAppend = { kind: "assignment-stored", groupId, generationId, assignments };
}

/**
 * The leader's assignment is in the log, or could not be written: then everyone starts over. Nothing happens when the group
 * has moved on meanwhile.
 */
export function onAssignmentStored(
  context: ClassicContext,
  step: GroupStep,
  group: ClassicGroup,
  token: { generationId: number; assignments: ReadonlyMap<string, Uint8Array> },
  errorCode: number,
): void {
  const isCurrent =
    group.state === "CompletingRebalance" && group.generationId === token.generationId;
  if (!isCurrent) return;
  if (errorCode === ErrorCode.NONE) {
    grantAssignments(context, step, group, token.assignments);
    group.transitionTo("Stable", step.nowMs);
  } else {
    refuseSyncs(context, step, group, errorCode);
    rebalanceOrComplete(context, step, group);
  }
}

function granted(group: ClassicGroup, member: ClassicMember): SyncOutput {
  return {
    api: "sync",
    errorCode: ErrorCode.NONE,
    protocolType: group.protocolType,
    protocolName: group.protocolName,
    assignment: member.assignment,
  };
}
