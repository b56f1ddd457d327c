/**
 * Appends to and reads from the partitions of this broker, and lets requests wait for them: a produce until its records
 * are safe, a fetch until there is enough to return. Third of the files a produce or a fetch goes through, after the
 * dispatcher and the handler; behind it is the native log.
 *
 * Nothing here allocates for a request that is answered at once.
 */
import type { Clock, Scheduler, Timer } from "#common/time.ts";
import { ErrorCode } from "#common/error-code.ts";
import { type LateListener, LateWork } from "./late-work.ts";
import {
  APPEND_RESULT_COLUMNS,
  AppendColumn,
  FETCH_REQUEST_COLUMNS,
  FETCH_RESULT_COLUMNS,
  FetchColumn,
  type LogPort,
  STATE_COLUMNS,
  StateColumn,
} from "./log-port.ts";
import { newTopicTraffic, type TopicTraffic } from "./partition-directory.ts";
import { WatchBoard, type WatchingOperation } from "./watch-board.ts";

/** What became of an append; reused by the next one, so read it at once. */
export interface AppendOutcome {
  errorCode: number;
  baseOffset: number;
  lastOffset: number;
  /** -1 unless the topic stamps records with the append time. */
  appendTimeMs: number;
  logStartOffset: number;
  /** True when the acknowledgement must wait until the records are flushed. */
  mustWait: boolean;
  recordErrorCount: number;
}

/** Why an append failed, in words, with the records at fault. */
export interface AppendErrors {
  readonly message: string | null;
  readonly recordErrors: readonly {
    readonly batchIndex: number;
    readonly message: string | null;
  }[];
}

/** An append whose acknowledgement waits for a flush. */
export interface PendingAppend {
  readonly handle: number;
  readonly lastOffset: number;
  /** NONE once flushed, REQUEST_TIMED_OUT when it was not in time, another code when the partition went away. */
  errorCode: number;
}

/** A read over several partitions: rows as the native log wants them. Owned by the caller and reused. */
export class FetchRows {
  requests: Float64Array = new Float64Array(16 * FETCH_REQUEST_COLUMNS);
  results: Float64Array = new Float64Array(16 * FETCH_RESULT_COLUMNS);
  count = 0;

  /** Forgets the rows. */
  clear(): void {
    this.count = 0;
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
    return rows;
  }
}

/** How much a fetch wants, and what it may see. */
export interface FetchParameters {
  readonly minBytes: number;
  readonly maxBytes: number;
  /** True when the first batch is returned even if it is larger than `maxBytes`. */
  readonly hasMinOneMessage: boolean;
  /** 0 read uncommitted, 1 read committed. */
  readonly isolation: number;
}

function grown(array: Float64Array): Float64Array {
  const larger = new Float64Array(array.length * 2);
  larger.set(array);
  return larger;
}

