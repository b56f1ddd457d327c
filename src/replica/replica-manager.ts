/**
 * Appends to and reads from the partitions of this broker, and lets requests wait for them: a produce until its records
 * are safe, a fetch until there is enough to return. Third of the files a produce or a fetch goes through, after the
 * dispatcher and the handler; behind it is the native log.
 *
 * Nothing here allocates for a request that is answered at once.
 */
import type { Clock, Scheduler } from "#common/time.ts";
import { ErrorCode } from "#common/error-code.ts";
import { type AppendOutcome, readOutcome } from "./append-outcome.ts";
import { DelayedAnswers, type Look, type PendingAnswer } from "./delayed-answers.ts";
import { DelayedFetch } from "./delayed-fetch.ts";
import type { FetchParameters, FetchRows } from "./fetch-rows.ts";
import { FollowerSync } from "./follower-sync.ts";
import { type LateListener, LateWork } from "./late-work.ts";
import {
  APPEND_RESULT_COLUMNS,
  FETCH_REQUEST_COLUMNS,
  type LogPort,
  STATE_COLUMNS,
  StateColumn,
  WaitFor,
} from "./log-port.ts";
import { newTopicTraffic, type TopicTraffic } from "./partition-directory.ts";
import { type BrokerRacks, RackSelector } from "./rack-selector.ts";
import { WatchBoard } from "./watch-board.ts";

export type { AppendOutcome } from "./append-outcome.ts";
export { type FetchParameters, FetchRows, isReadable } from "./fetch-rows.ts";

/** Why an append failed, in words, with the records at fault. */
export interface AppendErrors {
  readonly message: string | null;
  readonly recordErrors: readonly {
    readonly batchIndex: number;
    readonly message: string | null;
  }[];
}

/** An append whose acknowledgement waits for a flush, for other replicas, or for both. */
export interface PendingAppend extends PendingAnswer {
  readonly lastOffset: number;
  /** Epoch under which the records were appended. */
  readonly leaderEpoch: number;
  /** Bits of `WaitFor`. */
  readonly waitsFor: number;
}

/** A deletion of records that waits for the other replicas. */
export interface PendingDeletion extends PendingAnswer {
  /** First offset that is to be left. */
  readonly offset: number;
}

/** `LEADER_SINCE` of a follower. */
const FOLLOWER_SINCE = 0x7fffffff;

