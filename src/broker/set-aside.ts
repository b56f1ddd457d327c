/**
 * Partitions that were set aside at the start. The native log opens those anew whose disk was only full, as soon as it has room; whoever gave up on
 * them before is told. What is damaged stays set aside.
 */
import { errorFields, type Logger } from "#common/logger.ts";
import type { LogStore } from "#log/log.ts";

/** A partition by its name. */
export interface SetAsidePartition {
  readonly topic: string;
  readonly partition: number;
}

/** What is looked at, and who is told. */
export interface SetAsideOptions {
  readonly store: Pick<LogStore, "report" | "reopenPartitions" | "statistics">;
  /** Partitions are in use again, these among them; the others named were damaged. */
  readonly onReopened: (candidates: readonly SetAsidePartition[]) => void;
  readonly logger: Logger;
}

/** See the head of the file. */
export class SetAside {
  readonly #options: SetAsideOptions;
  readonly #candidates: readonly SetAsidePartition[];
  #isAsking = false;
  #isOver: boolean;

  constructor(options: SetAsideOptions) {
    this.#options = options;
    this.#candidates = options.store.report.partitions
      .filter(({ quarantined }) => quarantined !== null)
      .map(({ topic, partition }) => ({ topic, partition }));
    this.#isOver = this.#candidates.length === 0;
  }

  /** Tries once more; to be called about every second. */
  look(): void {
    if (this.#isOver || this.#isAsking) return;
    const { store, onReopened, logger } = this.#options;
    this.#isAsking = true;
    store
      .reopenPartitions()
      .then((count) => {
        if (count === 0) return;
        logger.warn("partitions that were set aside for want of room are in use again", {
          partitionCount: count,
        });
        this.#isOver = store.statistics().quarantinedCount === 0;
        onReopened(this.#candidates);
      })
      .catch((error: unknown) => {
        logger.error("cannot open partitions anew", errorFields(error));
      })
      .finally(() => {
        this.#isAsking = false;
      });
  }
}
