/**
 * IncrementalAlterConfigs (key 44): sets, deletes, extends or shortens single values of topics and brokers (KIP-339).
 *
 * - v0. v1: flexible.
 */
import type { Controller } from "#controller/controller.ts";
import {
  IncrementalAlterConfigsApi,
  makeIncrementalAlterConfigsResponse,
} from "#protocol/generated/incremental-alter-configs.ts";
import type {
  IncrementalAlterConfigsRequest,
  IncrementalAlterConfigsResponse,
} from "#protocol/generated/incremental-alter-configs.ts";
import type { ApiHandler } from "../handler.ts";

/** What the handler works with. */
export interface IncrementalAlterConfigsDependencies {
  readonly controller: Pick<Controller, "changeConfigs">;
  /** On the listener of a controller, where brokers pass on what they have looked at and clients come by themselves. */
  readonly isOfController?: boolean;
}

/** Serves IncrementalAlterConfigs. */
export function createIncrementalAlterConfigsHandler({
  controller,
  isOfController = false,
}: IncrementalAlterConfigsDependencies): ApiHandler<
  IncrementalAlterConfigsRequest,
  IncrementalAlterConfigsResponse
> {
  return {
    api: IncrementalAlterConfigsApi,
    minVersion: 0,
    maxVersion: 1,
    async handle({ resources, validateOnly }, { connection }) {
      const isUnseen = isOfController && connection.peerNodeId < 0;
      const changes = resources.map(({ resourceType, resourceName, configs }) => ({
        resourceType,
        resourceName,
        replacesAll: false,
        isUnseen,
        changes: configs.map(({ name, configOperation, value }) => ({
          name,
          operation: configOperation,
          value,
        })),
      }));
      const outcomes = await controller.changeConfigs(changes, validateOnly);
      return makeIncrementalAlterConfigsResponse({ responses: [...outcomes] });
    },
  };
}