/** Partitions of this broker as one thread serves them. */
export class ReplicaManager {
  readonly #log: LogPort;
  readonly #clock: Clock;
  readonly #scheduler: Scheduler;
  readonly #board: WatchBoard;
  /** Where fetches of followers wait. */
  readonly #endBoard: WatchBoard;
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
    waitsFor: 0,
    recordErrorCount: 0,
  };

  /** @param scheduler - for deadlines of waiting requests: many, short, mostly cancelled. */
  constructor(log: LogPort, clock: Clock, scheduler: Scheduler) {
    this.#log = log;
    this.#clock = clock;
    this.#scheduler = scheduler;
    this.#board = new WatchBoard(log);
    this.#endBoard = new WatchBoard(log, "log-end");
    this.#late = new LateWork(log);
  }

  /** Counters of all topics together, on this thread; never go down, whatever is deleted. */
  readonly traffic: TopicTraffic = newTopicTraffic();
  #delayedProduceCount = 0;
  #selector: RackSelector | null = null;
  #sync: FollowerSync | null = null;

  /** Requests that wait: fetches for data, produces for a flush. */
  get delayed(): { readonly fetchCount: number; readonly produceCount: number } {
    return { fetchCount: this.#delayedFetches.size, produceCount: this.#delayedProduceCount };
  }

  /** Partitions that requests wait for at the moment. */
  get watchedCount(): number {
    return this.#board.partitionCount + this.#endBoard.partitionCount;
  }

  /** Answers every fetch that waits with what there is: the broker is about to stop. */
  finishFetches(): void {
    for (const fetch of this.#delayedFetches) fetch.finish();
  }

  /** Wakes nobody any more; what waits ends with its deadline. */
  close(): void {
    this.#board.close();
    this.#endBoard.close();
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

  /** The clock by which progress of followers, and what they are sent, is counted. */
  get nowMs(): number {
    return this.#clock.nowMs();
  }

  /** Bytes of batches put into answers to followers; those of consumers are in `traffic`. */
  replicationSentBytes = 0;

  /** Fetches of clients that called themselves replicas. */
  refusedReplicaFetchCount = 0;

  /** What a consumer may see of a partition; -1 each for one that is gone. */
  offsets(handle: number): {
    readonly highWatermark: number;
    readonly lastStableOffset: number;
    readonly logStartOffset: number;
  } {
    this.#stateLookId = 0;
    const isThere = this.#lookAt(handle) === ErrorCode.NONE;
    const offset = (column: number): number => (isThere ? this.#state(column) : -1);
    return {
      highWatermark: offset(StateColumn.HIGH_WATERMARK),
      lastStableOffset: offset(StateColumn.LAST_STABLE_OFFSET),
      logStartOffset: offset(StateColumn.LOG_START_OFFSET),
    };
  }

  /** The replica that a consumer in a rack should read from, -1 for this one; see `rack-selector.ts`. */
  preferredReplica(
    handle: number,
    fetchOffset: number,
    clientRack: string,
    racks: BrokerRacks,
  ): number {
    this.#selector ??= new RackSelector(this.#log);
    return this.#selector.select(handle, fetchOffset, clientRack, racks, this.#clock.nowMs());
  }

  /** First offset of a partition, -1 for one that is gone. */
  logStartOffset(handle: number): number {
    this.#stateLookId = 0;
    return this.#lookAt(handle) === ErrorCode.NONE ? this.#state(StateColumn.LOG_START_OFFSET) : -1;
  }

  /** Settles when every append is as safe as it has to be or failed, or `timeoutMs` has passed: `errorCode` of each says which. */
  awaitReplicated(appends: readonly PendingAppend[], timeoutMs: number): Promise<void> {
    this.#delayedProduceCount++;
    return this.#await((append) => this.#appendState(append), appends, timeoutMs).then(() => {
      this.#delayedProduceCount--;
    });
  }

  /** Settles when every replica that lives has made the deletions, or `timeoutMs` has passed: `errorCode` of each says which. */
  awaitDeleted(deletions: readonly PendingDeletion[], timeoutMs: number): Promise<void> {
    const look = ({ handle, offset }: PendingDeletion): true | number => {
      const errorCode = this.#lookAt(handle);
      if (errorCode !== ErrorCode.NONE) return errorCode;
      if (this.#isFollower()) return ErrorCode.NOT_LEADER_OR_FOLLOWER;
      const isDone = this.#state(StateColumn.LOW_WATERMARK) >= offset;
      return isDone ? true : ErrorCode.NONE;
    };
    return this.#await(look, deletions, timeoutMs);
  }

  /** First offset that some replica which lives still has; -1 for a partition that is gone. */
  lowWatermark(handle: number): number {
    this.#stateLookId = 0;
    return this.#lookAt(handle) === ErrorCode.NONE ? this.#state(StateColumn.LOW_WATERMARK) : -1;
  }

  #await<T extends PendingAnswer>(
    look: Look<T>,
    pending: readonly T[],
    timeoutMs: number,
  ): Promise<void> {
    return new Promise((resolve) => {
      new DelayedAnswers(this.#board, this.#scheduler, look, pending, timeoutMs, resolve);
    });
  }

  /** True when an append is safe; the error code otherwise, NONE meaning not yet. */
  #appendState({ handle, lastOffset, leaderEpoch, waitsFor }: PendingAppend): true | number {
    const errorCode = this.#lookAt(handle);
    if (errorCode !== ErrorCode.NONE) return errorCode;
    // Another led meanwhile, and may have cut the records away: what is there now at their offsets says nothing.
    if (this.#state(StateColumn.LEADER_SINCE) > leaderEpoch) {
      return ErrorCode.NOT_LEADER_OR_FOLLOWER;
    }
    const isReplicated =
      (waitsFor & WaitFor.HIGH_WATERMARK) === 0 ||
      this.#state(StateColumn.HIGH_WATERMARK) > lastOffset;
    const isFlushed =
      (waitsFor & WaitFor.FLUSHED_OFFSET) === 0 ||
      this.#state(StateColumn.FLUSHED_OFFSET) > lastOffset;
    if (!isReplicated || !isFlushed) {
      // After a failed fsync the flushed offset never moves again: the wait ends now, not with its timeout.
      return this.#state(StateColumn.WRITE_REFUSAL);
    }
    const hasShrunk =
      (waitsFor & WaitFor.HIGH_WATERMARK) !== 0 && this.#state(StateColumn.IS_UNDER_MIN_ISR) === 1;
    return hasShrunk ? ErrorCode.NOT_ENOUGH_REPLICAS_AFTER_APPEND : true;
  }

  #isFollower(): boolean {
    return this.#state(StateColumn.LEADER_SINCE) === FOLLOWER_SINCE;
  }

  #state(column: number): number {
    return this.#stateOut[column] as number;
  }

  /** Gets a partition's state, once for all that look in a round. */
  #lookAt(handle: number): number {
    const { lookId } = this.#board;
    if (lookId === 0 || lookId !== this.#stateLookId || handle !== this.#stateHandle) {
      this.#stateError = this.#log.partitionState(handle, this.#stateOut);
      this.#stateLookId = lookId;
      this.#stateHandle = handle;
    }
    return this.#stateError;
  }

  /**
   * Reads what the rows ask for now. Results are in `rows`. Where a follower reads, the rows' offsets are noted as its progress.
   *
   * @returns the plan that holds the bytes, 0 when there are none. The caller owns it.
   */
  read(rows: FetchRows, parameters: FetchParameters): number {
    return this.#read(rows, parameters, true);
  }

  /**
   * As `read`, for somebody who is no replica; records that fit `into` are copied there, in the order of the rows.
   *
   * @returns the plan, 0 for none, or FETCH_COPIED when `into` has the records.
   */
  readInto(rows: FetchRows, parameters: FetchParameters, into: Uint8Array): number {
    if (rows.count === 0) return 0;
    const { maxBytes, hasMinOneMessage, isolation } = parameters;
    const { requests, results, count } = rows;
    return this.#log.fetchInto(
      requests,
      count,
      maxBytes,
      hasMinOneMessage,
      isolation,
      results,
      into,
    );
  }

  /** As `read`, another time for the same request. */
  look(rows: FetchRows, parameters: FetchParameters): number {
    return this.#read(rows, parameters, false);
  }

  #read(rows: FetchRows, parameters: FetchParameters, isFirst: boolean): number {
    if (rows.count === 0) return 0;
    const { maxBytes, hasMinOneMessage, replica } = parameters;
    if (replica === undefined) {
      return this.#log.fetch(
        rows.requests,
        rows.count,
        maxBytes,
        hasMinOneMessage,
        parameters.isolation,
        rows.results,
      );
    }
    const nowMs = this.#clock.nowMs();
    const plan = this.#log.fetchAsReplica(
      rows.requests,
      rows.count,
      maxBytes,
      hasMinOneMessage,
      replica.id,
      replica.brokerEpoch,
      isFirst,
      nowMs,
      rows.results,
    );
    if (rows.throttled !== null) this.#throttle(rows, parameters, nowMs);
    return plan;
  }

  /** While the quota is exceeded a throttled replica gets no records, unless it is in sync: acks=all would wait for it. */
  #throttle(rows: FetchRows, { replica }: FetchParameters, nowMs: number): void {
    if (replica?.quota?.isExceeded(nowMs) !== true) return;
    this.#sync ??= new FollowerSync(this.#log);
    for (const row of rows.throttled ?? []) {
      const handle = rows.requests[row * FETCH_REQUEST_COLUMNS] as number;
      if (!this.#sync.isInSync(handle, replica.id, nowMs)) rows.withhold(row);
    }
  }

  /**
   * Waits until the rows have something to say (enough bytes, an error, a diverging epoch) or `maxWaitMs` have passed,
   * then settles with the plan of a read whose results are in `rows`. The rows belong to the wait until then.
   */
  awaitReadable(rows: FetchRows, parameters: FetchParameters, maxWaitMs: number): Promise<number> {
    return new Promise((resolve) => {
      const fetch = new DelayedFetch(
        this.#boardsFor(rows, parameters),
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

  #boardsFor(rows: FetchRows, { replica }: FetchParameters): readonly WatchBoard[] {
    if (replica === undefined) return [this.#board];
    return rows.wantsHighWatermark ? [this.#endBoard, this.#board] : [this.#endBoard];
  }

  /** Gives up a plan; 0 is none, and FETCH_COPIED neither. */
  drop(plan: number): void {
    if (plan > 0) this.#log.planDrop(plan);
  }

  /** Producer ids and first offsets of the transactions aborted within a row's bytes. */
  abortedTransactions(plan: number, row: number): [string, number][] {
    return JSON.parse(this.#log.takeAborted(plan, row)) as [string, number][];
  }
}
