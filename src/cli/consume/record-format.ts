/**
 * How `sluice consume` writes a record: a template with kcat's letters, read once and filled in for each record, in bytes.
 *
 * ```
 * %s value   %S its length   %k key   %K its length   %t topic   %p partition   %o offset   %T timestamp (ms)   %h headers   %% percent
 * ```
 * A length is -1 where there is none; a null key or value is written as nothing. Headers are `key=value` with commas between.
 */
import type { LogRecord } from "#protocol/records/record-batch.ts";
import { UsageError } from "../failure.ts";
import { unescapeText } from "../option-values.ts";

/** One record as bytes. */
export type RecordFormatter = (record: LogRecord, partition: number) => readonly Uint8Array[];

const LETTERS = "sSkKtpoTh";
const encoder: { encode(text: string): Uint8Array } = new TextEncoder();
const EMPTY = new Uint8Array(0);

/** Reads a template. */
export function compileFormat(template: string, topic: string): RecordFormatter {
  const parts: RecordFormatter[] = [];
  // The escapes first, so that `%` of `\x25` is a percent sign like any other.
  const text = unescapeText(template);
  for (const match of text.matchAll(/%([\s\S]?)|[^%]+/g)) {
    const letter = match[1];
    if (letter === undefined) parts.push(constant(match[0]));
    else if (letter === "%") parts.push(constant("%"));
    else if (letter !== "" && LETTERS.includes(letter)) parts.push(fieldOf(letter, topic));
    else
      throw new UsageError(
        `--format knows %${LETTERS.split("").join(", %")} and %%, not '%${letter}'`,
      );
  }
  return (record, partition) => parts.flatMap((part) => part(record, partition));
}

function constant(text: string): RecordFormatter {
  const bytes = [encoder.encode(text)];
  return () => bytes;
}

function fieldOf(letter: string, topic: string): RecordFormatter {
  const name = encoder.encode(topic);
  const number = (value: number): readonly Uint8Array[] => [encoder.encode(String(value))];
  switch (letter) {
    case "s":
      return ({ value }) => [value ?? EMPTY];
    case "S":
      return ({ value }) => number(value?.length ?? -1);
    case "k":
      return ({ key }) => [key ?? EMPTY];
    case "K":
      return ({ key }) => number(key?.length ?? -1);
    case "t":
      return () => [name];
    case "p":
      return (_record, partition) => number(partition);
    case "o":
      return ({ offset }) => number(offset);
    case "T":
      return ({ timestamp }) => number(timestamp);
    default:
      return ({ headers }) =>
        headers.flatMap(({ key, value }, index) => [
          encoder.encode(`${index === 0 ? "" : ","}${key}=`),
          value ?? encoder.encode("NULL"),
        ]);
  }
}
