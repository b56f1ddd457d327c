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
  /** On the listener of a controller, where brokers pass on what they have looked at and clients come by themselves. */
  readonly isOfController?: boolean;
}

/** Serves AlterConfigs. */
export function createAlterConfigsHandler({
  controller,
  isOfController = false,
}: AlterConfigsDependencies): ApiHandler<AlterConfigsRequest, AlterConfigsResponse> {
  return {
    api: AlterConfigsApi,
    minVersion: 0,
    maxVersion: 2,
    async handle({ resources, validateOnly }, { connection }) {
      const isUnseen = isOfController && connection.peerNodeId < 0;
      const changes = resources.map(({ resourceType, resourceName, configs }) => ({
        resourceType,
        resourceName,
        replacesAll: true,
        isUnseen,
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
