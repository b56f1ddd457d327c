/**
 * The configuration of a group: its own values over the broker's. What may be stored depends on bounds that the broker sets;
 * should these move later, a stored value counts as the nearest bound, as in Kafka.
 */
import type { BrokerConfig, ConfigValues } from "./broker-config.ts";
import { GROUP_KEYS, groupKey } from "./group-keys.ts";
import type { GroupKeyDefinition } from "./group-keys.ts";
import { javaTrim, parseValue } from "./parse-value.ts";
import type { ParsedValue } from "./valid-values.ts";

/** What the coordinator asks of a group's configuration. */
export interface GroupSettings {
  /** `consumer.session.timeout.ms`: silence after which a member of the consumer protocol is removed. */
  readonly consumerSessionTimeoutMs: number;
  /** `consumer.heartbeat.interval.ms`: what members of the consumer protocol are told. */
  readonly consumerHeartbeatIntervalMs: number;
  /** `consumer.assignment.interval.ms`: shortest time between two target assignments. */
  readonly consumerAssignmentIntervalMs: number;
}

/** Settings of a group with the values `overrides` stored for it, over the broker's. */
export function resolveGroupSettings(broker: BrokerConfig, overrides: ConfigValues): GroupSettings {
  const number = (name: string): number => {
    const definition = groupKey(name);
    if (definition === undefined) return 0;
    const text = overrides.get(name);
    const parsed = text === undefined ? null : parseValue(definition, text).value;
    if (typeof parsed !== "number") return broker.number(definition.synonym ?? name);
    const { min, max } = boundsOf(definition, broker);
    return Math.min(Math.max(parsed, min ?? parsed), max ?? Number.MAX_SAFE_INTEGER);
  };
  return {
    consumerSessionTimeoutMs: number("consumer.session.timeout.ms"),
    consumerHeartbeatIntervalMs: number("consumer.heartbeat.interval.ms"),
    consumerAssignmentIntervalMs: number("consumer.assignment.interval.ms"),
  };
}

/** Settings by the values they were resolved from, until the broker's configuration changes: values are never modified. */
export class GroupSettingsCache {
  readonly #broker: () => BrokerConfig;
  #resolvedBy: BrokerConfig | null = null;
  #known = new WeakMap<ConfigValues, GroupSettings>();

  /** @param broker - the broker's configuration in force. */
  constructor(broker: () => BrokerConfig) {
    this.#broker = broker;
  }

  /** Settings of a group with these values of its own. */
  of(overrides: ConfigValues): GroupSettings {
    const broker = this.#broker();
    if (broker !== this.#resolvedBy) {
      this.#resolvedBy = broker;
      this.#known = new WeakMap();
    }
    let settings = this.#known.get(overrides);
    if (settings === undefined) {
      settings = resolveGroupSettings(broker, overrides);
      this.#known.set(overrides, settings);
    }
    return settings;
  }
}

function boundsOf(
  { bounds }: GroupKeyDefinition,
  broker: BrokerConfig,
): { readonly min: number | null; readonly max: number | null } {
  const bound = (name: string | undefined): number | null =>
    name === undefined ? null : broker.numberOrNull(name);
  return { min: bound(bounds?.min), max: bound(bounds?.max) };
}

/**
 * Checks values somebody wants to give a group.
 *
 * @returns null when they may be stored, otherwise Kafka's sentence for the first fault: unknown names, then values that do not
 * read, then the broker's bounds, then what concerns several keys.
 */
export function validateGroupConfig(overrides: ConfigValues, broker: BrokerConfig): string | null {
  for (const name of overrides.keys()) {
    if (groupKey(name) === undefined) return `Unknown group config name: ${name}`;
  }
  const tags = javaTrim(overrides.get(TAGS) ?? "");
  const names = tags === "" ? [] : tags.split(",").map(javaTrim);
  if (new Set(names).size !== names.length) {
    return `${TAGS} must not contain duplicate tag keys.`;
  }
  const values = new Map<string, ParsedValue>();
  for (const definition of GROUP_KEYS) {
    const text = overrides.get(definition.name);
    if (text === undefined) continue;
    const parsed = parseValue(definition, text);
    if (parsed.error !== null) return parsed.error;
    values.set(definition.name, parsed.value);
  }
  return boundsError(values, broker) ?? relationError(values, broker);
}

const TAGS = "streams.rack.aware.assignment.tags";
const DEAD_LETTERS = "errors.deadletterqueue.topic.name";

/** Kafka checks bounds protocol by protocol, and each protocol's heartbeat before the rest; otherwise in the order of the table. */
const BOUNDS_ORDER: readonly GroupKeyDefinition[] = GROUP_KEYS.toSorted((left, right) => {
  const protocol = ({ name }: GroupKeyDefinition): string => name.slice(0, name.indexOf("."));
  const rank = ({ name }: GroupKeyDefinition): number =>
    name.endsWith("heartbeat.interval.ms") ? 0 : 1;
  const [before, after] = [protocol(left), protocol(right)];
  if (before !== after) return before < after ? -1 : 1;
  return rank(left) - rank(right);
});

function boundsError(
  values: ReadonlyMap<string, ParsedValue>,
  broker: BrokerConfig,
): string | null {
  for (const definition of BOUNDS_ORDER) {
    const { name } = definition;
    const value = values.get(name);
    if (typeof value !== "number") continue;
    const { min, max } = boundsOf(definition, broker);
    const isTooLow = min !== null && value < min;
    const isTooHigh = max !== null && value > max;
    if (!isTooLow && !isTooHigh) continue;
    if (min !== null && max !== null) {
      return `${name} must be in the range ${min} to ${max} inclusive.`;
    }
    return isTooLow
      ? `${name} must be greater than or equal to ${min}`
      : `${name} must be less than or equal to ${max}`;
  }
  return null;
}

/** Checks that concern several keys, or the broker's lists. */
function relationError(
  values: ReadonlyMap<string, ParsedValue>,
  broker: BrokerConfig,
): string | null {
  const assignor = values.get("streams.assignor.name");
  const assignors = broker.list("group.streams.assignors");
  if (typeof assignor === "string" && !assignors.includes(assignor)) {
    return `streams.assignor.name '${assignor}' is not a registered task assignor. Registered assignors are: [${assignors.join(", ")}].`;
  }
  for (const protocol of ["consumer", "share", "streams"]) {
    const timeout = `${protocol}.session.timeout.ms`;
    const interval = `${protocol}.heartbeat.interval.ms`;
    if (!values.has(timeout) && !values.has(interval)) continue;
    const valueOf = (name: string): number => {
      const own = values.get(name);
      return typeof own === "number" ? own : broker.number(`group.${name}`);
    };
    if (valueOf(timeout) <= valueOf(interval)) return `${timeout} must be greater than ${interval}`;
  }
  const deadLetters = values.get(DEAD_LETTERS);
  if (typeof deadLetters === "string" && deadLetters.startsWith("__")) {
    return `${DEAD_LETTERS}: DLQ topic name must not start with '__'`;
  }
  return null;
}
