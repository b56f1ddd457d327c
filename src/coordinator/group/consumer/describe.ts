/** A consumer group as administrators see it: always what is committed. */
import { ErrorCode } from "#common/error-code.ts";
import type { DescribedAssignment, DescribedConsumerGroup } from "../messages.ts";
import type { TopicId } from "./assignor/assignor.ts";
import type { ConsumerGroup } from "./consumer-group.ts";
import type { ConsumerContext } from "./context.ts";
import type { ConsumerMember } from "./member.ts";
import { defaultAssignor } from "./subscription.ts";

/** Kinds of members, as ConsumerGroupDescribe numbers them. */
const MemberType = { CLASSIC: 0, CONSUMER: 1 } as const;

/** Describes a group. */
export function describeConsumerGroup(
  context: ConsumerContext,
  group: ConsumerGroup,
): DescribedConsumerGroup {
  const { groupEpoch, assignmentEpoch } = group.epochs("committed");
  return {
    errorCode: ErrorCode.NONE,
    errorMessage: null,
    groupId: group.groupId,
    groupState: group.stateIn("committed"),
    groupEpoch,
    assignmentEpoch,
    assignorName: group.committedAssignor() ?? defaultAssignor(context),
    members: Array.from(group.memberEntries("committed"), ([memberId, member]) => ({
      memberId,
      instanceId: member.instanceId,
      rackId: member.rackId,
      memberEpoch: member.memberEpoch,
      clientId: member.clientId,
      clientHost: member.clientHost,
      subscribedTopicNames: member.subscribedTopicNames,
      subscribedTopicRegex: member.subscribedTopicRegex,
      assignment: describe(context, heldBy(member)),
      targetAssignment: describe(context, group.target(memberId, "committed")),
      memberType: member.classic === null ? MemberType.CONSUMER : MemberType.CLASSIC,
    })),
  };
}

/** What a member has not given back yet is still its. */
function heldBy({ assigned, pendingRevocation }: ConsumerMember): Map<TopicId, Set<number>> {
  const held = new Map<TopicId, Set<number>>();
  for (const [topicId, partitions] of [...assigned, ...pendingRevocation]) {
    const known = held.get(topicId);
    if (known === undefined) held.set(topicId, new Set(partitions.keys()));
    else for (const partition of partitions.keys()) known.add(partition);
  }
  return held;
}

function describe(
  { topics }: ConsumerContext,
  assigned: ReadonlyMap<TopicId, ReadonlySet<number>>,
): DescribedAssignment {
  const topicPartitions = Array.from(assigned).flatMap(([topicId, partitions]) => {
    const topicName = topics.nameOf(topicId);
    if (topicName === undefined) return [];
    return [{ topicId, topicName, partitions: [...partitions].sort((a, b) => a - b) }];
  });
  return { topicPartitions };
}
