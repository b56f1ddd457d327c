/**
 * ConsumerGroupHeartbeat (key 68): a member of a consumer group joins, stays, leaves, and learns what it is assigned (KIP-848).
 *
 * - v0: a member without an id is given one.
 * - v1: subscription by regular expression; members choose their ids (KIP-1082).
 */
import { ErrorCode } from "#common/error-code.ts";
import { whenKnown } from "#common/maybe-promise.ts";
import type { GroupCoordinator } from "#coordinator/group/group-coordinator.ts";
import {
  ConsumerGroupHeartbeatApi,
  type ConsumerGroupHeartbeatRequest,
  type ConsumerGroupHeartbeatResponse,
  makeConsumerGroupHeartbeatResponse,
} from "#protocol/generated/consumer-group-heartbeat.ts";
import type { ConsumerHeartbeatOutput } from "#coordinator/group/messages.ts";
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
    handle(request, context) {
      if (!deps.isEnabled()) {
        return makeConsumerGroupHeartbeatResponse({ errorCode: ErrorCode.UNSUPPORTED_VERSION });
      }
      const output = deps.groups.consumerHeartbeat({
        ...request,
        isMemberIdRequired: context.apiVersion >= FIRST_VERSION_WITH_MEMBER_ID_REQUIRED,
        caller: groupCaller(context),
      });
      return whenKnown(output, answer);
    },
  };
}

function answer(output: ConsumerHeartbeatOutput): ConsumerGroupHeartbeatResponse {
  const { errorCode, errorMessage, memberId, memberEpoch, heartbeatIntervalMs, assignment } =
    output;
  const topicPartitions = assignment?.topicPartitions.map(({ topicId, partitions }) => ({
    topicId,
    partitions: [...partitions],
  }));
  return {
    throttleTimeMs: 0,
    errorCode,
    errorMessage,
    memberId,
    memberEpoch,
    heartbeatIntervalMs,
    assignment: topicPartitions === undefined ? null : { topicPartitions },
  };
}
