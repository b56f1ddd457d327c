/**
 * Who may commit and read a consumer group's offsets (KIP-848, KIP-1251): a member in its epoch; one in an older epoch for partitions
 * that it has had since; an administrator while nobody is in the group.
 */
import { ErrorCode } from "#common/error-code.ts";
import type { CommitInput, FetchOffsetsInput } from "../messages.ts";
import type { ConsumerGroup } from "./consumer-group.ts";
import type { ConsumerMember } from "./member.ts";

/** NONE, or the error of the whole commit. */
export function checkConsumerCommit(group: ConsumerGroup, input: CommitInput): number {
  const { memberId, generationIdOrMemberEpoch: epoch } = input;
  if (epoch < 0 && group.isEmpty) return ErrorCode.NONE;
  const member = group.member(memberId);
  if (member === undefined) return ErrorCode.UNKNOWN_MEMBER_ID;
  if (member.classic === null && !input.isUnknownGroupNamed) return ErrorCode.UNSUPPORTED_VERSION;
  if (epoch === member.memberEpoch) return ErrorCode.NONE;
  if (epoch > member.memberEpoch) return staleError(member);
  for (const { topicId, partitions } of input.topics) {
    for (const { partitionIndex } of partitions) {
      const since =
        member.assigned.get(topicId)?.get(partitionIndex) ??
        member.pendingRevocation.get(topicId)?.get(partitionIndex);
      if (since === undefined || epoch < since) return staleError(member);
    }
  }
  return ErrorCode.NONE;
}

/** NONE, or the error of the whole fetch; always by what is committed. */
export function checkConsumerFetch(group: ConsumerGroup, input: FetchOffsetsInput): number {
  const { memberId, memberEpoch } = input;
  if (memberId === null && memberEpoch < 0) return ErrorCode.NONE;
  const member = memberId === null ? undefined : group.member(memberId, "committed");
  if (member === undefined) return ErrorCode.UNKNOWN_MEMBER_ID;
  return memberEpoch === member.memberEpoch ? ErrorCode.NONE : staleError(member);
}

function staleError({ classic }: ConsumerMember): number {
  return classic === null ? ErrorCode.STALE_MEMBER_EPOCH : ErrorCode.ILLEGAL_GENERATION;
}
