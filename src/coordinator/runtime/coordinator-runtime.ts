/**
 * Runs coordinator state machines: one shard for each partition of their internal topic that this broker leads.
 *
 * ```
 *   request ──▶ shard decides ──▶ records ──▶ replay into the shard ──▶ batch ──▶ append ──▶ committed ──▶ response
 *                    │                                                                          │
 *                    └── replies to parked requests, timers: at once       afterAppend event ◀──┘
 * ```
 * - Operations of a partition run one at a time and build on each other before anything is written. Their records share
 *   batches: one append is under way, the rest collects behind it, so the cost of a flush is divided by the load.
 * - When an append fails, nothing behind it has been written. All of it is undone and answered with the error.
 * - An operation without records is answered when everything decided before it is committed.
 * - Loading replays the log into a fresh shard; meanwhile requests get COORDINATOR_LOAD_IN_PROGRESS.
 *
 * The driver takes no decisions about groups or transactions; the shards take no decisions about time or I/O.
 */
import { assert } from "#common/assert.ts";
import { ErrorCode } from "#common/error-code.ts";
import type { MaybePromise } from "#common/maybe-promise.ts";
import type { Clock, Scheduler, Timer } from "#common/time.ts";
import { BATCH_HEADER_BYTES } from "#protocol/records/record-batch.ts";
import { BatchBuilder, RecordBlock } from "#protocol/records/record-block.ts";
import { keyOf, type StoredRecord, valueOf } from "#protocol/records/record-walk.ts";
import { appendError, operationError } from "./append-errors.ts";
import type { PartitionLoader, PartitionWriter } from "./ports.ts";
import { errorCodeOf } from "./ports.ts";
import { compactLog, type CompactionTarget, keyBytes, keyText } from "./log-compaction.ts";
import { Step } from "./step.ts";
import { TimerDriver } from "./timer-driver.ts";
import type { Timeline } from "./timeline.ts";

/** State machine of one partition. */
export interface CoordinatorShard<CoordinatorRecord, Parked, AppendToken> {
  readonly timeline: Timeline;
  replay(record: CoordinatorRecord, nowMs: number): void;
  /** While loading: applies a record straight from its bytes; false for one that has to be decoded first. */
  replayStored(record: StoredRecord, nowMs: number): boolean;
  onLoaded(step: Step<CoordinatorRecord, Parked, AppendToken>): void;
  onTimer(step: Step<CoordinatorRecord, Parked, AppendToken>, key: string, token: number): void;
  /** @param errorCode - NONE, or the failure as members are told of it. */
  onAppended(
    step: Step<CoordinatorRecord, Parked, AppendToken>,
    token: AppendToken,
    errorCode: number,
  ): void;
  /** After an undo: answers what is parked in things that no longer exist. Produces no records. */
  buryOrphans(step: Step<CoordinatorRecord, Parked, AppendToken>, errorCode: number): void;
  /** The last event: answers everything that is parked. Produces no records. */
  onUnloaded(step: Step<CoordinatorRecord, Parked, AppendToken>, errorCode: number): void;
}

/** Bytes of a coordinator's records. */
export interface RecordFormat<CoordinatorRecord> {
  /**
   * Writes a record's key and value, each followed by its `end` in the block. What counts as one record here may be several of the
   * log where operations that write it are atomic.
   *
   * @throws when a field does not fit its type; the operation is refused with UNKNOWN_SERVER_ERROR.
   */
  encode(record: CoordinatorRecord, into: RecordBlock): void;
  /** @returns `null` for records that this coordinator does not know. */
  decode(key: Uint8Array | null, value: Uint8Array | null): CoordinatorRecord | null;
}

/** What became of an operation. */
export type Outcome<Output> =
  | { readonly kind: "done"; readonly output: Output }
  /** Nothing was changed, or what was changed has been undone. */
  | { readonly kind: "failed"; readonly errorCode: number };

export interface CoordinatorRuntimeDeps<Shard, CoordinatorRecord> {
  readonly writer: PartitionWriter;
  readonly loader: PartitionLoader;
  readonly clock: Clock;
  readonly scheduler: Scheduler;
  readonly format: RecordFormat<CoordinatorRecord>;
  /** How long an operation waits for its commit before it is answered with COORDINATOR_NOT_AVAILABLE, ms. */
  readonly commitTimeoutMs: number;
  createShard(partition: number): Shard;
  /** Bytes of a partition's log below which it is never compacted. */
  readonly compactionMinBytes: number;
  /** A compaction failed; the log is as it was. */
  onCompactionFailed(partition: number, error: unknown): void;
}

