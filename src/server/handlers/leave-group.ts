/**
 * LeaveGroup (key 13): members go, by member id or, for static ones, by instance id.
 *
 * - v0: one member. v1: throttle time. v2: as v1.
 * - v3: many members, each with its own error (KIP-345). v4: flexible. v5: reason (KIP-800), which we only take.
 */
import { ErrorCode } from "#common/error-code.ts";
import type { GroupCoordinator } from "#coordinator/group/group-coordinator.ts";
import {
  LeaveGroupApi,
  type LeaveGroupRequest,
  type LeaveGroupResponse,
  makeLeaveGroupResponse,
} from "#protocol/generated/leave-group.ts";
import type { ApiHandler } from "../handler.ts";

const FIRST_BATCHED_VERSION = 3;

/** Serves LeaveGroup. */
export function createLeaveGroupHandler(deps: {
  readonly groups: GroupCoordinator;
}): ApiHandler<LeaveGroupRequest, LeaveGroupResponse> {
  return {
    api: LeaveGroupApi,
    minVersion: 0,
    maxVersion: 5,
    isFrameReleased: true,
    async handle(request, context) {
      const isBatched = context.apiVersion >= FIRST_BATCHED_VERSION;
      const { groupId, memberId } = request;
      const members = isBatched ? request.members : [{ memberId, groupInstanceId: null }];
      const output = await deps.groups.leaveGroup({ groupId, members });
      if (isBatched) {
        const { errorCode } = output;
        return makeLeaveGroupResponse({ errorCode, members: [...output.members] });
      }
      const ofMember = output.members[0]?.errorCode ?? ErrorCode.NONE;
      const errorCode = output.errorCode === ErrorCode.NONE ? ofMember : output.errorCode;
      return makeLeaveGroupResponse({ errorCode });
    },
  };
}
