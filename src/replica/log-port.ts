/**
 * What the replica layer asks of the native log. The functions are those of the addon: numbers in, numbers out,
 * results in arrays that the caller owns, so that a request costs one call and no allocation.
 */

import {
  AppendWait,
  Columns,
  COPIED,
  Isolation,
  type LogCalls,
  NOT_INLINE,
  Origin,
} from "#log/log.ts";

/** Columns of a row of {@link LogPort.fetch} requests. */
export const FETCH_REQUEST_COLUMNS: number = Columns.FETCH_REQUEST;
/** Columns of a row of its results. */
export const FETCH_RESULT_COLUMNS: number = Columns.FETCH_RESULT;

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
  /** What the answer must wait for: bits of {@link WaitFor}. */
  WAITS_FOR: 4,
  RECORD_ERROR_COUNT: 5,
} as const;
export const APPEND_RESULT_COLUMNS: number = Columns.APPEND;

/** What {@link LogPort.append} answers to a batch that {@link LogPort.appendLater} is for. */
export const APPEND_NOT_INLINE: number = NOT_INLINE;

/** What {@link LogPort.fetchInto} answers when the records were copied and there is no plan. */
export const FETCH_COPIED: number = COPIED;

export const LOOKUP_COLUMNS: number = Columns.OFFSET;

/** What {@link LogPort.offsetForTimestamp} answers when {@link LogPort.lookUpLater} is for it. */
export const LOOKUP_NOT_INLINE: number = NOT_INLINE;

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
  /** The error code that appends and waits for a flush get; 0 for none. */
  WRITE_REFUSAL: 8,
  /** First epoch of this leadership without a break; beyond every epoch for a follower. */
  LEADER_SINCE: 9,
  /** 1 when the ISR is smaller than acks=all asks. */
  IS_UNDER_MIN_ISR: 10,
  /** First offset that a replica which lives still has. */
  LOW_WATERMARK: 11,
} as const;
export const STATE_COLUMNS: number = Columns.STATE;

/** What an append may wait for: bits. */
export const WaitFor: typeof AppendWait = AppendWait;

/** How far a reader may see. */
export const ReadIsolation: typeof Isolation = Isolation;

/** Who appends: decides which batches are allowed. */
export const AppendOrigin: typeof Origin = Origin;

/** The native log as the replica layer and the handlers above it see it. */
export type LogPort = Pick<
  LogCalls,
  | "append"
  | "takeAppendErrors"
  | "openAppender"
  | "closeAppender"
  | "appendLater"
  | "lookUpLater"
  | "takeAppended"
  | "fetch"
  | "fetchInto"
  | "fetchAsReplica"
  | "replicationState"
  | "takeAborted"
  | "planCopy"
  | "planDrop"
  | "offsetForTimestamp"
  | "endOffsetForEpoch"
  | "partitionState"
  | "deleteRecords"
  | "openWaker"
  | "closeWaker"
  | "watch"
  | "watchLogEnd"
  | "drainWakes"
>;
