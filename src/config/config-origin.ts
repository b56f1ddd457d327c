/**
 * Where a static value was written: a line of a file, a variable of the environment, the command line or the embedding
 * program. Kept beside the values, so that whoever is told of a value is told where to change it.
 */
import { unreachable } from "#common/assert.ts";

/** The place that gave a key its value. */
export type ConfigOrigin =
  | { readonly kind: "file"; readonly path: string; readonly line: number }
  | { readonly kind: "environment"; readonly variable: string }
  | { readonly kind: "override" }
  | { readonly kind: "option" }
  | { readonly kind: "embedded" };

/** The place in words, short enough for parentheses. */
export function describeOrigin(origin: ConfigOrigin): string {
  switch (origin.kind) {
    case "file":
      return `${origin.path} line ${origin.line}`;
    case "environment":
      return `environment ${origin.variable}`;
    case "override":
      return "--override";
    case "option":
      return "option of the program";
    case "embedded":
      return "started without a file";
    default:
      return unreachable(origin);
  }
}

/** What to do about a wrong value from there: an imperative that fits after "…; ". */
export function remedyAt(origin: ConfigOrigin): string {
  switch (origin.kind) {
    case "file":
      return `correct or remove line ${origin.line} of ${origin.path}`;
    case "environment":
      return `correct or unset ${origin.variable}`;
    case "override":
    case "option":
    case "embedded":
      return "correct the value or leave it out";
    default:
      return unreachable(origin);
  }
}
