/** What a sample is: a sound request of an API, in any version that is sent. */
import type { ApiMessages } from "#protocol/api.ts";
import type { Place } from "../case.ts";

/** One API with a request of any served version. */
export interface Sample {
  readonly api: ApiMessages<unknown, unknown>;
  /** Lowest version sent; Kafka 4.4 serves it. */
  readonly minVersion: number;
  readonly maxVersion: number;
  make(version: number, place: Place): unknown;
}

/** Forgets the message types; a sample pairs codec and message again. */
function erased<Req>(api: ApiMessages<Req, unknown>): ApiMessages<unknown, unknown> {
  const unknownApi: unknown = api;
  return unknownApi as ApiMessages<unknown, unknown>;
}

/** Pairs an API with a request of its. */
export function sample<Req>(
  api: ApiMessages<Req, unknown>,
  minVersion: number,
  maxVersion: number,
  make: (version: number, place: Place) => Req,
): Sample {
  return { api: erased(api), minVersion, maxVersion, make };
}
