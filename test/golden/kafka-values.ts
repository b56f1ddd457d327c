/**
 * Turns the JSON that Kafka's own converters print for a message into the object our decoder should give. It works
 * from the schema alone, with defaults of its own, so that it shares no code with what it checks.
 */
import { BIGINT_FIELDS } from "#protocol/generator/overlay.ts";
import {
  elementType,
  type FieldSchema,
  isPrimitive,
  type MessageSchema,
  propertyName,
} from "#protocol/generator/schema.ts";

type Json = null | boolean | number | string | Json[] | { [name: string]: Json };

/** The object that stands for `json`, which Kafka printed for one version of the message. */
export function fromKafkaJson(schema: MessageSchema, json: unknown): unknown {
  return structFrom(schema, schema.fields, json as Json);
}

function structFrom(schema: MessageSchema, fields: readonly FieldSchema[], json: Json): unknown {
  const given = (json ?? {}) as { [name: string]: Json };
  const object: Record<string, unknown> = {};
  for (const field of fields) {
    const value = given[field.name.charAt(0).toLowerCase() + field.name.slice(1)];
    object[propertyName(field.name)] =
      value === undefined ? defaultOf(schema, field) : valueFrom(schema, field, value);
  }
  return object;
}

function valueFrom(schema: MessageSchema, field: FieldSchema, json: Json): unknown {
  if (json === null) return null;
  const element = elementType(field.type);
  if (element === null) return singleFrom(schema, field, field.type, json);
  return (json as Json[]).map((each) => singleFrom(schema, field, element, each));
}

function singleFrom(schema: MessageSchema, field: FieldSchema, type: string, json: Json): unknown {
  if (type === "int64") {
    return BIGINT_FIELDS.has(field.name) ? BigInt(json as string | number) : saturated(json as string | number);
  }
  if (type === "float64") return Number(json);
  if (type === "bytes" || type === "records") return Uint8Array.fromBase64(json as string);
  return isPrimitive(type) ? json : structFrom(schema, fieldsOf(schema, field, type), json);
}

function saturated(value: string | number): number {
  const exact = BigInt(value);
  if (exact > BigInt(Number.MAX_SAFE_INTEGER)) return Number.MAX_SAFE_INTEGER;
  if (exact < BigInt(Number.MIN_SAFE_INTEGER)) return Number.MIN_SAFE_INTEGER;
  return Number(exact);
}

/** What a field is when nothing was said. */
export function defaultOf(schema: MessageSchema, field: FieldSchema): unknown {
  if (field.default === "null") return null;
  if (elementType(field.type) !== null) return [];
  switch (field.type) {
    case "bool":
      return field.default === "true";
    case "string":
      return field.default ?? "";
    case "uuid":
      return "AAAAAAAAAAAAAAAAAAAAAA";
    case "bytes":
      return new Uint8Array(0);
    case "records":
      return field.nullableVersions === undefined ? new Uint8Array(0) : null;
    case "int64":
      return BIGINT_FIELDS.has(field.name) ? BigInt(field.default ?? 0) : saturated(field.default ?? 0);
    default:
      return isPrimitive(field.type)
        ? Number(field.default ?? 0)
        : structFrom(schema, fieldsOf(schema, field, field.type), {});
  }
}

function fieldsOf(schema: MessageSchema, field: FieldSchema, type: string): readonly FieldSchema[] {
  const fields = field.fields ?? schema.commonStructs?.find((struct) => struct.name === type)?.fields;
  if (fields === undefined) throw new Error(`struct ${type} is not declared`);
  return fields;
}
