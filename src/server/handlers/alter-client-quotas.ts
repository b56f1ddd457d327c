/**
 * AlterClientQuotas (key 49): sets and takes away quotas of users, client ids and addresses (KIP-546).
 *
 * - v0. v1: flexible.
 *
 * Quotas are stored and told; nothing is throttled by them yet.
 */
import type { Controller } from "#controller/controller.ts";
import {
  AlterClientQuotasApi,
  makeAlterClientQuotasResponse,
} from "#protocol/generated/alter-client-quotas.ts";
import type {
  AlterClientQuotasRequest,
  AlterClientQuotasResponse,
} from "#protocol/generated/alter-client-quotas.ts";
import type { ApiHandler } from "../handler.ts";

/** What the handler works with. */
export interface AlterClientQuotasDependencies {
  readonly controller: Pick<Controller, "changeClientQuotas">;
}

/** Serves AlterClientQuotas. */
export function createAlterClientQuotasHandler({
  controller,
}: AlterClientQuotasDependencies): ApiHandler<AlterClientQuotasRequest, AlterClientQuotasResponse> {
  return {
    api: AlterClientQuotasApi,
    minVersion: 0,
    maxVersion: 1,
    async handle({ entries, validateOnly }) {
      const changes = entries.map(({ entity, ops }) => ({
        // A kind that is named twice counts as named last.
        entity: new Map(entity.map(({ entityType, entityName }) => [entityType, entityName])),
        ops: ops.map(({ key, value, remove }) => ({ key, value: remove ? null : value })),
      }));
      const outcomes = await controller.changeClientQuotas(changes, validateOnly);
      return makeAlterClientQuotasResponse({
        entries: outcomes.map(({ entity, errorCode, errorMessage }) => ({
          errorCode,
          errorMessage,
          entity: [...entity].map(([entityType, entityName]) => ({ entityType, entityName })),
        })),
      });
    },
  };
}
