/**
 * Members of a consumer group that still speak the classic protocol: JoinGroup, SyncGroup, Heartbeat and LeaveGroup as steps of the same
 * reconciliation. There is no leader; the member epoch is the generation. A heartbeat that is answered with REBALANCE_IN_PROGRESS brings
 * the member back to join, and the JoinGroup tells what it still holds.
 */
import { ErrorCode } from "#common/error-code.ts";
import type { GroupStep } from "../classic/context.ts";
import { CONSUMER_PROTOCOL_TYPE } from "../classic/consumer-subscription.ts";
import { copyProtocols } from "../classic/join.ts";
import { GroupError } from "../group-error.ts";
import type {
  HeartbeatInput,
  JoinInput,
  JoinOutput,
  LeaveInput,
  LeaveOutput,
  SyncInput,
  SyncOutput,
} from "../messages.ts";
import type { ConsumerGroup } from "./consumer-group.ts";
import {
  type ConsumerContext,
  endRound,
  resetConsumerSession,
  startRound,
  startRoundOnce,
} from "./context.ts";
import { encodeAssignment, isDowngradeAllowed, rackOf, readSubscription } from "./conversion.ts";
import { refreshMetadata } from "./epoch.ts";
import {
  checkRoom,
  currentStatic,
  dynamicMember,
  staticMember,
  unknownMember,
} from "./heartbeat.ts";
import { type Downgrade, fence } from "./leave.ts";
import {
  type ClassicTraits,
  type ConsumerMember,
  MemberState,
  partitionLists,
  sortedNames,
} from "./member.ts";
import { moveMember, subscribe, updateTarget } from "./subscription.ts";

/** What to answer a JoinGroup once its records are in the log. */
export interface ClassicJoin {
  readonly output: JoinOutput;
}

/** A member that speaks the classic protocol. */
type ClassicSpeaker = ConsumerMember & { readonly classic: ClassicTraits };

/**
 * Handles JoinGroup.
 *
 * @param becomeClassic - turns the group into a classic one; `isRebalanced` when its members must join anew.
 * @throws GroupError the refusal; the caller takes back what was emitted.
 */
export function joinAsClassic(
  context: ConsumerContext,
  step: GroupStep,
  group: ConsumerGroup,
  input: JoinInput,
  becomeClassic: (isRebalanced: boolean) => void,
): ClassicJoin {
  if (context.config.groupConsumerMigrationPolicy === "disabled") {
    const sentence = `Cannot join the consumer group ${group.groupId} with the classic protocol because the group migration is disabled.`;
    throw new GroupError(ErrorCode.INCONSISTENT_GROUP_PROTOCOL, sentence);
  }
  const { groupInstanceId: instanceId } = input;
  const isNew = input.memberId === "";
  const memberId = isNew ? input.freshId : input.memberId;
  checkRoom(context, group, memberId, instanceId);
  const protocols = copyProtocols(input.protocols);
  const [first] = protocols;
  const isSupported =
    input.protocolType === CONSUMER_PROTOCOL_TYPE &&
    group.supportsClassicProtocols(protocols.map(({ name }) => name));
  if (first === undefined || !isSupported) {
    const sentence = `Member ${memberId}'s protocols are not supported.`;
    throw new GroupError(ErrorCode.INCONSISTENT_GROUP_PROTOCOL, sentence);
  }
  if (isNew && instanceId === null && input.isMemberIdRequired) {
    return { output: answer(memberId, -1, null, ErrorCode.MEMBER_ID_REQUIRED) };
  }
  const subscription = readSubscription(first.metadata);
  if (subscription === null) {
    const sentence = "Malformed embedded consumer protocol in subscription deserialization.";
    throw new GroupError(ErrorCode.INCONSISTENT_GROUP_PROTOCOL, sentence);
  }
  const isDowngraded = isLastReplaced(context, group, group.staticMember(instanceId));
  const before =
    instanceId === null
      ? dynamicMember(group, memberId, true)
      : staticMember(context, step, group, memberId, instanceId, {
          isJoining: isNew,
          isReturnFree: () => true,
        });
  const { rebalanceTimeoutMs } = input;
  const said: ConsumerMember = {
    ...before,
    instanceId: instanceId ?? before.instanceId,
    rackId: rackOf(subscription.rackId) ?? before.rackId,
    rebalanceTimeoutMs: rebalanceTimeoutMs === -1 ? before.rebalanceTimeoutMs : rebalanceTimeoutMs,
    subscribedTopicNames: sortedNames(subscription.topics),
    subscribedTopicRegex: "",
    clientId: input.caller.clientId,
    clientHost: input.caller.clientHost,
    classic: { sessionTimeoutMs: input.sessionTimeoutMs, supportedProtocols: protocols },
  };
  const change = subscribe(context, step, group, before, said);
  const isChanged = change.areNamesChanged || change.pattern !== "same";
  refreshMetadata(context, step, group, isChanged);
  const owned = subscription.ownedPartitions.flatMap(({ topic, partitions }) => {
    const topicId = context.topics.idOf(topic);
    return topicId === undefined ? [] : [{ topicId, partitions }];
  });
  let after = said;
  if (isDowngraded) {
    const isRebalanced = group.assignmentEpoch < group.groupEpoch;
    if (!isRebalanced) after = moveMember(context, step, group, said, isChanged, owned);
    becomeClassic(isRebalanced);
  } else {
    updateTarget(context, step, group);
    after = moveMember(context, step, group, said, isChanged, owned);
  }
  return { output: answer(memberId, after.memberEpoch, first.name, ErrorCode.NONE) };
}

