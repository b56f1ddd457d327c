/**
 * ConsumerGroupHeartbeat of a member that joins or stays (KIP-848): who it is, what it wants, what it has, and one step towards what it
 * shall have. A heartbeat that says nothing new looks at no other member.
 */
import { ErrorCode } from "#common/error-code.ts";
import type { GroupStep } from "../classic/context.ts";
import { GroupError } from "../group-error.ts";
import type { ConsumerHeartbeatInput, ConsumerHeartbeatOutput } from "../messages.ts";
import type { ConsumerGroup } from "./consumer-group.ts";
import { type ConsumerContext, endTimers, resetConsumerSession } from "./context.ts";
import { refreshMetadata } from "./epoch.ts";
import {
  areEqualHoldings,
  type ConsumerMember,
  currentValue,
  MemberEpoch,
  memberValue,
  newMember,
  partitionLists,
  sortedNames,
} from "./member.ts";
import type { OwnedPartitions } from "./reconcile.ts";
import { moveMember, subscribe, updateTarget } from "./subscription.ts";

/**
 * Checks what needs no group.
 *
 * @throws GroupError INVALID_REQUEST, UNSUPPORTED_ASSIGNOR.
 */
export function checkHeartbeat(
  input: Omit<ConsumerHeartbeatInput, "freshId">,
  assignorNames: readonly string[],
): void {
  const { memberEpoch } = input;
  const isIdNeeded =
    input.isMemberIdRequired || memberEpoch > 0 || memberEpoch === MemberEpoch.LEAVE;
  if (isIdNeeded) refuseBlank(input.memberId, "MemberId can't be empty.");
  refuseBlank(input.groupId, "GroupId can't be empty.");
  refuseBlank(input.instanceId, "InstanceId can't be empty.");
  refuseBlank(input.rackId, "RackId can't be empty.");
  if (memberEpoch === MemberEpoch.JOIN) {
    if (input.rebalanceTimeoutMs === -1) {
      refuse("RebalanceTimeoutMs must be provided in first request.");
    }
    if (input.topicPartitions === null || input.topicPartitions.length > 0) {
      refuse("TopicPartitions must be empty when (re-)joining.");
    }
    if (input.subscribedTopicNames === null && input.subscribedTopicRegex === null) {
      refuse(
        "Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.",
      );
    }
  } else if (memberEpoch === MemberEpoch.LEAVE_STATIC) {
    if (input.instanceId === null) refuse("InstanceId can't be null.");
  } else if (memberEpoch < MemberEpoch.LEAVE_STATIC) {
    refuse("MemberEpoch is invalid.");
  }
  const { serverAssignor } = input;
  if (serverAssignor !== null && !assignorNames.includes(serverAssignor)) {
    const sentence = `ServerAssignor ${serverAssignor} is not supported. Supported assignors: ${assignorNames.join(", ")}.`;
    throw new GroupError(ErrorCode.UNSUPPORTED_ASSIGNOR, sentence);
  }
}

function refuseBlank(value: string | null, sentence: string): void {
  if (value !== null && value.trim() === "") refuse(sentence);
}

function refuse(sentence: string): never {
  throw new GroupError(ErrorCode.INVALID_REQUEST, sentence);
}

/**
 * Handles a heartbeat of a member that is, or wants to be, in the group.
 *
 * @throws GroupError the refusal; the caller takes back what was emitted.
 */
