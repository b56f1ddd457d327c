/**
 * What the replica layer asks of the native log. The functions are those of the addon: numbers in, numbers out,
 * results in arrays that the caller owns, so that a request costs one call and no allocation.
 */

/** Rows of {@link LogPort.fetch} requests: handle, fetch offset, partition max bytes, current epoch, last fetched epoch, follower's log start offset. */
export const FETCH_REQUEST_COLUMNS = 6;
/** Rows of its results: error, high watermark, last stable offset, log start offset, bytes, diverging epoch, its end offset, aborted count, preferred replica, reserved. */
export const FETCH_RESULT_COLUMNS = 10;

/** Columns of a fetch result row. */
export const FetchColumn = {
  ERROR: 0,
  HIGH_WATERMARK: 1,
  LAST_STABLE_OFFSET: 2,
  LOG_START_OFFSET: 3,
  BYTES: 4,
  DIVERGING_EPOCH: 5,
  DIVERGING_END_OFFSET: 6,
  ABORTED_COUNT: 7,
  PREFERRED_REPLICA: 8,
} as const;

/** Fields of {@link LogPort.append}'s result. */
export const AppendColumn = {
  BASE_OFFSET: 0,
  LAST_OFFSET: 1,
  APPEND_TIME_MS: 2,
  LOG_START_OFFSET: 3,
  /** 1 when the answer must wait until the flushed offset is beyond the last offset. */
  MUST_WAIT: 4,
  RECORD_ERROR_COUNT: 5,
} as const;
export const APPEND_RESULT_COLUMNS = 8;

/** Fields of {@link LogPort.partitionState}. */
export const StateColumn = {
  LOG_START_OFFSET: 0,
  LOG_END_OFFSET: 1,
  HIGH_WATERMARK: 2,
  LAST_STABLE_OFFSET: 3,
  FLUSHED_OFFSET: 4,
  SIZE_BYTES: 5,
  LEADER_EPOCH: 6,
  SEGMENT_COUNT: 7,
} as const;
export const STATE_COLUMNS = 8;

/** Who appends: decides which batches are allowed. */
export const AppendOrigin = { CLIENT: 0, COORDINATOR: 1 } as const;

/** The native log as the replica layer sees it. Every function but those of the wakers returns a Kafka error code or a count. */
export interface LogPort {
  append(
    handle: number,
    records: Uint8Array,
    leaderEpoch: number,
    acks: number,
    origin: number,
    nowMs: number,
    out: Float64Array,
  ): number;
  /** JSON `{ message, recordErrors: [{ batchIndex, message }] }` of this thread's last failed append. */
  takeAppendErrors(): string;
  fetch(
    requests: Float64Array,
    count: number,
    maxBytes: number,
    minOneMessage: boolean,
    isolation: number,
    out: Float64Array,
  ): number;
  /** JSON `[[producer id, first offset], ...]`. */
  takeAborted(plan: number, row: number): string;
  planCopy(plan: number, row: number, into: Uint8Array, at: number): number;
  planDrop(plan: number): void;
  offsetForTimestamp(
    handle: number,
    timestamp: number,
    isolation: number,
    leaderEpoch: number,
    out: Float64Array,
  ): number;
  endOffsetForEpoch(
    handle: number,
    currentLeaderEpoch: number,
    epoch: number,
    out: Float64Array,
  ): number;
  partitionState(handle: number, out: Float64Array): number;
  deleteRecords(handle: number, offset: number, out: Float64Array): number;
  openWaker(wake: () => void): number;
  closeWaker(workerId: number): void;
  watch(handle: number, workerId: number): void;
  drainWakes(workerId: number, handles: Float64Array): number;
}
