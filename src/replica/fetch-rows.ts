/**
 * A read over several partitions as the native log wants it: a row of numbers for each, and a row of results.
 */
import { FETCH_REQUEST_COLUMNS, FETCH_RESULT_COLUMNS, FetchColumn } from "./log-port.ts";
import type { ReplicationQuota } from "./replication-quota.ts";

/** A read over several partitions: rows as the native log wants them. Owned by the caller and reused. */
export class FetchRows {
  requests: Float64Array = new Float64Array(16 * FETCH_REQUEST_COLUMNS);
  results: Float64Array = new Float64Array(16 * FETCH_RESULT_COLUMNS);
  count = 0;
  /** Rows of replicas that are throttled, null for none. */
  #throttled: number[] | null = null;
  /** By row, what a follower knows of the high watermark, where it wants to hear of a higher one at once. */
  #knownHighWatermarks: number[] | null = null;

  /** Forgets the rows. */
  clear(): void {
    this.count = 0;
    this.#knownHighWatermarks = null;
    this.#throttled = null;
  }

  /** Rows whose reader is a throttled replica. They are the last ones, so that what is withheld from them costs the others nothing. */
  get throttled(): readonly number[] | null {
    return this.#throttled;
  }

  /** Makes a row one of a throttled replica. */
  throttle(row: number): void {
    (this.#throttled ??= []).push(row);
  }

  /** Forgets the records that the last read found for a row. */
  withhold(row: number): void {
    this.results[row * FETCH_RESULT_COLUMNS + FetchColumn.BYTES] = 0;
  }

  /** Makes a high watermark beyond `known` reason enough to answer (KIP-1166). */
  wantHighWatermark(row: number, known: number): void {
    (this.#knownHighWatermarks ??= [])[row] = known;
  }

  /** Whether some row waits for a high watermark. */
  get wantsHighWatermark(): boolean {
    return this.#knownHighWatermarks !== null;
  }

  /** Whether the last read found a high watermark that its reader waits for. */
  hasNewHighWatermark(row: number): boolean {
    const known = this.#knownHighWatermarks?.[row];
    return known !== undefined && this.result(row, FetchColumn.HIGH_WATERMARK) > known;
  }

  /** Adds a row and returns its number. */
  add(
    handle: number,
    fetchOffset: number,
    maxBytes: number,
    currentLeaderEpoch: number,
    lastFetchedEpoch: number,
    followerLogStartOffset: number,
  ): number {
    const row = this.count++;
    let at = row * FETCH_REQUEST_COLUMNS;
    if (at + FETCH_REQUEST_COLUMNS > this.requests.length) {
      this.requests = grown(this.requests);
      this.results = grown(this.results);
    }
    const requests = this.requests;
    requests[at++] = handle;
    requests[at++] = fetchOffset;
    requests[at++] = maxBytes;
    requests[at++] = currentLeaderEpoch;
    requests[at++] = lastFetchedEpoch;
    requests[at] = followerLogStartOffset;
    return row;
  }

  /** A field of a row's result. */
  result(row: number, column: number): number {
    return this.results[row * FETCH_RESULT_COLUMNS + column] as number;
  }

  /** A copy that keeps its requests while this one is reused. */
  copy(): FetchRows {
    const rows = new FetchRows();
    rows.requests = this.requests.slice(0, this.count * FETCH_REQUEST_COLUMNS);
    rows.results = new Float64Array(this.count * FETCH_RESULT_COLUMNS);
    rows.count = this.count;
    rows.#knownHighWatermarks = this.#knownHighWatermarks;
    rows.#throttled = this.#throttled;
    return rows;
  }
}

/** How much a fetch wants, and what it may see. */
export interface FetchParameters {
  readonly minBytes: number;
  readonly maxBytes: number;
  /** True when the first batch is returned even if it is larger than `maxBytes`. */
  readonly hasMinOneMessage: boolean;
  /** One of `ReadIsolation`, with LEADER_ONLY added where a follower must refuse. */
  readonly isolation: number;
  /** The follower that reads, up to the log end whatever the isolation; absent for everybody else. */
  readonly replica?:
    | {
        readonly id: number;
        readonly brokerEpoch: number;
        /** What limits rows that are throttled; absent for nothing. */
        readonly quota?: ReplicationQuota | undefined;
      }
    | undefined;
}

function grown(array: Float64Array): Float64Array {
  const larger = new Float64Array(array.length * 2);
  larger.set(array);
  return larger;
}

/** True when a read is worth answering before its time is over. */
export function isReadable(rows: FetchRows, minBytes: number): boolean {
  let bytes = 0;
  for (let row = 0; row < rows.count; row++) {
    if (rows.result(row, FetchColumn.ERROR) !== 0) return true;
    if (rows.result(row, FetchColumn.DIVERGING_EPOCH) >= 0) return true;
    if (rows.result(row, FetchColumn.PREFERRED_REPLICA) >= 0) return true;
    if (rows.hasNewHighWatermark(row)) return true;
    bytes += rows.result(row, FetchColumn.BYTES);
  }
  return bytes >= minBytes;
}