export function heartbeat(
  context: ConsumerContext,
  step: GroupStep,
  group: ConsumerGroup,
  input: ConsumerHeartbeatInput,
): ConsumerHeartbeatOutput {
  const { groupId } = group;
  const isJoining = input.memberEpoch === MemberEpoch.JOIN;
  const memberId = input.memberId === "" ? input.freshId : input.memberId;
  const { instanceId, topicPartitions: owned } = input;
  checkRoom(context, group, memberId, instanceId);
  const before =
    instanceId === null
      ? dynamicMember(group, memberId, isJoining)
      : staticMember(context, step, group, memberId, instanceId, {
          isJoining,
          isReturnFree: (known) =>
            known.memberEpoch === MemberEpoch.LEAVE_STATIC || known.classic !== null,
        });
  if (!isJoining) checkEpoch(before, input.memberEpoch, owned);
  const names = input.subscribedTopicNames;
  const { rebalanceTimeoutMs } = input;
  const said: ConsumerMember = {
    ...before,
    instanceId: instanceId ?? before.instanceId,
    rackId: input.rackId ?? before.rackId,
    rebalanceTimeoutMs: rebalanceTimeoutMs === -1 ? before.rebalanceTimeoutMs : rebalanceTimeoutMs,
    serverAssignor: input.serverAssignor ?? before.serverAssignor,
    subscribedTopicNames: names === null ? before.subscribedTopicNames : sortedNames(names),
    subscribedTopicRegex: input.subscribedTopicRegex ?? before.subscribedTopicRegex,
    clientId: input.caller.clientId,
    clientHost: input.caller.clientHost,
    classic: null,
  };
  const change = subscribe(context, step, group, before, said);
  const isBumped =
    change.areNamesChanged || change.pattern === "resolved" || change.isAssignorChanged;
  refreshMetadata(context, step, group, isBumped);
  updateTarget(context, step, group);
  const isSubscriptionChanged = change.areNamesChanged || change.pattern !== "same";
  const after = moveMember(context, step, group, said, isSubscriptionChanged, owned);
  resetConsumerSession(context, step, groupId, memberId);
  const isFull =
    rebalanceTimeoutMs !== -1 &&
    (names !== null || input.subscribedTopicRegex !== null) &&
    owned !== null;
  const isTold = isJoining || isFull || !areEqualHoldings(before.assigned, after.assigned);
  return {
    errorCode: ErrorCode.NONE,
    errorMessage: null,
    memberId,
    memberEpoch: after.memberEpoch,
    heartbeatIntervalMs: context.settings(groupId).consumerHeartbeatIntervalMs,
    assignment: isTold ? { topicPartitions: partitionLists(after.assigned) } : null,
  };
}

/** @throws GroupError GROUP_MAX_SIZE_REACHED. Whoever has a place keeps it. */
export function checkRoom(
  context: ConsumerContext,
  group: ConsumerGroup,
  memberId: string,
  instanceId: string | null,
): void {
  const { groupConsumerMaxSize: most } = context.config;
  if (group.memberCount < most) return;
  if (group.staticMember(instanceId) !== undefined || group.member(memberId) !== undefined) return;
  const sentence = `The consumer group has reached its maximum capacity of ${most} members.`;
  throw new GroupError(ErrorCode.GROUP_MAX_SIZE_REACHED, sentence);
}

/** @throws GroupError UNKNOWN_MEMBER_ID. */
export function dynamicMember(
  group: ConsumerGroup,
  memberId: string,
  isJoining: boolean,
): ConsumerMember {
  const known = group.member(memberId);
  if (known !== undefined) return known;
  if (isJoining) return newMember(memberId);
  throw unknownMember(group, memberId);
}

export function unknownMember(group: ConsumerGroup, memberId: string): GroupError {
  const sentence = `Member ${memberId} is not a member of group ${group.groupId}.`;
  return new GroupError(ErrorCode.UNKNOWN_MEMBER_ID, sentence);
}

/**
 * The member that speaks under an instance id. One that joins anew takes the place of the last one under that id, with its target and
 * what it held, so that nobody else notices.
 *
 * @param options.isReturnFree - tells whether the place may be taken.
 * @throws GroupError UNRELEASED_INSTANCE_ID, UNKNOWN_MEMBER_ID, FENCED_INSTANCE_ID.
 */
