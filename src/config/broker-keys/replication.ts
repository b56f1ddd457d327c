/**
 * Keys of replication between brokers. On one node they are read and have no effect.
 * Names, types, defaults and ranges are those of Kafka 4.4.
 */
import type { KeyDefinition } from "../key-definition.ts";
import { JVM_CLASS, ONE_NODE, accepted, unsupported } from "../key-status.ts";
import { atLeast } from "../valid-values.ts";

/** See the head of the file. */
export const REPLICATION_KEYS: readonly KeyDefinition[] = [
  {
    name: "num.replica.alter.log.dirs.threads",
    type: "int",
    default: null,
    status: accepted(ONE_NODE),
  },
  {
    name: "default.replication.factor",
    type: "int",
    default: "1",
    doc: "Replicas of a topic created without a count.",
  },
  { name: "replica.lag.time.max.ms", type: "long", default: "30000", status: accepted(ONE_NODE) },
  { name: "replica.socket.timeout.ms", type: "int", default: "30000", status: accepted(ONE_NODE) },
  {
    name: "replica.socket.receive.buffer.bytes",
    type: "int",
    default: "65536",
    status: accepted(ONE_NODE),
  },
  {
    name: "replica.fetch.max.bytes",
    type: "int",
    default: "1048576",
    valid: atLeast(0),
    status: accepted(ONE_NODE),
  },
  { name: "replica.fetch.wait.max.ms", type: "int", default: "500", status: accepted(ONE_NODE) },
  {
    name: "replica.fetch.backoff.ms",
    type: "int",
    default: "1000",
    valid: atLeast(0),
    status: accepted(ONE_NODE),
  },
  { name: "replica.fetch.min.bytes", type: "int", default: "1", status: accepted(ONE_NODE) },
  {
    name: "replica.fetch.response.max.bytes",
    type: "int",
    default: "10485760",
    valid: atLeast(0),
    status: accepted(ONE_NODE),
  },
  {
    name: "num.replica.fetchers",
    type: "int",
    default: "1",
    valid: atLeast(1),
    update: "cluster-wide",
    status: accepted(ONE_NODE),
  },
  {
    name: "replica.high.watermark.checkpoint.interval.ms",
    type: "long",
    default: "5000",
    doc: "How often high watermarks are written to their checkpoint file.",
  },
  {
    name: "auto.leader.rebalance.enable",
    type: "boolean",
    default: "true",
    status: accepted(ONE_NODE),
  },
  {
    name: "leader.imbalance.check.interval.seconds",
    type: "long",
    default: "300",
    valid: atLeast(1),
    status: accepted(ONE_NODE),
  },
  {
    name: "unclean.leader.election.interval.ms",
    type: "long",
    default: "300000",
    valid: atLeast(1),
    isInternal: true,
    status: accepted(ONE_NODE),
  },
  {
    name: "unclean.leader.election.enable",
    type: "boolean",
    default: "false",
    update: "cluster-wide",
    status: accepted(ONE_NODE),
  },
  { name: "replica.selector.class", type: "string", default: null, status: unsupported(JVM_CLASS) },
];
