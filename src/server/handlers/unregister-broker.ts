/**
 * UnregisterBroker (key 64): forgets a broker that will not come back (KIP-185).
 *
 * - v0: flexible from the start.
 */
import type { Controller } from "#controller/controller.ts";
import {
  makeUnregisterBrokerResponse,
  UnregisterBrokerApi,
} from "#protocol/generated/unregister-broker.ts";
import type {
  UnregisterBrokerRequest,
  UnregisterBrokerResponse,
} from "#protocol/generated/unregister-broker.ts";
import type { ApiHandler } from "../handler.ts";

/** What the handler works with. */
export interface UnregisterBrokerDependencies {
  readonly controller: Pick<Controller, "unregisterBroker">;
}

/** Serves UnregisterBroker. */
export function createUnregisterBrokerHandler({
  controller,
}: UnregisterBrokerDependencies): ApiHandler<UnregisterBrokerRequest, UnregisterBrokerResponse> {
  return {
    api: UnregisterBrokerApi,
    minVersion: 0,
    maxVersion: 0,
    async handle({ brokerId }) {
      const refusal = await controller.unregisterBroker(brokerId);
      return makeUnregisterBrokerResponse(refusal ?? { errorMessage: "" });
    },
  };
}
