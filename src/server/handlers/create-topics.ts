/**
 * CreateTopics (key 19): creates topics, or only says whether it could.
 *
 * - v0, v1: gone from Kafka 4, kept for clients that still send them; v1 adds error messages and validate_only.
 * - v2: throttle time. v4: -1 for the default number of partitions and replicas (KIP-464).
 * - v5: flexible; what was created, with its configuration (KIP-525). v6: as v5. v7: topic ids (KIP-516).
 *
 * Answered once the topics can be written to.
 */
import type { Controller } from "#controller/controller.ts";
import { CreateTopicsApi } from "#protocol/generated/create-topics.ts";
import type {
  CreateTopicsRequest,
  CreateTopicsResponse,
} from "#protocol/generated/create-topics.ts";
import type { ApiHandler } from "../handler.ts";

const FIRST_VERSION_WITH_DETAILS = 5;

/** What the handler works with. */
export interface CreateTopicsDependencies {
  readonly controller: Controller;
}

/** Serves CreateTopics. */
export function createCreateTopicsHandler({
  controller,
}: CreateTopicsDependencies): ApiHandler<CreateTopicsRequest, CreateTopicsResponse> {
  return {
    api: CreateTopicsApi,
    minVersion: 0,
    maxVersion: 7,
    async handle(request, { apiVersion }) {
      const response = await controller.createTopics(request);
      if (apiVersion >= FIRST_VERSION_WITH_DETAILS) return response;
      // Older versions carry none of it; the codec would leave it out as well, at the price of walking through it.
      for (const topic of response.topics) topic.configs = [];
      return response;
    },
  };
}
