/**
 * CreateDelegationToken (key 38): on a listener where clients say who they are by TLS or SASL only, and there is none of those
 * (KIP-48).
 *
 * - v1. v2: flexible. v3: tokens for others (KIP-373).
 */
import { ErrorCode } from "#common/error-code.ts";
import {
  CreateDelegationTokenApi,
  makeCreateDelegationTokenResponse,
} from "#protocol/generated/create-delegation-token.ts";
import type {
  CreateDelegationTokenRequest,
  CreateDelegationTokenResponse,
} from "#protocol/generated/create-delegation-token.ts";
import type { ApiHandler } from "../handler.ts";

const FIRST_VERSION_FOR_OTHERS = 3;

/** Who has not said who he is. */
const ANONYMOUS = { type: "User", name: "ANONYMOUS" } as const;

/** Serves CreateDelegationToken. */
export function createCreateDelegationTokenHandler(): ApiHandler<
  CreateDelegationTokenRequest,
  CreateDelegationTokenResponse
> {
  return {
    api: CreateDelegationTokenApi,
    minVersion: 1,
    maxVersion: 3,
    handle: ({ ownerPrincipalType, ownerPrincipalName }, { apiVersion }) => {
      const tellsRequester = apiVersion >= FIRST_VERSION_FOR_OTHERS;
      const isForOther = tellsRequester && ownerPrincipalName !== null && ownerPrincipalName !== "";
      return makeCreateDelegationTokenResponse({
        errorCode: ErrorCode.DELEGATION_TOKEN_REQUEST_NOT_ALLOWED,
        principalType: isForOther ? (ownerPrincipalType ?? "") : ANONYMOUS.type,
        principalName: isForOther ? ownerPrincipalName : ANONYMOUS.name,
        ...(tellsRequester && {
          tokenRequesterPrincipalType: ANONYMOUS.type,
          tokenRequesterPrincipalName: ANONYMOUS.name,
        }),
        issueTimestampMs: -1,
        expiryTimestampMs: -1,
        maxTimestampMs: -1,
      });
    },
  };
}
