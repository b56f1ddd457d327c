/**
 * UpdateFeatures (key 57): changes the levels of features, all that are asked for or none (KIP-584).
 *
 * - v0: upgrades. v1: kind of change, validate_only (KIP-778). v2: no answer per feature any more.
 */
import { ErrorCode } from "#common/error-code.ts";
import type { Controller } from "#controller/controller.ts";
import {
  makeUpdatableFeatureResult,
  makeUpdateFeaturesResponse,
  UpdateFeaturesApi,
} from "#protocol/generated/update-features.ts";
import type {
  UpdateFeaturesRequest,
  UpdateFeaturesResponse,
} from "#protocol/generated/update-features.ts";
import type { ApiHandler } from "../handler.ts";

const FIRST_VERSION_WITHOUT_RESULTS = 2;

/** What the handler works with. */
export interface UpdateFeaturesDependencies {
  readonly controller: Pick<Controller, "updateFeatures">;
}

/** Serves UpdateFeatures. */
export function createUpdateFeaturesHandler({
  controller,
}: UpdateFeaturesDependencies): ApiHandler<UpdateFeaturesRequest, UpdateFeaturesResponse> {
  return {
    api: UpdateFeaturesApi,
    minVersion: 0,
    maxVersion: 2,
    async handle({ featureUpdates, validateOnly }, { apiVersion }) {
      // The old `allow_downgrade` allows nothing in Kafka 4 either: without a kind, a change is an upgrade.
      const updates = featureUpdates.map(({ feature, maxVersionLevel, upgradeType }) => ({
        name: feature,
        level: maxVersionLevel,
        upgradeType,
      }));
      const refusal = await controller.updateFeatures(updates, validateOnly);
      if (refusal !== null) return makeUpdateFeaturesResponse(refusal);
      const names = new Set(updates.map(({ name }) => name));
      return makeUpdateFeaturesResponse({
        errorMessage: null,
        results:
          apiVersion >= FIRST_VERSION_WITHOUT_RESULTS
            ? []
            : [...names].map((feature) =>
                makeUpdatableFeatureResult({
                  feature,
                  errorCode: ErrorCode.NONE,
                  // What Kafka says where nothing is wrong.
                  errorMessage: "NONE",
                }),
              ),
      });
    },
  };
}
