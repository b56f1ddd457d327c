/**
 * DeleteAcls (key 31): without an authorizer there are none to delete.
 *
 * - v1: pattern types (KIP-290). v2: flexible. v3: users by id.
 *
 * A filter of a kind that Kafka calls unknown ends the connection, as there.
 */
import { ErrorCode } from "#common/error-code.ts";
import { DeleteAclsApi, makeDeleteAclsFilterResult } from "#protocol/generated/delete-acls.ts";
import type { DeleteAclsRequest, DeleteAclsResponse } from "#protocol/generated/delete-acls.ts";
import { UNKNOWN_ACL_KIND } from "../acl-kinds.ts";
import { type ApiHandler, CLOSE_CONNECTION } from "../handler.ts";

/** Serves DeleteAcls. */
export function createDeleteAclsHandler(): ApiHandler<DeleteAclsRequest, DeleteAclsResponse> {
  return {
    api: DeleteAclsApi,
    minVersion: 1,
    maxVersion: 3,
    handle: ({ filters }) => {
      const isUnknown = filters.some(
        ({ resourceTypeFilter, patternTypeFilter, operation, permissionType }) =>
          [resourceTypeFilter, patternTypeFilter, operation, permissionType].includes(
            UNKNOWN_ACL_KIND,
          ),
      );
      if (isUnknown) return CLOSE_CONNECTION;
      return {
        throttleTimeMs: 0,
        filterResults: filters.map(() =>
          makeDeleteAclsFilterResult({
            errorCode: ErrorCode.SECURITY_DISABLED,
            errorMessage: "No Authorizer is configured.",
          }),
        ),
      };
    },
  };
}
