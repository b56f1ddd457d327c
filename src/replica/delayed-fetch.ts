/** A fetch that waits on the partitions it names: it looks again whenever one of them changes, until there is enough to return. */
import type { Scheduler, Timer } from "#common/time.ts";
import { type FetchParameters, type FetchRows, isReadable } from "./fetch-rows.ts";
import { FETCH_REQUEST_COLUMNS, type LogPort } from "./log-port.ts";
import type { ReplicaManager } from "./replica-manager.ts";
import type { WatchBoard, WatchingOperation } from "./watch-board.ts";

/** A fetch that waits for bytes. */
export class DelayedFetch implements WatchingOperation {
  readonly #boards: readonly WatchBoard[];
  readonly #log: LogPort;
  readonly #manager: Pick<ReplicaManager, "look">;
  readonly #rows: FetchRows;
  readonly #parameters: FetchParameters;
  readonly #resolve: (plan: number) => void;
  readonly #timer: Timer;
  #isDone = false;

  constructor(
    boards: readonly WatchBoard[],
    scheduler: Scheduler,
    log: LogPort,
    manager: Pick<ReplicaManager, "look">,
    rows: FetchRows,
    parameters: FetchParameters,
    maxWaitMs: number,
    resolve: (plan: number) => void,
  ) {
    this.#boards = boards;
    this.#log = log;
    this.#manager = manager;
    this.#rows = rows;
    this.#parameters = parameters;
    this.#resolve = resolve;
    this.#timer = scheduler.after(maxWaitMs, () => this.finish());
  }

  /** Watches first and looks then. */
  begin(): void {
    for (const board of this.#boards)
      for (let row = 0; row < this.#rows.count; row++) board.add(this.#handle(row), this);
    this.onPartitionChanged();
  }

  /** Settles with what there is now. */
  finish(): void {
    if (!this.#isDone) this.#complete(this.#read());
  }

  onPartitionChanged(): void {
    if (this.#isDone) return;
    const plan = this.#read();
    if (isReadable(this.#rows, this.#parameters.minBytes)) this.#complete(plan);
    else if (plan !== 0) this.#log.planDrop(plan);
  }

  #read(): number {
    return this.#manager.look(this.#rows, this.#parameters);
  }

  #complete(plan: number): void {
    if (this.#isDone) return;
    this.#isDone = true;
    this.#timer.cancel();
    for (const board of this.#boards)
      for (let row = 0; row < this.#rows.count; row++) board.remove(this.#handle(row), this);
    this.#resolve(plan);
  }

  #handle(row: number): number {
    return this.#rows.requests[row * FETCH_REQUEST_COLUMNS] as number;
  }
}
