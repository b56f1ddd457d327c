/**
 * AlterConfigs (key 33): replaces all values of a topic or broker at once; values that are not named are gone.
 *
 * - v0, v1: alike. v2: flexible.
 */
import { ConfigOperation } from "#controller/config-values.ts";
import type { Controller } from "#controller/controller.ts";
import { AlterConfigsApi, makeAlterConfigsResponse } from "#protocol/generated/alter-configs.ts";
import type {
  AlterConfigsRequest,
  AlterConfigsResponse,
} from "#protocol/generated/alter-configs.ts";
import type { ApiHandler } from "../handler.ts";

/** What the handler works with. */
export interface AlterConfigsDependencies {
  readonly controller: Pick<Controller, "changeConfigs">;
}

/** Serves AlterConfigs. */
export function createAlterConfigsHandler({
  controller,
}: AlterConfigsDependencies): ApiHandler<AlterConfigsRequest, AlterConfigsResponse> {
  return {
    api: AlterConfigsApi,
    minVersion: 0,
    maxVersion: 2,
    async handle({ resources, validateOnly }) {
      const changes = resources.map(({ resourceType, resourceName, configs }) => ({
        resourceType,
        resourceName,
        replacesAll: true,
        changes: configs.map(({ name, value }) => ({
          name,
          operation: ConfigOperation.SET,
          value,
        })),
      }));
      const outcomes = await controller.changeConfigs(changes, validateOnly);
      return makeAlterConfigsResponse({ responses: [...outcomes] });
    },
  };
}
