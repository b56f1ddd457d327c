/**
 * CreatePartitions (key 37): adds partitions to topics, or only says whether it could.
 *
 * - v0, v1: alike. v2: flexible. v3: THROTTLING_QUOTA_EXCEEDED is known (KIP-599).
 */
import type { Controller } from "#controller/controller.ts";
import { CreatePartitionsApi } from "#protocol/generated/create-partitions.ts";
import type {
  CreatePartitionsRequest,
  CreatePartitionsResponse,
} from "#protocol/generated/create-partitions.ts";
import type { ApiHandler } from "../handler.ts";

/** What the handler works with. */
export interface CreatePartitionsDependencies {
  readonly controller: Controller;
}

/** Serves CreatePartitions. */
export function createCreatePartitionsHandler({
  controller,
}: CreatePartitionsDependencies): ApiHandler<CreatePartitionsRequest, CreatePartitionsResponse> {
  return {
    api: CreatePartitionsApi,
    minVersion: 0,
    maxVersion: 3,
    handle: (request) => controller.createPartitions(request),
  };
}
