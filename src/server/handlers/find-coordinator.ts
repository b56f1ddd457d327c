/**
 * FindCoordinator (key 10): which broker coordinates a group: the leader of the group's partition of the internal topic, which is made
 * when it does not exist. A partition without a leader that the client can reach: COORDINATOR_NOT_AVAILABLE.
 *
 * - v0: groups only. v1: key type (group 0, transaction 1), throttle time, error message.
 * - v2: as v1. v3: flexible. v4: many keys at once (KIP-699). v5: TRANSACTION_ABORTABLE known (KIP-890).
 * - v6: share coordinators, key type 2 (KIP-932).
 *
 * Transactional ids have no coordinator before transactions are served: UNSUPPORTED_VERSION, which a producer reports at once;
 * COORDINATOR_NOT_AVAILABLE would have it ask for ever. Share keys are refused with INVALID_REQUEST, as by a Kafka without share groups.
 */
import { ErrorCode, errorInfo } from "#common/error-code.ts";
import type { GroupCoordinator } from "#coordinator/group/group-coordinator.ts";
import {
  type Coordinator,
  FindCoordinatorApi,
  type FindCoordinatorRequest,
  type FindCoordinatorResponse,
  makeCoordinator,
  makeFindCoordinatorResponse,
} from "#protocol/generated/find-coordinator.ts";
import type { ApiHandler, ConnectionInfo, RequestContext } from "../handler.ts";

const KEY_TYPE_GROUP = 0;
const KEY_TYPE_TRANSACTION = 1;
const KEY_TYPE_SHARE = 2;
const FIRST_BATCHED_VERSION = 4;

/** Where clients of a connection reach this broker. */
export interface BrokerAddress {
  readonly nodeId: number;
  readonly host: string;
  readonly port: number;
}

/** What the handler works with. */
export interface FindCoordinatorDeps {
  readonly groups: GroupCoordinator;
  /** Who leads the partition of a group, as a client of the connection reaches it; null when nobody does. */
  leaderFor(groupId: string, connection: ConnectionInfo): BrokerAddress | null;
  /** True once transactions are served: then transactional ids are coordinated here as well. */
  readonly coordinatesTransactions: boolean;
}

/** Serves FindCoordinator. */
export function createFindCoordinatorHandler(
  deps: FindCoordinatorDeps,
): ApiHandler<FindCoordinatorRequest, FindCoordinatorResponse> {
  const readiness = (keyType: number): number | Promise<number> => {
    if (keyType === KEY_TYPE_GROUP) return deps.groups.ensureReady();
    if (keyType !== KEY_TYPE_TRANSACTION) return ErrorCode.INVALID_REQUEST;
    return deps.coordinatesTransactions ? ErrorCode.NONE : ErrorCode.UNSUPPORTED_VERSION;
  };
  const located = (
    key: string,
    keyType: number,
    errorCode: number,
    { connection, apiVersion }: Pick<RequestContext, "connection" | "apiVersion">,
  ): Coordinator => {
    const isBatched = apiVersion >= FIRST_BATCHED_VERSION;
    if (errorCode === ErrorCode.NONE) {
      const leader = deps.leaderFor(key, connection);
      if (leader !== null) return makeCoordinator({ key, ...leader, errorMessage: "" });
      return located(key, keyType, ErrorCode.COORDINATOR_NOT_AVAILABLE, { connection, apiVersion });
    }
    const { description } = errorInfo(errorCode);
    // In a list, Kafka refuses share keys without a word.
    const errorMessage = isBatched && keyType === KEY_TYPE_SHARE ? "" : description;
    return makeCoordinator({ key, nodeId: -1, host: "", port: -1, errorCode, errorMessage });
  };
  return {
    api: FindCoordinatorApi,
    minVersion: 0,
    maxVersion: 6,
    isFrameReleased: true,
    async handle(request, context) {
      const errorCode = await readiness(request.keyType);
      if (context.apiVersion >= FIRST_BATCHED_VERSION) {
        const coordinators = request.coordinatorKeys.map((key) =>
          located(key, request.keyType, errorCode, context),
        );
        return makeFindCoordinatorResponse({ coordinators });
      }
      const { errorMessage, ...found } = located(request.key, request.keyType, errorCode, context);
      // Kafka fills the message of a success with the error's name where there is one answer, and leaves it empty in lists.
      const message = found.errorCode === ErrorCode.NONE ? "NONE" : errorMessage;
      return makeFindCoordinatorResponse({ ...found, errorMessage: message });
    },
  };
}
