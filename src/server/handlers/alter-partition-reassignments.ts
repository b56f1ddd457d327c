/**
 * AlterPartitionReassignments (key 45): moves replicas to other brokers, or calls a move off (KIP-455).
 *
 * - v0: flexible from the start. v1: `allow_replication_factor_change` (KIP-860).
 */
import type { Controller } from "#controller/controller.ts";
import { AlterPartitionReassignmentsApi } from "#protocol/generated/alter-partition-reassignments.ts";
import type {
  AlterPartitionReassignmentsRequest,
  AlterPartitionReassignmentsResponse,
} from "#protocol/generated/alter-partition-reassignments.ts";
import type { ApiHandler } from "../handler.ts";

/** What the handler works with. */
export interface AlterPartitionReassignmentsDependencies {
  readonly controller: Pick<Controller, "alterReassignments">;
}

/** Serves AlterPartitionReassignments. */
export function createAlterPartitionReassignmentsHandler({
  controller,
}: AlterPartitionReassignmentsDependencies): ApiHandler<
  AlterPartitionReassignmentsRequest,
  AlterPartitionReassignmentsResponse
> {
  return {
    api: AlterPartitionReassignmentsApi,
    minVersion: 0,
    maxVersion: 1,
    handle: (request) => controller.alterReassignments(request),
  };
}