/** An operation that waits for its batch. */
interface Operation<AppendToken> {
  readonly token: AppendToken | null;
  /** Answers the request; only the first call counts. */
  settle(errorCode: number): void;
}

interface Batch<AppendToken> {
  readonly builder: BatchBuilder;
  readonly operations: Operation<AppendToken>[];
  readonly timestampMs: number;
  lastSequence: number;
  /** Answers the operations when the commit takes too long; null while nothing keeps it waiting. */
  deadline: Timer | null;
}

interface Context<Shard, AppendToken> {
  readonly partition: number;
  readonly leaderEpoch: number;
  readonly shard: Shard;
  readonly timers: TimerDriver;
  state: "loading" | "active" | "failed" | "closed";
  /** The first one is being appended. */
  batches: Batch<AppendToken>[];
  isAppending: boolean;
  /** Bytes that loading would read, about. */
  logBytes: number;
  /** Those of them that were still true when the log was last compacted. */
  liveBytes: number;
  /** Keys written since the compaction under way began; null: none is, or it has come to nothing. */
  writtenKeys: Set<string> | null;
  isCompacting: boolean;
}

/** A log is compacted when it is this many times what was true of it the last time. */
const COMPACTION_RATIO = 4;

/** So many batches are about to be filled or appended at once, for most of the time. */
const KEPT_BUILDERS = 8;

/** The shards of one coordinator. */
export class CoordinatorRuntime<
  Shard extends CoordinatorShard<CoordinatorRecord, Parked, AppendToken>,
  CoordinatorRecord,
  Parked,
  AppendToken,