/** The only member of the consumer protocol comes back as a classic one. */
function isLastReplaced(
  { config }: ConsumerContext,
  group: ConsumerGroup,
  replaced: ConsumerMember | undefined,
): boolean {
  return (
    replaced !== undefined &&
    replaced.classic === null &&
    group.classicMemberCount === group.memberCount - 1 &&
    isDowngradeAllowed(config) &&
    group.memberCount <= config.groupMaxSize
  );
}

function answer(
  memberId: string,
  generationId: number,
  protocolName: string | null,
  errorCode: number,
): JoinOutput {
  return {
    api: "join",
    errorCode,
    generationId,
    protocolType: protocolName === null ? null : CONSUMER_PROTOCOL_TYPE,
    protocolName,
    leader: "",
    skipAssignment: false,
    memberId,
    members: [],
  };
}

/** The JoinGroup is in the log: its SyncGroup is awaited. */
export function onClassicJoined(
  context: ConsumerContext,
  step: GroupStep,
  groupId: string,
  memberId: string,
  timeouts: { readonly sessionTimeoutMs: number; readonly rebalanceTimeoutMs: number },
): void {
  endRound(context, step, "join", groupId, memberId);
  resetConsumerSession(context, step, groupId, memberId, timeouts.sessionTimeoutMs);
  const { rebalanceTimeoutMs } = timeouts;
  startRound(context, step, "sync", groupId, { memberId, rebalanceTimeoutMs });
}

/**
 * Handles SyncGroup: what the member was assigned when it joined.
 *
 * @throws GroupError
 */
export function syncAsClassic(
  context: ConsumerContext,
  step: GroupStep,
  group: ConsumerGroup,
  input: SyncInput,
): SyncOutput {
  const { groupId } = group;
  const { memberId, protocolType, protocolName } = input;
  const member = speaker(group, memberId, input.groupInstanceId);
  checkGeneration(member, input.generationId);
  const [chosen] = member.classic.supportedProtocols;
  const isOtherType = protocolType !== null && protocolType !== CONSUMER_PROTOCOL_TYPE;
  const isOtherName = protocolName !== null && protocolName !== chosen?.name;
  if (isOtherType || isOtherName || chosen === undefined) {
    const sentence = `The protocol of member ${memberId} is not the one it joined with.`;
    throw new GroupError(ErrorCode.INCONSISTENT_GROUP_PROTOCOL, sentence);
  }
  const isRevoking = member.state === MemberState.UNREVOKED_PARTITIONS;
  if (group.assignmentEpoch > member.memberEpoch && !isRevoking) {
    startRoundOnce(context, step, "join", groupId, member);
    const sentence = `A new rebalance is triggered in group ${groupId} and member ${memberId} should rejoin to catch up.`;
    throw new GroupError(ErrorCode.REBALANCE_IN_PROGRESS, sentence);
  }
  endRound(context, step, "sync", groupId, memberId);
  resetConsumerSession(context, step, groupId, memberId, member.classic.sessionTimeoutMs);
  const assigned = partitionLists(member.assigned);
  const assignment = encodeAssignment(context.topics, assigned, chosen.metadata);
  return { api: "sync", errorCode: ErrorCode.NONE, protocolType, protocolName, assignment };
}

