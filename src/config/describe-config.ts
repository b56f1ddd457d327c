/**
 * What DescribeConfigs tells of a key: the value in force, where it comes from, and every layer that has a say, best
 * first. The layers of a topic key are its own value and then those of the broker key behind it.
 */
import { javaHashMapOrder } from "#common/java-hash.ts";
import type { BrokerConfig, ConfigValues } from "./broker-config.ts";
import { BROKER_KEYS, brokerKey, brokerSynonyms, storedBrokerKey } from "./broker-keys.ts";
import { CLIENT_METRICS_KEY_LISTING } from "./client-metrics-keys.ts";
import { GROUP_KEY_LISTING } from "./group-keys.ts";
import type { KeyDefinition, KeyType } from "./key-definition.ts";
import { isSensitive } from "./key-definition.ts";
import { formatValue, parseValue } from "./parse-value.ts";
import { resolveTopicConfig } from "./topic-config.ts";
import { TOPIC_KEYS } from "./topic-keys.ts";

/** Kafka's numbers for where a value comes from. */
export const ConfigSource = {
  UNKNOWN: 0,
  TOPIC_CONFIG: 1,
  DYNAMIC_BROKER_CONFIG: 2,
  DYNAMIC_DEFAULT_BROKER_CONFIG: 3,
  STATIC_BROKER_CONFIG: 4,
  DEFAULT_CONFIG: 5,
  DYNAMIC_BROKER_LOGGER_CONFIG: 6,
  CLIENT_METRICS_CONFIG: 7,
  GROUP_CONFIG: 8,
} as const;

/** Kafka's numbers for types in DescribeConfigs. */
const TYPE_IDS: Readonly<Record<KeyType, number>> = {
  boolean: 1,
  string: 2,
  int: 3,
  short: 4,
  long: 5,
  double: 6,
  list: 7,
  class: 8,
  password: 9,
};

const UNKNOWN_TYPE = 0;

/** Keys that are listed, Kafka's in the order of its maps and then ours. */
function listing<Row extends KeyDefinition>(keys: readonly Row[]): readonly Row[] {
  const listed = keys.filter(({ isInternal }) => isInternal !== true);
  const isOurs = ({ name }: Row): boolean => name.startsWith("sluice.");
  return [...javaHashMapOrder(listed.filter((key) => !isOurs(key))), ...listed.filter(isOurs)];
}

const TOPIC_LISTING = listing(TOPIC_KEYS);
const BROKER_LISTING = listing(BROKER_KEYS);

/** One layer that has a value for the key or for a synonym of it. */
export interface DescribedSynonym {
  readonly name: string;
  readonly value: string | null;
  readonly source: number;
}

/** One key as DescribeConfigs tells it. Sensitive values are null. */
export interface DescribedConfig {
  readonly name: string;
  readonly value: string | null;
  readonly source: number;
  readonly isReadOnly: boolean;
  readonly isSensitive: boolean;
  readonly synonyms: readonly DescribedSynonym[];
  readonly typeId: number;
  readonly doc: string | null;
}

/** Every listed key of a topic. */
export function describeTopicConfig(
  broker: BrokerConfig,
  overrides: ConfigValues,
): DescribedConfig[] {
  const config = resolveTopicConfig(broker, overrides);
  const described: DescribedConfig[] = [];
  for (const definition of TOPIC_LISTING) {
    const value = formatValue(definition.type, config.get(definition.name) ?? null);
    const [synonym] = definition.synonyms ?? [];
    const layers = synonym === undefined ? [] : brokerLayers(broker, synonym.name);
    const own = overrides.has(definition.name)
      ? [{ name: definition.name, value, source: ConfigSource.TOPIC_CONFIG }]
      : [];
    described.push(describe(definition, value, [...own, ...layers], false));
  }
  return described;
}

