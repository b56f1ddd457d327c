/** Values of options, read strictly: a number is digits, a pair has a key. What is wrong is said with the option's name. */
import { UsageError } from "./failure.ts";

/** A whole number within bounds. */
export function readInteger(
  option: string,
  text: string,
  bounds: { readonly min: number; readonly max?: number },
): number {
  const max = bounds.max ?? Number.MAX_SAFE_INTEGER;
  const value = /^-?\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
  if (Number.isNaN(value) || value < bounds.min || value > max) {
    const range =
      max === Number.MAX_SAFE_INTEGER ? `from ${bounds.min} on` : `from ${bounds.min} to ${max}`;
    throw new UsageError(`${option} wants a whole number ${range}, not '${text}'`);
  }
  return value;
}

/** Pairs `key=value`; a later one of the same key wins. */
export function readPairs(option: string, texts: readonly string[]): ReadonlyMap<string, string> {
  return new Map(texts.map((text) => readPair(option, text)));
}

/** One pair `key=value`. */
export function readPair(option: string, text: string): readonly [string, string] {
  const at = text.indexOf("=");
  if (at < 1) throw new UsageError(`${option} wants KEY=VALUE, not '${text}'`);
  return [text.slice(0, at).trim(), text.slice(at + 1)];
}

/** One of a few words. */
export function readChoice<T extends string>(
  option: string,
  text: string,
  choices: readonly T[],
): T {
  const choice = choices.find((candidate) => candidate === text.toLowerCase());
  if (choice === undefined)
    throw new UsageError(
      `${option} wants ${choices.slice(0, -1).join(", ")} or ${choices.at(-1)}, not '${text}'`,
    );
  return choice;
}

/** `\n`, `\t`, `\r`, `\\`, `\0` and `\xNN` as the characters they stand for. */
export function unescapeText(text: string): string {
  return text.replaceAll(/\\(x[0-9a-fA-F]{2}|.)/g, (whole, code: string) => {
    if (code.startsWith("x")) return String.fromCharCode(Number.parseInt(code.slice(1), 16));
    return ESCAPES[code] ?? whole;
  });
}

const ESCAPES: Readonly<Record<string, string>> = {
  n: "\n",
  t: "\t",
  r: "\r",
  "0": "\0",
  "\\": "\\",
};
