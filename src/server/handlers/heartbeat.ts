/**
 * Heartbeat (key 12): a member is alive, and learns whether its generation still is.
 *
 * - v0. v1: throttle time. v2: as v1. v3: group instance id (KIP-345). v4: flexible.
 */
import { whenKnown } from "#common/maybe-promise.ts";
import type { GroupCoordinator } from "#coordinator/group/group-coordinator.ts";
import {
  HeartbeatApi,
  type HeartbeatRequest,
  type HeartbeatResponse,
  makeHeartbeatResponse,
} from "#protocol/generated/heartbeat.ts";
import type { ApiHandler } from "../handler.ts";

/** Serves Heartbeat. */
export function createHeartbeatHandler(deps: {
  readonly groups: GroupCoordinator;
}): ApiHandler<HeartbeatRequest, HeartbeatResponse> {
  return {
    api: HeartbeatApi,
    minVersion: 0,
    maxVersion: 4,
    isFrameReleased: true,
    handle: (request) =>
      whenKnown(deps.groups.heartbeat(request), (errorCode) =>
        makeHeartbeatResponse({ errorCode }),
      ),
  };
}
