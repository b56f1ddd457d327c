/**
 * The log of a broker that runs as a process: lines to standard error, as text or JSON, from a level on.
 *
 * What decides, first wins: `--log-format` and `--log-level`, then the keys `sluice.log.format` and `sluice.log.level` as set
 * anywhere, then text at `info`. The configuration itself is checked later; a value that makes no sense is passed over
 * here and refused there.
 */
import { formatEvent, LOG_FORMATS, type LogFormat } from "#common/log-format.ts";
import { createLogger, isLogLevel, type Logger, type LogLevel } from "#common/logger.ts";

/** Where lines go. `write` must not throw. */
export interface LogSink {
  readonly hasColor: boolean;
  write(text: string): void;
}

/** How lines are written, and which. */
export interface LogOptions {
  readonly format: LogFormat;
  readonly level: LogLevel;
}

/** What was said about the log, in words; absent parts were not. */
export interface LogChoice {
  readonly format?: string | undefined;
  readonly level?: string | undefined;
}

/** The options that the choices amount to, the first that says something sensible winning. */
export function logOptions(...choices: readonly LogChoice[]): LogOptions {
  const format = choices
    .map((choice) => choice.format?.trim().toLowerCase() ?? "")
    .find((text) => isLogFormat(text));
  const level = choices
    .map((choice) => choice.level?.trim().toLowerCase() ?? "")
    .find((text) => isLogLevel(text));
  return {
    format: format !== undefined && isLogFormat(format) ? format : "text",
    level: level !== undefined && isLogLevel(level) ? level : "info",
  };
}

/** What a table of configuration keys says about the log. */
export function logChoiceOf(valueOf: (key: string) => string | undefined): LogChoice {
  return { format: valueOf("sluice.log.format"), level: valueOf("sluice.log.level") };
}

/** A logger that writes to `sink`; lines below the level cost nothing. */
export function outputLogger({ format, level }: LogOptions, sink: LogSink): Logger {
  const hasColor = format === "text" && sink.hasColor;
  return createLogger(level, (lineLevel, message, fields) => {
    sink.write(
      formatEvent(format, { time: new Date(), level: lineLevel, message, fields }, hasColor),
    );
  });
}

function isLogFormat(text: string): text is LogFormat {
  return (LOG_FORMATS as readonly string[]).includes(text);
}
