/**
 * What becomes of a key that Kafka knows: supported, read without effect, or not served, the last two with the reason
 * a person is told. A key that is in no table at all is unknown and only warned about, as in Kafka.
 */

/** The fate of a key and the reason for it. */
export interface KeyStatus {
  readonly kind: "supported" | "accepted" | "unsupported";
  readonly reason: string;
}

/** The status of keys that do what they say. */
export const SUPPORTED: KeyStatus = { kind: "supported", reason: "" };

/** Read and shown, but changing it changes nothing. */
export function accepted(reason: string): KeyStatus {
  return { kind: "accepted", reason };
}

/** Read and shown; setting it to anything but its default earns a warning with the reason. */
export function unsupported(reason: string): KeyStatus {
  return { kind: "unsupported", reason };
}

export const ONE_NODE: string = "a single node has nothing to replicate, elect or reassign";
export const ONE_MOVER: string = "one native thread copies all partitions that move";
export const COMPACTION: string = "log compaction is not offered yet";
export const NO_POOL: string = "the broker has no such pool, thread or buffer to size";
export const LATER: string = "the built-in behaviour is fixed for now";
export const TIERED: string = "tiered storage is not offered";
export const SECURITY: string = "TLS, SASL and authorization are not offered yet";
export const TRANSACTIONS: string = "transactions are not offered yet";
export const SHARE_GROUPS: string = "share groups are not offered yet";
export const STREAMS_GROUPS: string = "streams groups are not offered yet";
export const QUOTAS: string = "quotas are not offered yet";
export const METRICS: string =
  "metrics are read at the admin port, and no reporter is told of them";
export const JVM_CLASS: string = "classes of the Java virtual machine cannot be loaded";
export const GROWING_FILES: string = "files grow as they are written";
export const ONE_LZ4_LEVEL: string = "LZ4 is written at one level, the fast one";
export const SYSTEM_BACKLOG: string = "the runtime decides how many connections may wait";
