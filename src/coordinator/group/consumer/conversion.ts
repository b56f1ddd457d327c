/**
 * Groups that change their protocol while they have members.
 *
 * Up: the first member of the consumer protocol joins a classic group. Its members become members of a consumer group, with what the last
 * generation assigned them, and go on speaking the classic protocol. Down: the last member of the consumer protocol is gone. The rest go
 * on as a classic group, with the target as assignment. What each way needs is `group.consumer.migration.policy`.
 */
import { ErrorCode } from "#common/error-code.ts";
import {
  type ConsumerProtocolAssignment,
  ConsumerProtocolAssignmentCodec,
} from "#protocol/generated/records/consumer-protocol-assignment.ts";
import type { ConsumerProtocolSubscription } from "#protocol/generated/records/consumer-protocol-subscription.ts";
import {
  decodeConsumerAssignment,
  decodeConsumerSubscription,
  encodeVersioned,
} from "#protocol/records/framing.ts";
import { ClassicGroup } from "../classic/classic-group.ts";
import { CONSUMER_PROTOCOL_TYPE } from "../classic/consumer-subscription.ts";
import type { GroupStep } from "../classic/context.ts";
import type { GroupCoordinatorConfig } from "../config.ts";
import { GroupError } from "../group-error.ts";
import type { TopicLookup } from "../topic-lookup.ts";
import type { TopicId } from "./assignor/assignor.ts";
import { tombstones } from "./bury.ts";
import type { ConsumerGroup } from "./consumer-group.ts";
import type { ConsumerContext } from "./context.ts";
import {
  type ConsumerMember,
  currentValue,
  MemberState,
  memberValue,
  newMember,
  partitionLists,
  sortedNames,
} from "./member.ts";

// ---- up

/**
 * Turns a classic group with members into a consumer group by the records of both.
 *
 * @throws GroupError GROUP_ID_NOT_FOUND when it may not or can't be; COORDINATOR_NOT_AVAILABLE while its first generation is not formed.
 */
export function upgrade(context: ConsumerContext, step: GroupStep, group: ClassicGroup): void {
  const { groupId, generationId } = group;
  checkUpgrade(context, group);
  const members = upgradedMembers(context, group);
  context.emit(step, { kind: "group-metadata", groupId, value: null });
  const names = new Set<string>();
  for (const member of members) {
    const { memberId } = member;
    context.emit(step, { kind: "consumer-member", groupId, memberId, value: memberValue(member) });
    for (const name of member.subscribedTopicNames) names.add(name);
  }
  const epoch = { epoch: generationId, metadataHash: context.hashes.ofGroup(names) };
  context.emit(step, { kind: "consumer-epoch", groupId, value: epoch });
  for (const { memberId, assigned } of members) {
    const value = { topicPartitions: partitionLists(assigned) };
    context.emit(step, { kind: "consumer-target-member", groupId, memberId, value });
  }
  const value = { assignmentEpoch: generationId, assignmentTimestamp: 0 };
  context.emit(step, { kind: "consumer-target", groupId, value });
  for (const member of members) {
    const { memberId } = member;
    context.emit(step, {
      kind: "consumer-current",
      groupId,
      memberId,
      value: currentValue(member),
    });
  }
}

function checkUpgrade({ config }: ConsumerContext, group: ClassicGroup): void {
  const policy = config.groupConsumerMigrationPolicy;
  let reason: string | null = null;
  if (policy !== "upgrade" && policy !== "bidirectional") {
    reason = "online upgrade is disabled";
  } else if (!group.isConsumerGroup) {
    reason = "the group does not use the consumer embedded protocol";
  } else if (group.memberCount > config.groupConsumerMaxSize) {
    reason = "the group size exceeds the consumer group maximum size";
  }
  if (reason !== null) throw notUpgraded(group, reason);
  if (group.protocolName === null) {
    const sentence = `Classic group ${group.groupId} is still forming its first generation.`;
    throw new GroupError(ErrorCode.COORDINATOR_NOT_AVAILABLE, sentence);
  }
}

function notUpgraded({ groupId }: ClassicGroup, reason: string): GroupError {
  const sentence = `Cannot upgrade classic group ${groupId} to consumer group because ${reason}.`;
  return new GroupError(ErrorCode.GROUP_ID_NOT_FOUND, sentence);
}

function upgradedMembers(context: ConsumerContext, group: ClassicGroup): ConsumerMember[] {
  const { generationId } = group;
  const taken = new Set<string>();
  return Array.from(group.members(), (member): ConsumerMember => {
    const decoded = decodeConsumerSubscription(group.metadataOf(member));
    const assignment =
      member.assignment.length === 0 ? null : decodeConsumerAssignment(member.assignment);
    const isMalformed = decoded.kind !== "record" || (assignment ?? decoded).kind !== "record";
    if (isMalformed) throw notUpgraded(group, "the embedded consumer protocol is malformed");
    const given = assignment?.kind === "record" ? assignment.record : null;
    if (given !== null && given.userData !== null && given.userData.length > 0) {
      const advice =
        "an unsupported custom assignor is in use. Please refer to the documentation or switch to a default assignor before re-attempting the upgrade";
      throw notUpgraded(group, advice);
    }
    const { topics, rackId } = decoded.record;
    return {
      ...newMember(member.memberId),
      instanceId: member.groupInstanceId,
      rackId: rackOf(rackId),
      clientId: member.clientId,
      clientHost: member.clientHost,
      subscribedTopicNames: sortedNames(topics),
      rebalanceTimeoutMs: member.rebalanceTimeoutMs,
      classic: {
        sessionTimeoutMs: member.sessionTimeoutMs,
        supportedProtocols: member.protocols,
      },
      memberEpoch: generationId,
      previousMemberEpoch: generationId,
      state: MemberState.STABLE,
      assigned: assignedHoldings(context.topics, given, generationId, taken),
    };
  });
}

