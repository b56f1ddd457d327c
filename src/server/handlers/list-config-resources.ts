/**
 * ListConfigResources (key 74): names of everything that has a configuration.
 *
 * - v0: client-metrics subscriptions, under the API's former name ListClientMetricsResources (KIP-1000).
 * - v1: of the given types, of all types for none (KIP-1142).
 *
 * Topics and brokers are all listed, subscriptions and groups where something is stored for them.
 */
import { ErrorCode } from "#common/error-code.ts";
import { liveBrokers, resourcesOf, ResourceType } from "#metadata/cluster-image.ts";
import type { ClusterImage } from "#metadata/cluster-image.ts";
import {
  ListConfigResourcesApi,
  makeConfigResource,
  makeListConfigResourcesResponse,
} from "#protocol/generated/list-config-resources.ts";
import type {
  ListConfigResourcesRequest,
  ListConfigResourcesResponse,
} from "#protocol/generated/list-config-resources.ts";
import type { ApiHandler } from "../handler.ts";

/** In the order in which Kafka lists them. */
const TYPES: readonly number[] = [
  ResourceType.GROUP,
  ResourceType.CLIENT_METRICS,
  ResourceType.BROKER_LOGGER,
  ResourceType.BROKER,
  ResourceType.TOPIC,
];

const FIRST_VERSION_WITH_TYPES = 1;

/** What the handler works with. */
export interface ListConfigResourcesDependencies {
  readonly image: () => ClusterImage;
}

/** Serves ListConfigResources. */
export function createListConfigResourcesHandler({
  image,
}: ListConfigResourcesDependencies): ApiHandler<
  ListConfigResourcesRequest,
  ListConfigResourcesResponse
> {
  return {
    api: ListConfigResourcesApi,
    minVersion: 0,
    maxVersion: 1,
    handle({ resourceTypes }, { apiVersion }) {
      const wanted = new Set(
        apiVersion < FIRST_VERSION_WITH_TYPES ? [ResourceType.CLIENT_METRICS] : resourceTypes,
      );
      for (const type of wanted) {
        if (TYPES.includes(type)) continue;
        return makeListConfigResourcesResponse({ errorCode: ErrorCode.UNSUPPORTED_VERSION });
      }
      const now = image();
      const configResources = TYPES.filter((type) => wanted.size === 0 || wanted.has(type)).flatMap(
        (resourceType) =>
          namesOf(now, resourceType).map((resourceName) =>
            makeConfigResource({ resourceType, resourceName }),
          ),
      );
      return makeListConfigResourcesResponse({ configResources });
    },
  };
}

function namesOf(image: ClusterImage, resourceType: number): string[] {
  switch (resourceType) {
    case ResourceType.TOPIC:
      return [...image.topicsByName.keys()];
    case ResourceType.BROKER:
    case ResourceType.BROKER_LOGGER:
      return liveBrokers(image).map(({ id }) => String(id));
    default:
      return [...resourcesOf(image, resourceType).keys()];
  }
}
