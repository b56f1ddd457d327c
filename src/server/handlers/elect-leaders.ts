/**
 * ElectLeaders (key 43): elects preferred leaders again, or any where there is none (KIP-460).
 *
 * - v0: preferred leaders. v1: kind of election, error of the whole answer. v2: flexible.
 */
import { ErrorCode } from "#common/error-code.ts";
import type { Controller } from "#controller/controller.ts";
import { ElectLeadersApi } from "#protocol/generated/elect-leaders.ts";
import type {
  ElectLeadersRequest,
  ElectLeadersResponse,
} from "#protocol/generated/elect-leaders.ts";
import type { ApiHandler } from "../handler.ts";

const FIRST_VERSION_WITH_ERROR = 1;

/** What the handler works with. */
export interface ElectLeadersDependencies {
  readonly controller: Pick<Controller, "electLeaders">;
}

/** Serves ElectLeaders. */
export function createElectLeadersHandler({
  controller,
}: ElectLeadersDependencies): ApiHandler<ElectLeadersRequest, ElectLeadersResponse> {
  return {
    api: ElectLeadersApi,
    minVersion: 0,
    maxVersion: 2,
    async handle(request, { apiVersion }) {
      const response = await controller.electLeaders(request);
      // The partitions tell it all.
      if (apiVersion < FIRST_VERSION_WITH_ERROR) response.errorCode = ErrorCode.NONE;
      return response;
    },
  };
}
