/**
 * DeleteGroups (key 42): removes empty groups with their offsets.
 *
 * - v0. v1: as v0. v2: flexible. v3: error message for each group; for the errors of classic groups Kafka leaves it null.
 */
import type { GroupCoordinator } from "#coordinator/group/group-coordinator.ts";
import {
  DeleteGroupsApi,
  type DeleteGroupsRequest,
  type DeleteGroupsResponse,
  makeDeletableGroupResult,
  makeDeleteGroupsResponse,
} from "#protocol/generated/delete-groups.ts";
import type { ApiHandler } from "../handler.ts";

/** Serves DeleteGroups. */
export function createDeleteGroupsHandler(deps: {
  readonly groups: GroupCoordinator;
}): ApiHandler<DeleteGroupsRequest, DeleteGroupsResponse> {
  return {
    api: DeleteGroupsApi,
    minVersion: 0,
    maxVersion: 3,
    isFrameReleased: true,
    async handle(request) {
      const groupIds = [...new Set(request.groupsNames)];
      const results = await Promise.all(
        groupIds.map(async (groupId) => {
          const errorCode = await deps.groups.deleteGroup(groupId);
          return makeDeletableGroupResult({ groupId, errorCode });
        }),
      );
      return makeDeleteGroupsResponse({ results });
    },
  };
}
