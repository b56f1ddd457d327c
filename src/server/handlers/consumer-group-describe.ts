/**
 * ConsumerGroupDescribe (key 69): state and members of consumer groups (KIP-848).
 *
 * - v0. v1: whether a member speaks the classic or the consumer protocol (KIP-1099).
 */
import { ErrorCode } from "#common/error-code.ts";
import type { GroupCoordinator } from "#coordinator/group/group-coordinator.ts";
import type { DescribedAssignment } from "#coordinator/group/messages.ts";
import {
  type Assignment,
  ConsumerGroupDescribeApi,
  type ConsumerGroupDescribeRequest,
  type ConsumerGroupDescribeResponse,
  makeConsumerGroupDescribeResponse,
  makeDescribedGroup,
} from "#protocol/generated/consumer-group-describe.ts";
import { ALL_GROUP_OPERATIONS } from "../group-operations.ts";
import type { ApiHandler } from "../handler.ts";

/** Serves ConsumerGroupDescribe. */
export function createConsumerGroupDescribeHandler(deps: {
  readonly groups: GroupCoordinator;
  /** False: the protocol is switched off by configuration or by its feature level. */
  isEnabled(): boolean;
}): ApiHandler<ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse> {
  return {
    api: ConsumerGroupDescribeApi,
    minVersion: 0,
    maxVersion: 1,
    isFrameReleased: true,
    handle(request) {
      const groups = request.groupIds.map((groupId) => {
        if (!deps.isEnabled()) {
          return makeDescribedGroup({ groupId, errorCode: ErrorCode.UNSUPPORTED_VERSION });
        }
        const found = deps.groups.describeConsumerGroup(groupId);
        const members = found.members.map((member) => ({
          ...member,
          subscribedTopicNames: [...member.subscribedTopicNames],
          assignment: assignment(member.assignment),
          targetAssignment: assignment(member.targetAssignment),
        }));
        const group = makeDescribedGroup({ ...found, members });
        if (request.includeAuthorizedOperations && found.errorCode === ErrorCode.NONE) {
          group.authorizedOperations = ALL_GROUP_OPERATIONS;
        }
        return group;
      });
      return makeConsumerGroupDescribeResponse({ groups });
    },
  };
}

function assignment({ topicPartitions }: DescribedAssignment): Assignment {
  return {
    topicPartitions: topicPartitions.map((topic) => ({
      ...topic,
      partitions: [...topic.partitions],
    })),
  };
}
