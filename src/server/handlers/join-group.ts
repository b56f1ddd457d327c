/**
 * JoinGroup (key 11): a member asks to be part of the next generation. The answer may take a whole rebalance.
 *
 * - v0: the session timeout doubles as rebalance timeout. v1: rebalance timeout (KIP-62). v2: throttle time. v3: as v2.
 * - v4: a dynamic member must come back with the id it is given (KIP-394).
 * - v5: group instance id (KIP-345). v6: flexible. v7: protocol type (KIP-559). v8: reason (KIP-800), which we only take.
 * - v9: a returning static leader may skip the assignment (KIP-814).
 */
import type { GroupCoordinator } from "#coordinator/group/group-coordinator.ts";
import {
  JoinGroupApi,
  type JoinGroupRequest,
  type JoinGroupResponse,
  makeJoinGroupResponse,
} from "#protocol/generated/join-group.ts";
import { groupCaller } from "../group-caller.ts";
import type { ApiHandler } from "../handler.ts";

const FIRST_VERSION_WITH_REBALANCE_TIMEOUT = 1;
const FIRST_VERSION_WITH_MEMBER_ID_REQUIRED = 4;
const FIRST_VERSION_WITH_PROTOCOL_TYPE = 7;
const FIRST_VERSION_WITH_SKIPPED_ASSIGNMENT = 9;

/** Serves JoinGroup. */
export function createJoinGroupHandler(deps: {
  readonly groups: GroupCoordinator;
}): ApiHandler<JoinGroupRequest, JoinGroupResponse> {
  return {
    api: JoinGroupApi,
    minVersion: 0,
    maxVersion: 9,
    isFrameReleased: true,
    async handle(request, context) {
      const version = context.apiVersion;
      const output = await deps.groups.joinGroup({
        ...request,
        rebalanceTimeoutMs:
          version >= FIRST_VERSION_WITH_REBALANCE_TIMEOUT
            ? request.rebalanceTimeoutMs
            : request.sessionTimeoutMs,
        isMemberIdRequired: version >= FIRST_VERSION_WITH_MEMBER_ID_REQUIRED,
        canSkipAssignment: version >= FIRST_VERSION_WITH_SKIPPED_ASSIGNMENT,
        caller: groupCaller(context),
      });
      // Before v7 the protocol name could not be null; since then an empty one is.
      const isNullable = version >= FIRST_VERSION_WITH_PROTOCOL_TYPE;
      const protocolName = output.protocolName ?? "";
      return makeJoinGroupResponse({
        errorCode: output.errorCode,
        generationId: output.generationId,
        protocolType: output.protocolType,
        protocolName: isNullable && protocolName === "" ? null : protocolName,
        leader: output.leader,
        skipAssignment: output.skipAssignment,
        memberId: output.memberId,
        members: [...output.members],
      });
    },
  };
}
