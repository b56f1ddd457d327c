/**
 * ListGroups (key 16): all groups this broker coordinates.
 *
 * - v0. v1: throttle time. v2: as v1. v3: flexible. v4: filter by state, state answered (KIP-518).
 * - v5: filter by type, type answered (KIP-848). Filters ignore case, that of states also space around; a name that means nothing matches nothing.
 */
import type { GroupCoordinator } from "#coordinator/group/group-coordinator.ts";
import {
  ListGroupsApi,
  type ListGroupsRequest,
  type ListGroupsResponse,
  makeListGroupsResponse,
} from "#protocol/generated/list-groups.ts";
import type { ApiHandler } from "../handler.ts";

/** Serves ListGroups. */
export function createListGroupsHandler(deps: {
  readonly groups: GroupCoordinator;
}): ApiHandler<ListGroupsRequest, ListGroupsResponse> {
  return {
    api: ListGroupsApi,
    minVersion: 0,
    maxVersion: 5,
    isFrameReleased: true,
    handle(request) {
      const states = new Set(request.statesFilter.map((state) => state.trim().toLowerCase()));
      const types = new Set(request.typesFilter.map((type) => type.toLowerCase()));
      const { errorCode, groups } = deps.groups.listGroups();
      const matching = groups.filter(
        ({ groupState, groupType }) =>
          (states.size === 0 || states.has(groupState.toLowerCase())) &&
          (types.size === 0 || types.has(groupType.toLowerCase())),
      );
      return makeListGroupsResponse({ errorCode, groups: matching });
    },
  };
}
