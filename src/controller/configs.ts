/**
 * Decisions on changing configurations, one resource at a time: a resource is changed as a whole or not at all, and the others are
 * not concerned. What a change comes to is worked out in `config-values.ts`; here is who may have which values.
 *
 * @see KIP-226 (dynamic broker keys), KIP-339 (incremental changes), KIP-412 (loggers), KIP-714 (client metrics), KIP-848 (groups)
 */
import { ErrorCode } from "#common/error-code.ts";
import { validateClientMetricsConfig } from "#config/client-metrics-config.ts";
import { validateGroupConfig } from "#config/group-config.ts";
import { LOGGER_LEVEL_NAMES, ROOT_LOGGER } from "#config/logger-levels.ts";
import { validateTopicConfig } from "#config/topic-config.ts";
import { topicKey } from "#config/topic-keys.ts";
import { configValues, ResourceType } from "#metadata/cluster-image.ts";
import type { MetadataRecord } from "#protocol/generated/records/metadata-record-table.ts";
import { changeBroker } from "./broker-configs.ts";
import {
  type Changed,
  ConfigOperation,
  difference,
  invalidConfig,
  invalidRequest,
  nextValues,
  type ResourceChange,
} from "./config-values.ts";
import {
  type Decision,
  type DecisionInput,
  EXCESSIVE_BATCH,
  MAX_RECORDS_PER_REQUEST,
  type Refusal,
} from "./decision.ts";
import { hasElr } from "./partition-rules.ts";
import { topicNameError } from "./topic-name.ts";

/** How one resource fared; `errorCode` NONE when it was (or would be) changed. */
export interface ResourceOutcome extends Refusal {
  readonly resourceType: number;
  readonly resourceName: string;
}

/** Decides a request of either API. With `validateOnly` the outcomes are the same and there are no records. */
export function decideConfigChanges(
  resources: readonly ResourceChange[],
  validateOnly: boolean,
  input: DecisionInput,
): Decision<readonly ResourceOutcome[]> {
  const counts = new Map<string, number>();
  for (const resource of resources)
    counts.set(identity(resource), (counts.get(identity(resource)) ?? 0) + 1);
  const records: MetadataRecord[] = [];
  const response = resources.map((resource): ResourceOutcome => {
    const { resourceType, resourceName } = resource;
    const changed =
      (counts.get(identity(resource)) ?? 0) > 1
        ? invalidRequest("Each resource must appear at most once.")
        : changeResource(resource, input);
    if ("errorCode" in changed) return { resourceType, resourceName, ...changed };
    for (const record of changed.records) records.push(record);
    return { resourceType, resourceName, errorCode: ErrorCode.NONE, errorMessage: null };
  });
  if (records.length > MAX_RECORDS_PER_REQUEST) {
    return { response: refuseConfigChanges(resources, EXCESSIVE_BATCH), records: [] };
  }
  return { response, records: validateOnly ? [] : [...records, ...clearedElrs(records, input)] };
}

/** Who is eligible to lead depends on `min.insync.replicas`: with another one nobody is, until the ISR says who (KIP-966). */
function* clearedElrs(
  records: readonly MetadataRecord[],
  { image }: DecisionInput,
): Generator<MetadataRecord> {
  if (!hasElr(image)) return;
  for (const entry of records) {
    if (entry.kind !== "ConfigRecord" || entry.record.name !== "min.insync.replicas") continue;
    const { resourceType, resourceName } = entry.record;
    const topicName = resourceType === ResourceType.TOPIC ? resourceName : "";
    yield { kind: "ClearElrRecord", record: { topicName } };
  }
}

/** The same answer for every resource. */
export function refuseConfigChanges(
  resources: readonly ResourceChange[],
  refusal: Refusal,
): readonly ResourceOutcome[] {
  return resources.map(({ resourceType, resourceName }) => ({
    resourceType,
    resourceName,
    ...refusal,
  }));
}

function identity({ resourceType, resourceName }: ResourceChange): string {
  return `${resourceType}:${resourceName}`;
}

function changeResource(resource: ResourceChange, input: DecisionInput): Changed {
  const names = resource.changes.map(({ name }) => name);
  if (new Set(names).size !== names.length)
    return invalidRequest("Error due to duplicate config keys");
  for (const { name, operation, value } of resource.changes) {
    if (value === null && operation !== ConfigOperation.DELETE) {
      return invalidRequest(`Null value not supported for : ${name}`);
    }
  }
  switch (resource.resourceType) {
    case ResourceType.TOPIC:
      return changeTopic(resource, input);
    case ResourceType.BROKER:
      return changeBroker(resource, input);
    case ResourceType.BROKER_LOGGER:
      return checkLoggers(resource, input);
    case ResourceType.CLIENT_METRICS:
      return changeClientMetrics(resource, input);
    case ResourceType.GROUP:
      return changeGroup(resource, input);
    default:
      return invalidRequest(`Unknown resource type ${resource.resourceType}`);
  }
}

