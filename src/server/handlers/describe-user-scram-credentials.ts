/**
 * DescribeUserScramCredentials (key 50): which mechanisms users have credentials for, never the credentials (KIP-554).
 *
 * - v0: flexible from the start. Null or no users ask for all.
 */
import { ErrorCode } from "#common/error-code.ts";
import type { ClusterImage } from "#metadata/cluster-image.ts";
import { credentialsOf } from "#metadata/scram-credentials.ts";
import {
  DescribeUserScramCredentialsApi,
  makeDescribeUserScramCredentialsResponse,
  makeDescribeUserScramCredentialsResult,
} from "#protocol/generated/describe-user-scram-credentials.ts";
import type {
  DescribeUserScramCredentialsRequest,
  DescribeUserScramCredentialsResponse,
  DescribeUserScramCredentialsResult,
} from "#protocol/generated/describe-user-scram-credentials.ts";
import type { ApiHandler } from "../handler.ts";

/** What the handler works with. */
export interface DescribeUserScramCredentialsDependencies {
  readonly image: () => ClusterImage;
}

/** Serves DescribeUserScramCredentials. */
export function createDescribeUserScramCredentialsHandler({
  image,
}: DescribeUserScramCredentialsDependencies): ApiHandler<
  DescribeUserScramCredentialsRequest,
  DescribeUserScramCredentialsResponse
> {
  return {
    api: DescribeUserScramCredentialsApi,
    minVersion: 0,
    maxVersion: 0,
    handle: ({ users }) => {
      const { scramCredentials } = image();
      const counts = new Map<string, number>();
      if (users === null || users.length === 0) {
        for (const { name } of scramCredentials.values()) counts.set(name, 1);
      } else {
        for (const { name } of users) counts.set(name, (counts.get(name) ?? 0) + 1);
      }
      const results = [...counts].map(([user, count]): DescribeUserScramCredentialsResult => {
        const refused = (
          errorCode: number,
          errorMessage: string,
        ): DescribeUserScramCredentialsResult =>
          makeDescribeUserScramCredentialsResult({ user, errorCode, errorMessage });
        if (count > 1) {
          return refused(
            ErrorCode.DUPLICATE_RESOURCE,
            `Cannot describe SCRAM credentials for the same user twice in a single request: ${user}`,
          );
        }
        const credentialInfos = credentialsOf(scramCredentials, user).map(
          ({ mechanism, iterations }) => ({ mechanism, iterations }),
        );
        return credentialInfos.length > 0
          ? makeDescribeUserScramCredentialsResult({ user, errorMessage: "", credentialInfos })
          : refused(
              ErrorCode.RESOURCE_NOT_FOUND,
              `Attempt to describe a user credential that does not exist: ${user}`,
            );
      });
      return makeDescribeUserScramCredentialsResponse({ errorMessage: "", results });
    },
  };
}
