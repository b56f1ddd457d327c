/**
 * When a connection goes to the fast lane: after a row of requests that a lane might have served: answered at once, or produces. A
 * connection that comes back needs a longer row the next time, since going back and forth costs more than it gains.
 */

/** Requests in a row before a connection is lent for the first time. */
const ROW_FIRST = 16;
/** And at most. */
const ROW_MAX = 1024;

/** The row of one connection. */
export class LendingRow {
  #wanted = ROW_FIRST;
  #count = 0;

  /** True when the row is long enough. */
  get isLongEnough(): boolean {
    return this.#count >= this.#wanted;
  }

  /** A request that a lane might have served (`isPlain`), or another. */
  note(isPlain: boolean): void {
    this.#count = isPlain ? this.#count + 1 : 0;
  }

  /** The connection came back, or could not be lent. */
  onReturned(): void {
    this.#count = 0;
    this.#wanted = Math.min(this.#wanted * 2, ROW_MAX);
  }
}
