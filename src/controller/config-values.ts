/**
 * The arithmetic of configuration changes: what values a resource has after SET, DELETE, APPEND and SUBTRACT, and the records that
 * make it so.
 */
import { ErrorCode } from "#common/error-code.ts";
import { ResourceType } from "#metadata/cluster-image.ts";
import type { MetadataRecord } from "#protocol/generated/records/metadata-record-table.ts";
import type { Refusal } from "./decision.ts";

/** Operations of IncrementalAlterConfigs. */
export const ConfigOperation = { SET: 0, DELETE: 1, APPEND: 2, SUBTRACT: 3 } as const;

/** One wanted change. */
export interface ConfigChange {
  readonly name: string;
  readonly operation: number;
  readonly value: string | null;
}

/** Changes of one resource. */
export interface ResourceChange {
  readonly resourceType: number;
  readonly resourceName: string;
  readonly changes: readonly ConfigChange[];
  /** True to drop every value that is not named: the older AlterConfigs. */
  readonly replacesAll: boolean;
  /** A client asked a controller by itself: no broker has looked at the values. */
  readonly isUnseen?: boolean;
}

/** Records of one resource, or why there are none. */
export type Changed = { readonly records: readonly MetadataRecord[] } | Refusal;

/** Longest value, in bytes: no record holds a longer string. */
const MAX_VALUE_BYTES = 32_767;

/** A refusal of what was asked for. */
export function invalidRequest(errorMessage: string): Refusal {
  return { errorCode: ErrorCode.INVALID_REQUEST, errorMessage };
}

/** A refusal of a value. */
export function invalidConfig(errorMessage: string): Refusal {
  return { errorCode: ErrorCode.INVALID_CONFIG, errorMessage };
}

interface ListDefinition {
  readonly type: string;
  readonly default: string | null;
}

/** The values a resource would have after the changes, or why it cannot have them. */
export function nextValues(
  { resourceType, changes, replacesAll }: ResourceChange,
  current: ReadonlyMap<string, string>,
  definitionOf: (name: string) => ListDefinition | undefined,
): Map<string, string> | Refusal {
  const next = new Map(replacesAll ? [] : current);
  for (const { name, operation, value } of changes) {
    switch (operation) {
      case ConfigOperation.SET:
        next.set(name, value ?? "");
        break;
      case ConfigOperation.DELETE:
        next.delete(name);
        break;
      case ConfigOperation.APPEND:
      case ConfigOperation.SUBTRACT: {
        const isAppend = operation === ConfigOperation.APPEND;
        const definition = definitionOf(name);
        if (definition?.type !== "list")
          return noListRefusal(resourceType, name, definition, isAppend);
        const parts = splitList(next.get(name) ?? definition.default ?? "");
        const given = splitList(value ?? "");
        const kept = isAppend
          ? [...new Set([...parts, ...given])]
          : parts.filter((part) => !given.includes(part));
        next.set(name, kept.join(","));
        break;
      }
      default:
        return { errorCode: ErrorCode.UNKNOWN_SERVER_ERROR, errorMessage: null };
    }
    if (Buffer.byteLength(next.get(name) ?? "") > MAX_VALUE_BYTES) {
      return invalidConfig(
        `The configuration value cannot be added because it exceeds the maximum value size of ${MAX_VALUE_BYTES} bytes.`,
      );
    }
  }
  return next;
}

function noListRefusal(
  resourceType: number,
  name: string,
  definition: ListDefinition | undefined,
  isAppend: boolean,
): Refusal {
  if (resourceType === ResourceType.BROKER) {
    if (definition === undefined) return invalidConfig(`Unknown config name: ${name}`);
    const verb = isAppend ? "append" : "subtract";
    return invalidConfig(`Config value ${verb} is not allowed for config key: ${name}`);
  }
  const verb = isAppend ? "APPEND" : "SUBTRACT";
  return invalidConfig(`Can't ${verb} to key ${name} because its type is not LIST.`);
}

function splitList(text: string): string[] {
  return text === "" ? [] : text.split(",").map((part) => part.trim());
}

/**
 * The records that lead from `current` to `next`. For brokers every named key has one, changed or not, as in Kafka: it counts against
 * what one request may write.
 */
export function difference(
  { resourceType, resourceName, changes }: ResourceChange,
  current: ReadonlyMap<string, string>,
  next: ReadonlyMap<string, string>,
): MetadataRecord[] {
  const records: MetadataRecord[] = [];
  const add = (name: string, value: string | null): void => {
    records.push({ kind: "ConfigRecord", record: { resourceType, resourceName, name, value } });
  };
  if (resourceType === ResourceType.BROKER) {
    const named = new Set(changes.map(({ name }) => name));
    for (const name of named) add(name, next.get(name) ?? null);
    for (const name of current.keys()) if (!named.has(name) && !next.has(name)) add(name, null);
    return records;
  }
  for (const [name, value] of next) if (current.get(name) !== value) add(name, value);
  for (const name of current.keys()) if (!next.has(name)) add(name, null);
  return records;
}
