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

/** A date and time as ISO 8601 writes it, in milliseconds; UTC where it names no zone, as in Kafka's tools. Null when it is none. */
export function parseTime(text: string): number | null {
  const match =
    /^(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d(?:[.,]\d{1,9})?)?)(Z|[+-]\d\d:?\d\d)?)?$/i.exec(
      text,
    );
  if (match === null) return null;
  const [, date = "", time = "00:00", zone = "Z"] = match;
  const timestampMs = Date.parse(`${date}T${time.replace(",", ".")}${zone.toUpperCase()}`);
  return Number.isNaN(timestampMs) ? null : timestampMs;
}

const UNIT_MS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

/** A time span in milliseconds: `P1DT2H30M5S` as ISO 8601 writes it, or `90s`, `15m`, `2h`, `1d`. Null when it is none. */
export function parseDuration(text: string): number | null {
  const short = /^(\d{1,12})(ms|s|m|h|d)$/i.exec(text);
  if (short !== null) return Number(short[1]) * (UNIT_MS[(short[2] ?? "").toLowerCase()] ?? 0);
  const iso =
    /^P(?=\d|T\d)(?:(\d{1,6})D)?(?:T(?=\d)(?:(\d{1,9})H)?(?:(\d{1,9})M)?(?:(\d{1,12}(?:\.\d{1,9})?)S)?)?$/i.exec(
      text,
    );
  if (iso === null) return null;
  const [, days = "0", hours = "0", minutes = "0", seconds = "0"] = iso;
  return (
    Number(days) * 86_400_000 +
    Number(hours) * 3_600_000 +
    Number(minutes) * 60_000 +
    Math.round(Number(seconds) * 1000)
  );
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