export function staticMember(
  context: ConsumerContext,
  step: GroupStep,
  group: ConsumerGroup,
  memberId: string,
  instanceId: string,
  options: { readonly isJoining: boolean; isReturnFree(known: ConsumerMember): boolean },
): ConsumerMember {
  const known = group.staticMember(instanceId);
  if (!options.isJoining) return currentStatic(group, memberId, instanceId);
  if (known === undefined) return group.member(memberId) ?? newMember(memberId);
  if (!options.isReturnFree(known)) {
    const sentence = `Static member ${memberId} with instance id ${instanceId} cannot join the group because the instance id is owned by ${known.memberId} member.`;
    throw new GroupError(ErrorCode.UNRELEASED_INSTANCE_ID, sentence);
  }
  return replaceMember(context, step, group, known, memberId);
}

/**
 * The member under an instance id, if it is the one that speaks.
 *
 * @throws GroupError UNKNOWN_MEMBER_ID, FENCED_INSTANCE_ID.
 */
export function currentStatic(
  group: ConsumerGroup,
  memberId: string,
  instanceId: string,
): ConsumerMember {
  const known = group.staticMember(instanceId);
  if (known === undefined) {
    throw new GroupError(ErrorCode.UNKNOWN_MEMBER_ID, `Instance id ${instanceId} is unknown.`);
  }
  if (known.memberId === memberId) return known;
  const sentence = `Static member ${memberId} with instance id ${instanceId} was fenced by member ${known.memberId}.`;
  throw new GroupError(ErrorCode.FENCED_INSTANCE_ID, sentence);
}

function replaceMember(
  context: ConsumerContext,
  step: GroupStep,
  group: ConsumerGroup,
  old: ConsumerMember,
  memberId: string,
): ConsumerMember {
  const { groupId } = group;
  const member: ConsumerMember = { ...old, memberId, memberEpoch: 0, previousMemberEpoch: 0 };
  const topicPartitions = partitionLists(group.target(old.memberId));
  removeMember(context, step, group, old.memberId);
  context.emit(step, { kind: "consumer-member", groupId, memberId, value: memberValue(member) });
  const value = { topicPartitions };
  context.emit(step, { kind: "consumer-target-member", groupId, memberId, value });
  context.emit(step, { kind: "consumer-current", groupId, memberId, value: currentValue(member) });
  endTimers(context, step, groupId, old.memberId);
  return member;
}

/** Buries a member's three records. */
export function removeMember(
  context: ConsumerContext,
  step: GroupStep,
  { groupId }: ConsumerGroup,
  memberId: string,
): void {
  context.emit(step, { kind: "consumer-current", groupId, memberId, value: null });
  context.emit(step, { kind: "consumer-target-member", groupId, memberId, value: null });
  context.emit(step, { kind: "consumer-member", groupId, memberId, value: null });
}

/**
 * A member must be in its current epoch. One epoch behind is forgiven when it holds nothing that it should not: the answer that told it
 * of the new epoch was probably lost.
 *
 * @throws GroupError FENCED_MEMBER_EPOCH.
 */
function checkEpoch(member: ConsumerMember, epoch: number, owned: OwnedPartitions | null): void {
  const { memberEpoch, previousMemberEpoch } = member;
  if (epoch === memberEpoch) return;
  const isForgiven =
    epoch < memberEpoch && epoch === previousMemberEpoch && isWithin(member, owned);
  if (isForgiven) return;
  const size = epoch > memberEpoch ? "greater" : "smaller";
  const sentence = `The consumer group member has a ${size} member epoch (${epoch}) than the one known by the group coordinator (${memberEpoch}). The member must abandon all its partitions and rejoin.`;
  throw new GroupError(ErrorCode.FENCED_MEMBER_EPOCH, sentence);
}

function isWithin(member: ConsumerMember, owned: OwnedPartitions | null): boolean {
  if (owned === null) return false;
  return owned.every(({ topicId, partitions }) => {
    const assigned = member.assigned.get(topicId);
    return assigned !== undefined && partitions.every((partition) => assigned.has(partition));
  });
}
