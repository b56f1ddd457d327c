/**
 * Decisions on SCRAM credentials: each user by himself, and only once in a request.
 *
 * @see KIP-554
 */
import { ErrorCode } from "#common/error-code.ts";
import { scramKey, ScramMechanism } from "#metadata/scram-credentials.ts";
import type { MetadataRecord } from "#protocol/generated/records/metadata-record-table.ts";
import type { UserScramCredentialRecord } from "#protocol/generated/records/user-scram-credential-record.ts";
import { EXCESSIVE_BATCH, MAX_RECORDS_PER_REQUEST } from "./decision.ts";
import type { Decision, DecisionInput, Refusal } from "./decision.ts";

/** A credential that is to go. */
export interface ScramDeletion {
  readonly name: string;
  readonly mechanism: number;
}

/** A credential that is to be, unchecked; `record` makes it, or answers null where its salted password is none. */
export interface ScramUpsertion extends ScramDeletion {
  readonly iterations: number;
  readonly record: () => UserScramCredentialRecord | null;
}

/** What became of a user. */
export interface ScramOutcome extends Refusal {
  readonly user: string;
}

/** Fewest and most iterations. */
export const MIN_SCRAM_ITERATIONS = 4096;
export const MAX_SCRAM_ITERATIONS = 16384;

const MECHANISMS: readonly number[] = Object.values(ScramMechanism);

/** Decides AlterUserScramCredentials. A user with anything wrong keeps what he has. */
export function decideScramCredentials(
  deletions: readonly ScramDeletion[],
  upsertions: readonly ScramUpsertion[],
  { image }: DecisionInput,
): Decision<readonly ScramOutcome[]> {
  // Before any key is derived: that takes microseconds, and a request has room for a million.
  if (deletions.length + upsertions.length > MAX_RECORDS_PER_REQUEST) {
    return {
      response: refuseScramCredentials(deletions, upsertions, EXCESSIVE_BATCH),
      records: [],
    };
  }
  const outcomes = new Map<string, Refusal | MetadataRecord>();
  const decide = (name: string, one: () => Refusal | MetadataRecord): void => {
    const before = outcomes.get(name);
    if (before === undefined) outcomes.set(name, one());
    else if ("kind" in before) outcomes.set(name, TWICE);
  };
  for (const { name, mechanism } of deletions) {
    decide(name, () => {
      if (image.scramCredentials.has(scramKey(mechanism, name))) {
        return { kind: "RemoveUserScramCredentialRecord", record: { name, mechanism } };
      }
      return nameRefusal(name, mechanism) ?? NOT_THERE;
    });
  }
  for (const { name, mechanism, iterations, record: make } of upsertions) {
    decide(name, () => {
      const refusal = nameRefusal(name, mechanism);
      if (refusal !== null) return refusal;
      if (iterations < MIN_SCRAM_ITERATIONS) return unacceptable("Too few iterations");
      if (iterations > MAX_SCRAM_ITERATIONS) return unacceptable("Too many iterations");
      const record = make();
      if (record === null) return unacceptable("The salted password must not be empty");
      return { kind: "UserScramCredentialRecord", record };
    });
  }
  const records: MetadataRecord[] = [];
  const response = [...outcomes].map(([user, outcome]): ScramOutcome => {
    if (!("kind" in outcome)) return { user, ...outcome };
    records.push(outcome);
    return { user, errorCode: ErrorCode.NONE, errorMessage: null };
  });
  return { response, records };
}

/** Answers every user of a request the same way. */
export function refuseScramCredentials(
  deletions: readonly ScramDeletion[],
  upsertions: readonly ScramDeletion[],
  refusal: Refusal,
): readonly ScramOutcome[] {
  const users = new Set([...deletions, ...upsertions].map(({ name }) => name));
  return [...users].map((user) => ({ user, ...refusal }));
}

const TWICE: Refusal = {
  errorCode: ErrorCode.DUPLICATE_RESOURCE,
  errorMessage: "A user credential cannot be altered twice in the same request",
};

const NOT_THERE: Refusal = {
  errorCode: ErrorCode.RESOURCE_NOT_FOUND,
  errorMessage: "Attempt to delete a user credential that does not exist",
};

function unacceptable(errorMessage: string): Refusal {
  return { errorCode: ErrorCode.UNACCEPTABLE_CREDENTIAL, errorMessage };
}

function nameRefusal(name: string, mechanism: number): Refusal | null {
  if (name === "") return unacceptable("Username must not be empty");
  if (MECHANISMS.includes(mechanism)) return null;
  return {
    errorCode: ErrorCode.UNSUPPORTED_SASL_MECHANISM,
    errorMessage: "Unknown SCRAM mechanism",
  };
}
