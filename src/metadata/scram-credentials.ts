/**
 * SCRAM credentials as the metadata log has them, for when a listener asks for them: what proves that a user knows a password,
 * without the password (RFC 5802).
 *
 * @see KIP-554, KIP-900
 */
import type { UserScramCredentialRecord } from "#protocol/generated/records/user-scram-credential-record.ts";

/** Kafka's numbers for the mechanisms. */
export const ScramMechanism = { SHA_256: 1, SHA_512: 2 } as const;

/** Credentials by {@link scramKey}. */
export type ScramCredentials = ReadonlyMap<string, UserScramCredentialRecord>;

/** One user, one mechanism. */
export function scramKey(mechanism: number, name: string): string {
  return `${mechanism}:${name}`;
}

/** What a user has, by rising number of the mechanism. */
export function credentialsOf(
  credentials: ScramCredentials,
  name: string,
): UserScramCredentialRecord[] {
  return Object.values(ScramMechanism).flatMap((mechanism) => {
    const credential = credentials.get(scramKey(mechanism, name));
    return credential === undefined ? [] : [credential];
  });
}