/** Partitions of this broker as one thread serves them. */
export class ReplicaManager {
  readonly #log: LogPort;
  readonly #clock: Clock;
  readonly #scheduler: Scheduler;
  readonly #board: WatchBoard;
  readonly #late: LateWork;
  readonly #delayedFetches: Set<DelayedFetch> = new Set();
  readonly #appendOut: Float64Array = new Float64Array(APPEND_RESULT_COLUMNS);
  readonly #stateOut: Float64Array = new Float64Array(STATE_COLUMNS);
  /** Round of looking, and partition, for which `#stateOut` holds the state. */
  #stateLookId = 0;
  #stateHandle = -1;
  #stateError = 0;
  readonly #outcome: AppendOutcome = {
    errorCode: 0,
    baseOffset: -1,
    lastOffset: -1,
    appendTimeMs: -1,
    logStartOffset: -1,
    mustWait: false,
    recordErrorCount: 0,
  };

  /** @param scheduler - for deadlines of waiting requests: many, short, mostly cancelled. */
  constructor(log: LogPort, clock: Clock, scheduler: Scheduler) {
    this.#log = log;
    this.#clock = clock;
    this.#scheduler = scheduler;
    this.#board = new WatchBoard(log);
    this.#late = new LateWork(log);
  }

  /** Counters of all topics together, on this thread; never go down, whatever is deleted. */
  readonly traffic: TopicTraffic = newTopicTraffic();
  #delayedProduceCount = 0;

  /** Requests that wait: fetches for data, produces for a flush. */
  get delayed(): { readonly fetchCount: number; readonly produceCount: number } {
    return { fetchCount: this.#delayedFetches.size, produceCount: this.#delayedProduceCount };
  }

  /** Partitions that requests wait for at the moment. */
  get watchedCount(): number {
    return this.#board.partitionCount;
  }

  /** Answers every fetch that waits with what there is: the broker is about to stop. */
  finishFetches(): void {
    for (const fetch of this.#delayedFetches) fetch.finish();
  }

  /** Wakes nobody any more; what waits ends with its deadline. */
  close(): void {
    this.#board.close();
    this.#late.close();
  }

  /**
   * Appends `records`, which are validated and patched in place and not kept.
   *
   * @param origin - one of `AppendOrigin`.
   * @returns the outcome, valid until the next append. With APPEND_NOT_INLINE nothing was done: see `appendLater`.
   */
  append(
    handle: number,
    records: Uint8Array,
    leaderEpoch: number,
    acks: number,
    origin: number,
  ): AppendOutcome {
    const out = this.#appendOut;
    const outcome = this.#outcome;
    const errorCode = this.#log.append(
      handle,
      records,
      leaderEpoch,
      acks,
      origin,
      this.#clock.nowMs(),
      out,
    );
    readOutcome(outcome, errorCode, out);
    return outcome;
  }

  /**
   * Appends a client's batch that `append` would not take, on a native thread. The caller must let nothing of the same producer pass
   * meanwhile. `listener` hears the outcome, valid during the call, as `takeAppendErrors` is.
   */
  appendLater(
    handle: number,
    records: Uint8Array,
    leaderEpoch: number,
    acks: number,
    origin: number,
    listener: (outcome: AppendOutcome) => void,
  ): void {
    const nowMs = this.#clock.nowMs();
    const outcome = this.#outcome;
    this.#late.append(handle, records, leaderEpoch, acks, origin, nowMs, (errorCode, columns) => {
      readOutcome(outcome, errorCode, columns);
      listener(outcome);
    });
  }

  /**
   * Looks up what `offsetForTimestamp` would not, on a native thread. `listener` hears the error code and the columns of that call,
   * valid during its own; REQUEST_TIMED_OUT when too much waits already.
   */
  lookUpLater(
    handle: number,
    timestamp: number,
    isolation: number,
    leaderEpoch: number,
    listener: LateListener,
  ): void {
    this.#late.lookUp(handle, timestamp, isolation, leaderEpoch, listener);
  }

  /** What was wrong with the append that just failed. */
  takeAppendErrors(): AppendErrors {
    return JSON.parse(this.#log.takeAppendErrors()) as AppendErrors;
  }

  /** First offset of a partition, -1 for one that is gone. */
  logStartOffset(handle: number): number {
    this.#stateLookId = 0;
    const out = this.#stateOut;
    const errorCode = this.#log.partitionState(handle, out);
    return errorCode === ErrorCode.NONE ? (out[StateColumn.LOG_START_OFFSET] as number) : -1;
  }

  /** Settles when every append is flushed or failed, or `timeoutMs` has passed: `errorCode` of each says which. */
  awaitFlushed(appends: readonly PendingAppend[], timeoutMs: number): Promise<void> {
    return new Promise((resolve) => {
      this.#delayedProduceCount++;
      new DelayedProduce(this.#board, this.#scheduler, this, appends, timeoutMs, () => {
        this.#delayedProduceCount--;
        resolve();
      });
    });
  }

  /** True when the record at `lastOffset` is on disk; the error code otherwise, NONE meaning not yet. */
  flushState(handle: number, lastOffset: number): true | number {
    const out = this.#stateOut;
    const { lookId } = this.#board;
    if (lookId === 0 || lookId !== this.#stateLookId || handle !== this.#stateHandle) {
      this.#stateError = this.#log.partitionState(handle, out);
      this.#stateLookId = lookId;
      this.#stateHandle = handle;
    }
    if (this.#stateError !== ErrorCode.NONE) return this.#stateError;
    if ((out[StateColumn.FLUSHED_OFFSET] as number) > lastOffset) return true;
    // After a failed fsync the flushed offset never moves again: the wait ends now, not with its timeout.
    return out[StateColumn.WRITE_REFUSAL] as number;
  }

  /**
   * Reads what the rows ask for now. Results are in `rows`.
   *
   * @returns the plan that holds the bytes, 0 when there are none. The caller owns it.
   */
  read(rows: FetchRows, parameters: FetchParameters): number {
    if (rows.count === 0) return 0;
    return this.#log.fetch(
      rows.requests,
      rows.count,
      parameters.maxBytes,
      parameters.hasMinOneMessage,
      parameters.isolation,
      rows.results,
    );
  }

  /**
   * Waits until the rows have something to say (enough bytes, an error, a diverging epoch) or `maxWaitMs` have passed,
   * then settles with the plan of a read whose results are in `rows`. The rows belong to the wait until then.
   */
  awaitReadable(rows: FetchRows, parameters: FetchParameters, maxWaitMs: number): Promise<number> {
    return new Promise((resolve) => {
      const fetch = new DelayedFetch(
        this.#board,
        this.#scheduler,
        this.#log,
        this,
        rows,
        parameters,
        maxWaitMs,
        (plan) => {
          this.#delayedFetches.delete(fetch);
          resolve(plan);
        },
      );
      this.#delayedFetches.add(fetch);
      fetch.begin();
    });
  }

  /** Gives up a plan; 0 is none. */
  drop(plan: number): void {
    if (plan !== 0) this.#log.planDrop(plan);
  }

  /** Producer ids and first offsets of the transactions aborted within a row's bytes. */
  abortedTransactions(plan: number, row: number): [string, number][] {
    return JSON.parse(this.#log.takeAborted(plan, row)) as [string, number][];
  }
}

