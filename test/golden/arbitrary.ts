/**
 * Random messages from their schema, for fast-check: what a version can carry is filled with anything its type allows,
 * the rest keeps its default, so that decoding an encoded message must give the same object back.
 */
import * as fc from "fast-check";
import { BIGINT_FIELDS } from "#protocol/generator/overlay.ts";
import {
  elementType,
  type FieldSchema,
  isIn,
  type MessageSchema,
  parseVersions,
  propertyName,
} from "#protocol/generator/schema.ts";
import { uuidFromBytes } from "#common/uuid.ts";
import { defaultOf } from "./kafka-values.ts";

const LARGEST = Number.MAX_SAFE_INTEGER - 1;

const text: fc.Arbitrary<string> = fc.oneof(
  fc.string({ maxLength: 12 }),
  fc.string({ unit: "binary", maxLength: 12 }),
  fc.string({ minLength: 120, maxLength: 140 }),
);
const blob: fc.Arbitrary<Uint8Array> = fc.oneof(
  fc.uint8Array({ maxLength: 12 }),
  fc.uint8Array({ minLength: 120, maxLength: 140 }),
);
const uuid: fc.Arbitrary<string> = fc.oneof(
  fc.constant("AAAAAAAAAAAAAAAAAAAAAA"),
  fc.uint8Array({ minLength: 16, maxLength: 16 }).map((bytes) => uuidFromBytes(bytes, 0)),
);

/** Any message of that version. */
export function arbitraryMessage(schema: MessageSchema, version: number): fc.Arbitrary<unknown> {
  return struct(schema, schema.fields, version);
}

function struct(
  schema: MessageSchema,
  fields: readonly FieldSchema[],
  version: number,
): fc.Arbitrary<unknown> {
  const members: Record<string, fc.Arbitrary<unknown>> = {};
  for (const field of fields) {
    members[propertyName(field.name)] = isIn(parseVersions(field.versions), version)
      ? value(schema, field, version)
      : fc.constant(null).map(() => defaultOf(schema, field));
  }
  return fc.record(members, { noNullPrototype: true });
}

function value(schema: MessageSchema, field: FieldSchema, version: number): fc.Arbitrary<unknown> {
  const element = elementType(field.type);
  const present =
    element === null
      ? single(schema, field, field.type, version)
      : fc.array(single(schema, field, element, version), { maxLength: 3 });
  return isIn(parseVersions(field.nullableVersions), version) ? fc.option(present) : present;
}

function single(
  schema: MessageSchema,
  field: FieldSchema,
  type: string,
  version: number,
): fc.Arbitrary<unknown> {
  switch (type) {
    case "bool":
      return fc.boolean();
    case "int8":
      return fc.integer({ min: -128, max: 127 });
    case "int16":
      return fc.integer({ min: -0x8000, max: 0x7fff });
    case "uint16":
      return fc.integer({ min: 0, max: 0xffff });
    case "int32":
      return fc.integer();
    case "uint32":
      return fc.integer({ min: 0, max: 0xffffffff });
    case "int64":
      return BIGINT_FIELDS.has(field.name)
        ? fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })
        : fc.integer({ min: -LARGEST, max: LARGEST });
    case "float64":
      // Negative zero equals the default and is not written.
      return fc.double({ noNaN: true, noDefaultInfinity: true }).map((number) => (number === 0 ? 0 : number));
    case "string":
      return text;
    case "uuid":
      return uuid;
    case "bytes":
    case "records":
      return blob;
    default: {
      const fields = field.fields ?? schema.commonStructs?.find((each) => each.name === type)?.fields;
      if (fields === undefined) throw new Error(`struct ${type} is not declared`);
      return struct(schema, fields, version);
    }
  }
}