/**
 * Handles a classic heartbeat; returns its error code.
 *
 * @throws GroupError
 */
export function heartbeatAsClassic(
  context: ConsumerContext,
  step: GroupStep,
  group: ConsumerGroup,
  input: HeartbeatInput,
): number {
  const { groupId } = group;
  const member = speaker(group, input.memberId, input.groupInstanceId);
  checkGeneration(member, input.generationId);
  resetConsumerSession(context, step, groupId, member.memberId, member.classic.sessionTimeoutMs);
  const isCalledBack =
    member.memberEpoch < group.assignmentEpoch ||
    member.state === MemberState.UNREVOKED_PARTITIONS ||
    (member.state === MemberState.UNRELEASED_PARTITIONS && !waitsForOthers(group, member));
  if (!isCalledBack) return ErrorCode.NONE;
  startRoundOnce(context, step, "join", groupId, member);
  return ErrorCode.REBALANCE_IN_PROGRESS;
}

function waitsForOthers(group: ConsumerGroup, member: ConsumerMember): boolean {
  for (const [topicId, partitions] of group.target(member.memberId)) {
    const assigned = member.assigned.get(topicId);
    for (const partition of partitions) {
      const isMissing = assigned?.has(partition) !== true;
      if (isMissing && group.holderOf(topicId, partition) !== undefined) return true;
    }
  }
  return false;
}

/** Handles LeaveGroup; also how an administrator removes members of either protocol. */
export function leaveAsClassic(
  context: ConsumerContext,
  step: GroupStep,
  group: ConsumerGroup,
  input: LeaveInput,
  downgrade: Downgrade,
): LeaveOutput {
  const leaving = new Map<string, ConsumerMember>();
  const members = input.members.map(({ memberId, groupInstanceId }) => {
    try {
      const member = leaver(group, memberId, groupInstanceId);
      leaving.set(member.memberId, member);
      return { memberId, groupInstanceId, errorCode: ErrorCode.NONE };
    } catch (error) {
      if (!(error instanceof GroupError)) throw error;
      return { memberId, groupInstanceId, errorCode: error.errorCode };
    }
  });
  fence(context, step, group, [...leaving.values()], downgrade);
  return { errorCode: ErrorCode.NONE, members };
}

function leaver(group: ConsumerGroup, memberId: string, instanceId: string | null): ConsumerMember {
  if (instanceId === null) {
    const member = group.member(memberId);
    if (member === undefined) throw unknownMember(group, memberId);
    return member;
  }
  const known = group.staticMember(instanceId);
  return memberId === "" && known !== undefined
    ? known
    : currentStatic(group, memberId, instanceId);
}

function speaker(
  group: ConsumerGroup,
  memberId: string,
  instanceId: string | null,
): ClassicSpeaker {
  const member =
    instanceId === null ? group.member(memberId) : currentStatic(group, memberId, instanceId);
  if (member === undefined) throw unknownMember(group, memberId);
  const { classic } = member;
  if (classic !== null) return { ...member, classic };
  const sentence = `Member ${memberId} does not use the classic protocol.`;
  throw new GroupError(ErrorCode.UNKNOWN_MEMBER_ID, sentence);
}

function checkGeneration({ memberId, memberEpoch }: ConsumerMember, generationId: number): void {
  if (generationId === memberEpoch) return;
  const sentence = `The request generation id ${generationId} is not equal to the member epoch ${memberEpoch} of member ${memberId}.`;
  throw new GroupError(ErrorCode.ILLEGAL_GENERATION, sentence);
}
