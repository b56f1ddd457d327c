/**
 * One log event as one line, for a person (`text`) or for a program (`json`).
 *
 * What a client sent may be in any value: a client id can hold line breaks, terminal escapes or text that reads backwards.
 * So every character that does something other than being seen is written as an escape, in both formats, and every value
 * is cut at a length: no client writes lines of its own into the log, or a long one.
 */
import { describeError, type LogFields, type LogLevel, type LogValue } from "./logger.ts";

/** How lines are written. */
export const LOG_FORMATS = ["text", "json"] as const;

/** See {@link LOG_FORMATS}. */
export type LogFormat = (typeof LOG_FORMATS)[number];

/** One event. */
export interface LogEvent {
  readonly time: Date;
  readonly level: LogLevel;
  readonly message: string;
  readonly fields: LogFields;
}

const VALUE_CHARACTERS_MAX = 1024;
const MESSAGE_CHARACTERS_MAX = 4096;
const STACK_CHARACTERS_MAX = 8192;
/** The field that holds a stack; the text format puts it on lines of its own. */
const STACK_FIELD = "stack";
const OWN_NAMES: ReadonlySet<string> = new Set(["time", "level", "message"]);

// Controls (C0, DEL, C1), line and paragraph separators, marks that change the direction of text, lone surrogates.
// oxlint-disable-next-line no-control-regex -- they are what this is about
const UNSEEN = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g;
const ESCAPE = "\u001b[";
const LEVEL_COLORS: Readonly<Record<LogLevel, string>> = {
  trace: "2",
  debug: "2",
  info: "32",
  warn: "33",
  error: "1;31",
};

/** The event as a line with its line break; a stack in the text format takes several. Never throws. */
export function formatEvent(format: LogFormat, event: LogEvent, hasColor = false): string {
  return format === "json" ? formatJson(event) : formatText(event, hasColor);
}

/** Text with everything unseen written as an escape, and cut where it is too long. */
export function visible(text: string, charactersMax: number = VALUE_CHARACTERS_MAX): string {
  return cut(text, charactersMax).replaceAll(UNSEEN, escape);
}

function formatText({ time, level, message, fields }: LogEvent, hasColor: boolean): string {
  const paint = (code: string, text: string): string =>
    hasColor ? `${ESCAPE}${code}m${text}${ESCAPE}0m` : text;
  let line = `${paint("2", timeOf(time))} ${paint(LEVEL_COLORS[level], level.toUpperCase().padEnd(5))} ${visible(message, MESSAGE_CHARACTERS_MAX)}`;
  for (const [name, value] of Object.entries(fields)) {
    if (value === undefined || (name === STACK_FIELD && typeof value === "string")) continue;
    line += ` ${paint("36", `${visible(name)}=`)}${textValue(value)}`;
  }
  const stack = fields[STACK_FIELD];
  if (typeof stack === "string") {
    for (const frame of cut(stack, STACK_CHARACTERS_MAX).split("\n"))
      line += `\n    ${visible(frame.trim())}`;
  }
  return `${line}\n`;
}

function textValue(value: Exclude<LogValue, undefined>): string {
  if (value instanceof Error) return quoted(describeError(value));
  return typeof value === "string" ? quoted(value) : String(value);
}

/** As it is where it is one word; else in quotes, so that the line can be taken apart again. */
function quoted(value: string): string {
  const text = cut(value, VALUE_CHARACTERS_MAX);
  if (text !== "" && !/[\s"=\\]/.test(text) && text.search(UNSEEN) < 0) return text;
  return JSON.stringify(text).replaceAll(UNSEEN, escape);
}

function formatJson({ time, level, message, fields }: LogEvent): string {
  const record: Record<string, unknown> = {
    time: timeOf(time),
    level,
    message: cut(message, MESSAGE_CHARACTERS_MAX),
  };
  for (const [name, value] of Object.entries(fields)) {
    if (value === undefined) continue;
    record[OWN_NAMES.has(name) ? `${name}_` : name] = jsonValue(name, value);
  }
  // JSON.stringify escapes C0; what else does not show is escaped after it, inside strings alone, where it can only be.
  return `${JSON.stringify(record).replaceAll(UNSEEN, escape)}\n`;
}

function jsonValue(name: string, value: Exclude<LogValue, undefined>): unknown {
  if (value instanceof Error) return cut(describeError(value), VALUE_CHARACTERS_MAX);
  if (typeof value === "bigint") return String(value);
  // JSON has neither NaN nor infinities.
  if (typeof value === "number" && !Number.isFinite(value)) return String(value);
  if (typeof value !== "string") return value;
  return cut(value, name === STACK_FIELD ? STACK_CHARACTERS_MAX : VALUE_CHARACTERS_MAX);
}

function timeOf(time: Date): string {
  return Number.isNaN(time.getTime()) ? "-" : time.toISOString();
}

function cut(text: string, charactersMax: number): string {
  return text.length <= charactersMax
    ? text
    : `${text.slice(0, charactersMax)}… (${text.length - charactersMax} more)`;
}

function escape(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
}
