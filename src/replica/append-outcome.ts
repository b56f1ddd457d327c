/** What an append answers, from the numbers of the native log. */
import { ErrorCode } from "#common/error-code.ts";
import { AppendColumn } from "./log-port.ts";

/** What became of an append; reused by the next one, so read it at once. */
export interface AppendOutcome {
  errorCode: number;
  baseOffset: number;
  lastOffset: number;
  /** -1 unless the topic stamps records with the append time. */
  appendTimeMs: number;
  logStartOffset: number;
  /** What the acknowledgement must wait for: bits of `WaitFor`, 0 for nothing. */
  waitsFor: number;
  recordErrorCount: number;
}

/** Reads the columns of an append into `outcome`. */
export function readOutcome(outcome: AppendOutcome, errorCode: number, out: Float64Array): void {
  outcome.errorCode = errorCode;
  if (errorCode === ErrorCode.NONE) {
    outcome.baseOffset = out[AppendColumn.BASE_OFFSET] as number;
    outcome.lastOffset = out[AppendColumn.LAST_OFFSET] as number;
    outcome.appendTimeMs = out[AppendColumn.APPEND_TIME_MS] as number;
    outcome.logStartOffset = out[AppendColumn.LOG_START_OFFSET] as number;
    outcome.waitsFor = out[AppendColumn.WAITS_FOR] as number;
    outcome.recordErrorCount = 0;
  } else {
    outcome.baseOffset = -1;
    outcome.lastOffset = -1;
    outcome.appendTimeMs = -1;
    outcome.logStartOffset = out[AppendColumn.LOG_START_OFFSET] as number;
    outcome.waitsFor = 0;
    outcome.recordErrorCount = out[AppendColumn.RECORD_ERROR_COUNT] as number;
  }
}
