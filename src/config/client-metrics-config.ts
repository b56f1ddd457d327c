/**
 * Subscriptions to metrics of clients (KIP-714): which clients, which metrics, how often. A subscription is a resource of type
 * CLIENT_METRICS with three keys.
 */
import type { ConfigValues } from "./broker-config.ts";
import { CLIENT_METRICS_KEYS, clientMetricsKey } from "./client-metrics-keys.ts";
import { parseValue } from "./parse-value.ts";
import type { ParsedValue } from "./valid-values.ts";

/** What a client is told apart by: names in `match`. */
export const MATCH_SUBJECTS = [
  "client_instance_id",
  "client_id",
  "client_software_name",
  "client_software_version",
  "client_source_address",
  "client_source_port",
] as const;

/** One of {@link MATCH_SUBJECTS}. */
export type MatchSubject = (typeof MATCH_SUBJECTS)[number];

/** A subscription as the broker works with it. */
export interface ClientMetricsSubscription {
  readonly name: string;
  /** Prefixes of metric names; `*` among them stands for all. */
  readonly metrics: readonly string[];
  readonly intervalMs: number;
  /** Pattern by subject; a client must match all. */
  readonly match: ReadonlyMap<MatchSubject, string>;
}

/** Why values cannot be stored, and whether Kafka calls it a bad request rather than a bad configuration. */
export interface ClientMetricsFault {
  readonly sentence: string;
  readonly isRequest: boolean;
}

const MIN_INTERVAL_MS = 100;
const MAX_INTERVAL_MS = 3_600_000;

/**
 * Checks values somebody wants to give a subscription.
 *
 * @param isPattern - whether a text is a pattern that can be matched against.
 * @returns null when they may be stored, otherwise the first fault in Kafka's order.
 */
export function validateClientMetricsConfig(
  values: ConfigValues,
  isPattern: (source: string) => boolean,
): ClientMetricsFault | null {
  for (const name of values.keys()) {
    if (clientMetricsKey(name) === undefined) {
      return { sentence: `Unknown client metrics configuration: ${name}`, isRequest: true };
    }
  }
  const parsed = new Map<string, ParsedValue>();
  for (const definition of CLIENT_METRICS_KEYS) {
    const text = values.get(definition.name);
    if (text === undefined) continue;
    const { value, error } = parseValue(definition, text);
    if (error !== null) return { sentence: error, isRequest: false };
    parsed.set(definition.name, value);
  }
  const intervalMs = parsed.get("interval.ms");
  if (
    typeof intervalMs === "number" &&
    (intervalMs < MIN_INTERVAL_MS || intervalMs > MAX_INTERVAL_MS)
  ) {
    const sentence = `Invalid value ${intervalMs} for interval.ms, interval must be between 100 and 3600000 (1 hour)`;
    return { sentence, isRequest: true };
  }
  for (const element of listOf(parsed.get("match"))) {
    const rule = parseMatch(element);
    if (rule === null || !isPattern(rule.pattern)) {
      return { sentence: `Illegal client matching pattern: ${element}`, isRequest: false };
    }
  }
  return null;
}

/** The subscription that stored values amount to. */
export function clientMetricsSubscription(
  name: string,
  values: ConfigValues,
): ClientMetricsSubscription {
  const valueOf = (key: string): ParsedValue => {
    const definition = clientMetricsKey(key);
    const text = values.get(key) ?? definition?.default ?? null;
    return definition === undefined || text === null ? null : parseValue(definition, text).value;
  };
  const intervalMs = valueOf("interval.ms");
  const match = new Map<MatchSubject, string>();
  for (const element of listOf(valueOf("match"))) {
    const rule = parseMatch(element);
    if (rule !== null) match.set(rule.subject, rule.pattern);
  }
  return {
    name,
    metrics: listOf(valueOf("metrics")),
    intervalMs: typeof intervalMs === "number" ? intervalMs : MAX_INTERVAL_MS,
    match,
  };
}

function listOf(value: ParsedValue | undefined): readonly string[] {
  return Array.isArray(value) ? value : [];
}

/** Reads `subject=pattern`. */
function parseMatch(
  element: string,
): { readonly subject: MatchSubject; readonly pattern: string } | null {
  // A trailing = is passed over, as Java's split does.
  const parts = element.replace(/=+$/, "").split("=");
  const [name = "", pattern = ""] = parts.map((part) => part.trim());
  const subject = MATCH_SUBJECTS.find((known) => known === name);
  return parts.length !== 2 || subject === undefined ? null : { subject, pattern };
}
