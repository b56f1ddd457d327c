/**
 * All broker keys: those of Kafka 4.4 (in its order of sections) and ours, found by name.
 */
import { CLUSTER_KEYS } from "./broker-keys/cluster.ts";
import { GROUPS_KEYS } from "./broker-keys/groups.ts";
import { LOG_KEYS } from "./broker-keys/log.ts";
import { OWN_KEYS } from "./broker-keys/own.ts";
import { QUOTAS_AND_METRICS_KEYS } from "./broker-keys/quotas-and-metrics.ts";
import { REPLICATION_KEYS } from "./broker-keys/replication.ts";
import { SECURITY_KEYS } from "./broker-keys/security.ts";
import { SERVER_KEYS } from "./broker-keys/server.ts";
import { SHARE_GROUPS_KEYS } from "./broker-keys/share-groups.ts";
import { TIERED_STORAGE_KEYS } from "./broker-keys/tiered-storage.ts";
import { TRANSACTIONS_KEYS } from "./broker-keys/transactions.ts";
import type { KeyDefinition } from "./key-definition.ts";
import { SUPPORTED } from "./key-status.ts";
import { atLeast } from "./valid-values.ts";

/** See the head of the file. */
export const BROKER_KEYS: readonly KeyDefinition[] = [
  ...CLUSTER_KEYS,
  ...SERVER_KEYS,
  ...LOG_KEYS,
  ...REPLICATION_KEYS,
  ...GROUPS_KEYS,
  ...TRANSACTIONS_KEYS,
  ...SHARE_GROUPS_KEYS,
  ...SECURITY_KEYS,
  ...QUOTAS_AND_METRICS_KEYS,
  ...TIERED_STORAGE_KEYS,
  ...OWN_KEYS,
];

const KEY_BY_NAME: ReadonlyMap<string, KeyDefinition> = new Map(
  BROKER_KEYS.map((definition) => [definition.name, definition]),
);

/** The row of a broker key, or undefined for a name that is none. */
export function brokerKey(name: string): KeyDefinition | undefined {
  return KEY_BY_NAME.get(name);
}

/** Rates that reassignments are throttled to. They exist only once somebody sets them, for one broker or all. */
const THROTTLED_RATES: readonly KeyDefinition[] = [
  { name: "leader.replication.throttled.rate", status: SUPPORTED },
  { name: "follower.replication.throttled.rate", status: SUPPORTED },
  { name: "replica.alter.log.dirs.io.max.bytes.per.second", status: SUPPORTED },
].map(({ name, status }) => ({
  name,
  type: "long",
  default: null,
  valid: atLeast(0),
  update: "cluster-wide",
  status,
}));

/** The row of a key that may be stored for brokers: as {@link brokerKey}, and those that are in no file. */
export function storedBrokerKey(name: string): KeyDefinition | undefined {
  return brokerKey(name) ?? THROTTLED_RATES.find((definition) => definition.name === name);
}

/** Listener-prefixed and plug-in keys are not in the table and are no mistakes either. */
export function isPrefixedKey(name: string): boolean {
  return /^(?:listener\.name\.|config\.providers\.|rsm\.config\.|rlmm\.config\.|metrics\.jmx\.)/.test(
    name,
  );
}

/**
 * Broker keys that stand for one setting in different units, best first. DescribeConfigs lists them as synonyms of each other.
 */
export function brokerSynonyms(name: string): readonly string[] {
  if (name === "log.flush.scheduler.interval.ms") return [name];
  return FAMILIES.find((family) => family.includes(name)) ?? [name];
}

const FAMILIES: readonly (readonly string[])[] = [
  ["log.roll.ms", "log.roll.hours"],
  ["log.roll.jitter.ms", "log.roll.jitter.hours"],
  ["log.flush.interval.ms", "log.flush.scheduler.interval.ms"],
  ["log.retention.ms", "log.retention.minutes", "log.retention.hours"],
];
