/**
 * PushTelemetry (key 72): metrics of a client, as an OpenTelemetry message (KIP-714).
 *
 * - v0, flexible.
 */
import {
  makePushTelemetryResponse,
  PushTelemetryApi,
  type PushTelemetryRequest,
  type PushTelemetryResponse,
} from "#protocol/generated/push-telemetry.ts";
import type { ClientTelemetry } from "../client-telemetry.ts";
import type { ApiHandler } from "../handler.ts";

/** What the handler works with. */
export interface PushTelemetryDependencies {
  readonly telemetry: ClientTelemetry;
}

/** Serves PushTelemetry. */
export function createPushTelemetryHandler({
  telemetry,
}: PushTelemetryDependencies): ApiHandler<PushTelemetryRequest, PushTelemetryResponse> {
  return {
    api: PushTelemetryApi,
    minVersion: 0,
    maxVersion: 0,
    isFrameReleased: true,
    handle: (request, context) =>
      makePushTelemetryResponse({ errorCode: telemetry.push(request, context) }),
  };
}
