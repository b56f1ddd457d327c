/**
 * What the group makes of its members' subscriptions: when its epoch moves, and the target that follows.
 *
 * A group's epoch moves when members come, go or change what they read, and when the topics they read change. Each epoch has one target,
 * computed at the next heartbeat of any member, but not more often than the group's assignment interval allows.
 */
import { assert } from "#common/assert.ts";
import { ErrorCode } from "#common/error-code.ts";
import type { GroupStep } from "../classic/context.ts";
import { GroupError } from "../group-error.ts";
import type { AssignorMember, AssignorTopics, TopicId } from "./assignor/assignor.ts";
import type { ConsumerGroup, Target } from "./consumer-group.ts";
import {
  type ConsumerContext,
  endRevocation,
  patternsTimerKey,
  startRevocation,
} from "./context.ts";
import {
  type ConsumerMember,
  currentValue,
  hasSameNames,
  holdsTheSame,
  isReconciledTo,
  MemberState,
  memberValue,
  saysTheSame,
} from "./member.ts";
import { isPatternRefreshDue, patternsBefore } from "./patterns.ts";
import { type OwnedPartitions, reconcile } from "./reconcile.ts";

/** What a member's new words changed. */
export interface SubscriptionChange {
  readonly areNamesChanged: boolean;
  /** The pattern changed; its topics are known already, or come later. */
  readonly pattern: "same" | "unresolved" | "resolved";
  readonly isAssignorChanged: boolean;
}

/**
 * Stores what a member now says of itself, and sees to it that its pattern gets matched.
 *
 * @param before - the member as known; a new one without any words.
 * @throws GroupError INVALID_REGULAR_EXPRESSION.
 */
export function subscribe(
  context: ConsumerContext,
  step: GroupStep,
  group: ConsumerGroup,
  before: ConsumerMember,
  after: ConsumerMember,
): SubscriptionChange {
  const { groupId } = group;
  const assignorBefore = group.preferredAssignor();
  const oldPattern = before.subscribedTopicRegex;
  const newPattern = after.subscribedTopicRegex;
  const patterns = patternsBefore(group);
  const isPatternNew = newPattern !== "" && group.patternUseCount(newPattern) === 0;
  if (isPatternNew) checkPattern(context, newPattern);
  const isOldPatternLast = oldPattern !== "" && group.patternUseCount(oldPattern) === 1;
  if (!saysTheSame(before, after)) {
    const { memberId } = after;
    context.emit(step, { kind: "consumer-member", groupId, memberId, value: memberValue(after) });
  }
  let pattern: SubscriptionChange["pattern"] = "same";
  if (oldPattern !== newPattern) {
    const isKnown = newPattern === "" || group.resolved(newPattern) !== undefined;
    pattern = isKnown && !isPatternNew ? "resolved" : "unresolved";
    if (isOldPatternLast) {
      context.emit(step, { kind: "consumer-pattern", groupId, pattern: oldPattern, value: null });
    }
  }
  if (isPatternRefreshDue(context, step, group, patterns, isPatternNew)) {
    const action = { kind: "consumer-patterns", groupId } as const;
    context.timers.set(step.timers, patternsTimerKey(groupId), 0, action);
  }
  const fallback = defaultAssignor(context);
  return {
    areNamesChanged: !hasSameNames(before, after),
    pattern,
    isAssignorChanged: (assignorBefore ?? fallback) !== (group.preferredAssignor() ?? fallback),
  };
}

function checkPattern(context: ConsumerContext, pattern: string): void {
  const reason = context.patterns.check(pattern);
  if (reason === null) return;
  const sentence = `SubscribedTopicRegex \`${pattern}\` is not a valid regular expression: ${reason}.`;
  throw new GroupError(ErrorCode.INVALID_REGULAR_EXPRESSION, sentence);
}

/** Computes the target of the group's epoch, unless there is one or it is too early for another. */
export function updateTarget(
  context: ConsumerContext,
  step: GroupStep,
  group: ConsumerGroup,
): void {
  const { groupId, groupEpoch, assignmentTimestampMs } = group;
  if (group.assignmentEpoch >= groupEpoch) return;
  const intervalMs = context.settings(groupId).consumerAssignmentIntervalMs;
  const isFirst = assignmentTimestampMs === 0 || intervalMs === 0;
  if (!isFirst && step.nowMs < assignmentTimestampMs + intervalMs) return;
  const assignor = context.assignors.get(group.preferredAssignor() ?? defaultAssignor(context));
  assert(assignor !== undefined, `group ${groupId} asks for an assignor that does not exist`);
  const target = assignor.assign(assignorMembers(context, group), assignorTopics(context));
  for (const [memberId] of group.memberEntries()) {
    const assigned = target.get(memberId) ?? new Map<TopicId, readonly number[]>();
    if (group.hasTarget(memberId) && isSameTarget(group.target(memberId), assigned)) continue;
    const topicPartitions = Array.from(assigned, ([topicId, partitions]) => ({
      topicId,
      partitions: [...partitions],
    }));
    const value = { topicPartitions };
    context.emit(step, { kind: "consumer-target-member", groupId, memberId, value });
  }
  const value = { assignmentEpoch: groupEpoch, assignmentTimestamp: step.nowMs };
  context.emit(step, { kind: "consumer-target", groupId, value });
}

