/**
 * Keys of quotas, metrics and client telemetry. Known by name, type and default.
 * Names, types, defaults and ranges are those of Kafka 4.4.
 */
import type { KeyDefinition } from "../key-definition.ts";
import { METRICS, QUOTAS, unsupported } from "../key-status.ts";
import { atLeast } from "../valid-values.ts";

/** See the head of the file. */
export const QUOTAS_AND_METRICS_KEYS: readonly KeyDefinition[] = [
  {
    name: "metrics.num.samples",
    type: "int",
    default: "2",
    valid: atLeast(1),
    status: unsupported(METRICS),
    doc: "Samples a rate is computed from.",
  },
  {
    name: "metrics.sample.window.ms",
    type: "long",
    default: "30000",
    valid: atLeast(1),
    status: unsupported(METRICS),
    doc: "Length of one sample.",
  },
  {
    name: "metric.reporters",
    type: "list",
    default: "org.apache.kafka.common.metrics.JmxReporter",
    update: "cluster-wide",
    status: unsupported(METRICS),
    doc: "Plug-ins that are handed the metrics.",
  },
  {
    name: "metrics.recording.level",
    type: "string",
    default: "INFO",
    status: unsupported(METRICS),
    doc: "Finest level of metrics recorded.",
  },
  {
    name: "kafka.metrics.reporters",
    type: "list",
    default: "",
    status: unsupported(METRICS),
    doc: "Plug-ins that are handed the older kind of metrics.",
  },
  {
    name: "kafka.metrics.polling.interval.secs",
    type: "int",
    default: "10",
    valid: atLeast(1),
    status: unsupported(METRICS),
    doc: "How often the older kind of reporters read metrics.",
  },
  {
    name: "telemetry.max.bytes",
    type: "int",
    default: "1048576",
    valid: atLeast(1),
    doc: "Largest metrics message a client may push.",
  },
  {
    name: "quota.window.num",
    type: "int",
    default: "11",
    valid: atLeast(1),
    status: unsupported(QUOTAS),
    doc: "Samples kept for client quotas.",
  },
  {
    name: "replication.quota.window.num",
    type: "int",
    default: "11",
    valid: atLeast(1),
    doc: "Samples kept for replication quotas.",
  },
  {
    name: "alter.log.dirs.replication.quota.window.num",
    type: "int",
    default: "11",
    valid: atLeast(1),
    status: unsupported(QUOTAS),
    doc: "Samples kept for the quota on moves between log directories.",
  },
  {
    name: "controller.quota.window.num",
    type: "int",
    default: "11",
    valid: atLeast(1),
    status: unsupported(QUOTAS),
    doc: "Samples kept for the quota on topic changes.",
  },
  {
    name: "quota.window.size.seconds",
    type: "int",
    default: "1",
    valid: atLeast(1),
    status: unsupported(QUOTAS),
    doc: "Length of one sample of client quotas.",
  },
  {
    name: "replication.quota.window.size.seconds",
    type: "int",
    default: "1",
    valid: atLeast(1),
    doc: "Length of one sample of replication quotas.",
  },
  {
    name: "alter.log.dirs.replication.quota.window.size.seconds",
    type: "int",
    default: "1",
    valid: atLeast(1),
    status: unsupported(QUOTAS),
    doc: "Length of one sample of the quota on moves between log directories.",
  },
  {
    name: "controller.quota.window.size.seconds",
    type: "int",
    default: "1",
    valid: atLeast(1),
    status: unsupported(QUOTAS),
    doc: "Length of one sample of the quota on topic changes.",
  },
  {
    name: "client.quota.callback.class",
    type: "class",
    default: null,
    status: unsupported(QUOTAS),
    doc: "Plug-in that decides which quota a client has.",
  },
];
