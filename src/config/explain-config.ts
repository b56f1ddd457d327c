/**
 * A configuration told to people: what differs from the defaults and where each value was written, what a wrong value should
 * have been, what an unknown key probably meant. Values of secret keys are never part of a sentence.
 */
import type { BrokerConfig } from "./broker-config.ts";
import { BROKER_KEYS } from "./broker-keys.ts";
import type { ConfigOrigin } from "./config-origin.ts";
import { describeOrigin, remedyAt } from "./config-origin.ts";
import { describeStatus, describeValidValues } from "./describe-key.ts";
import type { KeyDefinition } from "./key-definition.ts";
import { isSensitive } from "./key-definition.ts";
import { nearestKey } from "./nearest-key.ts";
import { formatValue, parseValue } from "./parse-value.ts";
import { topicKey } from "./topic-keys.ts";

const HIDDEN = "[hidden]";
/** Origins stand in one column unless a value is longer than this. */
const ALIGN_MAX = 60;

/** A key that Kafka had before 4.0, or that is often seen in old files, and what became of it. */
const FORMER_KEYS: Readonly<Record<string, string>> = {
  "advertised.host.name": "Kafka dropped it; use advertised.listeners",
  "advertised.port": "Kafka dropped it; use advertised.listeners",
  "broker.id.generation.enable": "Kafka dropped it with ZooKeeper; set node.id",
  "control.plane.listener.name": "Kafka dropped it with ZooKeeper",
  "host.name": "Kafka dropped it; use listeners",
  "inter.broker.protocol.version": "Kafka 4 dropped it: the metadata version takes its place",
  "log.message.format.version": "Kafka 4 dropped it: there is one format left",
  "log.message.timestamp.difference.max.ms":
    "Kafka 4 dropped it; use log.message.timestamp.before.max.ms and log.message.timestamp.after.max.ms",
  "message.format.version": "Kafka 4 dropped it: there is one format left",
  port: "Kafka dropped it; use listeners",
  "reserved.broker.max.id": "Kafka dropped it with ZooKeeper; set node.id",
};

/** One key whose value in force is not the default. */
export interface ChangedKey {
  readonly name: string;
  /** Masked for secret keys. */
  readonly value: string;
  /** Null for values that follow from others. */
  readonly origin: ConfigOrigin | null;
  readonly definition: KeyDefinition;
}

/** Keys whose value in force differs from the default, in the order of the table; sensitive ones masked. */
export function changedKeys(config: BrokerConfig): readonly ChangedKey[] {
  const changed: ChangedKey[] = [];
  for (const definition of BROKER_KEYS) {
    const { name } = definition;
    const text = config.text(name);
    if (text === null || isDefault(definition, text)) continue;
    const value = isSensitive(definition) ? HIDDEN : text.trim();
    changed.push({ name, value, origin: config.origins.get(name) ?? null, definition });
  }
  return changed;
}

/**
 * What was set, one key a line: `num.partitions=3   (server.properties line 4)`, with the reason where it has no effect. Empty
 * when everything is at its default.
 */
export function explainConfig(config: BrokerConfig): string[] {
  const rows = changedKeys(config)
    .filter(({ origin }) => origin !== null)
    .map(({ name, value, origin, definition }) => {
      const notes = [
        ...(origin === null ? [] : [describeOrigin(origin)]),
        ...(definition.status === undefined ? [] : [describeStatus(definition)]),
      ];
      return { pair: `${name}=${value}`, note: `(${notes.join("; ")})` };
    });
  const lengths = rows.map(({ pair }) => pair.length).filter((length) => length <= ALIGN_MAX);
  const width = Math.max(0, ...lengths);
  return rows.map(({ pair, note }) => `${pair.padEnd(width)}  ${note}`);
}

function isDefault(definition: KeyDefinition, text: string): boolean {
  if (text === definition.default) return true;
  if (definition.default === null) return false;
  const shown = (value: string): string | null =>
    formatValue(definition.type, parseValue(definition, value).value);
  return shown(text) === shown(definition.default);
}

/** One line on a key that is in no table: where it stands and what was probably meant. */
export function unknownKeyWarning(name: string, origin: ConfigOrigin): string {
  const what = `${name} (${describeOrigin(origin)}) is ignored`;
  const former =
    FORMER_KEYS[name] ??
    (name.startsWith("zookeeper.") ? "Kafka 4 runs without ZooKeeper, and so do we" : undefined);
  if (former !== undefined) return `${what}: ${former}`;
  const near = nearestKey(name);
  if (topicKey(name) !== undefined && near !== null)
    return `${what}: it is a key of topics; the default for all topics is ${near}`;
  return `${what}: there is no such key${near === null ? "" : `; did you mean ${near}?`}`;
}

/**
 * A sentence about a value that reads but cannot be, or about several keys that do not go together, with the place of the first key
 * in it that somebody set there.
 */
export function locateError(sentence: string, origins: ReadonlyMap<string, ConfigOrigin>): string {
  for (const [word] of sentence.matchAll(/[a-z]+(?:\.[a-z]+)*/g)) {
    const origin = origins.get(word);
    if (origin === undefined) continue;
    const isWritten = origin.kind !== "option" && origin.kind !== "embedded";
    return isWritten ? `${sentence} (${describeOrigin(origin)}; ${remedyAt(origin)})` : sentence;
  }
  return sentence;
}

/** One line on a value that does not read: where it stands, Kafka's complaint, what is valid, what to do. */
export function wrongValueError(
  definition: KeyDefinition,
  text: string,
  origin: ConfigOrigin,
): string {
  const { name, default: byDefault } = definition;
  const shown = isSensitive(definition) ? HIDDEN : text;
  const sentence = parseValue(definition, text).error ?? "";
  const lead = `Invalid value ${text} for configuration ${name}: `;
  const why = sentence.startsWith(lead) ? sentence.slice(lead.length) : sentence;
  const valid = `valid is ${describeValidValues(definition)}`;
  const standard = byDefault === null || byDefault === "" ? "" : ` (default ${byDefault})`;
  return `${name}=${shown} (${describeOrigin(origin)}): ${isSensitive(definition) ? "it cannot be read" : why}; ${valid}${standard}; ${remedyAt(origin)}`;
}