/** Every listed key of a group; internal ones where the group sets them. */
export function describeGroupConfig(
  broker: BrokerConfig,
  overrides: ConfigValues,
): DescribedConfig[] {
  const described: DescribedConfig[] = [];
  for (const definition of GROUP_KEY_LISTING) {
    const { name, type, synonym, isInternal } = definition;
    const own = overrides.get(name);
    if (isInternal === true && own === undefined) continue;
    const shown = (text: string | null): string | null =>
      text === null ? null : formatValue(type, parseValue(definition, text).value);
    const layers =
      synonym === undefined
        ? [{ name, value: definition.default, source: ConfigSource.DEFAULT_CONFIG }]
        : brokerLayers(broker, synonym);
    const inherited = shown(synonym === undefined ? definition.default : broker.text(synonym));
    const value = own === undefined ? inherited : shown(own);
    if (own !== undefined) layers.unshift({ name, value, source: ConfigSource.GROUP_CONFIG });
    described.push(describe(definition, value, layers, false));
  }
  return described;
}

/** The keys of a client-metrics subscription; one that nobody made has the defaults. */
export function describeClientMetricsConfig(values: ConfigValues): DescribedConfig[] {
  return CLIENT_METRICS_KEY_LISTING.map((definition) => {
    const { name, type } = definition;
    const own = values.get(name);
    const text = own ?? definition.default ?? "";
    const value = formatValue(type, parseValue(definition, text).value);
    const layers =
      own === undefined ? [] : [{ name, value, source: ConfigSource.CLIENT_METRICS_CONFIG }];
    return describe(definition, value, layers, false);
  });
}

/** Loggers and their levels. */
export function describeLoggers(levels: ReadonlyMap<string, string>): DescribedConfig[] {
  return [...levels].map(([name, value]) => ({
    name,
    value,
    source: ConfigSource.DYNAMIC_BROKER_LOGGER_CONFIG,
    isReadOnly: false,
    isSensitive: false,
    synonyms: [],
    typeId: UNKNOWN_TYPE,
    doc: "",
  }));
}

/** Every listed key of this broker, those that somebody stored and nobody knows first. */
export function describeBrokerConfig(broker: BrokerConfig): DescribedConfig[] {
  const described = foreignNames([broker.dynamicValues, broker.dynamicDefaults]).map((name) =>
    describeForeign(broker, name),
  );
  for (const definition of BROKER_LISTING) {
    const layers = brokerLayers(broker, definition.name);
    const value = formatValue(definition.type, broker.value(definition.name));
    described.push(describe(definition, value, layers, definition.update === undefined));
  }
  return described;
}

/** What is stored for all brokers: only keys that are set there. */
export function describeDynamicDefaults(broker: BrokerConfig): DescribedConfig[] {
  const isDefault = ({ source }: DescribedSynonym): boolean =>
    source === ConfigSource.DYNAMIC_DEFAULT_BROKER_CONFIG;
  const described: DescribedConfig[] = [];
  for (const [name, text] of broker.dynamicDefaults) {
    const definition = brokerKey(name);
    if (definition === undefined) {
      const foreign = describeForeign(broker, name);
      const synonyms = foreign.synonyms.filter(isDefault);
      const value = synonyms[0]?.value ?? null;
      described.push({
        ...foreign,
        value,
        synonyms,
        source: synonyms[0]?.source ?? foreign.source,
      });
      continue;
    }
    const layers = brokerLayers(broker, name).filter(isDefault);
    const value = formatValue(definition.type, parseValue(definition, text).value);
    described.push(describe(definition, value, layers, definition.update === undefined));
  }
  return described;
}

/** Names in any of the layers that are no row of the table. */
function foreignNames(layers: readonly ConfigValues[]): string[] {
  const names = layers.flatMap((values) => [...values.keys()]);
  return [...new Set(names)].filter((name) => brokerKey(name) === undefined);
}

/**
 * A stored key that is no row of the table. With a listener's prefix it is of the type of the key behind the prefix, which also has a say;
 * anything else is of unknown type and, who knows, a secret.
 */
