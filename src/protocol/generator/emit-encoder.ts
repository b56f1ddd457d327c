/**
 * Writes the function that writes a struct. A field that a version lacks must hold its default, unless it is ignorable.
 */
import {
  isNullable,
  structName,
  isNotDefault,
  isPresent,
  isTagged,
  mentions,
} from "./emit-types.ts";
import { Conditions, segments, type Layout, type Struct } from "./layout.ts";
import { BIGINT_FIELDS } from "./overlay.ts";
import {
  elementType,
  intersect,
  isIn,
  isPrimitive,
  parseVersions,
  propertyName,
  type FieldSchema,
} from "./schema.ts";

/** Statement that writes one value of `type`. */
function writeCall(
  layout: Layout,
  field: FieldSchema,
  type: string,
  version: number,
  nullable: boolean,
  value: string,
): string {
  const isFlexible = isIn(layout.flexible, version);
  const sure = isNullable(field) && !nullable && value !== "element";
  const given = sure ? `required(${value}, "${propertyName(field.name)}")` : value;
  switch (type) {
    case "string":
      if (isFlexible) return `writer.compact${nullable ? "Nullable" : ""}String(${given});`;
      return nullable ? `writer.nullableString(${given});` : `writer.string(${given});`;
    case "bytes":
      if (isFlexible) return `writer.compact${nullable ? "Nullable" : ""}Bytes(${given});`;
      return nullable ? `writer.nullableBytes(${given});` : `writer.byteArray(${given});`;
    case "records":
      return isFlexible ? `writer.compactRecords(${given});` : `writer.records(${given});`;
    case "int64":
      return BIGINT_FIELDS.has(field.name)
        ? `writer.bigint64(${given});`
        : `writer.int64(${given});`;
    default: {
      if (isPrimitive(type)) return `writer.${type}(${given});`;
      const name = structName(layout, type);
      if (!nullable) return `encode${name}(writer, ${given}, version);`;
      const sign = field.tag === undefined ? "-1" : "0";
      return `if (${value} === null) { writer.int8(${sign}); } else { writer.int8(1); encode${name}(writer, ${value}, version); }`;
    }
  }
}

/** The function that writes one struct. */
export function emitEncoder(layout: Layout, struct: Struct): string {
  const conditions = new Conditions(struct.context, layout.flexible);
  const lines: string[] = [];
  for (const field of struct.fields)
    lines.push(...encodeField(layout, struct.context, conditions, field));
  lines.push(...encodeTags(layout, struct, conditions));
  const flexible =
    conditions.firstFlexible !== null && conditions.usesFlexible
      ? [`const flexible = version >= ${conditions.firstFlexible};`]
      : [];
  const body = [...flexible, ...lines].join("\n  ");
  const parameter = (name: string): string => (mentions(body, name) ? name : `_${name}`);
  return `function encode${struct.name}(${parameter("writer")}: Writer, ${parameter("message")}: ${struct.name}, ${parameter("version")}: number): void {\n  ${body}\n}`;
}

function encodeField(
  layout: Layout,
  context: { low: number; high: number },
  conditions: Conditions,
  field: FieldSchema,
): string[] {
  const value = `message.${propertyName(field.name)}`;
  const lacking =
    field.ignorable === true
      ? ""
      : `if (${isNotDefault(layout, field, value)}) refuse("${propertyName(field.name)}", version);`;
  const element = elementType(field.type);
  if (element === null) {
    return conditions.statements(
      segments(context, (version) => {
        if (!isPresent(field, version)) return lacking;
        if (isTagged(field, version)) return "";
        const nullable = isIn(parseVersions(field.nullableVersions), version);
        return writeCall(layout, field, field.type, version, nullable, value);
      }),
    );
  }
  const written = (version: number): boolean =>
    isPresent(field, version) && !isTagged(field, version);
  const counts = segments(context, (version) => {
    if (!isPresent(field, version)) return lacking;
    return written(version) ? writeCount(layout, field, version, value) : "";
  });
  const loops = segments(context, (version) =>
    written(version) ? writeElements(layout, field, element, version, value) : "",
  );
  return [...conditions.statements(counts), ...conditions.statements(loops)];
}

function writeCount(layout: Layout, field: FieldSchema, version: number, value: string): string {
  const nullable = isIn(parseVersions(field.nullableVersions), version);
  const call = isIn(layout.flexible, version) ? "writer.compactArrayCount" : "writer.arrayCount";
  if (nullable) return `${call}(${value} === null ? -1 : ${value}.length);`;
  if (isNullable(field))
    return `${call}(required(${value}, "${propertyName(field.name)}").length);`;
  return `${call}(${value}.length);`;
}

function writeElements(
  layout: Layout,
  field: FieldSchema,
  element: string,
  version: number,
  value: string,
): string {
  const body = writeCall(layout, field, element, version, false, "element");
  const loop = `for (const element of ${value}) ${body}`;
  return isNullable(field) ? `if (${value} !== null) { ${loop} }` : loop;
}

function encodeTags(layout: Layout, struct: Struct, conditions: Conditions): string[] {
  const flexible = intersect(struct.context, layout.flexible);
  if (flexible.low > flexible.high) return [];
  const condition = conditions.within(flexible);
  const tagged = struct.fields
    .filter((field) => field.taggedVersions !== undefined)
    .map((field) => ({
      field,
      range: intersect(parseVersions(field.taggedVersions), struct.context),
    }))
    .filter(({ range }) => range.low <= range.high)
    .sort((one, other) => (one.field.tag ?? 0) - (other.field.tag ?? 0));
  if (tagged.length === 0) {
    return [condition === null ? "writer.int8(0);" : `if (${condition}) writer.int8(0);`];
  }
  const counts: string[] = [];
  const writes: string[] = [];
  for (const { field, range } of tagged) {
    const value = `message.${propertyName(field.name)}`;
    const only = conditions.within({
      low: range.low <= flexible.low ? struct.context.low : range.low,
      high: range.high,
    });
    const differs = isNotDefault(layout, field, value);
    const test =
      only === null ? differs : `${only} && ${differs.includes("||") ? `(${differs})` : differs}`;
    const inner = new Conditions(range, layout.flexible);
    const asUntagged: FieldSchema = { ...field, taggedVersions: "none" };
    const body = encodeField(layout, range, inner, asUntagged).join("\n");
    counts.push(`if (${test}) tagCount += 1;`);
    writes.push(
      `if (${test}) { const mark = writer.beginTag(${field.tag}); ${body} writer.endTag(mark); }`,
    );
  }
  const body = `let tagCount = 0;\n${counts.join("\n")}\nwriter.unsignedVarint(tagCount);\n${writes.join("\n")}`;
  return [condition === null ? body : `if (${condition}) { ${body} }`];
}
