/**
 * The configuration of a broker: layers of text (built-in defaults, the file, the environment, the overrides, then the values
 * that IncrementalAlterConfigs stored for all brokers and for this one), read through the table. The top layer that has a
 * key wins. A configuration is immutable; a dynamic change makes a new one. Each static value knows where it was written.
 */
import { brokerKey, isPrefixedKey } from "./broker-keys.ts";
import type { ConfigOrigin } from "./config-origin.ts";
import { describeOrigin } from "./config-origin.ts";
import type { EnvironmentConfig } from "./environment.ts";
import { locateError, unknownKeyWarning, wrongValueError } from "./explain-config.ts";
import type { KeyDefinition } from "./key-definition.ts";
import { parseValue } from "./parse-value.ts";
import type { RepeatedKey } from "./properties.ts";
import type { ParsedValue } from "./valid-values.ts";

/** Text values by key. */
export type ConfigValues = ReadonlyMap<string, string>;

/** A `server.properties` that was read: what `parseProperties` gave, and the file's name for messages. */
export interface PropertiesFile {
  readonly path: string;
  readonly values: ConfigValues;
  readonly lines: ReadonlyMap<string, number>;
  readonly repeated: readonly RepeatedKey[];
}

/** Where the static values come from, later ones winning. */
export interface BrokerConfigSources {
  /** The `server.properties` or its bare pairs; null when the broker was started without a file, on embedded defaults. */
  readonly file: PropertiesFile | ConfigValues | null;
  /** What the environment sets. Only the command line reads it. */
  readonly environment?: EnvironmentConfig;
  /** Pairs of `--override` or of the embedding API. */
  readonly overrides?: ConfigValues;
  /** Who gave the overrides; the command line unless said otherwise. */
  readonly overrideOrigin?: ConfigOrigin;
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
  /** Where each static value was written. */
  readonly origins: ReadonlyMap<string, ConfigOrigin>;
  readonly #parsed = new Map<string, ParsedValue>();

  constructor(
    staticValues: ConfigValues,
    dynamicDefaults: ConfigValues,
    dynamicValues: ConfigValues,
    origins: ReadonlyMap<string, ConfigOrigin> = new Map(),
  ) {
    this.origins = origins;
    this.staticValues = staticValues;
    this.dynamicDefaults = dynamicDefaults;
    this.dynamicValues = dynamicValues;
  }

  /** The same static values under other dynamic ones. Keys that may not change while running keep their static value. */
  withDynamic(dynamicDefaults: ConfigValues, dynamicValues: ConfigValues): BrokerConfig {
    return new BrokerConfig(this.staticValues, dynamicDefaults, dynamicValues, this.origins);
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
 * Warned about: unknown keys with what was probably meant, keys that stand in the file twice, and keys that are set to
 * something that is not served.
 */
export function resolveBrokerConfig(sources: BrokerConfigSources): BrokerConfigResult {
  const values = new Map<string, string>();
  const origins = new Map<string, ConfigOrigin>();
  const errors: string[] = [];
  const warnings: string[] = [];
  const put = (name: string, text: string, origin: ConfigOrigin): void => {
    values.set(name, text);
    origins.set(name, origin);
  };
  readFile(sources.file, put, warnings);
  for (const [name, { variable, value }] of sources.environment?.values ?? [])
    put(name, value, { kind: "environment", variable });
  warnings.push(...(sources.environment?.warnings ?? []));
  const overrideOrigin = sources.overrideOrigin ?? { kind: "override" };
  for (const [name, text] of sources.overrides ?? []) put(name, text, overrideOrigin);
  for (const [name, text] of values) {
    const definition = brokerKey(name);
    const origin = origins.get(name) ?? overrideOrigin;
    if (definition === undefined) {
      if (!isPrefixedKey(name)) warnings.push(unknownKeyWarning(name, origin));
      continue;
    }
    const parsed = parseValue(definition, text);
    if (parsed.error !== null) errors.push(wrongValueError(definition, text, origin));
    else warnings.push(...statusWarnings(definition, text, origin));
  }
  completeNodeId(values, origins, errors);
  if (errors.length > 0) return { config: null, warnings, errors };
  return { config: new BrokerConfig(values, new Map(), new Map(), origins), warnings, errors: [] };
}

/** Puts the lowest layer: the file with its lines, bare pairs, or the embedded defaults. */
function readFile(
  file: PropertiesFile | ConfigValues | null,
  put: (name: string, text: string, origin: ConfigOrigin) => void,
  warnings: string[],
): void {
  if (file === null) {
    for (const [name, text] of EMBEDDED_VALUES) put(name, text, { kind: "embedded" });
    return;
  }
  if (!("path" in file)) {
    for (const [name, text] of file) put(name, text, { kind: "option" });
    return;
  }
  const { path, values, lines, repeated } = file;
  for (const [name, text] of values)
    put(name, text, { kind: "file", path, line: lines.get(name) ?? 1 });
  for (const { key, line, laterLine } of repeated)
    warnings.push(`${key} of ${path} line ${line} is ignored: line ${laterLine} sets it again`);
}

/** `broker.id` and `node.id` are one setting; whichever is missing follows the other. */
function completeNodeId(
  values: Map<string, string>,
  origins: ReadonlyMap<string, ConfigOrigin>,
  errors: string[],
): void {
  const nodeId = values.get("node.id");
  const brokerId = values.get("broker.id");
  if (nodeId === undefined && brokerId !== undefined && brokerId !== "-1")
    values.set("node.id", brokerId);
  if (brokerId === undefined)
    values.set("broker.id", nodeId ?? brokerKey("node.id")?.default ?? "1");
  if (nodeId !== undefined && brokerId !== undefined && nodeId.trim() !== brokerId.trim()) {
    const sentence = `node.id is ${nodeId.trim()} and broker.id is ${brokerId.trim()}: they must be the same, or one of them left out`;
    errors.push(locateError(sentence, origins));
  }
}

function statusWarnings(definition: KeyDefinition, text: string, origin: ConfigOrigin): string[] {
  if (definition.status?.kind !== "unsupported" || text === (definition.default ?? "")) return [];
  return [
    `${definition.name} (${describeOrigin(origin)}) has no effect: ${definition.status.reason}`,
  ];
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
