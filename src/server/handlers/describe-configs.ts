/**
 * DescribeConfigs (key 32): values of topics and brokers, with where each comes from.
 *
 * - v0: gone from Kafka 4, kept for clients that still send it; is_default instead of a source.
 * - v1: sources and synonyms (KIP-226). v2: as v1. v3: type and documentation (KIP-569). v4: flexible.
 *
 * Kafka answers for any group and any subscription of client metrics, whether it exists or not.
 */
import { ErrorCode, errorInfo } from "#common/error-code.ts";
import type { BrokerConfig } from "#config/broker-config.ts";
import {
  ConfigSource,
  describeBrokerConfig,
  describeClientMetricsConfig,
  describeDynamicDefaults,
  describeGroupConfig,
  describeLoggers,
  describeTopicConfig,
} from "#config/describe-config.ts";
import type { LoggerLevels } from "#config/logger-levels.ts";
import type { DescribedConfig } from "#config/describe-config.ts";
import type { Refusal } from "#controller/decision.ts";
import { topicNameError } from "#controller/topic-name.ts";
import { configValues, ResourceType } from "#metadata/cluster-image.ts";
import type { ClusterImage } from "#metadata/cluster-image.ts";
import {
  DescribeConfigsApi,
  makeDescribeConfigsResourceResult,
  makeDescribeConfigsResponse,
  makeDescribeConfigsResult,
} from "#protocol/generated/describe-configs.ts";
import type {
  DescribeConfigsRequest,
  DescribeConfigsResource,
  DescribeConfigsResourceResult,
  DescribeConfigsResponse,
} from "#protocol/generated/describe-configs.ts";
import type { ApiHandler } from "../handler.ts";

const FIRST_VERSION_WITH_SOURCES = 1;
const FIRST_VERSION_WITH_TYPES = 3;

/** What the handler works with. */
export interface DescribeConfigsDependencies {
  readonly nodeId: number;
  image(): ClusterImage;
  /** The broker's configuration in force. */
  config(): BrokerConfig;
  readonly loggers: Pick<LoggerLevels, "levels">;
}

/** Serves DescribeConfigs. */
export function createDescribeConfigsHandler(
  dependencies: DescribeConfigsDependencies,
): ApiHandler<DescribeConfigsRequest, DescribeConfigsResponse> {
  return {
    api: DescribeConfigsApi,
    minVersion: 0,
    maxVersion: 4,
    handle(request, { apiVersion }) {
      // A flood of one resource is described once.
      const known = new Map<string, DescribedConfig[] | Refusal>();
      const results = request.resources.map((resource) => {
        const { resourceType, resourceName } = resource;
        const key = `${resourceType} ${resourceName}`;
        let described = known.get(key);
        if (described === undefined) {
          described = describe(dependencies, resource);
          known.set(key, described);
        }
        if (!Array.isArray(described)) {
          return makeDescribeConfigsResult({ resourceType, resourceName, ...described });
        }
        const configs = select(described, resource.configurationKeys).map((config) =>
          resourceResult(config, request, apiVersion),
        );
        return makeDescribeConfigsResult({ errorMessage: "", resourceType, resourceName, configs });
      });
      return makeDescribeConfigsResponse({ results });
    },
  };
}

function describe(
  dependencies: DescribeConfigsDependencies,
  { resourceType, resourceName }: DescribeConfigsResource,
): DescribedConfig[] | Refusal {
  const { nodeId } = dependencies;
  const image = dependencies.image();
  const config = dependencies.config();
  switch (resourceType) {
    case ResourceType.TOPIC: {
      const invalid = topicNameError(resourceName);
      if (invalid !== null)
        return { errorCode: ErrorCode.INVALID_TOPIC_EXCEPTION, errorMessage: invalid };
      if (!image.topicsByName.has(resourceName)) {
        return { errorCode: ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, errorMessage: "" };
      }
      return describeTopicConfig(config, configValues(image, ResourceType.TOPIC, resourceName));
    }
    case ResourceType.BROKER:
      if (resourceName === "") return describeDynamicDefaults(config);
      return checkNodeId(resourceName, nodeId, " or empty string,") ?? describeBrokerConfig(config);
    case ResourceType.BROKER_LOGGER:
      if (resourceName === "") return invalidRequest("Broker id must not be empty");
      return (
        checkNodeId(resourceName, nodeId, "") ?? describeLoggers(dependencies.loggers.levels())
      );
    case ResourceType.GROUP:
      return resourceName === ""
        ? invalidRequest("Group name must not be empty")
        : describeGroupConfig(config, configValues(image, ResourceType.GROUP, resourceName));
    case ResourceType.CLIENT_METRICS:
      return resourceName === ""
        ? invalidRequest("Client metrics subscription name must not be empty")
        : describeClientMetricsConfig(
            configValues(image, ResourceType.CLIENT_METRICS, resourceName),
          );
    default:
      return invalidRequest(errorInfo(ErrorCode.INVALID_REQUEST).description);
  }
}

function invalidRequest(errorMessage: string): Refusal {
  return { errorCode: ErrorCode.INVALID_REQUEST, errorMessage };
}

function checkNodeId(text: string, nodeId: number, alternative: string): Refusal | null {
  if (!/^[+-]?\d{1,10}$/.test(text))
    return invalidRequest(`Broker id must be an integer, but it is: ${text}`);
  if (Number(text) === nodeId) return null;
  return invalidRequest(
    `Unexpected broker id, expected ${nodeId}${alternative} but received ${text}`,
  );
}

/** The keys asked for; null and an empty list ask for all. Keys that do not exist are passed over. */
function select(configs: DescribedConfig[], keys: readonly string[] | null): DescribedConfig[] {
  if (keys === null || keys.length === 0) return configs;
  const wanted = new Set(keys);
  return configs.filter(({ name }) => wanted.has(name));
}

function resourceResult(
  config: DescribedConfig,
  { includeSynonyms, includeDocumentation }: DescribeConfigsRequest,
  version: number,
): DescribeConfigsResourceResult {
  const { name, value, source, isReadOnly, isSensitive, synonyms, typeId, doc } = config;
  const result = makeDescribeConfigsResourceResult({
    name,
    value,
    readOnly: isReadOnly,
    isSensitive,
  });
  if (version < FIRST_VERSION_WITH_SOURCES) {
    result.isDefault = source === ConfigSource.DEFAULT_CONFIG;
    return result;
  }
  result.configSource = source;
  if (includeSynonyms) result.synonyms = [...synonyms];
  if (version >= FIRST_VERSION_WITH_TYPES) {
    result.configType = typeId;
    result.documentation = includeDocumentation ? doc : null;
  }
  return result;
}
