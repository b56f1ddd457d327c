/**
 * The configuration of a broker: layers of text (built-in defaults, the file and its overrides, then the values that
 * IncrementalAlterConfigs stored for all brokers and for this one), read through the table. The top layer that has a
 * key wins. A configuration is immutable; a dynamic change makes a new one.
 */
import { BROKER_KEYS, brokerKey } from "./broker-keys.ts";
import type { KeyDefinition } from "./key-definition.ts";
import { parseValue } from "./parse-value.ts";
import type { ParsedValue } from "./valid-values.ts";

/** Text values by key. */
export type ConfigValues = ReadonlyMap<string, string>;

/** Where the static values come from, later ones winning. */
export interface BrokerConfigSources {
  /** Pairs of the `server.properties`; null when the broker was started without a file, on embedded defaults. */
  readonly file: ConfigValues | null;
  /** Pairs of `--override` or of the embedding API. */
  readonly overrides?: ConfigValues;
}

/** A configuration, with what is worth telling; or every reason why there is none. */
export type BrokerConfigResult =
  | {
      readonly config: BrokerConfig;
      readonly warnings: readonly string[];
      readonly errors: readonly [];
    }
  | {
      readonly config: null;
      readonly warnings: readonly string[];
      readonly errors: readonly string[];
    };

/** What a broker started without a file has besides the defaults: nobody waits for a first member in development. */
export const EMBEDDED_VALUES: ConfigValues = new Map([["group.initial.rebalance.delay.ms", "0"]]);

/** See the head of the file. */
export class BrokerConfig {
  /** What the file and the overrides set, `broker.id` and `node.id` completed from each other. */
  readonly staticValues: ConfigValues;
  /** Values stored for all brokers. */
  readonly dynamicDefaults: ConfigValues;
  /** Values stored for this broker. */
  readonly dynamicValues: ConfigValues;
  readonly #parsed = new Map<string, ParsedValue>();

  constructor(
    staticValues: ConfigValues,
    dynamicDefaults: ConfigValues,
    dynamicValues: ConfigValues,
  ) {
    this.staticValues = staticValues;
    this.dynamicDefaults = dynamicDefaults;
    this.dynamicValues = dynamicValues;
  }

  /** The same static values under other dynamic ones. Keys that may not change while running keep their static value. */
  withDynamic(dynamicDefaults: ConfigValues, dynamicValues: ConfigValues): BrokerConfig {
    return new BrokerConfig(this.staticValues, dynamicDefaults, dynamicValues);
  }

  /** The text in force for a key: the top layer's, the default, or null. */
  text(name: string): string | null {
    const definition = brokerKey(name);
    return (
      (definition?.update === undefined ? undefined : this.dynamicText(name, definition)) ??
      this.staticValues.get(name) ??
      definition?.default ??
      null
    );
  }

  private dynamicText(name: string, definition: KeyDefinition): string | undefined {
    const text = this.dynamicValues.get(name) ?? this.dynamicDefaults.get(name);
    return text !== undefined && parseValue(definition, text).error === null ? text : undefined;
  }

  /** The value in force for a key, parsed. */
  value(name: string): ParsedValue {
    const known = this.#parsed.get(name);
    if (known !== undefined) return known;
    const definition = brokerKey(name);
    const text = this.text(name);
    const parsed =
      definition === undefined || text === null ? text : parseValue(definition, text).value;
    this.#parsed.set(name, parsed);
    return parsed;
  }

  /** A numeric value; longs beyond 2^53-1 are cut to it, which no quantity here distinguishes. Null when unset. */
  numberOrNull(name: string): number | null {
    return clampToNumber(this.value(name));
  }

  /** A numeric value of a key that always has one. */
  number(name: string): number {
    return this.numberOrNull(name) ?? 0;
  }

  /** A boolean value. */
  boolean(name: string): boolean {
    return this.value(name) === true;
  }

  /** A text value, or null when unset. */
  string(name: string): string | null {
    const value = this.value(name);
    return typeof value === "string" ? value : null;
  }

  /** A list value; empty when unset. */
  list(name: string): readonly string[] {
    const value = this.value(name);
    return Array.isArray(value) ? value : [];
  }
}

/** A parsed number as `number`, cut to ±(2^53-1); null for anything else. */
export function clampToNumber(value: ParsedValue): number | null {
  if (typeof value === "number") return value;
  if (typeof value !== "bigint") return null;
  return value < 0n ? Number.MIN_SAFE_INTEGER : Number.MAX_SAFE_INTEGER;
}

/**
 * Reads the static layers and checks every value of a known key.
 *
 * Warned about: unknown keys, and keys that are set to something that is not served.
 */
export function resolveBrokerConfig(sources: BrokerConfigSources): BrokerConfigResult {
  const values = new Map(sources.file ?? EMBEDDED_VALUES);
  for (const [name, text] of sources.overrides ?? []) values.set(name, text);
  const errors: string[] = [];
  const warnings: string[] = [];
  for (const [name, text] of values) {
    const definition = brokerKey(name);
    if (definition === undefined) {
      if (!isPrefixedKey(name)) warnings.push(`unknown key ${name} is ignored`);
      continue;
    }
    const parsed = parseValue(definition, text);
    if (parsed.error !== null) errors.push(parsed.error);
    else warnings.push(...statusWarnings(definition, text));
  }
  completeNodeId(values, errors);
  if (errors.length > 0) return { config: null, warnings, errors };
  return { config: new BrokerConfig(values, new Map(), new Map()), warnings, errors: [] };
}

/** `broker.id` and `node.id` are one setting; whichever is missing follows the other. */
function completeNodeId(values: Map<string, string>, errors: string[]): void {
  const nodeId = values.get("node.id");
  const brokerId = values.get("broker.id");
  if (nodeId === undefined && brokerId !== undefined && brokerId !== "-1")
    values.set("node.id", brokerId);
  if (brokerId === undefined)
    values.set("broker.id", nodeId ?? brokerKey("node.id")?.default ?? "1");
  if (nodeId !== undefined && brokerId !== undefined && nodeId.trim() !== brokerId.trim()) {
    errors.push(`You must set \`node.id\` to the same value as \`broker.id\`.`);
  }
}

function statusWarnings(definition: KeyDefinition, text: string): string[] {
  if (definition.status?.kind !== "unsupported" || text === (definition.default ?? "")) return [];
  return [`${definition.name} has no effect: ${definition.status.reason}`];
}

/** Listener-prefixed and plug-in keys are not in the table and are no mistakes either. */
function isPrefixedKey(name: string): boolean {
  return /^(listener\.name\.|config\.providers\.|rsm\.config\.|rlmm\.config\.|metrics\.jmx\.)/.test(
    name,
  );
}

/** Keys whose value in force differs from the default, for the line printed at start; sensitive ones masked. */
export function changedKeys(config: BrokerConfig): readonly { name: string; value: string }[] {
  const changed: { name: string; value: string }[] = [];
  for (const definition of BROKER_KEYS) {
    const text = config.text(definition.name);
    if (text === null || text === definition.default) continue;
    changed.push({
      name: definition.name,
      value: definition.type === "password" ? "[hidden]" : text,
    });
  }
  return changed;
}

/**
 * Reads one `--override KEY=VALUE`.
 *
 * @returns null when there is no `=` or no key before it.
 */
export function parseOverride(argument: string): readonly [string, string] | null {
  const at = argument.indexOf("=");
  if (at <= 0) return null;
  return [argument.slice(0, at).trim(), argument.slice(at + 1)];
}
