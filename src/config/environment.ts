/**
 * Configuration from environment variables, in the convention of Kafka's own container image: `KAFKA_` and the key in
 * capitals, where `_` stands for `.`, `__` for `_` and `___` for `-`. Our own keys keep their prefix: `SLUICE_MAX_OPEN_FILES`
 * is `sluice.max.open.files`.
 *
 * The same prefixes carry much that is no configuration (`KAFKA_OPTS`, the links Kubernetes makes for a service named kafka),
 * so only variables that name a key of the table count. One that nearly does earns a warning, the rest silence; a
 * `SLUICE_` variable that names no key is always warned about, since nobody else uses that prefix.
 */
import { brokerKey, isPrefixedKey } from "./broker-keys.ts";
import { nearestKey } from "./nearest-key.ts";

/** Variables of a process. */
export type EnvironmentVariables = Readonly<Record<string, string | undefined>>;

/** One value and the variable that gave it. */
export interface EnvironmentValue {
  readonly variable: string;
  readonly value: string;
}

/** What the environment sets. */
export interface EnvironmentConfig {
  /** By key. */
  readonly values: ReadonlyMap<string, EnvironmentValue>;
  readonly warnings: readonly string[];
}

/** `KAFKA_SERVICE_HOST`, `KAFKA_PORT_9092_TCP_ADDR` and their like, which Kubernetes and Docker set for a linked service. */
const SERVICE_LINK =
  /^(?:KAFKA|SLUICE)(?:_[A-Z0-9]+)*_(?:SERVICE_HOST|SERVICE_PORT(?:_[A-Z0-9_]+)?|PORT(?:_\d+_(?:TCP|UDP)(?:_[A-Z]+)?)?)$/;

/** Variables that the project's own tests and benchmarks read. */
const OWN_TOOLS =
  /^SLUICE_(?:BENCH|CONFORMANCE|CRASH|POWER|FUZZ|SOAK|TEST|WRITE|APPEND|BOOTSTRAP|CLIENTS)/;

/**
 * The key that a variable stands for, whether or not there is such a key; null without one of the two prefixes.
 */
export function keyOfVariable(variable: string): string | null {
  const prefix = /^(?:KAFKA|SLUICE)_(?=.)/.exec(variable)?.[0];
  if (prefix === undefined) return null;
  const rest = prefix === "KAFKA_" ? variable.slice(prefix.length) : variable;
  return rest.toLowerCase().replaceAll("_", ".").replaceAll("...", "-").replaceAll("..", "_");
}

/** Reads the variables. Nothing is looked up: the caller hands over the environment it wants read. */
export function readEnvironment(variables: EnvironmentVariables): EnvironmentConfig {
  const values = new Map<string, EnvironmentValue>();
  const warnings: string[] = [];
  for (const variable of Object.keys(variables).sort()) {
    const value = variables[variable];
    const key = keyOfVariable(variable);
    if (key === null || value === undefined) continue;
    // The broker's own keys have one spelling; Kafka's prefix before them is none.
    const isOurs = key.startsWith("sluice.");
    if (isOurs === variable.startsWith("SLUICE_") && (brokerKey(key) ?? isPrefixedKey(key))) {
      values.set(key, { variable, value });
      continue;
    }
    if (SERVICE_LINK.test(variable) || OWN_TOOLS.test(variable)) continue;
    const near = nearestKey(key);
    if (near !== null) {
      warnings.push(
        `environment ${variable} is ignored: it names no key; did you mean ${variableOfKey(near)} (${near})?`,
      );
    } else if (isOurs) {
      warnings.push(`environment ${variable} is ignored: there is no key ${key}`);
    }
  }
  return { values, warnings };
}

/** The variable that sets a key. */
export function variableOfKey(key: string): string {
  const body = key.replaceAll("_", "__").replaceAll("-", "___").replaceAll(".", "_").toUpperCase();
  return key.startsWith("sluice.") ? body : `KAFKA_${body}`;
}