function describeForeign(broker: BrokerConfig, name: string): DescribedConfig {
  const base = /^listener\.name\.[^.]+\.(.+)$/.exec(name)?.[1];
  const definition = storedBrokerKey(base ?? name);
  const hidden = definition === undefined || isSensitive(definition);
  const own: DescribedSynonym[] = [];
  const add = (source: number, text: string | undefined): void => {
    if (text !== undefined) own.push({ name, value: hidden ? null : text, source });
  };
  add(ConfigSource.DYNAMIC_BROKER_CONFIG, broker.dynamicValues.get(name));
  add(ConfigSource.DYNAMIC_DEFAULT_BROKER_CONFIG, broker.dynamicDefaults.get(name));
  const behind = base === undefined ? [] : brokerLayers(broker, base);
  return {
    name,
    value: own[0]?.value ?? null,
    source: own[0]?.source ?? ConfigSource.UNKNOWN,
    isReadOnly: definition === undefined || base !== undefined,
    isSensitive: hidden,
    synonyms: [...own, ...behind],
    typeId: definition === undefined ? UNKNOWN_TYPE : TYPE_IDS[definition.type],
    doc: null,
  };
}

function describe(
  definition: KeyDefinition,
  value: string | null,
  layers: readonly DescribedSynonym[],
  isReadOnly: boolean,
): DescribedConfig {
  const hidden = isSensitive(definition);
  return {
    name: definition.name,
    value: hidden ? null : value,
    source: layers[0]?.source ?? ConfigSource.DEFAULT_CONFIG,
    isReadOnly,
    isSensitive: hidden,
    synonyms: layers,
    typeId: TYPE_IDS[definition.type],
    doc: definition.doc ?? null,
  };
}

/**
 * The layers behind a broker key. Those that come before the first one of the key's own name are dropped, as Kafka does:
 * `log.retention.minutes` says nothing of `log.retention.ms` being set.
 */
function brokerLayers(broker: BrokerConfig, name: string): DescribedSynonym[] {
  const definition = brokerKey(name);
  if (definition === undefined) return [];
  const hidden = isSensitive(definition);
  const names = brokerSynonyms(name);
  const layers: DescribedSynonym[] = [];
  const add = (source: number, text: (key: string) => string | null | undefined): void => {
    for (const key of names) {
      const value = text(key);
      if (value !== null && value !== undefined)
        layers.push({ name: key, value: hidden ? null : value, source });
    }
  };
  add(ConfigSource.DYNAMIC_BROKER_CONFIG, (key) => broker.dynamicValues.get(key));
  add(ConfigSource.DYNAMIC_DEFAULT_BROKER_CONFIG, (key) => broker.dynamicDefaults.get(key));
  add(ConfigSource.STATIC_BROKER_CONFIG, (key) => broker.staticValues.get(key));
  add(ConfigSource.DEFAULT_CONFIG, (key) => {
    const row = brokerKey(key);
    // A value Kafka insists on being given: that it may be left out here is no default to tell tools of.
    return row?.kafkaDefault === null ? null : row?.default;
  });
  const first = layers.findIndex((layer) => layer.name === name);
  return first < 0 ? [] : layers.slice(first);
}

/** A topic value in force and its source, as CreateTopics answers it. */
export interface EffectiveConfig {
  readonly name: string;
  readonly value: string | null;
  readonly source: number;
}

/**
 * Every listed key of a topic by name, with the value in force. Unlike DescribeConfigs this shows the text as it was given
 * and counts a broker key in another unit (`log.retention.hours`) as the source.
 */
export function effectiveTopicConfigs(
  broker: BrokerConfig,
  overrides: ConfigValues,
): EffectiveConfig[] {
  const config = resolveTopicConfig(broker, overrides);
  const effective: EffectiveConfig[] = [];
  for (const definition of TOPIC_KEYS) {
    if (definition.isInternal === true) continue;
    const { name } = definition;
    const own = overrides.get(name);
    const names = (definition.synonyms ?? []).map((synonym) => synonym.name);
    const isIn = (values: ConfigValues): boolean => names.some((synonym) => values.has(synonym));
    effective.push({
      name,
      value: own ?? formatValue(definition.type, config.get(name) ?? null),
      source:
        own !== undefined
          ? ConfigSource.TOPIC_CONFIG
          : isIn(broker.dynamicValues)
            ? ConfigSource.DYNAMIC_BROKER_CONFIG
            : isIn(broker.dynamicDefaults)
              ? ConfigSource.DYNAMIC_DEFAULT_BROKER_CONFIG
              : isIn(broker.staticValues)
                ? ConfigSource.STATIC_BROKER_CONFIG
                : ConfigSource.DEFAULT_CONFIG,
    });
  }
  return effective.sort((left, right) => (left.name < right.name ? -1 : 1));
}