/** A leader may have given a partition to two members; the first one has it. */
function assignedHoldings(
  topics: TopicLookup,
  assignment: ConsumerProtocolAssignment | null,
  epoch: number,
  taken: Set<string>,
): Map<TopicId, Map<number, number>> {
  const held = new Map<TopicId, Map<number, number>>();
  for (const { topic, partitions } of assignment?.assignedPartitions ?? []) {
    const topicId = topics.idOf(topic);
    if (topicId === undefined) continue;
    for (const partition of partitions) {
      const name = `${topicId}-${partition}`;
      if (taken.has(name)) continue;
      taken.add(name);
      const byPartition = held.get(topicId);
      if (byPartition === undefined) held.set(topicId, new Map([[partition, epoch]]));
      else byPartition.set(partition, epoch);
    }
  }
  return held;
}

// ---- down

/** True when the group may go on as a classic one once the members that are `gone` are no longer in it. */
export function canDowngrade(
  { config }: ConsumerContext,
  group: ConsumerGroup,
  gone: readonly ConsumerMember[],
): boolean {
  const leftCount = group.memberCount - gone.length;
  const goneClassicCount = gone.filter(({ classic }) => classic !== null).length;
  return (
    leftCount > 0 &&
    group.classicMemberCount - goneClassicCount === leftCount &&
    isDowngradeAllowed(config) &&
    leftCount <= config.groupMaxSize
  );
}

export function isDowngradeAllowed({
  groupConsumerMigrationPolicy: policy,
}: GroupCoordinatorConfig): boolean {
  return policy === "downgrade" || policy === "bidirectional";
}

/**
 * Turns the group into a classic one by the records of both; all that stay speak the classic protocol.
 *
 * @returns the new group, which knows all protocols its members offered, more than its record tells.
 * @throws GroupError GROUP_ID_NOT_FOUND when what a member said at its join can't be read.
 */
export function downgrade(
  context: ConsumerContext,
  step: GroupStep,
  group: ConsumerGroup,
  gone: readonly ConsumerMember[],
): ClassicGroup {
  const { groupId } = group;
  const goneIds = new Set(gone.map(({ memberId }) => memberId));
  const classic = new ClassicGroup(groupId, step.nowMs, "Stable");
  classic.generationId = group.groupEpoch;
  for (const [memberId, member] of group.memberEntries()) {
    if (goneIds.has(memberId) || member.classic === null) continue;
    classic.add({
      memberId,
      groupInstanceId: member.instanceId,
      clientId: member.clientId,
      clientHost: member.clientHost,
      protocolType: CONSUMER_PROTOCOL_TYPE,
      rebalanceTimeoutMs: member.rebalanceTimeoutMs,
      sessionTimeoutMs: member.classic.sessionTimeoutMs,
      protocols: member.classic.supportedProtocols,
      assignment: new Uint8Array(0),
      joinWaiter: null,
      syncWaiter: null,
      isNew: false,
      session: null,
    });
  }
  classic.protocolName = classic.selectProtocol();
  classic.refreshTopics();
  for (const member of classic.members()) {
    const target = partitionLists(group.target(member.memberId));
    member.assignment = encodeAssignment(context.topics, target, classic.metadataOf(member));
  }
  for (const record of tombstones(group)) context.emit(step, record);
  const value = classic.toRecord(classic.assignments());
  context.emit(step, { kind: "group-metadata", groupId, value });
  return classic;
}

// ---- the protocol that consumers embed in the classic one

/** What a member says of itself, or `null` when it can't be read. */
export function readSubscription(metadata: Uint8Array): ConsumerProtocolSubscription | null {
  const decoded = decodeConsumerSubscription(metadata);
  return decoded.kind === "record" ? decoded.record : null;
}

/** Racks are optional there; an empty one is none. */
export function rackOf(rackId: string | null): string | null {
  return rackId === "" ? null : rackId;
}

/**
 * An assignment as consumers read it, in the version of the subscription it answers.
 *
 * @throws GroupError GROUP_ID_NOT_FOUND when the subscription has no version that could be.
 */
export function encodeAssignment(
  topics: TopicLookup,
  assigned: readonly { readonly topicId: TopicId; readonly partitions: readonly number[] }[],
  subscription: Uint8Array,
): Uint8Array {
  const view = new DataView(subscription.buffer, subscription.byteOffset, subscription.length);
  const version = subscription.length < 2 ? -1 : view.getInt16(0);
  const { minVersion, maxVersion } = ConsumerProtocolAssignmentCodec;
  if (version < minVersion) {
    throw new GroupError(ErrorCode.GROUP_ID_NOT_FOUND, "A member's subscription can't be read.");
  }
  const assignedPartitions = assigned.flatMap(({ topicId, partitions }) => {
    const topic = topics.nameOf(topicId);
    return topic === undefined ? [] : [{ topic, partitions: [...partitions] }];
  });
  const message = { assignedPartitions, userData: null };
  return encodeVersioned(ConsumerProtocolAssignmentCodec, message, Math.min(version, maxVersion));
}
