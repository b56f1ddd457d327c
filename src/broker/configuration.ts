/**
 * Where a broker's configuration comes from, for the two ways it is started. The command line reads a file, the environment
 * and `--override`, in this order, later ones winning; a program that embeds the broker gives options, and nothing is read
 * behind its back.
 */
import { readFile } from "node:fs/promises";
import { describeError } from "#common/logger.ts";
import {
  type BrokerConfigResult,
  type ConfigValues,
  parseOverride,
  type PropertiesFile,
  resolveBrokerConfig,
} from "#config/broker-config.ts";
import { type EnvironmentVariables, readEnvironment } from "#config/environment.ts";
import { parseProperties } from "#config/properties.ts";
import type { BrokerOptions } from "./broker.ts";

const DEFAULT_PORT = 9092;

/** What the command line was given. */
export interface ConfigurationArguments {
  /** Path of the `server.properties`, or null without one. */
  readonly file: string | null;
  /** Arguments of `--override`, each `KEY=VALUE`. */
  readonly overrides: readonly string[];
  /** Variables to look for `KAFKA_…` and `SLUICE_…` in; empty to read none. */
  readonly environment: EnvironmentVariables;
}

/**
 * Reads everything the command line names. Without a file the broker keeps its data in `log.dir`'s default, `./data`.
 *
 * @returns the configuration for `Broker.start`, or every error as a sentence; never throws for what a person wrote.
 */
export async function loadConfiguration({
  file,
  overrides,
  environment,
}: ConfigurationArguments): Promise<BrokerConfigResult> {
  const errors: string[] = [];
  const pairs = new Map<string, string>();
  for (const argument of overrides) {
    const pair = parseOverride(argument);
    if (pair === null) errors.push(`--override wants KEY=VALUE, not '${argument}'`);
    else pairs.set(...pair);
  }
  const properties = file === null ? null : await readPropertiesFile(file, errors);
  if (errors.length > 0) return { config: null, warnings: [], errors };
  return resolveBrokerConfig({
    file: properties,
    environment: readEnvironment(environment),
    overrides: pairs,
  });
}

async function readPropertiesFile(path: string, errors: string[]): Promise<PropertiesFile | null> {
  let text: string;
  try {
    // Kafka reads the file as Latin-1, as java.util.Properties does with a byte stream.
    text = await readFile(path, "latin1");
  } catch (error) {
    errors.push(`cannot read ${path}: ${describeError(error)}`);
    return null;
  }
  const { values, lines, repeated, error } = parseProperties(text);
  if (values !== null) return { path, values, lines, repeated };
  errors.push(`${path}: ${error}`);
  return null;
}

/** The configuration that an embedding program's options make. */
export function resolveOptions(options: BrokerOptions): BrokerConfigResult {
  const overrides = new Map<string, string>();
  if (options.host !== undefined || options.port !== undefined) {
    const host = options.host ?? "127.0.0.1";
    const address = host.includes(":") ? `[${host}]` : host;
    overrides.set("listeners", `PLAINTEXT://${address}:${options.port ?? DEFAULT_PORT}`);
  }
  if (options.dataDir !== undefined) overrides.set("log.dirs", options.dataDir);
  for (const [key, value] of Object.entries(options.config ?? {}))
    overrides.set(key, String(value));
  const file: ConfigValues | null = options.properties ?? null;
  if (file === null && !overrides.has("log.dirs") && !overrides.has("log.dir")) {
    if (!overrides.has("sluice.in.memory")) overrides.set("sluice.in.memory", "true");
  }
  return resolveBrokerConfig({ file, overrides, overrideOrigin: { kind: "option" } });
}
