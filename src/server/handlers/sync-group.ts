/**
 * SyncGroup (key 14): the leader hands in the assignment, every member takes its own.
 *
 * - v0. v1: throttle time. v2: as v1. v3: group instance id (KIP-345). v4: flexible.
 * - v5: protocol type and name, checked against the group's (KIP-559); the request must carry both.
 */
import { ErrorCode } from "#common/error-code.ts";
import type { GroupCoordinator } from "#coordinator/group/group-coordinator.ts";
import {
  makeSyncGroupResponse,
  SyncGroupApi,
  type SyncGroupRequest,
  type SyncGroupResponse,
} from "#protocol/generated/sync-group.ts";
import type { ApiHandler } from "../handler.ts";

const FIRST_VERSION_WITH_PROTOCOL = 5;

/** Serves SyncGroup. */
export function createSyncGroupHandler(deps: {
  readonly groups: GroupCoordinator;
}): ApiHandler<SyncGroupRequest, SyncGroupResponse> {
  return {
    api: SyncGroupApi,
    minVersion: 0,
    maxVersion: 5,
    isFrameReleased: true,
    async handle(request, context) {
      const isProtocolMissing = request.protocolType === null || request.protocolName === null;
      if (context.apiVersion >= FIRST_VERSION_WITH_PROTOCOL && isProtocolMissing) {
        return makeSyncGroupResponse({ errorCode: ErrorCode.INCONSISTENT_GROUP_PROTOCOL });
      }
      const output = await deps.groups.syncGroup(request);
      return makeSyncGroupResponse({
        errorCode: output.errorCode,
        protocolType: output.protocolType,
        protocolName: output.protocolName,
        assignment: output.assignment,
      });
    },
  };
}
