/**
 * One step of a member towards its target: what it may keep, what it must give back, what it gets (KIP-848, "reconciliation").
 *
 * A partition is taken from a member before anybody else gets it, and given only when nobody holds it. So a member first gives back
 * (UNREVOKED_PARTITIONS, still in its old epoch), then moves to the target's epoch with whatever is free, and gets the rest as others let
 * go (UNRELEASED_PARTITIONS). Pure: the outcome is the member after the step, the same object when nothing changes.
 */
import { ErrorCode } from "#common/error-code.ts";
import { GroupError } from "../group-error.ts";
import type { TopicId } from "./assignor/assignor.ts";
import type { Target } from "./consumer-group.ts";
import { type ConsumerMember, type Holdings, MemberState } from "./member.ts";

/** What a member says it still holds. */
export type OwnedPartitions = readonly {
  readonly topicId: TopicId;
  readonly partitions: readonly number[];
}[];

/** What the step depends on. */
export interface Reconciliation {
  readonly targetEpoch: number;
  readonly target: Target;
  /** True when the member subscribes to other topics than before. */
  readonly isSubscriptionChanged: boolean;
  /** True when the member subscribes to the topic, and it exists. */
  isSubscribed(topicId: TopicId): boolean;
  /** True when nobody holds the partition. */
  isFree(topicId: TopicId, partition: number): boolean;
  /** `null`: the member did not say. */
  readonly owned: OwnedPartitions | null;
}

const NOTHING: Holdings = new Map();

/**
 * Takes the step.
 *
 * @throws GroupError FENCED_MEMBER_EPOCH: the member is in a state this coordinator does not know, and holds partitions.
 */
export function reconcile(member: ConsumerMember, input: Reconciliation): ConsumerMember {
  switch (member.state) {
    case MemberState.STABLE:
      if (member.memberEpoch !== input.targetEpoch) return approach(member, input);
      return input.isSubscriptionChanged ? giveUpUnsubscribed(member, input) : member;
    case MemberState.UNREVOKED_PARTITIONS:
      if (!ownsAny(member.pendingRevocation, input.owned)) return approach(member, input);
      return input.isSubscriptionChanged ? giveUpUnsubscribed(member, input) : member;
    case MemberState.UNRELEASED_PARTITIONS:
      return approach(member, input);
    default:
      if (input.owned === null || input.owned.length > 0) {
        const sentence =
          "The consumer group member is in a unknown state. The member must abandon all its partitions and rejoin.";
        throw new GroupError(ErrorCode.FENCED_MEMBER_EPOCH, sentence);
      }
      return approach(member, input);
  }
}

/** Moves towards the target as far as others allow. */
function approach(member: ConsumerMember, input: Reconciliation): ConsumerMember {
  const { targetEpoch } = input;
  const kept = new Map<TopicId, Map<number, number>>();
  const revoked = new Map<TopicId, Map<number, number>>();
  const given = new Map<TopicId, number[]>();
  let isWaiting = false;
  for (const topicId of new Set([...input.target.keys(), ...member.assigned.keys()])) {
    const wanted = input.isSubscribed(topicId) ? input.target.get(topicId) : undefined;
    const held = member.assigned.get(topicId);
    for (const [partition, epoch] of held ?? []) {
      put(wanted?.has(partition) === true ? kept : revoked, topicId, partition, epoch);
    }
    for (const partition of wanted ?? []) {
      if (held?.has(partition) === true) continue;
      const isOwnLeftover = member.pendingRevocation.get(topicId)?.has(partition) === true;
      if (!isOwnLeftover && !input.isFree(topicId, partition)) {
        isWaiting = true;
        continue;
      }
      const partitions = given.get(topicId);
      if (partitions === undefined) given.set(topicId, [partition]);
      else partitions.push(partition);
    }
  }
  if (revoked.size > 0 && ownsAny(revoked, input.owned)) {
    return {
      ...member,
      state: MemberState.UNREVOKED_PARTITIONS,
      previousMemberEpoch: member.memberEpoch,
      assigned: kept,
      pendingRevocation: revoked,
    };
  }
  for (const [topicId, partitions] of given) {
    for (const partition of partitions) put(kept, topicId, partition, targetEpoch);
  }
  return {
    ...member,
    state: isWaiting ? MemberState.UNRELEASED_PARTITIONS : MemberState.STABLE,
    memberEpoch: targetEpoch,
    previousMemberEpoch: member.memberEpoch,
    assigned: kept,
    pendingRevocation: NOTHING,
  };
}

/** Takes away topics that the member no longer subscribes to, before there is a target that knows of it. */
function giveUpUnsubscribed(member: ConsumerMember, input: Reconciliation): ConsumerMember {
  const kept = new Map<TopicId, ReadonlyMap<number, number>>();
  const revoked = new Map(member.pendingRevocation);
  for (const [topicId, partitions] of member.assigned) {
    if (input.isSubscribed(topicId)) kept.set(topicId, partitions);
    else revoked.set(topicId, new Map([...(revoked.get(topicId) ?? []), ...partitions]));
  }
  if (kept.size === member.assigned.size) return member;
  const next = { ...member, previousMemberEpoch: member.memberEpoch, assigned: kept };
  if (!ownsAny(revoked, input.owned)) return next;
  return { ...next, state: MemberState.UNREVOKED_PARTITIONS, pendingRevocation: revoked };
}

/** True when the member holds any of these; one that did not say may. */
function ownsAny(partitions: Holdings, owned: OwnedPartitions | null): boolean {
  if (owned === null) return true;
  return owned.some(({ topicId, partitions: own }) =>
    own.some((partition) => partitions.get(topicId)?.has(partition) === true),
  );
}

function put(
  into: Map<TopicId, Map<number, number>>,
  topicId: TopicId,
  partition: number,
  epoch: number,
): void {
  const partitions = into.get(topicId);
  if (partitions === undefined) into.set(topicId, new Map([[partition, epoch]]));
  else partitions.set(partition, epoch);
}
