/**
 * Every configuration key of a client-metrics subscription in Kafka 4.4, in the order in which Kafka reads them.
 *
 * @see KIP-714
 */
import { javaHashMapOrder } from "#common/java-hash.ts";
import type { KeyDefinition } from "./key-definition.ts";
import { NO_EMPTY_ELEMENTS } from "./valid-values.ts";

/** See the head of the file. */
export const CLIENT_METRICS_KEYS: readonly KeyDefinition[] = [
  {
    name: "metrics",
    type: "list",
    default: "",
    valid: NO_EMPTY_ELEMENTS,
    doc: "Prefixes of the names of wanted metrics, or * for all; none when empty.",
  },
  {
    name: "interval.ms",
    type: "int",
    default: "300000",
    doc: "How often matching clients push their metrics, from 100 to 3600000 (an hour).",
  },
  {
    name: "match",
    type: "list",
    default: "",
    valid: NO_EMPTY_ELEMENTS,
    doc: "Which clients: client_id=pattern and the like, all of which must match; every client when empty.",
  },
];

const KEY_BY_NAME: ReadonlyMap<string, KeyDefinition> = new Map(
  CLIENT_METRICS_KEYS.map((definition) => [definition.name, definition]),
);

/** The row of a client-metrics key, or undefined for a name that is none. */
export function clientMetricsKey(name: string): KeyDefinition | undefined {
  return KEY_BY_NAME.get(name);
}

/** The keys in the order in which DescribeConfigs lists them. */
export const CLIENT_METRICS_KEY_LISTING: readonly KeyDefinition[] =
  javaHashMapOrder(CLIENT_METRICS_KEYS);
