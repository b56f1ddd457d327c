/**
 * GetTelemetrySubscriptions (key 71): which metrics a client is to push, and how often (KIP-714).
 *
 * - v0, flexible.
 *
 * Kafka advertises it only with a plug-in that receives metrics; here the broker receives them itself.
 */
import {
  GetTelemetrySubscriptionsApi,
  type GetTelemetrySubscriptionsRequest,
  type GetTelemetrySubscriptionsResponse,
} from "#protocol/generated/get-telemetry-subscriptions.ts";
import type { ClientTelemetry } from "../client-telemetry.ts";
import type { ApiHandler } from "../handler.ts";

/** What the handler works with. */
export interface GetTelemetrySubscriptionsDependencies {
  readonly telemetry: ClientTelemetry;
}

/** Serves GetTelemetrySubscriptions. */
export function createGetTelemetrySubscriptionsHandler({
  telemetry,
}: GetTelemetrySubscriptionsDependencies): ApiHandler<
  GetTelemetrySubscriptionsRequest,
  GetTelemetrySubscriptionsResponse
> {
  return {
    api: GetTelemetrySubscriptionsApi,
    minVersion: 0,
    maxVersion: 0,
    handle: ({ clientInstanceId }, context) => telemetry.subscribe(clientInstanceId, context),
  };
}
