/**
 * The compact form in which message schemas are kept under `schema/`: names, types and versions, nothing else. The
 * extractor (`extract.ts`) makes it from Kafka's own descriptors; the emitter (`emit.ts`) needs only this.
 *
 * A type is a primitive (`int32`, `string`, `uuid` …), the name of a struct, or `[]` and one of both.
 * Version ranges are written as Kafka writes them: `3`, `0-5`, `2+`, `none`.
 */

/** A field of a struct. */
export interface FieldSchema {
  readonly name: string;
  readonly type: string;
  readonly versions: string;
  readonly nullableVersions?: string;
  readonly taggedVersions?: string;
  readonly tag?: number;
  readonly default?: string;
  readonly ignorable?: boolean;
  /** Part of the key of its struct among the elements of an array. */
  readonly mapKey?: boolean;
  readonly fields?: readonly FieldSchema[];
}

/** A struct that several fields share. */
export interface StructSchema {
  readonly name: string;
  readonly versions: string;
  readonly fields: readonly FieldSchema[];
}

/** One message: a request, a response, or a record. */
export interface MessageSchema {
  readonly name: string;
  readonly fields: readonly FieldSchema[];
  readonly commonStructs?: readonly StructSchema[];
}

/** `schema/<api>.json`. */
export interface ApiSchema {
  readonly kind: "api";
  readonly name: string;
  readonly apiKey: number;
  readonly validVersions: string;
  /** Versions that Kafka 4.4 itself still serves; the codecs reach further down. */
  readonly servedVersions: string;
  readonly flexibleVersions: string;
  readonly listeners: readonly string[];
  readonly latestVersionUnstable?: boolean;
  readonly request: MessageSchema;
  readonly response: MessageSchema;
}

/** `schema/records/<record>.json`: what is stored in logs and files. */
export interface RecordSchema {
  readonly kind: "metadata" | "coordinator-key" | "coordinator-value" | "data";
  readonly name: string;
  /** Record type of metadata and coordinator records. */
  readonly apiKey?: number;
  readonly validVersions: string;
  readonly flexibleVersions: string;
  readonly message: MessageSchema;
}

/** Inclusive range of versions; empty when `low` is above `high`. */
export interface VersionRange {
  readonly low: number;
  readonly high: number;
}

export const NO_VERSIONS: VersionRange = { low: 1, high: 0 };

/** Reads a range as Kafka writes it. */
export function parseVersions(text: string | undefined): VersionRange {
  if (text === undefined || text === "none") return NO_VERSIONS;
  const plus = /^(\d+)\+$/.exec(text);
  if (plus !== null) return { low: Number(plus[1]), high: Infinity };
  const both = /^(\d+)-(\d+)$/.exec(text);
  if (both !== null) return { low: Number(both[1]), high: Number(both[2]) };
  if (/^\d+$/.test(text)) return { low: Number(text), high: Number(text) };
  throw new Error(`not a version range: ${text}`);
}

/** Writes a range as Kafka writes it. */
export function formatVersions(range: VersionRange): string {
  if (range.low > range.high) return "none";
  if (range.high === Infinity) return `${range.low}+`;
  return range.low === range.high ? `${range.low}` : `${range.low}-${range.high}`;
}

export function isIn(range: VersionRange, version: number): boolean {
  return version >= range.low && version <= range.high;
}

export function intersect(one: VersionRange, other: VersionRange): VersionRange {
  return { low: Math.max(one.low, other.low), high: Math.min(one.high, other.high) };
}

/** Type of an array's elements, or null when `type` is no array. */
export function elementType(type: string): string | null {
  return type.startsWith("[]") ? type.slice(2) : null;
}

const PRIMITIVES: ReadonlySet<string> = new Set([
  "bool",
  "int8",
  "int16",
  "uint16",
  "int32",
  "uint32",
  "int64",
  "float64",
  "string",
  "uuid",
  "bytes",
  "records",
]);

export function isPrimitive(type: string): boolean {
  return PRIMITIVES.has(type);
}

/** `OffsetForLeaderEpoch` → `offset-for-leader-epoch`. */
export function kebabCase(name: string): string {
  return name
    .replace("KRaft", "Kraft")
    .replace(/([a-z0-9])([A-Z])/g, "$1-$2")
    .replace(/([A-Z]+)([A-Z][a-z])/g, "$1-$2")
    .toLowerCase();
}

/** `TopicData` → `topicData`, `ISRNodes` → `isrNodes`. */
export function propertyName(name: string): string {
  const run = /^[A-Z]+/.exec(name)?.[0] ?? "";
  if (run.length <= 1 || run.length === name.length) {
    return run.length === name.length
      ? name.toLowerCase()
      : name.charAt(0).toLowerCase() + name.slice(1);
  }
  const count = /^[A-Z]+[a-z]/.test(name) ? run.length - 1 : run.length;
  return name.slice(0, count).toLowerCase() + name.slice(count);
}
