/**
 * Keys of ours, which Kafka does not have. All begin with `sluice.`.
 */
import type { KeyDefinition } from "../key-definition.ts";
import { atLeast } from "../valid-values.ts";

/** See the head of the file. */
export const OWN_KEYS: readonly KeyDefinition[] = [
  {
    name: "sluice.acks.all.fsync",
    type: "boolean",
    default: "true",
    update: "cluster-wide",
    doc: "Whether acks=all is answered only once the records are on disk, not merely in memory. Topics override it.",
  },
  {
    name: "sluice.frame.deadline.ms",
    type: "long",
    default: "30000",
    valid: atLeast(1),
    doc: "A client that has begun a request must finish it within this time, plus a second for each 16 KiB received; then its connection is closed.",
  },
  {
    name: "sluice.max.open.files",
    type: "int",
    default: "1024",
    valid: atLeast(64),
    doc: "Most segment files kept open at a time, over all partitions.",
  },
  {
    name: "sluice.verify.on.read",
    type: "boolean",
    default: "false",
    doc: "Whether batches are checked against their checksum each time they are read.",
  },
  {
    name: "sluice.in.memory",
    type: "boolean",
    default: "false",
    doc: "Keeps all partitions in memory only: for tests and embedded use; nothing survives a stop.",
  },
];
