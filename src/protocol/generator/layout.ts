/**
 * What the emitter needs to know about a message before it writes a line: the structs in it with their TypeScript
 * names, the versions in which each can occur, the fewest bytes an element takes, and text that depends on the version
 * reduced to the few ranges in which it is the same.
 */
import {
  elementType,
  type FieldSchema,
  intersect,
  isIn,
  isPrimitive,
  type MessageSchema,
  parseVersions,
  type VersionRange,
} from "./schema.ts";

/** A struct to be generated: the message itself, or one nested in it. */
export interface Struct {
  readonly schemaName: string;
  /** TypeScript name. */
  name: string;
  /** Versions in which it can occur. */
  context: VersionRange;
  readonly fields: readonly FieldSchema[];
}

/** A message with its structs, innermost first. */
export interface Layout {
  readonly message: MessageSchema;
  readonly valid: VersionRange;
  readonly flexible: VersionRange;
  readonly structs: ReadonlyMap<string, Struct>;
}

export function layOut(
  message: MessageSchema,
  valid: VersionRange,
  flexible: VersionRange,
): Layout {
  const structs = new Map<string, Struct>();
  const common = new Map((message.commonStructs ?? []).map((struct) => [struct.name, struct]));
  const visit = (name: string, fields: readonly FieldSchema[], context: VersionRange): void => {
    const known = structs.get(name);
    if (known !== undefined) {
      const low = Math.min(known.context.low, context.low);
      const high = Math.max(known.context.high, context.high);
      if (known.fields !== fields) throw new Error(`struct ${name} is declared twice`);
      known.context = { low, high };
    }
    for (const field of fields) {
      const type = elementType(field.type) ?? field.type;
      if (isPrimitive(type)) continue;
      const inside = field.fields ?? common.get(type)?.fields;
      if (inside === undefined) throw new Error(`struct ${type} is not declared`);
      visit(type, inside, intersect(context, parseVersions(field.versions)));
    }
    if (known === undefined) structs.set(name, { schemaName: name, name, context, fields });
  };
  visit(message.name, message.fields, valid);
  return { message, valid, flexible, structs };
}

/** Gives the structs that two messages of one file both name the message's name in front. */
export function separateNames(one: Layout, other: Layout): void {
  for (const struct of one.structs.values()) {
    const twin = other.structs.get(struct.schemaName);
    if (twin === undefined) continue;
    struct.name = one.message.name + struct.schemaName;
    twin.name = other.message.name + struct.schemaName;
  }
}

/** The fewest bytes a value of `type` can take in any version of `context`, at least 1. */
export function minimumBytes(layout: Layout, type: string, context: VersionRange): number {
  let minimum = Infinity;
  for (let version = context.low; version <= context.high; version += 1) {
    minimum = Math.min(minimum, bytesInVersion(layout, type, version));
  }
  return Math.max(1, minimum);
}

function bytesInVersion(layout: Layout, type: string, version: number): number {
  const isFlexible = isIn(layout.flexible, version);
  if (elementType(type) !== null) return isFlexible ? 1 : 4;
  switch (type) {
    case "bool":
    case "int8":
      return 1;
    case "int16":
    case "uint16":
      return 2;
    case "int32":
    case "uint32":
      return 4;
    case "int64":
    case "float64":
      return 8;
    case "uuid":
      return 16;
    case "string":
      return isFlexible ? 1 : 2;
    case "bytes":
    case "records":
      return isFlexible ? 1 : 4;
    default: {
      let sum = isFlexible ? 1 : 0;
      for (const field of layout.structs.get(type)?.fields ?? []) {
        if (!isIn(parseVersions(field.versions), version)) continue;
        if (isIn(parseVersions(field.taggedVersions), version)) continue;
        const isNullableStruct =
          !isPrimitive(field.type) &&
          elementType(field.type) === null &&
          isIn(parseVersions(field.nullableVersions), version);
        sum += isNullableStruct ? 1 : bytesInVersion(layout, field.type, version);
      }
      return sum;
    }
  }
}

/** Text that holds for a range of versions. */
export interface Segment extends VersionRange {
  readonly text: string;
}

/** Splits `context` into the ranges in which `textOf` says the same. */
export function segments(context: VersionRange, textOf: (version: number) => string): Segment[] {
  const found: Segment[] = [];
  for (let version = context.low; version <= context.high; version += 1) {
    const text = textOf(version);
    const last = found.at(-1);
    if (last !== undefined && last.text === text) {
      found[found.length - 1] = { low: last.low, high: version, text };
    } else {
      found.push({ low: version, high: version, text });
    }
  }
  return found;
}

/** Writes conditions on `version` for one struct, using the constant `flexible` where it says the same. */
export class Conditions {
  readonly context: VersionRange;
  /** First flexible version when it lies inside the context, so that code depends on it. */
  readonly firstFlexible: number | null;
  usesFlexible = false;

  constructor(context: VersionRange, flexible: VersionRange) {
    this.context = context;
    const isInside = flexible.low > context.low && flexible.low <= context.high;
    this.firstFlexible = isInside ? flexible.low : null;
  }

  atLeast(version: number): string {
    if (version !== this.firstFlexible) return `version >= ${version}`;
    this.usesFlexible = true;
    return "flexible";
  }

  below(version: number): string {
    if (version !== this.firstFlexible) return `version < ${version}`;
    this.usesFlexible = true;
    return "!flexible";
  }

  /** Condition for a range inside the context; null when it always holds. */
  within(range: VersionRange): string | null {
    const parts: string[] = [];
    if (range.low > this.context.low) parts.push(this.atLeast(range.low));
    if (range.high < this.context.high) parts.push(this.below(range.high + 1));
    return parts.length === 0 ? null : parts.join(" && ");
  }

  /** A chain of conditional expressions over the segments. */
  expression(parts: readonly Segment[]): string {
    let text = "";
    for (const part of parts.toReversed()) {
      text +=
        part.low > this.context.low ? `${this.atLeast(part.low)} ? ${part.text} : ` : part.text;
    }
    return text;
  }

  /** A chain of conditional statements over the segments; empty ones are left out. */
  statements(parts: readonly Segment[]): string[] {
    const lines: string[] = [];
    let coveredFrom = this.context.high + 1;
    for (const part of parts.toReversed()) {
      if (part.text === "") continue;
      const follows = lines.length > 0 && part.high + 1 === coveredFrom;
      const condition = this.within(follows ? { low: part.low, high: this.context.high } : part);
      if (part.high + 1 === coveredFrom) coveredFrom = part.low;
      const lead = lines.length === 0 ? "" : "else ";
      if (condition === null) lines.push(lead === "" ? part.text : `else { ${part.text} }`);
      else lines.push(`${lead}if (${condition}) { ${part.text} }`);
    }
    return lines;
  }
}
