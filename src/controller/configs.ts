/**
 * Decisions on changing configurations of topics and brokers, one resource at a time: a resource is changed as a whole or
 * not at all, and the others are not concerned.
 *
 * @see KIP-226 (dynamic broker keys), KIP-339 (incremental changes)
 */
import { ErrorCode } from "#common/error-code.ts";
import { brokerKey } from "#config/broker-keys.ts";
import { parsePerIpOverrides } from "#config/broker-settings.ts";
import { validateGroupConfig } from "#config/group-config.ts";
import { parseValue } from "#config/parse-value.ts";
import { topicDefaultError, validateTopicConfig } from "#config/topic-config.ts";
import { topicKey } from "#config/topic-keys.ts";
import { configValues, ResourceType } from "#metadata/cluster-image.ts";
import type { MetadataRecord } from "#protocol/generated/records/metadata-record-table.ts";
import type { DecisionInput, Decision, Refusal } from "./decision.ts";
import { topicNameError } from "./topic-name.ts";

/** Operations of IncrementalAlterConfigs. */
export const ConfigOperation = { SET: 0, DELETE: 1, APPEND: 2, SUBTRACT: 3 } as const;

/** One wanted change. */
export interface ConfigChange {
  readonly name: string;
  readonly operation: number;
  readonly value: string | null;
}

/** Changes of one resource. */
export interface ResourceChange {
  readonly resourceType: number;
  readonly resourceName: string;
  readonly changes: readonly ConfigChange[];
  /** True to drop every value that is not named: the older AlterConfigs. */
  readonly replacesAll: boolean;
}

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
  return { response, records: validateOnly ? [] : records };
}

function identity({ resourceType, resourceName }: ResourceChange): string {
  return `${resourceType}:${resourceName}`;
}

function invalidRequest(errorMessage: string): Refusal {
  return { errorCode: ErrorCode.INVALID_REQUEST, errorMessage };
}

function invalidConfig(errorMessage: string): Refusal {
  return { errorCode: ErrorCode.INVALID_CONFIG, errorMessage };
}

type Changed = { readonly records: readonly MetadataRecord[] } | Refusal;

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
      return refuseLogger(resource, input.nodeId);
    case ResourceType.CLIENT_METRICS:
      return invalidRequest("Client metrics subscriptions are not offered.");
    case ResourceType.GROUP:
      return changeGroup(resource, input);
    default:
      return invalidRequest(`Unknown resource type ${resource.resourceType}`);
  }
}

