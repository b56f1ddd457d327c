/**
 * What Kafka checks of dynamic broker values beyond their type and range: relations to other keys and to the value now in force. Each
 * part of its broker that can be reconfigured has a say, and most complaints arrive wrapped in the sentence of `wrapped`.
 */
import type { BrokerConfig } from "#config/broker-config.ts";
import { brokerKey } from "#config/broker-keys.ts";
import { parsePerIpOverrides } from "#config/broker-settings.ts";
import { CORDONED_LOG_DIRS, cordonError } from "#config/cordoned-log-dirs.ts";

/** Values that would be stored, known and of the right type. */
type Values = ReadonlyMap<string, string>;

/** Pools that may shrink to half and grow to double their size at a time. */
const THREAD_COUNTS = [
  "num.io.threads",
  "num.network.threads",
  "background.threads",
  "num.replica.fetchers",
  "num.recovery.threads.per.data.dir",
  "remote.log.reader.threads",
  "remote.log.manager.copier.thread.pool.size",
  "remote.log.manager.expiration.thread.pool.size",
  "remote.log.manager.follower.thread.pool.size",
];

/** Keys of groups that have bounds: the key and the middle of the bounds' names. */
const BOUNDED_INTERVALS = ["consumer", "share", "streams"].map((protocol) => ({
  name: `group.${protocol}.assignment.interval.ms`,
  min: `group.${protocol}.min.assignment.interval.ms`,
  max: `group.${protocol}.max.assignment.interval.ms`,
}));

const MIB = 1_048_576;

/**
 * Checks values against each other and against `config`, the configuration in force.
 *
 * @returns null when nothing speaks against them, otherwise Kafka's sentence.
 */
export function dynamicValuesError(values: Values, config: BrokerConfig): string | null {
  const next = config.withDynamic(new Map(), new Map([...inForce(config), ...values]));
  return (
    duplicateError(values) ??
    perIpError(values) ??
    cleanerError(values, config, next) ??
    cordonValueError(values, next) ??
    intervalError(values, next) ??
    threadCountError(values, config, next) ??
    reporterError(values) ??
    creationRateError(values, next) ??
    localRetentionError(values, next)
  );
}

function inForce({ dynamicDefaults, dynamicValues }: BrokerConfig): Values {
  return new Map([...dynamicDefaults, ...dynamicValues]);
}

function wrapped(sentence: string): string {
  return `Invalid value org.apache.kafka.common.config.ConfigException: ${sentence} for configuration Invalid dynamic configuration`;
}

function duplicateError(values: Values): string | null {
  for (const [name, text] of values) {
    if (brokerKey(name)?.type !== "list") continue;
    const elements = text.split(",").map((element) => element.trim());
    if (new Set(elements).size !== elements.length) {
      return `Configuration '${name}' values must not be duplicated.`;
    }
  }
  return null;
}

function perIpError(values: Values): string | null {
  const text = values.get("max.connections.per.ip.overrides");
  return text === undefined ? null : parsePerIpOverrides(text).error;
}

function cleanerError(values: Values, config: BrokerConfig, next: BrokerConfig): string | null {
  if (!values.has("log.cleaner.dedupe.buffer.size") && !values.has("log.cleaner.threads")) {
    return null;
  }
  const threadCount = next.number("log.cleaner.threads");
  if (threadCount === 0) return "/ by zero";
  if (next.number("log.cleaner.dedupe.buffer.size") / threadCount <= MIB) {
    return "requirement failed: log.cleaner.dedupe.buffer.size must be at least 1MB per cleaner thread.";
  }
  const before = config.number("log.cleaner.threads");
  if (threadCount < Math.floor(before / 2)) {
    return wrapped(
      `Log cleaner threads cannot be reduced to less than half the current value ${before}`,
    );
  }
  return threadCount > before * 2
    ? wrapped(
        `Log cleaner threads cannot be increased to more than double the current value ${before}`,
      )
    : null;
}

function cordonValueError(values: Values, next: BrokerConfig): string | null {
  const error = values.has(CORDONED_LOG_DIRS) ? cordonError(next) : null;
  return error === null ? null : `requirement failed: ${error}`;
}

function intervalError(values: Values, next: BrokerConfig): string | null {
  for (const { name, min, max } of BOUNDED_INTERVALS) {
    if (!values.has(name)) continue;
    const value = next.number(name);
    if (value < next.number(min)) return `${name} must be greater than or equal to ${min}`;
    if (value > next.number(max)) return `${name} must be less than or equal to ${max}`;
  }
  return null;
}

function threadCountError(values: Values, config: BrokerConfig, next: BrokerConfig): string | null {
  for (const name of THREAD_COUNTS) {
    if (!values.has(name)) continue;
    const [before, after] = [config.number(name), next.number(name)];
    const failed = `Dynamic thread count update validation failed for ${name}=${after}, value should`;
    if (after < Math.floor(before / 2)) {
      return wrapped(`${failed} be at least half the current value ${before}`);
    }
    if (after > before * 2) {
      return wrapped(`${failed} not be greater than double the current value ${before}`);
    }
  }
  return null;
}

/** A reporter is a class of the Java virtual machine, and none of these can be loaded. */
function reporterError(values: Values): string | null {
  const text = values.get("metric.reporters")?.trim() ?? "";
  if (text === "") return null;
  return wrapped(
    "Validation of dynamic config update of Set(metric.reporters) failed with class class kafka.server.DynamicMetricsReporters",
  );
}

function creationRateError(values: Values, next: BrokerConfig): string | null {
  const name = "max.connection.creation.rate";
  if (!values.has(name) || next.number(name) > 0) return null;
  return wrapped(`Invalid ${name} ${next.number(name)}`);
}

function localRetentionError(values: Values, next: BrokerConfig): string | null {
  for (const unit of ["ms", "bytes"]) {
    const local = `log.local.retention.${unit}`;
    const whole = `log.retention.${unit}`;
    if (!values.has(local)) continue;
    const limit = unit === "ms" ? retentionMs(next) : next.number(whole);
    const value = next.number(local);
    if (limit === -1 || value === -2 || (value <= limit && value !== -1)) continue;
    const why =
      value === -1
        ? `Value must not be -1 as ${whole} value is set as ${limit}.`
        : `Value must not be more than ${whole} property value: ${limit}`;
    return wrapped(`Invalid value ${value} for configuration ${local}: ${why}`);
  }
  return null;
}

function retentionMs(config: BrokerConfig): number {
  return (
    config.numberOrNull("log.retention.ms") ??
    (config.numberOrNull("log.retention.minutes") ?? config.number("log.retention.hours") * 60) *
      60_000
  );
}
