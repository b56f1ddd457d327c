/**
 * Writes the function that reads a struct: one line a field, the tagged section at the end.
 */
import {
  isNullable,
  typeOf,
  structName,
  defaultOf,
  isPresent,
  isTagged,
  mentions,
} from "./emit-types.ts";
import { Conditions, minimumBytes, segments, type Layout, type Struct } from "./layout.ts";
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

/** Local names that a field of the same name must not shadow. */
const RESERVED: ReadonlySet<string> = new Set([
  "reader",
  "writer",
  "version",
  "flexible",
  "message",
  "index",
  "element",
  "tag",
  "size",
  "mark",
  "remaining",
  "tagCount",
  "default",
  "package",
  "class",
  "function",
  "new",
  "delete",
  "switch",
  "case",
  "in",
  "protected",
  "interface",
  "static",
  "private",
  "public",
  "required",
  "refuse",
]);

function localName(field: FieldSchema): string {
  const name = propertyName(field.name);
  return RESERVED.has(name) ? `${name}Value` : name;
}

/** Call that reads one value of `type`. */
function readCall(
  layout: Layout,
  field: FieldSchema,
  type: string,
  version: number,
  nullable: boolean,
): string {
  const isFlexible = isIn(layout.flexible, version);
  switch (type) {
    case "string":
      if (isFlexible) return nullable ? "reader.compactNullableString()" : "reader.compactString()";
      return nullable ? "reader.nullableString()" : "reader.string()";
    case "bytes":
    case "records":
      if (isFlexible) return nullable ? "reader.compactNullableBytes()" : "reader.compactBytes()";
      return nullable ? "reader.nullableBytes()" : "reader.byteArray()";
    case "int64":
      return BIGINT_FIELDS.has(field.name) ? "reader.bigint64()" : "reader.int64()";
    default: {
      if (isPrimitive(type)) return `reader.${type}()`;
      const call = `decode${structName(layout, type)}(reader, version)`;
      if (!nullable) return call;
      // A struct that may be null is announced by a byte, inside a tagged field by a varint.
      const isNull = isTagged(field, version)
        ? "reader.unsignedVarint() <= 0"
        : "reader.int8() < 0";
      return `(${isNull} ? null : ${call})`;
    }
  }
}

function countCall(layout: Layout, field: FieldSchema, version: number, minimum: number): string {
  const isFlexible = isIn(layout.flexible, version);
  const nullable = isIn(parseVersions(field.nullableVersions), version);
  const name = nullable ? "NullableArrayCount" : "ArrayCount";
  return isFlexible
    ? `reader.compact${name}(${minimum})`
    : `reader.${name.charAt(0).toLowerCase()}${name.slice(1)}(${minimum})`;
}

/** The function that reads one struct. */
export function emitDecoder(layout: Layout, struct: Struct): string {
  const conditions = new Conditions(struct.context, layout.flexible);
  const lines: string[] = [];
  const members: string[] = [];
  for (const field of struct.fields) {
    const name = propertyName(field.name);
    const local = localName(field);
    members.push(name === local ? name : `${name}: ${local}`);
    lines.push(...decodeField(layout, struct, conditions, field, local));
  }
  lines.push(...decodeTags(layout, struct, conditions));
  const flexible =
    conditions.firstFlexible !== null && conditions.usesFlexible
      ? [`const flexible = version >= ${conditions.firstFlexible};`]
      : [];
  const body = [...flexible, ...lines, `return { ${members.join(", ")} };`].join("\n  ");
  const parameter = (name: string): string => (mentions(body, name) ? name : `_${name}`);
  return `function decode${struct.name}(${parameter("reader")}: Reader, ${parameter("version")}: number): ${struct.name} {\n  ${body}\n}`;
}

function decodeField(
  layout: Layout,
  struct: Struct,
  conditions: Conditions,
  field: FieldSchema,
  local: string,
): string[] {
  const isEverTagged = field.taggedVersions !== undefined;
  const keyword = isEverTagged ? "let" : "const";
  const type = typeOf(layout, field);
  const initial = defaultOf(layout, field);
  const element = elementType(field.type);
  const isRead = (version: number): boolean =>
    isPresent(field, version) && !isTagged(field, version);
  const everRead = segments(struct.context, (version) => (isRead(version) ? "yes" : "no")).some(
    (part) => part.text === "yes",
  );
  if (!everRead) return [`${keyword} ${local}: ${type} = ${initial};`];
  if (element === null) {
    const parts = segments(struct.context, (version) =>
      isRead(version)
        ? readCall(
            layout,
            field,
            field.type,
            version,
            isIn(parseVersions(field.nullableVersions), version),
          )
        : initial,
    );
    const needsType = isEverTagged || isNullable(field) || field.type === "records";
    return [
      `${keyword} ${local}${needsType ? `: ${type}` : ""} = ${conditions.expression(parts)};`,
    ];
  }
  const absent = initial === "null" ? "-1" : "0";
  const minimum = minimumBytes(
    layout,
    element,
    intersect(struct.context, parseVersions(field.versions)),
  );
  const counts = segments(struct.context, (version) =>
    isRead(version) ? countCall(layout, field, version, minimum) : absent,
  );
  const reads = readSegments(layout, struct, field, element, isRead);
  return readArray(conditions, field, local, type, `${keyword} `, counts, reads);
}

