/**
 * The arguments of `sluice start` when there is nothing to say about them: known options with their values, one file at most. The parser
 * is a fifth of the time that an empty start takes, so it is asked only about what is not as plain as that: help, mistakes, other options.
 */
import type { StartArguments } from "./run-start.ts";

const VALUES: Readonly<Record<string, readonly string[] | null>> = {
  "--override": null,
  "--log-format": ["text", "json"],
  "--log-level": ["trace", "debug", "info", "warn", "error"],
};

/** What follows `start`, or null when the parser has to look at it. */
export function readPlainStart(args: readonly string[]): StartArguments | null {
  if (args[0] !== "start") return null;
  let file: string | null = null;
  const overrides: string[] = [];
  const chosen: Record<string, string> = {};
  for (let index = 1; index < args.length; index += 1) {
    const argument = args[index] ?? "";
    if (!argument.startsWith("-")) {
      if (file !== null || argument === "") return null;
      file = argument;
      continue;
    }
    const value = args[index + 1];
    const choices = Object.hasOwn(VALUES, argument) ? VALUES[argument] : undefined;
    if (choices === undefined || value === undefined || value.startsWith("-")) return null;
    if (choices !== null && !choices.includes(value)) return null;
    if (argument === "--override") overrides.push(value);
    else chosen[argument] = value;
    index += 1;
  }
  return { file, overrides, logFormat: chosen["--log-format"], logLevel: chosen["--log-level"] };
}
