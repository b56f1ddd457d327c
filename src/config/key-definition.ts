/**
 * What one configuration key is. Every key Kafka 4.4 knows, and each of ours, is one row of data of this shape;
 * the parser, the typed configurations, DescribeConfigs, validation and the reference page all read the same rows.
 */
import type { KeyStatus } from "./key-status.ts";
import type { ValidValues } from "./valid-values.ts";

/** How a value is read. `class` names a JVM class, which nothing here can load. */
export type KeyType =
  "boolean" | "string" | "int" | "short" | "long" | "double" | "list" | "class" | "password";

/** Whether and how widely a broker key may change while the broker runs. Absent: at start only. */
export type UpdateMode = "per-broker" | "cluster-wide";

/** One row of the table. */
export interface KeyDefinition {
  /** The key as Kafka spells it; it is the identity of the setting. */
  readonly name: string;
  readonly type: KeyType;
  /** Default in its text form, or null for none. */
  readonly default: string | null;
  /** Kafka's own default where ours differs; null when Kafka has none. */
  readonly kafkaDefault?: string | null;
  readonly valid?: ValidValues;
  readonly update?: UpdateMode;
  /** Kafka lets the key change while running (`update` is given); here it is read at start only, and such a change is refused. */
  readonly actsAtStart?: boolean;
  /** Internal keys are read but never listed. */
  readonly isInternal?: boolean;
  /** What becomes of the setting here. Absent: supported. */
  readonly status?: KeyStatus;
  /** One sentence or two for people. */
  readonly doc?: string;
}

/** True for keys whose values are never shown. */
export function isSensitive(definition: KeyDefinition): boolean {
  return definition.type === "password";
}
