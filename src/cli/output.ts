/**
 * The one place that decides how things look: tables, progress, JSON, colours. People get colour and a progress line on a
 * terminal; programs get the same words, aligned by spaces, without either. Nothing draws boxes, so that what is piped into `grep` or
 * `awk` is what was on the screen.
 */
import type { OutputStream } from "./command-io.ts";

/** Ways to make text stand out; each gives the text unchanged where there is no colour. */
export interface Style {
  readonly bold: (text: string) => string;
  readonly dim: (text: string) => string;
  readonly red: (text: string) => string;
  readonly green: (text: string) => string;
  readonly yellow: (text: string) => string;
  readonly cyan: (text: string) => string;
}

const ESCAPE = "\u001b[";

function colored(open: number, close: number): (text: string) => string {
  return (text) => (text === "" ? text : `${ESCAPE}${open}m${text}${ESCAPE}${close}m`);
}

const plain = (text: string): string => text;

const PLAIN_STYLE: Style = {
  bold: plain,
  dim: plain,
  red: plain,
  green: plain,
  yellow: plain,
  cyan: plain,
};

const COLOR_STYLE: Style = {
  bold: colored(1, 22),
  dim: colored(2, 22),
  red: colored(31, 39),
  green: colored(32, 39),
  yellow: colored(33, 39),
  cyan: colored(36, 39),
};

/** The style that suits a stream. */
export function styleOf(stream: Pick<OutputStream, "hasColor">): Style {
  return stream.hasColor ? COLOR_STYLE : PLAIN_STYLE;
}

/** One column of a table. */
export interface Column {
  readonly heading: string;
  /** Numbers go to the right; "left" unless said otherwise. */
  readonly align?: "left" | "right";
  /** Its cells give up their middle where the table is wider than the terminal: for ids, never coloured. */
  readonly canShrink?: true;
}

const COLUMN_GAP = "  ";
/** Narrower than this a shortened id tells nothing. */
const MIN_SHRUNK_WIDTH = 11;
const ELLIPSIS = "…";

/**
 * Rows as aligned lines under headings, ending in a line break; cells may be coloured. A line never ends in spaces, and is never cut:
 * a terminal wraps it, a program needs it whole. Only columns that say so give way to `maxWidth`.
 */
export function formatTable(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
  style: Style = PLAIN_STYLE,
  maxWidth: number = Infinity,
): string {
  const natural = columns.map(({ heading }, index) =>
    Math.max(heading.length, ...rows.map((row) => Bun.stringWidth(row[index] ?? ""))),
  );
  const widths = shrunkWidths(columns, natural, maxWidth);
  const fitted = rows.map((row) =>
    row.map((cell, index) => shortened(cell, widths[index] ?? cell.length)),
  );
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, index) => {
        const padding = " ".repeat(Math.max(0, (widths[index] ?? 0) - Bun.stringWidth(cell)));
        if (columns[index]?.align === "right") return padding + cell;
        return index === cells.length - 1 ? cell : cell + padding;
      })
      .join(COLUMN_GAP)
      .trimEnd();
  const headings = line(columns.map(({ heading }) => heading)).split(/( {2,})/);
  // Each heading alone is coloured: the gaps stay plain, and the line can be trimmed.
  const top = headings.map((part) => (part.trim() === "" ? part : style.bold(part))).join("");
  return `${[top, ...fitted.map(line)].join("\n")}\n`;
}

/** Takes what is too much from the widest of the columns that may shrink, again and again. */
function shrunkWidths(
  columns: readonly Column[],
  natural: readonly number[],
  maxWidth: number,
): readonly number[] {
  const widths = [...natural];
  const total = (): number =>
    widths.reduce((sum, width) => sum + width, COLUMN_GAP.length * (widths.length - 1));
  for (let excess = total() - maxWidth; excess > 0; excess--) {
    let widest = -1;
    for (const [index, { canShrink, heading }] of columns.entries()) {
      const width = widths[index] ?? 0;
      if (canShrink !== true || width <= Math.max(MIN_SHRUNK_WIDTH, heading.length)) continue;
      if (width > (widths[widest] ?? 0)) widest = index;
    }
    if (widest < 0) break;
    widths[widest] = (widths[widest] ?? 0) - 1;
  }
  return widths;
}

function shortened(cell: string, width: number): string {
  if (Bun.stringWidth(cell) <= width) return cell;
  const tail = Math.floor((width - 1) / 2);
  return cell.slice(0, width - 1 - tail) + ELLIPSIS + cell.slice(cell.length - tail);
}

/** Writes a table, shrunk to a terminal's width where columns allow it; see {@link formatTable}. */
export function printTable(
  stream: OutputStream,
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
): Promise<void> {
  const maxWidth = stream.isTerminal ? stream.width : Infinity;
  return stream.write(formatTable(columns, rows, styleOf(stream), maxWidth));
}

function forJson(_key: string, value: unknown): unknown {
  if (typeof value !== "bigint") return value;
  return value >= Number.MIN_SAFE_INTEGER && value <= Number.MAX_SAFE_INTEGER
    ? Number(value)
    : value.toString();
}

/** One JSON document, indented, for `--json`. A `bigint` beyond what a JSON reader can hold becomes a string. */
export function printJson(stream: OutputStream, value: unknown): Promise<void> {
  return stream.write(`${JSON.stringify(value, forJson, 2)}\n`);
}

/** One JSON value on one line, for `--json` of a stream. */
export function jsonLine(value: unknown): string {
  return `${JSON.stringify(value, forJson)}\n`;
}

/** A line that changes in place while something long goes on. */
export interface ProgressLine {
  /** Shows a text, unless one was shown a moment ago. `text` is only called when it is needed. */
  update(text: () => string): void;
  /** Takes the line away; to be called before anything else is written to the terminal. */
  clear(): void;
}

const PROGRESS_INTERVAL_MS = 100;

const NO_PROGRESS: ProgressLine = { update() {}, clear() {} };

/**
 * A progress line on `stream`, which should be standard error. It shows nothing unless the stream is a terminal.
 *
 * @param nowMs - a clock that never goes back.
 */
export function progressLine(
  stream: OutputStream,
  nowMs: () => number = () => performance.now(),
): ProgressLine {
  if (!stream.isTerminal) return NO_PROGRESS;
  let shownMs = -Infinity;
  let isShown = false;
  const put = (text: string): void => {
    // A terminal that is gone ends the command elsewhere; a progress line is not worth a failure.
    stream.write(text).catch(() => {});
  };
  return {
    update(text) {
      if (nowMs() - shownMs < PROGRESS_INTERVAL_MS) return;
      shownMs = nowMs();
      isShown = true;
      const line =
        Bun.stringWidth(text()) < stream.width ? text() : text().slice(0, stream.width - 1);
      put(`\r${styleOf(stream).dim(line)}${ESCAPE}K`);
    },
    clear() {
      if (isShown) put(`\r${ESCAPE}K`);
      isShown = false;
      shownMs = -Infinity;
    },
  };
}

/** What went wrong, as every command says it: `sluice: sentence`, then what to do, indented. */
export function formatFailure(
  message: string,
  remedies: readonly string[],
  style: Style = PLAIN_STYLE,
): string {
  const indented = remedies.map((remedy) => `        ${remedy.replaceAll("\n", "\n        ")}\n`);
  return `${style.red("sluice:")} ${message}\n${indented.join("")}`;
}
