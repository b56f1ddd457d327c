/**
 * DeleteTopics (key 20): deletes topics with all their records.
 *
 * - v0: gone from Kafka 4, kept for clients that still send it. v1: throttle time. v3: TOPIC_DELETION_DISABLED.
 * - v4: flexible. v5: error messages. v6: topics by name or by id (KIP-516).
 */
import type { Controller } from "#controller/controller.ts";
import { DeleteTopicsApi } from "#protocol/generated/delete-topics.ts";
import type {
  DeleteTopicsRequest,
  DeleteTopicsResponse,
} from "#protocol/generated/delete-topics.ts";
import type { ApiHandler } from "../handler.ts";

const FIRST_VERSION_WITH_TOPIC_IDS = 6;

/** What the handler works with. */
export interface DeleteTopicsDependencies {
  readonly controller: Controller;
}

/** Serves DeleteTopics. */
export function createDeleteTopicsHandler({
  controller,
}: DeleteTopicsDependencies): ApiHandler<DeleteTopicsRequest, DeleteTopicsResponse> {
  return {
    api: DeleteTopicsApi,
    minVersion: 0,
    maxVersion: 6,
    async handle(request, { apiVersion }) {
      const response = await controller.deleteTopics(request, apiVersion);
      // Without ids in the request a client is not told any; null names exist only since then as well.
      if (apiVersion < FIRST_VERSION_WITH_TOPIC_IDS)
        for (const row of response.responses) row.name ??= "";
      return response;
    },
  };
}
