/**
 * Keeps an eye on the log directories. About every second it takes what the native store knows of each one, and says what changed: a disk that
 * is full or has room again, a directory that takes no writes any more. Partitions of a failed directory lose their leader in Metadata; when no
 * directory is left the broker ends, as Kafka does, because there is nothing it could still be trusted with.
 */
import type { Logger } from "#common/logger.ts";
import { ErrorCode } from "#common/error-code.ts";
import { ZERO_UUID } from "#common/uuid.ts";
import type { Refusal } from "#controller/decision.ts";
import type { DirectoryHealth, LogStore } from "#log/log.ts";

const INTERVAL_MS = 1_000;

/** What the watch works with. */
export interface DirectoryWatchOptions {
  readonly store: Pick<LogStore, "health">;
  readonly logger: Logger;
  /** No log directory is left. */
  readonly onAllFailed: (error: Error) => void;
  /** Called with every look, after changes were told: for what waits until there is room. */
  readonly onLook?: () => void;
}

/** See the head of the file. */
export class DirectoryWatch {
  readonly #options: DirectoryWatchOptions;
  #timer: ReturnType<typeof setInterval> | null = null;
  #health: readonly DirectoryHealth[];
  /** Ids of the directories that work, or null while all do. */
  #online: ReadonlySet<string> | null = null;
  #hasEnded = false;

  constructor(options: DirectoryWatchOptions) {
    this.#options = options;
    this.#health = options.store.health();
    this.#update(this.#health);
  }

  /** Begins to look; without it only `look` does. */
  start(): void {
    this.#timer = setInterval(() => this.look(), INTERVAL_MS);
    this.#timer.unref();
  }

  stop(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
  }

  /** The directories as of the last look. */
  get health(): readonly DirectoryHealth[] {
    return this.#health;
  }

  /** Whether partitions of this directory can be written: not one that failed, nor one this broker does not have. */
  isOnline(directoryId: string): boolean {
    return this.#online === null || directoryId === ZERO_UUID || this.#online.has(directoryId);
  }

  /** Ids of the directories that failed. */
  get failed(): string[] {
    return this.#health.filter(({ error }) => error !== null).map(({ directoryId }) => directoryId);
  }

  /** Whether some directory takes appends. */
  get hasRoom(): boolean {
    return this.#health.some(({ error, isShort }) => error === null && !isShort);
  }

  /** Why no new partition can be placed now, or null: every directory is full or has failed. */
  creationRefusal(): Refusal | null {
    // Not the last look: the native store may know better by now.
    const usable = this.#options.store.health().filter(({ error }) => error === null);
    if (usable.some(({ isShort }) => !isShort)) return null;
    const full = usable.map(({ path, freeBytes }) => `${path} has ${freeBytes} bytes left`);
    return {
      errorCode: ErrorCode.KAFKA_STORAGE_ERROR,
      errorMessage:
        full.length === 0
          ? "Every log directory has failed."
          : `The disk is full: ${full.join(", ")}, which are kept for offsets and metadata. Try again when there is room.`,
    };
  }

  /** Looks now. */
  look(): void {
    const before = this.#health;
    const now = this.#options.store.health();
    this.#health = now;
    const { logger } = this.#options;
    for (const [at, directory] of now.entries()) {
      const { path, freeBytes, reserveBytes, refusedCount } = directory;
      const earlier = before[at];
      if (earlier === undefined) continue;
      if (directory.error !== null && earlier.error === null) {
        logger.error("log directory failed: its partitions take no writes until a restart", {
          path,
          error: directory.error,
        });
      }
      if (directory.isShort !== earlier.isShort) {
        const fields = { path, freeBytes, reserveBytes, refusedCount };
        if (directory.isShort) {
          logger.error(
            "disk full: appends are refused, reads go on, retention goes on deleting",
            fields,
          );
        } else logger.warn("disk has room again: appends are taken", fields);
      }
    }
    this.#update(now);
    this.#options.onLook?.();
    if (!this.#hasEnded && now.length > 0 && now.every(({ error }) => error !== null)) {
      this.#hasEnded = true;
      const why = now.map(({ path, error }) => `${path}: ${error}`).join("; ");
      this.#options.onAllFailed(new Error(`every log directory has failed (${why})`));
    }
  }

  #update(health: readonly DirectoryHealth[]): void {
    const online = health.filter(({ error }) => error === null);
    this.#online =
      online.length === health.length
        ? null
        : new Set(online.map(({ directoryId }) => directoryId));
  }
}
