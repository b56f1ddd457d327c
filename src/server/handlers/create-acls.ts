/**
 * CreateAcls (key 30): without an authorizer nothing would keep to them.
 *
 * - v1: pattern types (KIP-290). v2: flexible. v3: users by id.
 *
 * A kind that Kafka calls unknown ends the connection, as there.
 */
import { ErrorCode } from "#common/error-code.ts";
import { CreateAclsApi } from "#protocol/generated/create-acls.ts";
import type { CreateAclsRequest, CreateAclsResponse } from "#protocol/generated/create-acls.ts";
import { UNKNOWN_ACL_KIND } from "../acl-kinds.ts";
import { type ApiHandler, CLOSE_CONNECTION } from "../handler.ts";

/** Serves CreateAcls. */
export function createCreateAclsHandler(): ApiHandler<CreateAclsRequest, CreateAclsResponse> {
  return {
    api: CreateAclsApi,
    minVersion: 1,
    maxVersion: 3,
    handle: ({ creations }) => {
      const isUnknown = creations.some(
        ({ resourceType, resourcePatternType, operation, permissionType }) =>
          [resourceType, resourcePatternType, operation, permissionType].includes(UNKNOWN_ACL_KIND),
      );
      if (isUnknown) return CLOSE_CONNECTION;
      return {
        throttleTimeMs: 0,
        results: creations.map(() => ({
          errorCode: ErrorCode.SECURITY_DISABLED,
          errorMessage: "No Authorizer is configured.",
        })),
      };
    },
  };
}
