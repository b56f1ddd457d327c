/**
 * DescribeAcls (key 29): without an authorizer there are none to describe.
 *
 * - v1: pattern types (KIP-290). v2: flexible. v3: users by id.
 *
 * A filter of a kind that Kafka calls unknown ends the connection, as there.
 */
import { ErrorCode } from "#common/error-code.ts";
import { DescribeAclsApi, makeDescribeAclsResponse } from "#protocol/generated/describe-acls.ts";
import type {
  DescribeAclsRequest,
  DescribeAclsResponse,
} from "#protocol/generated/describe-acls.ts";
import { UNKNOWN_ACL_KIND } from "../acl-kinds.ts";
import { type ApiHandler, CLOSE_CONNECTION } from "../handler.ts";

/** Serves DescribeAcls. */
export function createDescribeAclsHandler(): ApiHandler<DescribeAclsRequest, DescribeAclsResponse> {
  return {
    api: DescribeAclsApi,
    minVersion: 1,
    maxVersion: 3,
    handle: ({ resourceTypeFilter, patternTypeFilter, operation, permissionType }) =>
      [resourceTypeFilter, patternTypeFilter, operation, permissionType].includes(UNKNOWN_ACL_KIND)
        ? CLOSE_CONNECTION
        : makeDescribeAclsResponse({
            errorCode: ErrorCode.SECURITY_DISABLED,
            errorMessage: "No Authorizer is configured on the broker",
          }),
  };
}
