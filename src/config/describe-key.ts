/**
 * A row of the table in words for people: which values it takes, and what becomes of it here. Used in messages about wrong
 * values and in the reference page.
 */
import type { KeyDefinition, KeyType } from "./key-definition.ts";
import { unreachable } from "#common/assert.ts";

const TYPE_WORDS: Readonly<Record<KeyType, string>> = {
  boolean: "true or false",
  string: "any text",
  int: "a whole number",
  short: "a whole number",
  long: "a whole number",
  double: "a number",
  list: "a list separated by commas",
  class: "a class name",
  password: "a secret",
};

/** The values a key takes, as a phrase: `a whole number from 1`. */
export function describeValidValues({ type, valid }: KeyDefinition): string {
  const words = TYPE_WORDS[type];
  if (valid === undefined) {
    switch (type) {
      case "int":
        return `${words} from -2147483648 to 2147483647`;
      case "short":
        return `${words} from -32768 to 32767`;
      case "boolean":
      case "string":
      case "long":
      case "double":
      case "list":
      case "class":
      case "password":
        return words;
      default:
        return unreachable(type);
    }
  }
  switch (valid.kind) {
    case "range":
      return valid.max === null
        ? `${words} from ${valid.min}`
        : `${words} from ${valid.min} to ${valid.max}`;
    case "range-or":
      return `${words} from ${valid.min} to ${valid.max}, or ${valid.other}`;
    case "one-of":
      return `one of ${valid.values.join(", ")}${valid.ignoreCase ? " in any case" : ""}`;
    case "list-of":
      return `a list of ${valid.values.join(", ")}`;
    case "non-empty":
      return "any text but the empty one";
    case "no-empty-elements":
      return `${words} without empty elements`;
    case "offset-reset":
      return "earliest, latest, or by_duration: and a duration such as PT1H";
    case "throttled-replicas":
      return "*, or a list of partition:broker";
    default:
      return unreachable(valid);
  }
}

/** What becomes of a key here: `supported`, or why it is not. */
export function describeStatus({ status, update, actsAtStart }: KeyDefinition): string {
  if (status !== undefined && status.kind !== "supported") return `no effect: ${status.reason}`;
  return update !== undefined && actsAtStart === true
    ? "supported, read at start only; refused while running"
    : "supported";
}
