/**
 * Getting out of a consumer group: by a last heartbeat, by LeaveGroup, by silence, by holding on to partitions for too long.
 */
import { ErrorCode } from "#common/error-code.ts";
import type { GroupStep } from "../classic/context.ts";
import type { ConsumerHeartbeatInput, ConsumerHeartbeatOutput } from "../messages.ts";
import type { ConsumerGroup } from "./consumer-group.ts";
import { type ConsumerContext, endTimers } from "./context.ts";
import { bumpEpoch } from "./epoch.ts";
import { currentStatic, removeMember, unknownMember } from "./heartbeat.ts";
import { type ConsumerMember, currentValue, type Holdings, MemberEpoch } from "./member.ts";

/** Turns the group into a classic one when the members that go are the last that speak the consumer protocol; true when it did. */
export type Downgrade = (leaving: readonly ConsumerMember[]) => boolean;

/**
 * Handles the heartbeat of a member that goes, for good or for a moment.
 *
 * @throws GroupError UNKNOWN_MEMBER_ID, FENCED_INSTANCE_ID.
 */
export function leave(
  context: ConsumerContext,
  step: GroupStep,
  group: ConsumerGroup,
  input: ConsumerHeartbeatInput,
  downgrade: Downgrade,
): ConsumerHeartbeatOutput {
  const { memberId, memberEpoch, instanceId } = input;
  let member: ConsumerMember;
  if (instanceId === null) {
    const known = group.member(memberId);
    if (known === undefined) throw unknownMember(group, memberId);
    member = known;
  } else {
    member = currentStatic(group, memberId, instanceId);
  }
  const isBackSoon = instanceId !== null && memberEpoch === MemberEpoch.LEAVE_STATIC;
  if (isBackSoon) leaveForNow(context, step, group, member);
  else fence(context, step, group, [member], downgrade);
  return {
    errorCode: ErrorCode.NONE,
    errorMessage: null,
    memberId,
    memberEpoch,
    heartbeatIntervalMs: 0,
    assignment: null,
  };
}

/** A static member keeps its place and what it has until its session ends. */
function leaveForNow(
  context: ConsumerContext,
  step: GroupStep,
  { groupId }: ConsumerGroup,
  member: ConsumerMember,
): void {
  const { memberId } = member;
  const value = currentValue({
    ...member,
    memberEpoch: MemberEpoch.LEAVE_STATIC,
    assigned: inNoEpoch(member.assigned),
    pendingRevocation: new Map(),
  });
  context.emit(step, { kind: "consumer-current", groupId, memberId, value });
}

/** Commits of whoever takes over are not bound to the epochs of who went. */
function inNoEpoch(held: Holdings): Holdings {
  return new Map(
    Array.from(held, ([topicId, partitions]) => [
      topicId,
      new Map(Array.from(partitions.keys(), (partition) => [partition, 0])),
    ]),
  );
}

/** Takes members out of the group. What they held is free at once. */
export function fence(
  context: ConsumerContext,
  step: GroupStep,
  group: ConsumerGroup,
  members: readonly ConsumerMember[],
  downgrade: Downgrade,
): void {
  if (members.length === 0 || downgrade(members)) return;
  const { groupId } = group;
  for (const { memberId } of members) removeMember(context, step, group, memberId);
  for (const pattern of new Set(members.map((member) => member.subscribedTopicRegex))) {
    if (pattern === "" || group.patternUseCount(pattern) > 0) continue;
    context.emit(step, { kind: "consumer-pattern", groupId, pattern, value: null });
  }
  bumpEpoch(context, step, group);
  if (group.isEmpty) {
    const value = { assignmentEpoch: group.groupEpoch, assignmentTimestamp: 0 };
    context.emit(step, { kind: "consumer-target", groupId, value });
  }
  for (const { memberId } of members) endTimers(context, step, groupId, memberId);
}
