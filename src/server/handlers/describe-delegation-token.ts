/**
 * DescribeDelegationToken (key 41): a connection that is not authenticated may not (KIP-48).
 *
 * - v1. v2: flexible. v3: who asked for a token (KIP-373).
 */
import { ErrorCode } from "#common/error-code.ts";
import {
  DescribeDelegationTokenApi,
  makeDescribeDelegationTokenResponse,
} from "#protocol/generated/describe-delegation-token.ts";
import type {
  DescribeDelegationTokenRequest,
  DescribeDelegationTokenResponse,
} from "#protocol/generated/describe-delegation-token.ts";
import type { ApiHandler } from "../handler.ts";

/** Serves DescribeDelegationToken. */
export function createDescribeDelegationTokenHandler(): ApiHandler<
  DescribeDelegationTokenRequest,
  DescribeDelegationTokenResponse
> {
  return {
    api: DescribeDelegationTokenApi,
    minVersion: 1,
    maxVersion: 3,
    handle: () =>
      makeDescribeDelegationTokenResponse({
        errorCode: ErrorCode.DELEGATION_TOKEN_REQUEST_NOT_ALLOWED,
      }),
  };
}
