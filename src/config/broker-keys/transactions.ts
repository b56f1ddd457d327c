/**
 * Keys of the transaction coordinator. Known by name, type and default; none is served yet.
 * Names, types, defaults and ranges are those of Kafka 4.4.
 */
import type { KeyDefinition } from "../key-definition.ts";
import { TRANSACTIONS, unsupported } from "../key-status.ts";
import { atLeast } from "../valid-values.ts";

/** See the head of the file. */
export const TRANSACTIONS_KEYS: readonly KeyDefinition[] = [
  {
    name: "transaction.state.log.min.isr",
    type: "int",
    default: "2",
    valid: atLeast(1),
    status: unsupported(TRANSACTIONS),
    doc: "Replicas that must hold a record of the transaction topic before it counts.",
  },
  {
    name: "transaction.state.log.load.buffer.size",
    type: "int",
    default: "5242880",
    valid: atLeast(1),
    status: unsupported(TRANSACTIONS),
    doc: "Bytes read at a time when transactions are loaded.",
  },
  {
    name: "transaction.state.log.replication.factor",
    type: "short",
    default: "3",
    valid: atLeast(1),
    status: unsupported(TRANSACTIONS),
    doc: "Replicas of the topic that holds transactions.",
  },
  {
    name: "transaction.state.log.num.partitions",
    type: "int",
    default: "50",
    valid: atLeast(1),
    status: unsupported(TRANSACTIONS),
    doc: "Partitions of the topic that holds transactions.",
  },
  {
    name: "transaction.state.log.segment.bytes",
    type: "int",
    default: "104857600",
    valid: atLeast(1),
    status: unsupported(TRANSACTIONS),
    doc: "Segment size of the topic that holds transactions.",
  },
  {
    name: "transaction.partition.verification.enable",
    type: "boolean",
    default: "true",
    update: "cluster-wide",
    status: unsupported(TRANSACTIONS),
    doc: "Whether a partition asks the coordinator that a transaction is really open before it takes its records.",
  },
  {
    name: "transactional.id.expiration.ms",
    type: "int",
    default: "604800000",
    valid: atLeast(1),
    status: unsupported(TRANSACTIONS),
    doc: "How long an unused transactional id is remembered.",
  },
  {
    name: "transaction.max.timeout.ms",
    type: "int",
    default: "900000",
    valid: atLeast(1),
    status: unsupported(TRANSACTIONS),
    doc: "Longest transaction timeout a producer may ask for.",
  },
  {
    name: "transaction.abort.timed.out.transaction.cleanup.interval.ms",
    type: "int",
    default: "10000",
    valid: atLeast(1),
    status: unsupported(TRANSACTIONS),
    doc: "How often transactions past their timeout are looked for.",
  },
  {
    name: "transaction.remove.expired.transaction.cleanup.interval.ms",
    type: "int",
    default: "3600000",
    valid: atLeast(1),
    status: unsupported(TRANSACTIONS),
    doc: "How often unused transactional ids are looked for.",
  },
  {
    name: "transaction.two.phase.commit.enable",
    type: "boolean",
    default: "false",
    status: unsupported(TRANSACTIONS),
    doc: "Whether producers may take part in two-phase commits of others.",
  },
  {
    name: "add.partitions.to.txn.retry.backoff.max.ms",
    type: "int",
    default: "100",
    valid: atLeast(0),
    status: unsupported(TRANSACTIONS),
    doc: "Longest time the broker keeps retrying to add a partition to a transaction.",
  },
  {
    name: "add.partitions.to.txn.retry.backoff.ms",
    type: "int",
    default: "20",
    valid: atLeast(1),
    status: unsupported(TRANSACTIONS),
    doc: "Pause before the broker retries to add a partition to a transaction.",
  },
];