> {
  readonly #deps: CoordinatorRuntimeDeps<Shard, CoordinatorRecord>;
  readonly #contexts = new Map<number, Context<Shard, AppendToken>>();
  readonly #parked = new Map<number, (response: Parked) => void>();
  /** Records of the operation that runs; empty between operations as far as anybody looks. */
  readonly #block = new RecordBlock();
  /** Emptied, for the next batches. */
  readonly #builders: BatchBuilder[] = [];
  #nextWaiter = 1;

  constructor(deps: CoordinatorRuntimeDeps<Shard, CoordinatorRecord>) {
    this.#deps = deps;
  }

  // ---- leadership

  /**
   * This broker leads `partition` from `leaderEpoch` on: loads its shard.
   *
   * @returns when requests are served. Rejects with the loader's error; requests get NOT_COORDINATOR then, until the
   *   partition is loaded again. An epoch that is not newer than the one served changes nothing.
   */
  async load(partition: number, leaderEpoch: number): Promise<void> {
    const known = this.#contexts.get(partition);
    if (known !== undefined && known.state !== "failed" && known.leaderEpoch >= leaderEpoch) return;
    this.unload(partition);
    const { clock, scheduler, format, loader } = this.#deps;
    const shard = this.#deps.createShard(partition);
    const context: Context<Shard, AppendToken> = {
      partition,
      leaderEpoch,
      shard,
      timers: new TimerDriver(clock, scheduler, (key, token) => {
        this.#event(context, (step) => shard.onTimer(step, key, token));
      }),
      state: "loading",
      batches: [],
      isAppending: false,
      logBytes: 0,
      liveBytes: 0,
      writtenKeys: null,
      isCompacting: false,
    };
    this.#contexts.set(partition, context);
    const nowMs = clock.nowMs();
    try {
      await loader.load(partition, (stored) => {
        if (context.state !== "loading") return;
        context.logBytes += storedBytes(stored);
        if (shard.replayStored(stored, nowMs)) return;
        const record = format.decode(keyOf(stored), valueOf(stored));
        if (record !== null) shard.replay(record, nowMs);
      });
    } catch (error) {
      if (context.state === "loading") context.state = "failed";
      throw error;
    }
    if (context.state !== "loading") return;
    context.state = "active";
    this.#event(context, (step) => shard.onLoaded(step));
    this.#compactWhenDue(context);
  }

  /** This broker no longer leads `partition`: everything that waits is answered with NOT_COORDINATOR. */
  unload(partition: number): void {
    const context = this.#contexts.get(partition);
    if (context === undefined) return;
    this.#contexts.delete(partition);
    const wasActive = context.state === "active";
    context.state = "closed";
    context.timers.clear();
    const batches = context.batches;
    context.batches = [];
    for (const batch of batches) this.#settleBatch(batch, ErrorCode.NOT_COORDINATOR);
    if (!wasActive) return;
    const step = this.#newStep();
    context.shard.onUnloaded(step, ErrorCode.NOT_COORDINATOR);
    this.#deliver(step);
  }

  /** Partitions whose shards are loaded or loading. */
  partitions(): number[] {
    return [...this.#contexts.keys()];
  }

  /** NONE when requests for `partition` are served; otherwise what they are answered with. */
  stateError(partition: number): number {
    switch (this.#contexts.get(partition)?.state) {
      case "active":
        return ErrorCode.NONE;
      case "loading":
        return ErrorCode.COORDINATOR_LOAD_IN_PROGRESS;
      default:
        return ErrorCode.NOT_COORDINATOR;
    }
  }

  // ---- operations

  /**
   * Runs an operation that may write. Its outcome is there when all it decided, and all it built on, is committed: at once
   * where nothing has to be waited for, otherwise as a promise.
   */
  write<Output>(
    partition: number,
    run: (shard: Shard, step: Step<CoordinatorRecord, Parked, AppendToken>) => Output,
  ): MaybePromise<Outcome<Output>> {
    const context = this.#contexts.get(partition);
    if (context === undefined || context.state !== "active") {
      return { kind: "failed", errorCode: this.stateError(partition) };
    }
    const step = this.#newStep();
    const sequence = context.shard.timeline.begin();
    const output = run(context.shard, step);
    let known: Outcome<Output> | null = null;
    let resolve: ((outcome: Outcome<Output>) => void) | null = null;
    this.#finish(context, step, sequence, (errorCode) => {
      // A late commit after a timeout, or a second chunk after the first one failed, changes nothing.
      known ??=
        errorCode === ErrorCode.NONE
          ? { kind: "done", output }
          : { kind: "failed", errorCode: operationError(errorCode) };
      resolve?.(known);
    });
    return (
      known ??
      new Promise<Outcome<Output>>((whenSettled) => {
        resolve = whenSettled;
      })
    );
  }

  /** Runs an operation whose answer comes as a reply, maybe much later; writing is as in `write`. */
  park(
    partition: number,
    run: (shard: Shard, step: Step<CoordinatorRecord, Parked, AppendToken>, waiter: number) => void,
  ): Promise<Outcome<Parked>> {
    const context = this.#contexts.get(partition);
    if (context === undefined || context.state !== "active") {
      return Promise.resolve({ kind: "failed", errorCode: this.stateError(partition) });
    }
    return new Promise((resolve) => {
      const waiter = this.#nextWaiter++;
      this.#parked.set(waiter, (output) => resolve({ kind: "done", output }));
      const step = this.#newStep();
      const sequence = context.shard.timeline.begin();
      run(context.shard, step, waiter);
      // A failed append reaches the request through the shard, which knows what else it means.
      this.#finish(context, step, sequence, () => {});
    });
  }

  /** Looks at committed state, at once. */
  read<Output>(partition: number, run: (shard: Shard) => Output): Outcome<Output> {
    const context = this.#contexts.get(partition);
    if (context === undefined || context.state !== "active") {
      return { kind: "failed", errorCode: this.stateError(partition) };
    }
    return { kind: "done", output: run(context.shard) };
  }

  // ---- inside

  #newStep(): Step<CoordinatorRecord, Parked, AppendToken> {
    return new Step(this.#deps.clock.nowMs());
  }

  #event(
    context: Context<Shard, AppendToken>,
    run: (step: Step<CoordinatorRecord, Parked, AppendToken>) => void,
  ): void {
    if (context.state !== "active") return;
    const step = this.#newStep();
    const sequence = context.shard.timeline.begin();
    run(step);
    this.#finish(context, step, sequence, () => {});
  }

  /** Queues the records of a step that just ran, applies them, and carries out its effects. */
  #finish(
    context: Context<Shard, AppendToken>,
    step: Step<CoordinatorRecord, Parked, AppendToken>,
    sequence: number,
    settle: (errorCode: number) => void,
  ): void {
    const { shard } = context;
    if (step.records.length === 0) {
      this.#deliver(step, context);
      const last = context.batches.at(-1);
      if (last === undefined) {
        shard.timeline.commit(sequence);
        settle(ErrorCode.NONE);
      } else {
        last.lastSequence = sequence;
        last.operations.push({ token: null, settle });
      }
      return;
    }
    const maxBytes = this.#deps.writer.maxBatchBytes(context.partition);
    const ends = this.#encode(step, maxBytes);
    if (ends === null) {
      // Undone before it counted: nothing of it is visible, and nothing behind it is affected.
      shard.timeline.rollback(sequence - 1);
      this.#deliver(step, context);
      this.#fail(context, [{ token: step.afterAppend, settle }], ErrorCode.MESSAGE_TOO_LARGE);
      return;
    }
    if (context.writtenKeys !== null) noteKeys(this.#block, context.writtenKeys);
    if (ends.length === 1 && context.batches.length === 0) {
      this.#appendAlone(context, step, sequence, settle);
      return;
    }
    let chunkSequence = sequence;
    let from = 0;
    for (const to of ends) {
      const isLast = to === this.#block.count;
      if (from > 0) chunkSequence = shard.timeline.begin();
      if (step.isReplayed) {
        const { records } = step;
        // In one batch they may be fewer than in the log, in several they are as many.
        const end = ends.length === 1 ? records.length : to;
        for (let index = from; index < end; index++) {
          shard.replay(records[index] as CoordinatorRecord, step.nowMs);
        }
      }
      const operation = { token: isLast ? step.afterAppend : null, settle };
      const onChunk = isLast ? operation : { token: null, settle: ignoreSuccess(settle) };
      this.#enqueue(context, from, to, maxBytes, step.nowMs, chunkSequence, onChunk);
      from = to;
    }
    this.#deliver(step, context);
    this.#pump(context);
  }

  /**
   * Appends the records of a step, all in the block, that nothing is before. Where they are committed at once they are applied as
   * committed, and nobody remembers how to undo them.
   */
  #appendAlone(
    context: Context<Shard, AppendToken>,
    step: Step<CoordinatorRecord, Parked, AppendToken>,
    sequence: number,
    settle: (errorCode: number) => void,
  ): void {
    const { shard, partition } = context;
    const { nowMs, afterAppend: token } = step;
    const builder = this.#newBuilder();
    builder.add(this.#block, 0, this.#block.count);
    let appended: MaybePromise<number>;
    try {
      appended = this.#deps.writer.append(partition, builder.build(nowMs));
    } catch (error) {
      this.#release(builder);
      context.writtenKeys = null;
      shard.timeline.rollback(shard.timeline.committed);
      this.#deliver(step, context);
      this.#fail(context, [{ token, settle }], errorCodeOf(error));
      return;
    }
    const isCommitted = typeof appended === "number";
    if (isCommitted) shard.timeline.commit(sequence);
    if (step.isReplayed) for (const record of step.records) shard.replay(record, nowMs);
    if (!isCommitted) {
      const operations = [{ token, settle }];
      const batch = { builder, operations, timestampMs: nowMs, lastSequence: sequence };
      context.batches.push({ ...batch, deadline: null });
      context.isAppending = true;
      this.#deliver(step, context);
      this.#awaitAppend(context, appended as Promise<number>);
      return;
    }
    this.#deliver(step, context);
    if (token !== null) {
      this.#event(context, (next) => shard.onAppended(next, token, ErrorCode.NONE));
    }
    settle(ErrorCode.NONE);
    context.logBytes += builder.sizeBytes;
    this.#release(builder);
    this.#compactWhenDue(context);
  }

  /**
   * Encodes a step's records into the block.
   *
   * @returns the ends of the chunks that fit a batch each, or `null` when the records can't be stored.
   */
  #encode(
    step: Step<CoordinatorRecord, Parked, AppendToken>,
    maxBytes: number,
  ): readonly number[] | null {
    const block = this.#block;
    block.reset();
    try {
      for (const record of step.records) this.#deps.format.encode(record, block);
    } catch {
      return null;
    }
    return chunkEnds(block, maxBytes, step.isAtomic);
  }

  /** Puts the records `[from, to)` of the block into the batch that collects, or the next one. */
  #enqueue(
    context: Context<Shard, AppendToken>,
    from: number,
    to: number,
    maxBytes: number,
    nowMs: number,
    sequence: number,
    operation: Operation<AppendToken>,
  ): void {
    const block = this.#block;
    let batch = context.batches.at(-1);
    const isOpen = context.batches.length > (context.isAppending ? 1 : 0);
    if (batch === undefined || !isOpen || batch.builder.sizeWith(block, from, to) > maxBytes) {
      batch = {
        builder: this.#newBuilder(),
        operations: [],
        timestampMs: nowMs,
        lastSequence: sequence,
        deadline: null,
      };
      if (context.isAppending) this.#limit(batch);
      context.batches.push(batch);
    }
    batch.builder.add(block, from, to);
    batch.lastSequence = sequence;
    batch.operations.push(operation);
  }

  /** From now on the batch waits: limits how long, unless that was done. */
  #limit(batch: Batch<AppendToken>): void {
    batch.deadline ??= this.#deps.scheduler.after(this.#deps.commitTimeoutMs, () => {
      for (const late of batch.operations) late.settle(ErrorCode.REQUEST_TIMED_OUT);
    });
  }

  /** Appends batch after batch, until one has to be waited for. */
  #pump(context: Context<Shard, AppendToken>): void {
    while (!context.isAppending && context.state === "active") {
      const [batch] = context.batches;
      if (batch === undefined) return;
      context.isAppending = true;
      const bytes = batch.builder.build(batch.timestampMs);
      let appended: MaybePromise<number>;
      try {
        appended = this.#deps.writer.append(context.partition, bytes);
      } catch (error) {
        this.#onAppendFailed(context, errorCodeOf(error));
        continue;
      }
      if (typeof appended === "number") {
        this.#onCommitted(context);
        continue;
      }
      this.#awaitAppend(context, appended);
    }
  }

  /** An append is under way: limits how long everybody waits for it, and goes on when it ends. */
  #awaitAppend(context: Context<Shard, AppendToken>, appended: Promise<number>): void {
    for (const waiting of context.batches) this.#limit(waiting);
    appended.then(
      () => {
        this.#onCommitted(context);
        this.#pump(context);
      },
      (error: unknown) => {
        this.#onAppendFailed(context, errorCodeOf(error));
        this.#pump(context);
      },
    );
  }

  #onCommitted(context: Context<Shard, AppendToken>): void {
    context.isAppending = false;
    if (context.state !== "active") return;
    const batch = context.batches.shift();
    assert(batch !== undefined, "an append ended that nobody started");
    context.shard.timeline.commit(batch.lastSequence);
    for (const { token } of batch.operations) {
      if (token === null) continue;
      this.#event(context, (step) => context.shard.onAppended(step, token, ErrorCode.NONE));
    }
    this.#settleBatch(batch, ErrorCode.NONE);
    context.logBytes += batch.builder.sizeBytes;
    this.#release(batch.builder);
    this.#compactWhenDue(context);
  }

  #newBuilder(): BatchBuilder {
    return this.#builders.pop() ?? new BatchBuilder();
  }

  #release(builder: BatchBuilder): void {
    if (this.#builders.length >= KEPT_BUILDERS) return;
    builder.reset();
    this.#builders.push(builder);
  }

  #onAppendFailed(context: Context<Shard, AppendToken>, errorCode: number): void {
    context.isAppending = false;
    // Keys noted as written may not have been: what the log had of them must stay.
    context.writtenKeys = null;
    if (context.state !== "active") return;
    const batches = context.batches;
    context.batches = [];
    const { timeline } = context.shard;
    timeline.rollback(timeline.committed);
    for (const { deadline } of batches) deadline?.cancel();
    const operations = batches.flatMap((batch) => batch.operations);
    this.#fail(context, operations, errorCode);
  }

  // ---- compaction

  /** Compacts the log once it is several times what is in it. */
  #compactWhenDue(context: Context<Shard, AppendToken>): void {
    const { compactionMinBytes } = this.#deps;
    const dueBytes = Math.max(compactionMinBytes, context.liveBytes * COMPACTION_RATIO);
    if (context.isCompacting || context.logBytes < dueBytes || context.state !== "active") return;
    context.isCompacting = true;
    context.writtenKeys = new Set();
    const bytesBefore = context.logBytes;
    compactLog(this.#compactionTarget(context)).then(
      (liveBytes) => {
        context.isCompacting = false;
        context.writtenKeys = null;
        context.logBytes -= bytesBefore;
        // After an attempt that came to nothing, as much has to be written again before the next.
        context.liveBytes = liveBytes ?? bytesBefore / COMPACTION_RATIO;
      },
      (error: unknown) => {
        context.isCompacting = false;
        context.writtenKeys = null;
        context.logBytes = 0;
        this.#deps.onCompactionFailed(context.partition, error);
      },
    );
  }

  #compactionTarget(context: Context<Shard, AppendToken>): CompactionTarget {
    const { loader, writer, clock } = this.#deps;
    const { partition, shard } = context;
    const isOver = (): boolean => context.state !== "active" || context.writtenKeys === null;
    const committed = async (enqueue: (settle: (errorCode: number) => void) => void) => {
      if (isOver()) return false;
      const errorCode = await new Promise<number>(enqueue);
      return errorCode === ErrorCode.NONE && !isOver();
    };
    return {
      settle: () =>
        committed((settle) => {
          this.#finish(context, this.#newStep(), shard.timeline.begin(), settle);
        }),
      endOffset: () => loader.endOffset(partition),
      read: (onRecord) => loader.load(partition, onRecord),
      rewrite: (records) =>
        committed((settle) => {
          const block = this.#block;
          block.reset();
          for (const { key, value } of records) {
            if (context.writtenKeys?.has(key) === true) continue;
            block.writer.raw(keyBytes(key));
            block.endKey();
            block.writer.raw(value);
            block.endValue(false);
          }
          const maxBytes = writer.maxBatchBytes(partition);
          const ends = chunkEnds(block, maxBytes, false);
          // A record that fits no batch any more: the topic's limit was lowered.
          if (ends === null) context.writtenKeys = null;
          if (ends === null || block.count === 0) {
            settle(ErrorCode.NONE);
            return;
          }
          let from = 0;
          for (const to of ends) {
            const isLast = to === block.count;
            const operation = { token: null, settle: isLast ? settle : ignoreSuccess(settle) };
            const sequence = shard.timeline.begin();
            this.#enqueue(context, from, to, maxBytes, clock.nowMs(), sequence, operation);
            from = to;
          }
          this.#pump(context);
        }),
      dropBefore: (offset) => loader.dropBefore(partition, offset),
    };
  }

  /** Tells the shard and the callers of operations that were undone. */
  #fail(
    context: Context<Shard, AppendToken>,
    operations: readonly Operation<AppendToken>[],
    errorCode: number,
  ): void {
    const memberError = appendError(errorCode);
    const step = this.#newStep();
    context.shard.buryOrphans(step, memberError);
    this.#deliver(step, context);
    for (const { token } of operations) {
      if (token === null) continue;
      this.#event(context, (next) => context.shard.onAppended(next, token, memberError));
    }
    for (const operation of operations) operation.settle(errorCode);
  }

  #settleBatch(batch: Batch<AppendToken>, errorCode: number): void {
    batch.deadline?.cancel();
    for (const operation of batch.operations) operation.settle(errorCode);
  }

  #deliver(
    step: Step<CoordinatorRecord, Parked, AppendToken>,
    context: Context<Shard, AppendToken> | null = null,
  ): void {
    for (const { waiter, response } of step.replies) {
      const resolve = this.#parked.get(waiter);
      this.#parked.delete(waiter);
      resolve?.(response);
    }
    if (context === null) return;
    for (const effect of step.timers) context.timers.apply(effect);
  }
}

