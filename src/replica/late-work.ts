/**
 * Work that would keep the event loop too long: batches that inflate to more than a moment's work are checked and written, or searched
 * for a timestamp, by a native thread, and the outcome comes back to whoever asked. One instance a thread that serves sockets.
 */
import { ErrorCode } from "#common/error-code.ts";
import { APPEND_RESULT_COLUMNS, type LogPort } from "./log-port.ts";

/** Columns in front of those of the outcome: token and error code. */
const OWN_COLUMNS = 2;

/** Hears the outcome: error code and the columns of `append` or `offsetForTimestamp`, valid during the call. */
export type LateListener = (errorCode: number, columns: Float64Array) => void;

/** See the head of the file. */
export class LateWork {
  readonly #log: LogPort;
  readonly #waiting: Map<number, LateListener> = new Map();
  readonly #out: Float64Array = new Float64Array(OWN_COLUMNS + APPEND_RESULT_COLUMNS);
  readonly #columns: Float64Array = this.#out.subarray(OWN_COLUMNS);
  #appenderId: number | null = null;
  #nextToken = 1;

  constructor(log: LogPort) {
    this.#log = log;
  }

  /** Work whose outcome is not there yet. */
  get waitingCount(): number {
    return this.#waiting.size;
  }

  /**
   * Hands an append over; `records` is copied. `listener` is called later, or at once with REQUEST_TIMED_OUT when more waits than
   * may: nothing was appended then, and every client tries again.
   */
  append(
    handle: number,
    records: Uint8Array,
    leaderEpoch: number,
    acks: number,
    origin: number,
    nowMs: number,
    listener: LateListener,
  ): void {
    this.#handOver(listener, (appenderId, token) =>
      this.#log.appendLater(appenderId, token, handle, records, leaderEpoch, acks, origin, nowMs),
    );
  }

  /** Hands a lookup by time over. `listener` is called later, or at once with REQUEST_TIMED_OUT when more waits than may. */
  lookUp(
    handle: number,
    timestamp: number,
    isolation: number,
    leaderEpoch: number,
    listener: LateListener,
  ): void {
    this.#handOver(listener, (appenderId, token) =>
      this.#log.lookUpLater(appenderId, token, handle, timestamp, isolation, leaderEpoch),
    );
  }

  #handOver(listener: LateListener, give: (appenderId: number, token: number) => boolean): void {
    this.#appenderId ??= this.#log.openAppender(() => this.#onOutcomes());
    const token = this.#nextToken++;
    let isTaken: boolean;
    try {
      isTaken = give(this.#appenderId, token);
    } catch {
      // The partition was deleted by another thread a moment ago.
      listener(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, this.#columns.fill(-1));
      return;
    }
    if (isTaken) this.#waiting.set(token, listener);
    else listener(ErrorCode.REQUEST_TIMED_OUT, this.#columns.fill(-1));
  }

  /** Hears of nothing any more. */
  close(): void {
    if (this.#appenderId !== null) this.#log.closeAppender(this.#appenderId);
    this.#appenderId = null;
    this.#waiting.clear();
  }

  #onOutcomes(): void {
    const out = this.#out;
    while (this.#appenderId !== null && this.#log.takeAppended(this.#appenderId, out)) {
      const token = out[0] as number;
      const listener = this.#waiting.get(token);
      this.#waiting.delete(token);
      listener?.(out[1] as number, this.#columns);
    }
  }
}
