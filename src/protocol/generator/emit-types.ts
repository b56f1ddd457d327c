/**
 * What a field is in TypeScript: its type, its default, and the test for that default. Decoder and encoder share it.
 */
import { type Layout } from "./layout.ts";
import { BIGINT_FIELDS, CUT_FIELDS } from "./overlay.ts";
import { elementType, isIn, isPrimitive, parseVersions, type FieldSchema } from "./schema.ts";

/** Whether the field may be null in any version. */
export function isNullable(field: FieldSchema): boolean {
  return field.nullableVersions !== undefined;
}

function isCut(layout: Layout, field: FieldSchema): boolean {
  return CUT_FIELDS.has(`${layout.message.name}.${field.name}`);
}

function scalarType(layout: Layout, field: FieldSchema, type: string): string {
  switch (type) {
    case "bool":
      return "boolean";
    case "string":
    case "uuid":
      return "string";
    case "bytes":
      return "Uint8Array";
    case "records":
      return isCut(layout, field) ? "Uint8Array | RecordsCut" : "Uint8Array";
    case "int64":
      return BIGINT_FIELDS.has(field.name) ? "bigint" : "number";
    default:
      return isPrimitive(type) ? "number" : structName(layout, type);
  }
}

/** TypeScript type of a field. */
export function typeOf(layout: Layout, field: FieldSchema): string {
  const element = elementType(field.type);
  const type =
    element === null
      ? scalarType(layout, field, field.type)
      : `${scalarType(layout, field, element)}[]`;
  return isNullable(field) ? `${type} | null` : type;
}

/** TypeScript name of a struct. */
export function structName(layout: Layout, type: string): string {
  const struct = layout.structs.get(type);
  if (struct === undefined) throw new Error(`struct ${type} is not declared`);
  return struct.name;
}

/** A field's default, as an expression. */
export function defaultOf(layout: Layout, field: FieldSchema): string {
  const given = field.default;
  if (given === "null") return "null";
  if (elementType(field.type) !== null) return "[]";
  switch (field.type) {
    case "bool":
      return given === "true" ? "true" : "false";
    case "string":
      return JSON.stringify(given ?? "");
    case "uuid":
      return "ZERO_UUID";
    case "bytes":
      return "EMPTY_BYTES";
    case "records":
      return isNullable(field) ? "null" : "EMPTY_BYTES";
    case "int64": {
      if (BIGINT_FIELDS.has(field.name)) return `${BigInt(given ?? "0")}n`;
      const exact = BigInt(given ?? "0");
      if (exact > BigInt(Number.MAX_SAFE_INTEGER)) return "Number.MAX_SAFE_INTEGER";
      if (exact < BigInt(Number.MIN_SAFE_INTEGER)) return "Number.MIN_SAFE_INTEGER";
      return `${exact}`;
    }
    default:
      return isPrimitive(field.type)
        ? `${Number(given ?? "0")}`
        : `make${structName(layout, field.type)}()`;
  }
}

/** Condition under which `value` is the field's default. */
export function isDefault(layout: Layout, field: FieldSchema, value: string): string {
  const initial = defaultOf(layout, field);
  if (initial === "null") return `${value} === null`;
  const guard = isNullable(field) ? `${value} !== null && ` : "";
  if (initial === "[]" || initial === "EMPTY_BYTES") return `${guard}${value}.length === 0`;
  if (initial.startsWith("make"))
    return `${guard}isDefault${structName(layout, field.type)}(${value})`;
  return `${value} === ${initial}`;
}

/** Condition under which `value` is not the field's default. */
export function isNotDefault(layout: Layout, field: FieldSchema, value: string): string {
  const initial = defaultOf(layout, field);
  if (initial === "null") return `${value} !== null`;
  const guard = isNullable(field) ? `${value} === null || ` : "";
  if (initial === "[]" || initial === "EMPTY_BYTES") return `${guard}${value}.length > 0`;
  if (initial.startsWith("make"))
    return `${guard}!isDefault${structName(layout, field.type)}(${value})`;
  return `${value} !== ${initial}`;
}

/** Schema names of the structs whose equality with their defaults some encoder asks for. */
export function structsComparedWithDefaults(layout: Layout): Set<string> {
  const needed = new Set<string>();
  const need = (field: FieldSchema): void => {
    if (isPrimitive(field.type) || elementType(field.type) !== null || field.default === "null")
      return;
    if (needed.has(field.type)) return;
    needed.add(field.type);
    for (const inner of layout.structs.get(field.type)?.fields ?? []) need(inner);
  };
  for (const struct of layout.structs.values()) {
    for (const field of struct.fields) {
      const present = parseVersions(field.versions);
      const isAbsentSomewhere =
        present.low > struct.context.low || present.high < struct.context.high;
      const isTagged = field.taggedVersions !== undefined;
      if (isTagged || (isAbsentSomewhere && field.ignorable !== true)) need(field);
    }
  }
  return needed;
}

/** Whether the version has the field. */
export function isPresent(field: FieldSchema, version: number): boolean {
  return isIn(parseVersions(field.versions), version);
}

/** Whether the version has the field among its tagged ones. */
export function isTagged(field: FieldSchema, version: number): boolean {
  return isIn(parseVersions(field.taggedVersions), version);
}

/** Tells whether `code` uses the variable, as against a property or a text of that name. */
export function mentions(code: string, variable: string): boolean {
  return new RegExp(`(?<![.\\w"])${variable}(?![\\w:])`).test(code);
}