/** There are no loggers by name whose level could be changed. */
function refuseLogger(
  { resourceName, resourceType, changes, replacesAll }: ResourceChange,
  nodeId: number,
): Changed {
  if (replacesAll) return invalidRequest(`Unknown resource type ${resourceType}`);
  if (resourceName !== String(nodeId)) {
    return invalidRequest(`Unexpected node id. Expected ${nodeId}, but received ${resourceName}`);
  }
  const [first] = changes;
  return first === undefined
    ? { records: [] }
    : invalidConfig(`Logger ${first.name} does not exist!`);
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

function changeBroker(resource: ResourceChange, { image, nodeId }: DecisionInput): Changed {
  const { resourceName } = resource;
  const isDefault = resourceName === "";
  if (!isDefault) {
    if (!/^[+-]?\d{1,10}$/.test(resourceName)) {
      return invalidRequest(`Node id must be an integer, but it is: ${resourceName}`);
    }
    if (Number(resourceName) !== nodeId) {
      return invalidRequest(
        `Unexpected broker id, expected ${nodeId}, but received ${resourceName}`,
      );
    }
  }
  const current = configValues(image, ResourceType.BROKER, resourceName);
  const hasElr = (image.features.get("eligible.leader.replicas.version") ?? 0) > 0;
  const elrRefusal = hasElr ? checkElrRules(resource, current) : null;
  if (elrRefusal !== null) return elrRefusal;
  const next = nextValues(resource, current, (name) => brokerKey(name));
  if (!(next instanceof Map)) return next;
  const refusal = validateBrokerValues(next, isDefault) ?? checkActsWhileRunning(current, next);
  return refusal ?? { records: difference(resource, current, next) };
}

/** With eligible leader replicas (KIP-966) `min.insync.replicas` is one value for the whole cluster and always set. */
function checkElrRules(
  { resourceName, changes, replacesAll }: ResourceChange,
  current: ReadonlyMap<string, string>,
): Refusal | null {
  const change = changes.find(({ name }) => name === "min.insync.replicas");
  if (resourceName !== "") {
    return change === undefined
      ? null
      : invalidConfig("Broker-level min.insync.replicas cannot be altered while ELR is enabled.");
  }
  const isRemoved =
    change === undefined
      ? replacesAll && current.has("min.insync.replicas")
      : change.operation === ConfigOperation.DELETE;
  return isRemoved
    ? invalidConfig("Cluster-level min.insync.replicas cannot be removed while ELR is enabled.")
    : null;
}

/** Kafka's checks of dynamic broker values, in its order. Keys nobody knows are stored as they are. */
function validateBrokerValues(
  values: ReadonlyMap<string, string>,
  isDefault: boolean,
): Refusal | null {
  const known = [...values].flatMap(([name, text]) => {
    const definition = brokerKey(name);
    return definition === undefined ? [] : [{ definition, text }];
  });
  const namesOf = (rows: typeof known): string =>
    rows.map(({ definition }) => definition.name).join(", ");
  const fixed = known.filter(({ definition }) => definition.update === undefined);
  if (fixed.length > 0)
    return invalidRequest(`Cannot update these configs dynamically: [${namesOf(fixed)}]`);
  const security = known.filter(
    ({ definition: { name, update } }) =>
      update === "per-broker" && /^(ssl|sasl|principal)\./.test(name),
  );
  if (security.length > 0) {
    return invalidRequest(
      "These security configs can be dynamically updated only per-listener using the listener prefix: " +
        `[${namesOf(security)}]`,
    );
  }
  for (const { definition, text } of known) {
    const { value, error } = parseValue(definition, text);
    const refusal =
      error ?? topicDefaultError(definition.name, value) ?? formatError(definition.name, text);
    if (refusal !== null) return invalidRequest(refusal);
  }
  const perBroker = known.filter(({ definition }) => definition.update === "per-broker");
  if (isDefault && perBroker.length > 0) {
    return invalidRequest(
      `Cannot update these configs at default cluster level, broker id must be specified: [${namesOf(perBroker)}]`,
    );
  }
  return null;
}

/**
 * Keys that Kafka changes while running and this broker reads at start only. Storing such a value would promise what does not
 * happen, so a new one is refused; removing one is fine.
 */
function checkActsWhileRunning(
  current: ReadonlyMap<string, string>,
  next: ReadonlyMap<string, string>,
): Refusal | null {
  const refused = [...next]
    .filter(([name, text]) => brokerKey(name)?.actsAtStart === true && current.get(name) !== text)
    .map(([name]) => name);
  if (refused.length === 0) return null;
  return invalidRequest(
    `Cannot update these configs dynamically: [${refused.join(", ")}]. This broker reads them at start: set them in its server.properties and restart it.`,
  );
}

/** Checks values whose text has a form of its own. */
function formatError(name: string, text: string): string | null {
  return name === "max.connections.per.ip.overrides" ? parsePerIpOverrides(text).error : null;
}

interface ListDefinition {
  readonly type: string;
  readonly default: string | null;
}

/** The values a resource would have after the changes, or why it cannot have them. */
function nextValues(
  { resourceType, changes, replacesAll }: ResourceChange,
  current: ReadonlyMap<string, string>,
  definitionOf: (name: string) => ListDefinition | undefined,
): Map<string, string> | Refusal {
  const next = new Map(replacesAll ? [] : current);
  for (const { name, operation, value } of changes) {
    switch (operation) {
      case ConfigOperation.SET:
        next.set(name, value ?? "");
        break;
      case ConfigOperation.DELETE:
        next.delete(name);
        break;
      case ConfigOperation.APPEND:
      case ConfigOperation.SUBTRACT: {
        const isAppend = operation === ConfigOperation.APPEND;
        const definition = definitionOf(name);
        if (definition?.type !== "list") {
          if (resourceType === ResourceType.BROKER) {
            if (definition === undefined) return invalidConfig(`Unknown config name: ${name}`);
            const verb = isAppend ? "append" : "subtract";
            return invalidConfig(`Config value ${verb} is not allowed for config key: ${name}`);
          }
          const verb = isAppend ? "APPEND" : "SUBTRACT";
          return invalidConfig(`Can't ${verb} to key ${name} because its type is not LIST.`);
        }
        const parts = splitList(next.get(name) ?? definition.default ?? "");
        const given = splitList(value ?? "");
        const kept = isAppend
          ? [...parts, ...given.filter((part) => !parts.includes(part))]
          : parts.filter((part) => !given.includes(part));
        next.set(name, kept.join(","));
        break;
      }
      default:
        return { errorCode: ErrorCode.UNKNOWN_SERVER_ERROR, errorMessage: null };
    }
  }
  return next;
}

function splitList(text: string): string[] {
  return text === "" ? [] : text.split(",").map((part) => part.trim());
}

function difference(
  { resourceType, resourceName }: ResourceChange,
  current: ReadonlyMap<string, string>,
  next: ReadonlyMap<string, string>,
): MetadataRecord[] {
  const records: MetadataRecord[] = [];
  const add = (name: string, value: string | null): void => {
    records.push({ kind: "ConfigRecord", record: { resourceType, resourceName, name, value } });
  };
  for (const [name, value] of next) if (current.get(name) !== value) add(name, value);
  for (const name of current.keys()) if (!next.has(name)) add(name, null);
  return records;
}
