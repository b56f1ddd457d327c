/**
 * Runs an {@link IsrManager}: looks for followers that have caught up or fallen behind, and carries what was decided to the controller.
 */
import { errorFields, type Logger } from "#common/logger.ts";
import type { Clock, Scheduler, Timer } from "#common/time.ts";
import type {
  AlterPartitionRequest,
  AlterPartitionResponse,
} from "#protocol/generated/alter-partition.ts";
import type { IsrManager } from "./isr-manager.ts";

/** What the driver works with. */
export interface IsrDriverOptions {
  readonly manager: IsrManager;
  /** Asks the active controller, wherever it is. Rejects when it gave no answer in its time; the request may have been carried out. */
  readonly alterPartition: (request: AlterPartitionRequest) => Promise<AlterPartitionResponse>;
  /** `replica.lag.time.max.ms` */
  readonly lagTimeMaxMs: number;
  readonly clock: Clock;
  readonly scheduler: Scheduler;
  readonly logger: Logger;
}

/** How often followers outside of an ISR are looked at. Costs nothing while all are in. */
const EXPAND_CHECK_MS = 100;

/** See the head of the file. */
export class IsrManagerDriver {
  readonly #options: IsrDriverOptions;
  #retryTimer: Timer | null = null;
  #shrinkTimer: Timer | null = null;
  #expandTimer: Timer | null = null;
  #isStopped = false;

  constructor(options: IsrDriverOptions) {
    this.#options = options;
    this.#scheduleShrink();
  }

  get manager(): IsrManager {
    return this.#options.manager;
  }

  /** Does what there is to do now. To be called after the manager was told of another image, or to look at a follower. */
  turn(): void {
    if (this.#isStopped) return;
    const { manager, scheduler } = this.#options;
    const nowMs = this.#nowMs;
    this.#retryTimer?.cancel();
    this.#retryTimer = null;
    if (manager.hasIncomplete) {
      this.#expandTimer ??= scheduler.after(EXPAND_CHECK_MS, () => {
        this.#expandTimer = null;
        manager.checkExpand(this.#nowMs);
        this.turn();
      });
    }
    const step = manager.next(nowMs);
    if (step.kind === "send") {
      void this.#send(step.request);
    } else if (step.untilMs !== null) {
      this.#retryTimer = scheduler.after(Math.max(1, Math.ceil(step.untilMs - nowMs)), () => {
        this.#retryTimer = null;
        this.turn();
      });
    }
  }

  /** Proposes and sends nothing more. */
  stop(): void {
    this.#isStopped = true;
    for (const timer of [this.#retryTimer, this.#shrinkTimer, this.#expandTimer]) timer?.cancel();
  }

  get #nowMs(): number {
    return this.#options.clock.monotonicMs();
  }

  #scheduleShrink(): void {
    const { scheduler, manager, lagTimeMaxMs } = this.#options;
    this.#shrinkTimer = scheduler.after(Math.max(1, Math.floor(lagTimeMaxMs / 2)), () => {
      if (this.#isStopped) return;
      manager.checkShrink();
      this.#scheduleShrink();
      this.turn();
    });
  }

  async #send(request: AlterPartitionRequest): Promise<void> {
    const { manager, alterPartition, logger } = this.#options;
    let answer: AlterPartitionResponse | null = null;
    try {
      answer = await alterPartition(request);
    } catch (error) {
      logger.warn("the controller did not answer about in-sync replicas, asking again", {
        partitionCount: request.topics.reduce((sum, topic) => sum + topic.partitions.length, 0),
        ...errorFields(error),
      });
    }
    if (this.#isStopped) return;
    if (answer === null) manager.onFailure(this.#nowMs);
    else manager.onAnswer(answer, this.#nowMs);
    this.turn();
  }
}