/** For the first parts of an operation that spans batches: only their failure answers it. */
function ignoreSuccess(settle: (errorCode: number) => void): (errorCode: number) => void {
  return (errorCode) => {
    if (errorCode !== ErrorCode.NONE) settle(errorCode);
  };
}

/** Ends of the chunks of a block that fit a batch each; `null` when a record, or all of them if they must stay together, fits none. */
function chunkEnds(
  block: RecordBlock,
  maxBytes: number,
  isAtomic: boolean,
): readonly number[] | null {
  const ends: number[] = [];
  let sizeBytes = BATCH_HEADER_BYTES;
  let from = 0;
  for (let index = 0; index < block.count; index++) {
    const added = block.sizeBytes(index, index - from);
    if (sizeBytes + added > maxBytes) {
      if (isAtomic || index === from) return null;
      ends.push(index);
      from = index;
      sizeBytes = BATCH_HEADER_BYTES;
      if (sizeBytes + block.sizeBytes(index, 0) > maxBytes) return null;
      sizeBytes += block.sizeBytes(index, 0);
    } else {
      sizeBytes += added;
    }
  }
  ends.push(block.count);
  return ends;
}

/** Bytes of a record's key and value. */
function storedBytes({ keyStart, keyEnd, valueStart, valueEnd }: StoredRecord): number {
  return Math.max(0, keyEnd - keyStart) + Math.max(0, valueEnd - valueStart);
}

function noteKeys(block: RecordBlock, keys: Set<string>): void {
  const bytes = block.writer.bytes();
  for (let index = 0; index < block.count; index++)
    keys.add(keyText(bytes, block.keyStart(index), block.keyEnd(index)));
}