/** Checks changes of loggers, which live outside the metadata: nothing is recorded, and what is set lasts until a restart. */
function checkLoggers(
  { resourceName, resourceType, changes, replacesAll }: ResourceChange,
  { nodeId, loggers }: DecisionInput,
): Changed {
  if (replacesAll) return invalidRequest(`Unknown resource type ${resourceType}`);
  if (!/^[+-]?\d{1,10}$/.test(resourceName)) {
    return invalidRequest(`Node id must be an integer, but it is: ${resourceName}`);
  }
  if (Number(resourceName) !== nodeId) {
    return invalidRequest(`Unexpected node id. Expected ${nodeId}, but received ${resourceName}`);
  }
  for (const { name, operation, value } of changes) {
    const refusal = checkLogger(name, operation, value, loggers);
    if (refusal !== null) return refusal;
  }
  return { records: [] };
}

function checkLogger(
  name: string,
  operation: number,
  level: string | null,
  loggers: DecisionInput["loggers"],
): Refusal | null {
  const isAllowed = "is not allowed for the BROKER_LOGGER resource";
  switch (operation) {
    case ConfigOperation.APPEND:
      return invalidRequest(`APPEND operation ${isAllowed}`);
    case ConfigOperation.SUBTRACT:
      return invalidRequest(`SUBTRACT operation ${isAllowed}`);
    case ConfigOperation.SET:
    case ConfigOperation.DELETE:
      break;
    default:
      return invalidRequest(`Unknown operation type ${operation} ${isAllowed}`);
  }
  if (!loggers.has(name)) return invalidConfig(`Logger ${name} does not exist!`);
  if (operation === ConfigOperation.DELETE) {
    return name === ROOT_LOGGER
      ? invalidRequest("Removing the log level of the root logger is not allowed")
      : null;
  }
  if (level !== null && LOGGER_LEVEL_NAMES.includes(level)) return null;
  return invalidConfig(
    `Cannot set the log level of ${name} to ${level} as it is not a supported log level. ` +
      `Valid log levels are ${LOGGER_LEVEL_NAMES.join(", ")}`,
  );
}

function changeTopic(resource: ResourceChange, { image }: DecisionInput): Changed {
  const { resourceName } = resource;
  if (resourceName === "") return invalidRequest("Default topic resources are not allowed.");
  const invalid = topicNameError(resourceName);
  if (invalid !== null)
    return { errorCode: ErrorCode.INVALID_TOPIC_EXCEPTION, errorMessage: invalid };
  if (!image.topicsByName.has(resourceName)) {
    const errorMessage = `The topic '${resourceName}' does not exist.`;
    return { errorCode: ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, errorMessage };
  }
  const current = configValues(image, ResourceType.TOPIC, resourceName);
  const next = nextValues(resource, current, (name) => topicKey(name));
  if (!(next instanceof Map)) return next;
  const error = validateTopicConfig(next);
  return error === null ? { records: difference(resource, current, next) } : invalidConfig(error);
}

/** A group need not exist: its values wait for it. Kafka counts none of its keys as a list here. */
function changeGroup(resource: ResourceChange, { image, config }: DecisionInput): Changed {
  const { resourceName } = resource;
  if (resourceName === "") return invalidRequest("Default group resources are not allowed.");
  const current = configValues(image, ResourceType.GROUP, resourceName);
  const next = nextValues(resource, current, () => undefined);
  if (!(next instanceof Map)) return next;
  const error = validateGroupConfig(next, config);
  return error === null ? { records: difference(resource, current, next) } : invalidConfig(error);
}

/** A subscription of client metrics comes to be with its first value. Kafka counts none of its keys as a list here. */
function changeClientMetrics(
  resource: ResourceChange,
  { image, isPattern }: DecisionInput,
): Changed {
  const { resourceName } = resource;
  const current = configValues(image, ResourceType.CLIENT_METRICS, resourceName);
  const next = nextValues(resource, current, () => undefined);
  if (!(next instanceof Map)) return next;
  if (resourceName === "") return invalidRequest("Subscription name can't be empty");
  const fault = validateClientMetricsConfig(next, isPattern);
  if (fault === null) return { records: difference(resource, current, next) };
  return fault.isRequest ? invalidRequest(fault.sentence) : invalidConfig(fault.sentence);
}