function readSegments(
  layout: Layout,
  struct: Struct,
  field: FieldSchema,
  element: string,
  isRead: (version: number) => boolean,
): ReturnType<typeof segments> {
  // Outside the versions that hold the field nothing is read, so any range may be stretched over them.
  const parts = segments(struct.context, (version) =>
    isRead(version) ? readCall(layout, field, element, version, false) : "",
  ).filter((part) => part.text !== "");
  const merged: typeof parts = [];
  for (const part of parts) {
    const last = merged.at(-1);
    if (last !== undefined && last.text === part.text)
      merged[merged.length - 1] = { ...last, high: part.high };
    else merged.push(part);
  }
  const first = merged[0];
  if (first !== undefined) merged[0] = { ...first, low: struct.context.low };
  return merged;
}

function readArray(
  conditions: Conditions,
  field: FieldSchema,
  local: string,
  type: string,
  declaration: string,
  counts: ReturnType<typeof segments>,
  reads: ReturnType<typeof segments>,
): string[] {
  const count = `${local}Count`;
  const isDeclared = declaration !== "";
  const loop = `for (let index = 0; index < ${count} && reader.failure === null; index += 1) ${local}.push(${conditions.expression(reads)});`;
  const lines = [`const ${count} = ${conditions.expression(counts)};`];
  const target = isDeclared ? `${declaration}${local}: ${type}` : local;
  if (isNullable(field)) {
    lines.push(`${target} = ${count} < 0 ? null : [];`);
    lines.push(`if (${local} !== null) { ${loop} }`);
  } else {
    lines.push(`${target} = [];`);
    lines.push(loop);
  }
  return lines;
}

function decodeTags(layout: Layout, struct: Struct, conditions: Conditions): string[] {
  const flexible = intersect(struct.context, layout.flexible);
  if (flexible.low > flexible.high) return [];
  const tagged = struct.fields
    .filter((field) => field.taggedVersions !== undefined)
    .filter((field) => {
      const range = intersect(parseVersions(field.taggedVersions), struct.context);
      return range.low <= range.high;
    });
  const condition = conditions.within(flexible);
  if (tagged.length === 0) {
    return [condition === null ? "reader.skipTags();" : `if (${condition}) reader.skipTags();`];
  }
  const cases = tagged.map((field) => {
    const range = intersect(parseVersions(field.taggedVersions), struct.context);
    const within: Struct = { ...struct, context: range };
    const inner = new Conditions(range, layout.flexible);
    const local = localName(field);
    const element = elementType(field.type);
    let lines: string[];
    if (element === null) {
      const parts = segments(range, (version) =>
        readCall(
          layout,
          field,
          field.type,
          version,
          isIn(parseVersions(field.nullableVersions), version),
        ),
      );
      lines = [`${local} = ${inner.expression(parts)};`];
    } else {
      const minimum = minimumBytes(layout, element, range);
      const counts = segments(range, (version) => countCall(layout, field, version, minimum));
      const reads = readSegments(layout, within, field, element, () => true);
      lines = readArray(inner, field, local, typeOf(layout, field), "", counts, reads);
    }
    const always = intersect(range, flexible);
    const only = conditions.within({
      low: always.low === flexible.low ? struct.context.low : range.low,
      high: range.high,
    });
    const body = lines.join("\n");
    return only === null
      ? `case ${field.tag}: { ${body} break; }`
      : `case ${field.tag}: { if (${only}) { ${body} } else { reader.fail("tag ${field.tag} is not valid in this version"); } break; }`;
  });
  const loop = `for (let remaining = reader.tagCount(); remaining > 0 && reader.failure === null; remaining -= 1) {
    const tag = reader.unsignedVarint();
    const size = reader.unsignedVarint();
    switch (tag) { ${cases.join("\n")} default: reader.skip(size); }
  }`;
  return [condition === null ? loop : `if (${condition}) { ${loop} }`];
}
