/**
 * Loggers as Kafka's tools see them (resource type BROKER_LOGGER): one, `root`, whose level is that of the broker's log. A level
 * set this way lasts until the broker stops, as in Kafka. A program that embeds the broker and brings a logger without a level has no
 * loggers at all.
 *
 * @see KIP-412
 */
import { isLeveled } from "#common/logger.ts";
import type { Logger, LogLevel } from "#common/logger.ts";

/** The logger everything is written to. */
export const ROOT_LOGGER = "root";

/** Kafka's names of levels, and ours: there is nothing above `error` here. */
const LEVELS: Readonly<Record<string, LogLevel>> = {
  DEBUG: "debug",
  ERROR: "error",
  FATAL: "error",
  INFO: "info",
  TRACE: "trace",
  WARN: "warn",
};

/** Kafka's names of levels in its order. */
export const LOGGER_LEVEL_NAMES: readonly string[] = Object.keys(LEVELS);

/** See the head of the file. */
export class LoggerLevels {
  readonly #logger: Logger;

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  /** Level by name of logger, in Kafka's words. */
  levels(): ReadonlyMap<string, string> {
    if (!isLeveled(this.#logger)) return new Map();
    return new Map([[ROOT_LOGGER, this.#logger.level.toUpperCase()]]);
  }

  /** Moves the level of a logger there is to one of {@link LOGGER_LEVEL_NAMES}; anything else is passed over. */
  set(name: string, level: string): void {
    const own = LEVELS[level];
    if (name !== ROOT_LOGGER || own === undefined || !isLeveled(this.#logger)) return;
    this.#logger.level = own;
  }
}
