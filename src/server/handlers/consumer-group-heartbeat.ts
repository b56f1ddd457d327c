/**
 * ConsumerGroupHeartbeat (key 68): a member of a consumer group joins, stays, leaves, and learns what it is assigned (KIP-848).
 *
 * - v0: a member without an id is given one.
 * - v1: subscription by regular expression; members choose their ids (KIP-1082).
 */
import { ErrorCode } from "#common/error-code.ts";
import type { GroupCoordinator } from "#coordinator/group/group-coordinator.ts";
import {
  ConsumerGroupHeartbeatApi,
  type ConsumerGroupHeartbeatRequest,
  type ConsumerGroupHeartbeatResponse,
  makeConsumerGroupHeartbeatResponse,
} from "#protocol/generated/consumer-group-heartbeat.ts";
import { groupCaller } from "../group-caller.ts";
import type { ApiHandler } from "../handler.ts";

const FIRST_VERSION_WITH_MEMBER_ID_REQUIRED = 1;

/** Serves ConsumerGroupHeartbeat. */
export function createConsumerGroupHeartbeatHandler(deps: {
  readonly groups: GroupCoordinator;
  /** False: the protocol is switched off by configuration or by its feature level. */
  isEnabled(): boolean;
}): ApiHandler<ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse> {
  return {
    api: ConsumerGroupHeartbeatApi,
    minVersion: 0,
    maxVersion: 1,
    isFrameReleased: true,
    async handle(request, context) {
      if (!deps.isEnabled()) {
        return makeConsumerGroupHeartbeatResponse({ errorCode: ErrorCode.UNSUPPORTED_VERSION });
      }
      const { assignment, ...output } = await deps.groups.consumerHeartbeat({
        ...request,
        isMemberIdRequired: context.apiVersion >= FIRST_VERSION_WITH_MEMBER_ID_REQUIRED,
        caller: groupCaller(context),
      });
      if (assignment === null) return makeConsumerGroupHeartbeatResponse(output);
      const topicPartitions = assignment.topicPartitions.map(({ topicId, partitions }) => ({
        topicId,
        partitions: [...partitions],
      }));
      return makeConsumerGroupHeartbeatResponse({ ...output, assignment: { topicPartitions } });
    },
  };
}
