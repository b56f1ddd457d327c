/**
 * Text to value and back, as Kafka's ConfigDef does both: what is stored is the text somebody wrote, what is shown is
 * the parsed value written out again (` TRUE ` is stored, `true` is shown).
 */
import { unreachable } from "#common/assert.ts";
import type { KeyDefinition, KeyType } from "./key-definition.ts";
import { checkValue, isList } from "./valid-values.ts";
import type { ParsedValue } from "./valid-values.ts";

/** A parsed value, or the sentence that says why there is none. */
export type ParseResult =
  | { readonly value: ParsedValue; readonly error: null }
  | { readonly value: null; readonly error: string };

const INTEGER = /^[+-]?[0-9]+$/;
const DOUBLE = /^[+-]?(?:NaN|Infinity|(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?[fFdD]?)$/;
const LIMITS: Readonly<Record<"short" | "int" | "long", readonly [bigint, bigint]>> = {
  short: [-32768n, 32767n],
  int: [-2147483648n, 2147483647n],
  long: [-9223372036854775808n, 9223372036854775807n],
};

/**
 * Reads `text` as the key's type and checks it against the key's constraint.
 *
 * @returns the value, or Kafka's sentence for what is wrong with it.
 */
export function parseValue(definition: KeyDefinition, text: string): ParseResult {
  const parsed = parseType(definition.name, definition.type, text);
  if (parsed.error !== null || definition.valid === undefined) return parsed;
  const { name, valid } = definition;
  const error = checkValue(name, parsed.value, valid);
  if (error !== null) return { value: null, error };
  const isSet = valid.kind === "list-of" || valid.kind === "no-empty-elements";
  return isSet && isList(parsed.value)
    ? { value: [...new Set(parsed.value)], error: null }
    : parsed;
}

function parseType(name: string, type: KeyType, text: string): ParseResult {
  const trimmed = javaTrim(text);
  const invalid = (why: string): ParseResult => ({
    value: null,
    error: `Invalid value ${text} for configuration ${name}: ${why}`,
  });
  switch (type) {
    case "boolean": {
      const word = trimmed.toLowerCase();
      if (word !== "true" && word !== "false")
        return invalid("Expected value to be either true or false");
      return { value: word === "true", error: null };
    }
    case "short":
    case "int":
    case "long": {
      if (!INTEGER.test(trimmed)) return invalid(`Not a number of type ${type.toUpperCase()}`);
      const wide = BigInt(trimmed.startsWith("+") ? trimmed.slice(1) : trimmed);
      const [min, max] = LIMITS[type];
      if (wide < min || wide > max) return invalid(`Not a number of type ${type.toUpperCase()}`);
      const narrow = Number(wide);
      return { value: Number.isSafeInteger(narrow) ? narrow : wide, error: null };
    }
    case "double":
      if (!DOUBLE.test(trimmed)) return invalid("Not a number of type DOUBLE");
      return { value: Number(trimmed.replace(/(?<=[0-9.])[fFdD]$/, "")), error: null };
    case "list":
      return { value: trimmed === "" ? [] : trimmed.split(/\s*,\s*/), error: null };
    case "string":
    case "class":
    case "password":
      return { value: trimmed, error: null };
    default:
      return unreachable(type);
  }
}

/** Writes a parsed value the way DescribeConfigs shows it. */
export function formatValue(type: KeyType, value: ParsedValue): string | null {
  if (value === null) return null;
  if (Array.isArray(value)) return value.join(",");
  if (type === "double" && typeof value === "number") return formatDouble(value);
  return String(value);
}

/** A double as Java writes it: always with a fraction, exponents as `E308`. */
export function formatDouble(value: number): string {
  if (!Number.isFinite(value))
    return Number.isNaN(value) ? "NaN" : value < 0 ? "-Infinity" : "Infinity";
  const magnitude = Math.abs(value);
  if (magnitude !== 0 && (magnitude < 1e-3 || magnitude >= 1e7)) {
    const [mantissa = "0", exponent = "0"] = value.toExponential().split("e");
    return `${mantissa.includes(".") ? mantissa : `${mantissa}.0`}E${Number(exponent)}`;
  }
  return Number.isInteger(value) ? `${value}.0` : String(value);
}

/** Java's `String.trim`: drops every character up to and including the space at both ends. */
export function javaTrim(text: string): string {
  let start = 0;
  let end = text.length;
  while (start < end && text.charCodeAt(start) <= 0x20) start++;
  while (end > start && text.charCodeAt(end - 1) <= 0x20) end--;
  return text.slice(start, end);
}
