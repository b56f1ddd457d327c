/**
 * The server-side "range" assignor: each topic by itself is cut into consecutive runs of partitions, one for each member that wants it, the
 * first members getting one more where it does not come out even. Since every topic meets the members in the same order, topics with
 * as many partitions and the same members are co-partitioned: partition 3 of both is with one member, as joins need it.
 *
 * The order is what makes it steady: static members first, by instance id, which survives a restart; then the dynamic ones by member id.
 * What a member had before, and racks, play no part, as in Kafka 4.4.
 */
import type { Assignor, AssignorMember, TargetAssignment, TopicId } from "./assignor.ts";

/** The rest of a topic that is being cut. */
interface Cutting {
  next: number;
  partitionsLeft: number;
  membersLeft: number;
}

/** Static members first, each kind by its id in the order of UTF-16 code units, as Java compares strings. */
function compareMembers(a: AssignorMember, b: AssignorMember): number {
  if ((a.instanceId === null) !== (b.instanceId === null)) return a.instanceId === null ? 1 : -1;
  const left = a.instanceId ?? a.memberId;
  const right = b.instanceId ?? b.memberId;
  if (left === right) return 0;
  return left < right ? -1 : 1;
}

/** Takes the next member's run off a topic. */
function cut(topic: Cutting): number[] {
  const length = Math.ceil(topic.partitionsLeft / topic.membersLeft);
  const run = Array.from({ length }, (_, step) => topic.next + step);
  topic.next += length;
  topic.partitionsLeft -= length;
  topic.membersLeft -= 1;
  return run;
}

/** `range` of `group.consumer.assignors` (KIP-848). */
export const rangeAssignor: Assignor = {
  name: "range",
  assign(members, topics): TargetAssignment {
    const cuttings = new Map<TopicId, Cutting>();
    for (const { subscribedTopicIds } of members.values()) {
      for (const topicId of subscribedTopicIds) {
        const cutting = cuttings.get(topicId);
        if (cutting !== undefined) cutting.membersLeft += 1;
        else {
          const partitionsLeft = Math.max(0, topics.partitionCount(topicId));
          cuttings.set(topicId, { next: 0, partitionsLeft, membersLeft: 1 });
        }
      }
    }
    const target = new Map<string, ReadonlyMap<TopicId, readonly number[]>>();
    for (const member of [...members.values()].sort(compareMembers)) {
      const share = new Map<TopicId, readonly number[]>();
      for (const topicId of member.subscribedTopicIds) {
        const cutting = cuttings.get(topicId);
        const run = cutting === undefined ? [] : cut(cutting);
        if (run.length > 0) share.set(topicId, run);
      }
      target.set(member.memberId, share);
    }
    return target;
  },
};