function readOutcome(outcome: AppendOutcome, errorCode: number, out: Float64Array): void {
  outcome.errorCode = errorCode;
  if (errorCode === ErrorCode.NONE) {
    outcome.baseOffset = out[AppendColumn.BASE_OFFSET] as number;
    outcome.lastOffset = out[AppendColumn.LAST_OFFSET] as number;
    outcome.appendTimeMs = out[AppendColumn.APPEND_TIME_MS] as number;
    outcome.logStartOffset = out[AppendColumn.LOG_START_OFFSET] as number;
    outcome.mustWait = out[AppendColumn.MUST_WAIT] === 1;
    outcome.recordErrorCount = 0;
  } else {
    outcome.baseOffset = -1;
    outcome.lastOffset = -1;
    outcome.appendTimeMs = -1;
    outcome.logStartOffset = out[AppendColumn.LOG_START_OFFSET] as number;
    outcome.mustWait = false;
    outcome.recordErrorCount = out[AppendColumn.RECORD_ERROR_COUNT] as number;
  }
}

/** True when a read is worth answering before its time is over. */
export function isReadable(rows: FetchRows, minBytes: number): boolean {
  let bytes = 0;
  for (let row = 0; row < rows.count; row++) {
    if (rows.result(row, FetchColumn.ERROR) !== 0) return true;
    if (rows.result(row, FetchColumn.DIVERGING_EPOCH) >= 0) return true;
    if (rows.result(row, FetchColumn.PREFERRED_REPLICA) >= 0) return true;
    bytes += rows.result(row, FetchColumn.BYTES);
  }
  return bytes >= minBytes;
}

/** A produce that waits for its records to be flushed. */
class DelayedProduce implements WatchingOperation {
  readonly #board: WatchBoard;
  readonly #manager: ReplicaManager;
  readonly #resolve: () => void;
  readonly #timer: Timer;
  #waiting: PendingAppend[];

  constructor(
    board: WatchBoard,
    scheduler: Scheduler,
    manager: ReplicaManager,
    appends: readonly PendingAppend[],
    timeoutMs: number,
    resolve: () => void,
  ) {
    this.#board = board;
    this.#manager = manager;
    this.#resolve = resolve;
    this.#waiting = [...appends];
    this.#timer = scheduler.after(timeoutMs, () => this.#onTimeout());
    for (const append of appends) board.add(append.handle, this);
    for (const append of appends) this.onPartitionChanged(append.handle);
  }

  onPartitionChanged(handle: number): void {
    const waiting = this.#waiting;
    if (waiting.length === 0) return;
    let isHandleDone = true;
    for (let index = waiting.length - 1; index >= 0; index--) {
      const append = waiting[index] as PendingAppend;
      if (append.handle !== handle) continue;
      const state = this.#manager.flushState(handle, append.lastOffset);
      if (state === ErrorCode.NONE) {
        isHandleDone = false;
        continue;
      }
      append.errorCode = state === true ? ErrorCode.NONE : state;
      waiting.splice(index, 1);
    }
    if (isHandleDone) this.#board.remove(handle, this);
    if (waiting.length === 0) {
      this.#timer.cancel();
      this.#resolve();
    }
  }

  #onTimeout(): void {
    for (const append of this.#waiting) {
      append.errorCode = ErrorCode.REQUEST_TIMED_OUT;
      this.#board.remove(append.handle, this);
    }
    this.#waiting = [];
    this.#resolve();
  }
}

/** A fetch that waits for bytes. */
class DelayedFetch implements WatchingOperation {
  readonly #board: WatchBoard;
  readonly #log: LogPort;
  readonly #manager: ReplicaManager;
  readonly #rows: FetchRows;
  readonly #parameters: FetchParameters;
  readonly #resolve: (plan: number) => void;
  readonly #timer: Timer;
  #isDone = false;

  constructor(
    board: WatchBoard,
    scheduler: Scheduler,
    log: LogPort,
    manager: ReplicaManager,
    rows: FetchRows,
    parameters: FetchParameters,
    maxWaitMs: number,
    resolve: (plan: number) => void,
  ) {
    this.#board = board;
    this.#log = log;
    this.#manager = manager;
    this.#rows = rows;
    this.#parameters = parameters;
    this.#resolve = resolve;
    this.#timer = scheduler.after(maxWaitMs, () => this.finish());
  }

  /** Watches first and looks then. */
  begin(): void {
    for (let row = 0; row < this.#rows.count; row++) this.#board.add(this.#handle(row), this);
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
    return this.#manager.read(this.#rows, this.#parameters);
  }

  #complete(plan: number): void {
    if (this.#isDone) return;
    this.#isDone = true;
    this.#timer.cancel();
    for (let row = 0; row < this.#rows.count; row++) this.#board.remove(this.#handle(row), this);
    this.#resolve(plan);
  }

  #handle(row: number): number {
    return this.#rows.requests[row * FETCH_REQUEST_COLUMNS] as number;
  }
}
