/**
 * Changes of a broker's configuration, or of all brokers': only keys that Kafka changes while running, a key of one broker only for one
 * broker, and only values that this broker will act on.
 *
 * @see KIP-226
 */
import { ErrorCode } from "#common/error-code.ts";
import type { BrokerConfig } from "#config/broker-config.ts";
import { BROKER_KEYS, brokerKey, storedBrokerKey } from "#config/broker-keys.ts";
import type { KeyDefinition } from "#config/key-definition.ts";
import { parseValue } from "#config/parse-value.ts";
import { topicDefaultError } from "#config/topic-config.ts";
import { configValues, ResourceType } from "#metadata/cluster-image.ts";
import {
  type Changed,
  ConfigOperation,
  difference,
  invalidConfig,
  invalidRequest,
  nextValues,
  type ResourceChange,
} from "./config-values.ts";
import { checkCordonLevel, checkCordonUnseen } from "./cordoning.ts";
import type { DecisionInput, Refusal } from "./decision.ts";
import { dynamicValuesError } from "./dynamic-checks.ts";
import { hasElr } from "./partition-rules.ts";

/** Decides the changes of one broker, or with an empty name of all. */
export function changeBroker(
  resource: ResourceChange,
  { image, nodeId, config, cluster }: DecisionInput,
): Changed {
  const { resourceName } = resource;
  const isDefault = resourceName === "";
  if (!isDefault) {
    if (!/^[+-]?\d{1,10}$/.test(resourceName)) {
      return invalidRequest(`Node id must be an integer, but it is: ${resourceName}`);
    }
    // In a cluster any broker's requests come here, and the one it concerns has looked at them.
    if (cluster === null && Number(resourceName) !== nodeId) {
      return invalidRequest(
        `Unexpected broker id, expected ${nodeId}, but received ${resourceName}`,
      );
    }
  }
  const current = configValues(image, ResourceType.BROKER, resourceName);
  const unseenRefusal = resource.isUnseen === true ? checkCordonUnseen(resource, current) : null;
  if (unseenRefusal !== null) return unseenRefusal;
  if (cluster !== null && !isDefault && !image.brokers.has(Number(resourceName))) {
    const errorMessage = `No node with id ${resourceName} found.`;
    return { errorCode: ErrorCode.BROKER_ID_NOT_REGISTERED, errorMessage };
  }
  const elrRefusal = hasElr(image) ? checkElrRules(resource, current) : null;
  if (elrRefusal !== null) return elrRefusal;
  const next = nextValues(resource, current, (name) => brokerKey(name));
  if (!(next instanceof Map)) return next;
  // What a broker's values mean beside the ones it started with is its own to say: it has looked at them before it passed them on.
  const inForce = isDefault || Number(resourceName) === nodeId ? config : null;
  const refusal =
    validateBrokerValues(next, isDefault, inForce) ??
    checkActsWhileRunning(current, next, inForce) ??
    checkCordonLevel(resource, current, image);
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

/** A value to store and the row it is read by: with a listener's prefix that of the key behind it. */
interface KnownValue {
  readonly definition: KeyDefinition;
  readonly text: string;
  readonly isOfListener: boolean;
}

/** Values of keys there are, in the order of the table, which decides whose error is told. */
function knownValues(values: ReadonlyMap<string, string>): KnownValue[] {
  const known: KnownValue[] = [];
  for (const [name, text] of values) {
    const base = /^listener\.name\.[^.]+\.(.+)$/.exec(name)?.[1];
    const definition = storedBrokerKey(base ?? name);
    if (definition !== undefined)
      known.push({ definition, text, isOfListener: base !== undefined });
  }
  return known.toSorted(
    (left, right) => BROKER_KEYS.indexOf(left.definition) - BROKER_KEYS.indexOf(right.definition),
  );
}

/** Kafka's checks of dynamic broker values, in its order. Keys nobody knows are stored as they are. */
function validateBrokerValues(
  values: ReadonlyMap<string, string>,
  isDefault: boolean,
  config: BrokerConfig | null,
): Refusal | null {
  const all = knownValues(values);
  const known = all.filter(({ isOfListener }) => !isOfListener);
  const namesOf = (rows: readonly KnownValue[]): string =>
    rows.map(({ definition }) => definition.name).join(", ");
  const fixed = known.filter(({ definition }) => definition.update === undefined);
  if (fixed.length > 0)
    return invalidRequest(`Cannot update these configs dynamically: [${namesOf(fixed)}]`);
  for (const { definition, text } of all) {
    if (definition.type !== "class") continue;
    const { name } = definition;
    return invalidRequest(
      `Invalid value ${text} for configuration ${name}: Class ${text} could not be found.`,
    );
  }
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
  for (const { definition, text } of all) {
    const { value, error } = parseValue(definition, text);
    const refusal = error ?? topicDefaultError(definition.name, value);
    if (refusal !== null) return invalidRequest(refusal);
  }
  const perBroker = known.filter(({ definition }) => definition.update === "per-broker");
  if (isDefault && perBroker.length > 0) {
    return invalidRequest(
      `Cannot update these configs at default cluster level, broker id must be specified: [${namesOf(perBroker)}]`,
    );
  }
  if (config === null) return null;
  const own = new Map(known.map(({ definition, text }) => [definition.name, text]));
  const error = dynamicValuesError(own, config);
  return error === null ? null : invalidRequest(error);
}

/**
 * Keys that Kafka changes while running and this broker reads at start only. Storing such a value would promise what does not
 * happen, so a new one is refused; removing one is fine.
 */
function checkActsWhileRunning(
  current: ReadonlyMap<string, string>,
  next: ReadonlyMap<string, string>,
  config: BrokerConfig | null,
): Refusal | null {
  if (config === null) return null;
  const refused = [...next]
    .filter(([name, text]) => brokerKey(name)?.actsAtStart === true && current.get(name) !== text)
    .filter(([name, text]) => config.text(name)?.trim() !== text.trim())
    .map(([name]) => name);
  if (refused.length === 0) return null;
  return invalidRequest(
    `Cannot update these configs dynamically: [${refused.join(", ")}]. This broker reads them at start: set them in its server.properties and restart it.`,
  );
}
