/**
 * Keeps lines that clients cause from filling a disk: of each kind of event a few lines per interval are written, the rest
 * are counted, and the count is told with the next line of that kind or when the interval is over, whichever comes first.
 *
 * Kinds are named by the program (`"unreadable-request"`), never made from what a client sent, so there are only so many;
 * a bound holds nevertheless.
 */
import type { Logger, LogFields, LogLevel } from "./logger.ts";
import type { Clock } from "./time.ts";

/** How much is let through. */
export interface LogLimiterOptions {
  /** Lines of a kind written per interval. */
  readonly linesMax: number;
  readonly intervalMs: number;
}

const DEFAULT_OPTIONS: LogLimiterOptions = { linesMax: 5, intervalMs: 10_000 };
const KINDS_MAX = 256;

interface Kind {
  startedMs: number;
  writtenCount: number;
  heldCount: number;
  level: LogLevel;
  message: string;
}

/** Writes some of the lines it is given. */
export class LogLimiter {
  readonly #logger: Logger;
  readonly #clock: Clock;
  readonly #options: LogLimiterOptions;
  readonly #kinds: Map<string, Kind> = new Map();

  constructor(logger: Logger, clock: Clock, options: LogLimiterOptions = DEFAULT_OPTIONS) {
    this.#logger = logger;
    this.#clock = clock;
    this.#options = options;
  }

  /** Writes the line, or counts it. `fields` is asked for only when the line is written. */
  write(level: LogLevel, kind: string, message: string, fields: () => LogFields): void {
    const nowMs = this.#clock.monotonicMs();
    let entry = this.#kinds.get(kind);
    if (entry !== undefined && isOver(entry, nowMs, this.#options)) {
      this.#tell(entry);
      this.#kinds.delete(kind);
      entry = undefined;
    }
    if (entry === undefined) {
      if (this.#kinds.size >= KINDS_MAX) this.flush(true);
      entry = { startedMs: nowMs, writtenCount: 0, heldCount: 0, level, message };
      this.#kinds.set(kind, entry);
    }
    if (entry.writtenCount >= this.#options.linesMax) {
      entry.heldCount++;
      return;
    }
    entry.writtenCount++;
    this.#logger[level](message, fields());
  }

  /** Tells of what was held back in intervals that are over, or of all of it. Call it now and then, and at the end. */
  flush(isLast = false): void {
    const nowMs = this.#clock.monotonicMs();
    for (const [kind, entry] of this.#kinds) {
      if (!isLast && !isOver(entry, nowMs, this.#options)) continue;
      this.#tell(entry);
      this.#kinds.delete(kind);
    }
  }

  #tell({ level, message, heldCount }: Kind): void {
    if (heldCount === 0) return;
    const { intervalMs } = this.#options;
    this.#logger[level](`${heldCount} more like this: ${message}`, {
      heldCount,
      intervalMs,
    });
  }
}

function isOver({ startedMs }: Kind, nowMs: number, { intervalMs }: LogLimiterOptions): boolean {
  return nowMs - startedMs >= intervalMs;
}
