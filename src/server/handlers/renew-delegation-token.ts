/**
 * RenewDelegationToken (key 39): a connection that is not authenticated may not (KIP-48).
 *
 * - v1. v2: flexible.
 */
import { ErrorCode } from "#common/error-code.ts";
import {
  makeRenewDelegationTokenResponse,
  RenewDelegationTokenApi,
} from "#protocol/generated/renew-delegation-token.ts";
import type {
  RenewDelegationTokenRequest,
  RenewDelegationTokenResponse,
} from "#protocol/generated/renew-delegation-token.ts";
import type { ApiHandler } from "../handler.ts";

/** Serves RenewDelegationToken. */
export function createRenewDelegationTokenHandler(): ApiHandler<
  RenewDelegationTokenRequest,
  RenewDelegationTokenResponse
> {
  return {
    api: RenewDelegationTokenApi,
    minVersion: 1,
    maxVersion: 2,
    handle: () =>
      makeRenewDelegationTokenResponse({
        errorCode: ErrorCode.DELEGATION_TOKEN_REQUEST_NOT_ALLOWED,
        expiryTimestampMs: -1,
      }),
  };
}
