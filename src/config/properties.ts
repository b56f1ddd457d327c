/**
 * The `.properties` format exactly as `java.util.Properties` reads it, so that a `server.properties` means here what it
 * means to Kafka: `#` and `!` comments, `=`, `:` or white space after the key, backslash escapes in keys and values,
 * and lines continued by an odd number of trailing backslashes, whose leading white space is dropped. One thing differs: a file
 * that ends in a line of nothing but a backslash gives Java an empty key, and us none.
 */

const SIMPLE_ESCAPES: Readonly<Record<string, string>> = { t: "\t", n: "\n", r: "\r", f: "\f" };

/** What reading a file gave: the pairs in order (a later pair wins), or the line that cannot be read. */
export type PropertiesResult =
  | {
      readonly values: ReadonlyMap<string, string>;
      /** Line on which each pair begins, from 1. */
      readonly lines: ReadonlyMap<string, number>;
      /** Keys that stand in the file more than once; the last pair counts. */
      readonly repeated: readonly RepeatedKey[];
      readonly error: null;
    }
  | {
      readonly values: null;
      readonly lines: null;
      readonly repeated: null;
      readonly error: string;
    };

/** A pair that a later one replaces. */
export interface RepeatedKey {
  readonly key: string;
  readonly line: number;
  readonly laterLine: number;
}

/**
 * Reads the text of a `.properties` file.
 *
 * @returns the pairs; an error names the line of a malformed `\u` escape, the only thing the format refuses.
 */
export function parseProperties(text: string): PropertiesResult {
  const values = new Map<string, string>();
  const lines = new Map<string, number>();
  const repeated: RepeatedKey[] = [];
  for (const { text: line, number } of logicalLines(text)) {
    const { keyEnd, valueStart } = splitLine(line);
    const key = unescape(line.slice(0, keyEnd));
    const value = unescape(line.slice(valueStart));
    if (key === null || value === null) {
      const error = `line ${number}: malformed \\uxxxx escape`;
      return { values: null, lines: null, repeated: null, error };
    }
    const earlier = lines.get(key);
    if (earlier !== undefined) repeated.push({ key, line: earlier, laterLine: number });
    values.delete(key);
    values.set(key, value);
    lines.set(key, number);
  }
  return { values, lines, repeated, error: null };
}

/** Lines without comments and blanks, with continuations joined; the number is that of the first natural line. */
function* logicalLines(text: string): Generator<{ text: string; number: number }> {
  const naturalLines = text.split(/\r\n|\n|\r/);
  let pending: string | null = null;
  let firstNumber = 0;
  for (const [index, natural] of naturalLines.entries()) {
    const stripped = natural.replace(/^[ \t\f]+/, "");
    // A line continued before it had any text is none yet: blank lines and comments are still skipped.
    if (pending === null || pending === "") {
      pending = null;
      if (stripped === "" || stripped[0] === "#" || stripped[0] === "!") continue;
      pending = "";
      firstNumber = index + 1;
    }
    const isContinued = (/\\*$/.exec(stripped)?.[0].length ?? 0) % 2 === 1;
    pending += isContinued ? stripped.slice(0, -1) : stripped;
    if (isContinued && index < naturalLines.length - 1) continue;
    if (pending !== "") yield { text: pending, number: firstNumber };
    pending = null;
  }
}

/** Where the key ends and the value begins: one separator, with white space around it. */
function splitLine(line: string): { keyEnd: number; valueStart: number } {
  let keyEnd = 0;
  while (keyEnd < line.length && !/[=: \t\f]/.test(line.charAt(keyEnd))) {
    keyEnd += line[keyEnd] === "\\" ? 2 : 1;
  }
  keyEnd = Math.min(keyEnd, line.length);
  let valueStart = keyEnd;
  let hasSeparator = false;
  for (; valueStart < line.length; valueStart++) {
    const character = line.charAt(valueStart);
    if (/[ \t\f]/.test(character)) continue;
    if (hasSeparator || (character !== "=" && character !== ":")) break;
    hasSeparator = true;
  }
  return { keyEnd, valueStart };
}

/** Resolves backslash escapes; null for a malformed `\u`. An unknown escape stands for its own character. */
function unescape(raw: string): string | null {
  if (!raw.includes("\\")) return raw;
  let result = "";
  for (let index = 0; index < raw.length; index++) {
    const character = raw.charAt(index);
    if (character !== "\\") {
      result += character;
      continue;
    }
    index++;
    const escaped = raw.charAt(index);
    if (escaped === "u") {
      const digits = raw.slice(index + 1, index + 5);
      if (!/^[0-9a-fA-F]{4}$/.test(digits)) return null;
      result += String.fromCharCode(Number.parseInt(digits, 16));
      index += 4;
    } else {
      result += SIMPLE_ESCAPES[escaped] ?? escaped;
    }
  }
  return result;
}
