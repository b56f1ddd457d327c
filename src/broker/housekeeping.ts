/**
 * What the broker does now and then without being asked: delete what retention allows, write
 * checkpoints and snapshots of the metadata, tell of damage that the log found on disk.
 */
import { errorFields, type Logger } from "#common/logger.ts";
import type { LogStore } from "#log/log.ts";

const FINDINGS_INTERVAL_MS = 1000;

/** How often, and on what. */
export interface HousekeepingOptions {
  readonly store: LogStore;
  readonly logger: Logger;
  /** `log.retention.check.interval.ms`. */
  readonly retentionIntervalMs: number;
  /** The shortest of the checkpoint intervals. */
  readonly checkpointIntervalMs: number;
  /** `metadata.log.max.snapshot.interval.ms`; 0 for never. */
  readonly snapshotIntervalMs: number;
  /** Writes a snapshot of the metadata if it has changed. */
  readonly snapshotMetadata: () => Promise<void>;
}

/** Runs until stopped; never two rounds of the same kind at a time. */
export class Housekeeping {
  readonly #options: HousekeepingOptions;
  readonly #timers: ReturnType<typeof setInterval>[] = [];
  readonly #running: Set<Promise<void>> = new Set();
  /** Id of the last finding that was told. */
  #toldFindings = 0;

  constructor(options: HousekeepingOptions) {
    this.#options = options;
  }

  start(): void {
    this.#tellFindings();
    this.#every(FINDINGS_INTERVAL_MS, "integrity report", async () => this.#tellFindings());
    const { retentionIntervalMs, checkpointIntervalMs, snapshotIntervalMs, snapshotMetadata } =
      this.#options;
    this.#every(retentionIntervalMs, "retention", () => this.#runRetention());
    this.#every(checkpointIntervalMs, "checkpoint", () => this.#checkpoint());
    if (snapshotIntervalMs > 0) this.#every(snapshotIntervalMs, "snapshot", snapshotMetadata);
  }

  /** Starts no further round and waits for the one under way. */
  async stop(): Promise<void> {
    for (const timer of this.#timers.splice(0)) clearInterval(timer);
    await Promise.all(this.#running);
  }

  #every(intervalMs: number, what: string, run: () => Promise<void>): void {
    let isRunning = false;
    const round = async (): Promise<void> => {
      isRunning = true;
      try {
        await run();
      } catch (error) {
        this.#options.logger.error(`${what} failed`, errorFields(error));
      }
      isRunning = false;
    };
    const timer = setInterval(
      () => {
        if (isRunning) return;
        const current = round().finally(() => this.#running.delete(current));
        this.#running.add(current);
      },
      Math.min(Math.max(intervalMs, 1), 0x7fffffff),
    );
    this.#timers.push(timer);
  }

  #tellFindings(): void {
    const { store, logger } = this.#options;
    for (const finding of store.scrubStatus(this.#toldFindings).findings) {
      this.#toldFindings = finding.id;
      const { id: _id, partition, ...fields } = finding;
      const isLoss = finding.firstOffset >= 0 || finding.kind === "unreadable";
      const line = { ...(partition === "" ? {} : { partition }), ...fields };
      if (isLoss) logger.error("records are damaged on disk", line);
      else logger.warn("a damaged file was found", line);
    }
  }

  async #runRetention(): Promise<void> {
    const { store, logger } = this.#options;
    for (const event of await store.runRetention(Date.now())) {
      const { topic, partition, deletedSegments, newLogStartOffset, reason } = event;
      logger.info("retention deleted segments", {
        partition: `${topic}-${partition}`,
        segmentCount: deletedSegments,
        logStartOffset: newLogStartOffset,
        reason,
      });
    }
  }

  #checkpoint(): Promise<void> {
    return this.#options.store.checkpoint();
  }
}
