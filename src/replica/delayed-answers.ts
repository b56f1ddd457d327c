/**
 * Answers that wait for partitions to get somewhere: appends until they are safe, deletions until every replica has made them. Each
 * partition of a request is settled on its own; what is not settled in time is answered with REQUEST_TIMED_OUT.
 */
import { ErrorCode } from "#common/error-code.ts";
import type { Scheduler, Timer } from "#common/time.ts";
import type { WatchBoard, WatchingOperation } from "./watch-board.ts";

/** What waits for one partition. */
export interface PendingAnswer {
  readonly handle: number;
  /** NONE once settled, REQUEST_TIMED_OUT when it was not in time, another code when it cannot be any more. */
  errorCode: number;
}

/** How far a partition is: true when what waits may be answered; an error code otherwise, NONE meaning not yet. */
export type Look<T extends PendingAnswer> = (pending: T) => true | number;

/** See the head of the file. */
export class DelayedAnswers<T extends PendingAnswer> implements WatchingOperation {
  readonly #board: WatchBoard;
  readonly #look: Look<T>;
  readonly #resolve: () => void;
  readonly #timer: Timer;
  #waiting: T[];

  /** @param resolve - called once, when every answer has its code. */
  constructor(
    board: WatchBoard,
    scheduler: Scheduler,
    look: Look<T>,
    pending: readonly T[],
    timeoutMs: number,
    resolve: () => void,
  ) {
    this.#board = board;
    this.#look = look;
    this.#resolve = resolve;
    this.#waiting = [...pending];
    this.#timer = scheduler.after(timeoutMs, () => this.#onTimeout());
    for (const { handle } of pending) board.add(handle, this);
    for (const { handle } of pending) this.onPartitionChanged(handle);
  }

  onPartitionChanged(handle: number): void {
    const waiting = this.#waiting;
    if (waiting.length === 0) return;
    let isHandleDone = true;
    for (let index = waiting.length - 1; index >= 0; index--) {
      const pending = waiting[index] as T;
      if (pending.handle !== handle) continue;
      const state = this.#look(pending);
      if (state === ErrorCode.NONE) {
        isHandleDone = false;
        continue;
      }
      pending.errorCode = state === true ? ErrorCode.NONE : state;
      waiting.splice(index, 1);
    }
    if (isHandleDone) this.#board.remove(handle, this);
    if (waiting.length === 0) {
      this.#timer.cancel();
      this.#resolve();
    }
  }

  #onTimeout(): void {
    for (const pending of this.#waiting) {
      pending.errorCode = ErrorCode.REQUEST_TIMED_OUT;
      this.#board.remove(pending.handle, this);
    }
    this.#waiting = [];
    this.#resolve();
  }
}
