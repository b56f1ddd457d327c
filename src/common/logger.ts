/**
 * What the broker tells its operator. A port, because a library must not write to anybody's terminal unasked: the process
 * entry prints, an embedded broker hands its lines to whoever started it, or to nobody.
 *
 * A line is a message that never varies for the same event, and fields that do: `info("log directory failed", { path })`. So
 * lines can be counted, filtered and joined by machines. `console` is a logger, too.
 */

/** Value of a field. An error is told by {@link describeError}; what is undefined is left out. */
export type LogValue = string | number | bigint | boolean | null | undefined | Error;

/** What varies from line to line. Names are camelCase with their unit, as in the rest of the program. */
export type LogFields = Readonly<Record<string, LogValue>>;

/** Severities, the least first. */
export const LOG_LEVELS = ["trace", "debug", "info", "warn", "error"] as const;

/** How bad it is: `error` wants a person now, `warn` soon, `info` is the diary, the rest is for finding faults. */
export type LogLevel = (typeof LOG_LEVELS)[number];

/** Takes one event at a time: a message without line breaks, and its fields. */
export interface Logger {
  trace(message: string, fields?: LogFields): void;
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
}

/** A logger whose threshold may move: lines below `level` are dropped. */
export interface LeveledLogger extends Logger {
  level: LogLevel;
}

/** A logger that hands every line of at least `threshold`, which is its level from then on, to one function. */
export function createLogger(
  threshold: LogLevel,
  take: (level: LogLevel, message: string, fields: LogFields) => void,
): LeveledLogger {
  let from = LOG_LEVELS.indexOf(threshold);
  const of = (level: LogLevel): Logger["info"] => {
    const rank = LOG_LEVELS.indexOf(level);
    return (message, fields = NO_FIELDS) => {
      if (rank >= from) take(level, message, fields);
    };
  };
  return {
    get level(): LogLevel {
      return LOG_LEVELS[from] ?? threshold;
    },
    set level(level: LogLevel) {
      from = LOG_LEVELS.indexOf(level);
    },
    trace: of("trace"),
    debug: of("debug"),
    info: of("info"),
    warn: of("warn"),
    error: of("error"),
  };
}

/** True where the threshold can be asked for and moved. */
export function isLeveled(logger: Logger): logger is LeveledLogger {
  return "level" in logger && typeof logger.level === "string" && isLogLevel(logger.level);
}

const NO_FIELDS: LogFields = {};

/** Says nothing. */
export const SILENT_LOGGER: Logger = {
  trace() {},
  debug() {},
  info() {},
  warn() {},
  error() {},
};

/** True for the name of a level. */
export function isLogLevel(text: string): text is LogLevel {
  return (LOG_LEVELS as readonly string[]).includes(text);
}

/** An error as one line: its message, its code when it has one, and what caused it. */
export function describeError(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const code = "code" in error && typeof error.code === "string" ? ` (${error.code})` : "";
  const cause = error.cause === undefined ? "" : `: ${describeError(error.cause)}`;
  return `${error.message}${code}${cause}`;
}

/** An error as fields: what {@link describeError} says, and the stack where there is one. */
export function errorFields(error: unknown): LogFields {
  const stack = error instanceof Error ? error.stack : undefined;
  return { error: describeError(error), ...(stack === undefined ? {} : { stack }) };
}
