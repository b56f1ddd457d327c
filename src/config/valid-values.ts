/**
 * Constraints on values, as data, and the check with the very sentences Kafka answers: clients and people compare them.
 */

import { unreachable } from "#common/assert.ts";

/** A constraint on one key's value. */
export type ValidValues =
  | { readonly kind: "range"; readonly min: number; readonly max: number | null }
  | {
      readonly kind: "range-or";
      readonly min: number;
      readonly max: number;
      readonly other: number;
    }
  | { readonly kind: "one-of"; readonly values: readonly string[]; readonly ignoreCase: boolean }
  | { readonly kind: "list-of"; readonly values: readonly string[] }
  | { readonly kind: "non-empty" }
  | { readonly kind: "throttled-replicas" }
  | { readonly kind: "no-empty-elements" }
  | { readonly kind: "offset-reset" };

/** At least `min`. */
export function atLeast(min: number): ValidValues {
  return { kind: "range", min, max: null };
}

/** From `min` to `max`, both included. */
export function between(min: number, max: number): ValidValues {
  return { kind: "range", min, max };
}

/** From `min` to `max`, or the one value `other`. */
export function betweenOr(min: number, max: number, other: number): ValidValues {
  return { kind: "range-or", min, max, other };
}

/** One of the given words. */
export function oneOf(...values: readonly string[]): ValidValues {
  return { kind: "one-of", values, ignoreCase: false };
}

/** One of the given words in any case. */
export function oneOfIgnoringCase(...values: readonly string[]): ValidValues {
  return { kind: "one-of", values, ignoreCase: true };
}

/** A list whose elements are among the given words. */
export function listOf(...values: readonly string[]): ValidValues {
  return { kind: "list-of", values };
}

export const NON_EMPTY: ValidValues = { kind: "non-empty" };

/** `*`, or a list of `partition:broker`. */
export const THROTTLED_REPLICAS: ValidValues = { kind: "throttled-replicas" };

/** A list without empty elements. */
export const NO_EMPTY_ELEMENTS: ValidValues = { kind: "no-empty-elements" };

/** `earliest`, `latest`, or `by_duration:` and an ISO 8601 duration. */
export const OFFSET_RESET: ValidValues = { kind: "offset-reset" };

/** A value as its type reads it. Numbers of type long beyond 2^53-1 arrive as `bigint`. */
export type ParsedValue = string | number | bigint | boolean | readonly string[] | null;

/**
 * Checks a parsed value.
 *
 * @returns null when it is fine, otherwise Kafka's full sentence.
 */
export function checkValue(name: string, value: ParsedValue, valid: ValidValues): string | null {
  const invalid = (shown: ParsedValue, why: string): string =>
    `Invalid value ${showValue(shown)} for configuration ${name}: ${why}`;
  switch (valid.kind) {
    case "range":
      if (typeof value !== "number" && typeof value !== "bigint") {
        return value === null ? invalid(value, "Value must be non-null") : null;
      }
      if (value < valid.min) return invalid(value, `Value must be at least ${valid.min}`);
      if (valid.max !== null && value > valid.max) {
        return invalid(value, `Value must be no more than ${valid.max}`);
      }
      return null;
    case "range-or":
      if (typeof value !== "number" || value === valid.other) return null;
      return value < valid.min || value > valid.max
        ? invalid(
            value,
            `Value must be between ${valid.min} and ${valid.max} or equal to ${valid.other}`,
          )
        : null;
    case "one-of": {
      if (typeof value !== "string") return null;
      const isKnown = valid.ignoreCase
        ? valid.values.some((word) => word.toLowerCase() === value.toLowerCase())
        : valid.values.includes(value);
      if (isKnown) return null;
      const hint = valid.ignoreCase
        ? "String must be one of (case insensitive): "
        : "String must be one of: ";
      return invalid(value, hint + valid.values.join(", "));
    }
    case "no-empty-elements":
      return isList(value) && value.includes("") ? emptyElementError(name) : null;
    case "offset-reset":
      if (typeof value !== "string" || OFFSET_RESET_FORM.test(value)) return null;
      return invalid(
        value,
        `Invalid value \`${value}\` for configuration ${name}. The value must be either 'earliest', 'latest' or of the format 'by_duration:<PnDTnHnMn.nS>'.`,
      );
    case "list-of": {
      if (!isList(value)) return null;
      if (value.includes("")) return emptyElementError(name);
      for (const element of value) {
        if (!valid.values.includes(element)) {
          return invalid(element, `String must be one of: ${valid.values.join(", ")}`);
        }
      }
      return null;
    }
    case "non-empty":
      return value === "" ? invalid(value, "String must be non-empty") : null;
    case "throttled-replicas": {
      if (!isList(value) || value.length === 0) return null;
      if (value[0] === "*" && value.length === 1) return null;
      if (value.every((element) => /^\d+:\d+$/.test(element.trim()))) return null;
      return invalid(
        value,
        `${name} must be the literal '*' or a list of replicas in the following format: ` +
          "[partitionId]:[brokerId],[partitionId]:[brokerId],...",
      );
    }
    default:
      return unreachable(valid);
  }
}

/** A duration has at least one part, and one after its T. Numbers have at most 18 digits, which no clock needs more of. */
const OFFSET_RESET_FORM =
  /^(?:earliest|latest|by_duration:\+?[Pp](?=.)(?:[+]?\d{1,18}[Dd])?(?:[Tt](?=.)(?:[+]?\d{1,18}[Hh])?(?:[+]?\d{1,18}[Mm])?(?:[+]?\d{1,18}(?:[.,]\d{0,9})?[Ss])?)?)$/;

function emptyElementError(name: string): string {
  return `Configuration '${name}' values must not be empty.`;
}

/** True for the value of a list. */
export function isList(value: ParsedValue): value is readonly string[] {
  return Array.isArray(value);
}

/** A value inside a message: lists in brackets, doubles with a fraction. */
function showValue(value: ParsedValue): string {
  if (value === null) return "null";
  return isList(value) ? `[${value.join(", ")}]` : String(value);
}