/** The assignor of groups whose members ask for none: the first of `group.consumer.assignors`. */
export function defaultAssignor(context: ConsumerContext): string {
  const [first] = context.config.groupConsumerAssignors;
  assert(first !== undefined, "group.consumer.assignors is empty");
  return first;
}

function assignorMembers(
  context: ConsumerContext,
  group: ConsumerGroup,
): Map<string, AssignorMember> {
  const members = new Map<string, AssignorMember>();
  // Most groups subscribe to one thing.
  const known = new Map<string, ReadonlySet<TopicId>>();
  for (const [memberId, member] of group.memberEntries()) {
    const { instanceId, rackId, subscribedTopicNames, subscribedTopicRegex } = member;
    const key = JSON.stringify([subscribedTopicRegex, ...subscribedTopicNames]);
    let subscribedTopicIds = known.get(key);
    if (subscribedTopicIds === undefined) {
      subscribedTopicIds = topicIds(context, group, member);
      known.set(key, subscribedTopicIds);
    }
    const assigned = group.target(memberId);
    members.set(memberId, { memberId, instanceId, rackId, subscribedTopicIds, assigned });
  }
  return members;
}

function topicIds(
  context: ConsumerContext,
  group: ConsumerGroup,
  { subscribedTopicNames, subscribedTopicRegex }: ConsumerMember,
): ReadonlySet<TopicId> {
  const ids = new Set<TopicId>();
  const matched = group.resolved(subscribedTopicRegex)?.topics ?? [];
  for (const name of [...subscribedTopicNames, ...matched]) {
    const id = context.topics.idOf(name);
    if (id !== undefined) ids.add(id);
  }
  return ids;
}

function assignorTopics(context: ConsumerContext): AssignorTopics {
  const { topics } = context;
  return {
    partitionCount(topicId) {
      const name = topics.nameOf(topicId);
      return name === undefined ? -1 : (topics.partitionCount(name) ?? -1);
    },
    racks(topicId, partition) {
      const name = topics.nameOf(topicId);
      return new Set(name === undefined ? [] : topics.racks(name, partition));
    },
  };
}

function isSameTarget(known: Target, assigned: ReadonlyMap<TopicId, readonly number[]>): boolean {
  if (known.size !== assigned.size) return false;
  for (const [topicId, partitions] of assigned) {
    const before = known.get(topicId);
    if (before === undefined || before.size !== partitions.length) return false;
    if (!partitions.every((partition) => before.has(partition))) return false;
  }
  return true;
}

/** Takes a member one step towards its target. */
export function moveMember(
  context: ConsumerContext,
  step: GroupStep,
  group: ConsumerGroup,
  member: ConsumerMember,
  isSubscriptionChanged: boolean,
  owned: OwnedPartitions | null,
): ConsumerMember {
  const { groupId, assignmentEpoch } = group;
  const { memberId } = member;
  if (!isSubscriptionChanged && isReconciledTo(member, assignmentEpoch)) return member;
  const names = new Set(member.subscribedTopicNames);
  const matched = group.resolved(member.subscribedTopicRegex)?.topics;
  const moved = reconcile(member, {
    targetEpoch: assignmentEpoch,
    target: group.target(memberId),
    isSubscriptionChanged,
    isSubscribed(topicId) {
      const name = context.topics.nameOf(topicId);
      return name !== undefined && (names.has(name) || matched?.has(name) === true);
    },
    isFree: (topicId, partition) => group.holderOf(topicId, partition) === undefined,
    owned,
  });
  if (holdsTheSame(member, moved)) return member;
  context.emit(step, { kind: "consumer-current", groupId, memberId, value: currentValue(moved) });
  if (moved.classic === null) {
    const isRevoking = moved.state === MemberState.UNREVOKED_PARTITIONS;
    if (isRevoking) startRevocation(context, step, groupId, moved);
    else endRevocation(context, step, groupId, memberId);
  }
  return moved;
}
