/**
 * AlterUserScramCredentials (key 51): sets and takes away SCRAM credentials (KIP-554).
 *
 * - v0: flexible from the start.
 *
 * A client sends the salted password; only the two keys derived from it are kept (RFC 5802, 3): with them a password can be
 * checked, but nobody can log in. No listener asks for SCRAM yet.
 */
import { createHash, createHmac } from "node:crypto";
import type { Controller } from "#controller/controller.ts";
import { ScramMechanism } from "#metadata/scram-credentials.ts";
import {
  AlterUserScramCredentialsApi,
  makeAlterUserScramCredentialsResponse,
} from "#protocol/generated/alter-user-scram-credentials.ts";
import type {
  AlterUserScramCredentialsRequest,
  AlterUserScramCredentialsResponse,
  ScramCredentialUpsertion,
} from "#protocol/generated/alter-user-scram-credentials.ts";
import type { UserScramCredentialRecord } from "#protocol/generated/records/user-scram-credential-record.ts";
import type { ApiHandler } from "../handler.ts";

/** What the handler works with. */
export interface AlterUserScramCredentialsDependencies {
  readonly controller: Pick<Controller, "changeScramCredentials">;
}

/** Serves AlterUserScramCredentials. */
export function createAlterUserScramCredentialsHandler({
  controller,
}: AlterUserScramCredentialsDependencies): ApiHandler<
  AlterUserScramCredentialsRequest,
  AlterUserScramCredentialsResponse
> {
  return {
    api: AlterUserScramCredentialsApi,
    minVersion: 0,
    maxVersion: 0,
    async handle({ deletions, upsertions }) {
      const outcomes = await controller.changeScramCredentials(
        deletions,
        upsertions.map((upsertion) => ({
          name: upsertion.name,
          mechanism: upsertion.mechanism,
          iterations: upsertion.iterations,
          record: () => credential(upsertion),
        })),
      );
      return makeAlterUserScramCredentialsResponse({ results: [...outcomes] });
    },
  };
}

function credential({
  name,
  mechanism,
  iterations,
  salt,
  saltedPassword,
}: ScramCredentialUpsertion): UserScramCredentialRecord | null {
  if (saltedPassword.length === 0) return null;
  const hash = mechanism === ScramMechanism.SHA_512 ? "sha512" : "sha256";
  const keyed = (text: string): Buffer => createHmac(hash, saltedPassword).update(text).digest();
  return {
    name,
    mechanism,
    iterations,
    // Out of the request's bytes, which are used again.
    salt: new Uint8Array(salt),
    storedKey: createHash(hash).update(keyed("Client Key")).digest(),
    serverKey: keyed("Server Key"),
  };
}
