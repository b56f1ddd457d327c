/**
 * DescribeGroups (key 15): state and members of groups.
 *
 * - v0. v1: throttle time. v2: as v1. v3: authorized operations on request (KIP-430). v4: group instance id (KIP-345).
 * - v5: flexible. v6: a group that does not exist is GROUP_ID_NOT_FOUND (KIP-1043); before, it is in state Dead.
 */
import { ErrorCode } from "#common/error-code.ts";
import type { GroupCoordinator } from "#coordinator/group/group-coordinator.ts";
import {
  type DescribedGroup,
  DescribeGroupsApi,
  type DescribeGroupsRequest,
  type DescribeGroupsResponse,
  makeDescribedGroup,
  makeDescribeGroupsResponse,
} from "#protocol/generated/describe-groups.ts";
import { ALL_GROUP_OPERATIONS } from "../group-operations.ts";
import type { ApiHandler } from "../handler.ts";

const FIRST_VERSION_NAMING_UNKNOWN_GROUPS = 6;

/** Serves DescribeGroups. */
export function createDescribeGroupsHandler(deps: {
  readonly groups: GroupCoordinator;
}): ApiHandler<DescribeGroupsRequest, DescribeGroupsResponse> {
  return {
    api: DescribeGroupsApi,
    minVersion: 0,
    maxVersion: 6,
    isFrameReleased: true,
    handle(request, context) {
      const groups = request.groups.map((groupId) => {
        const group = describe(deps.groups, groupId, context.apiVersion);
        if (request.includeAuthorizedOperations && group.errorCode === ErrorCode.NONE) {
          group.authorizedOperations = ALL_GROUP_OPERATIONS;
        }
        return group;
      });
      return makeDescribeGroupsResponse({ groups });
    },
  };
}

function describe(groups: GroupCoordinator, groupId: string, version: number): DescribedGroup {
  const found = groups.describeGroup(groupId);
  if (typeof found === "number") return makeDescribedGroup({ groupId, errorCode: found });
  if (found !== null && found.errorCode === ErrorCode.NONE) {
    return makeDescribedGroup({ ...found, members: [...found.members] });
  }
  if (version < FIRST_VERSION_NAMING_UNKNOWN_GROUPS) {
    return makeDescribedGroup({ groupId, groupState: "Dead" });
  }
  return makeDescribedGroup({
    groupId,
    groupState: "Dead",
    errorCode: ErrorCode.GROUP_ID_NOT_FOUND,
    errorMessage: found?.errorMessage ?? `Group ${groupId} not found.`,
  });
}
