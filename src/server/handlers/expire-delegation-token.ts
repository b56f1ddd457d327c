/**
 * ExpireDelegationToken (key 40): a connection that is not authenticated may not (KIP-48).
 *
 * - v1. v2: flexible.
 */
import { ErrorCode } from "#common/error-code.ts";
import {
  makeExpireDelegationTokenResponse,
  ExpireDelegationTokenApi,
} from "#protocol/generated/expire-delegation-token.ts";
import type {
  ExpireDelegationTokenRequest,
  ExpireDelegationTokenResponse,
} from "#protocol/generated/expire-delegation-token.ts";
import type { ApiHandler } from "../handler.ts";

/** Serves ExpireDelegationToken. */
export function createExpireDelegationTokenHandler(): ApiHandler<
  ExpireDelegationTokenRequest,
  ExpireDelegationTokenResponse
> {
  return {
    api: ExpireDelegationTokenApi,
    minVersion: 1,
    maxVersion: 2,
    handle: () =>
      makeExpireDelegationTokenResponse({
        errorCode: ErrorCode.DELEGATION_TOKEN_REQUEST_NOT_ALLOWED,
        expiryTimestampMs: -1,
      }),
  };
}
