/**
 * A log in memory with the shape of the native one, for tests of what stands above it.
 *
 *     const log = new FakeLog();
 *     const handle = log.addPartition();
 *     log.appendBytes(handle, 100);          // one batch of 100 bytes, one record
 *     log.flush(handle);                     // what the group commit would do
 */
import {
  FETCH_COPIED,
  FETCH_REQUEST_COLUMNS,
  FETCH_RESULT_COLUMNS,
  type LogPort,
} from "#replica/log-port.ts";

interface FakePartition {
  /** Size of the batch at each offset. */
  readonly batches: Uint8Array[];
  logStartOffset: number;
  flushedOffset: number;
  isGone: boolean;
  writeRefusal: number;
}

export class FakeLog implements LogPort {
  readonly partitions: FakePartition[] = [];
  readonly plans: Map<number, Uint8Array[][]> = new Map();
  /** Error code that the next append answers with. */
  nextAppendError = 0;
  appendErrors = '{"message":null,"recordErrors":[]}';
  appendCount = 0;
  fetchCount = 0;
  #planId = 0;
  #wake: (() => void) | null = null;
  readonly #watched: Set<number> = new Set();
  readonly #woken: Set<number> = new Set();

  addPartition(): number {
    this.partitions.push({
      batches: [],
      logStartOffset: 0,
      flushedOffset: 0,
      isGone: false,
      writeRefusal: 0,
    });
    return this.partitions.length - 1;
  }

  appendBytes(handle: number, size: number): void {
    this.#partition(handle).batches.push(new Uint8Array(size).fill(handle + 1));
    this.#changed(handle);
  }

  flush(handle: number): void {
    const partition = this.#partition(handle);
    partition.flushedOffset = partition.batches.length;
    this.#changed(handle);
  }

  /** As after a failed fsync: nothing is written or flushed any more. */
  poison(handle: number): void {
    this.#partition(handle).writeRefusal = 56;
    this.#changed(handle);
  }

  remove(handle: number): void {
    this.#partition(handle).isGone = true;
    this.#changed(handle);
  }

  append(
    handle: number,
    records: Uint8Array,
    _leaderEpoch: number,
    acks: number,
    _origin: number,
    _nowMs: number,
    out: Float64Array,
  ): number {
    this.appendCount++;
    if (this.nextAppendError !== 0) {
      const errorCode = this.nextAppendError;
      this.nextAppendError = 0;
      out[5] = (JSON.parse(this.appendErrors) as { recordErrors: unknown[] }).recordErrors.length;
      return errorCode;
    }
    const partition = this.#partition(handle);
    out[0] = partition.batches.length;
    out[1] = partition.batches.length;
    out[2] = -1;
    out[3] = partition.logStartOffset;
    out[4] = acks === -1 ? 1 : 0;
    out[5] = 0;
    partition.batches.push(records.slice());
    this.#changed(handle);
    return 0;
  }

  /** Appends handed over, done by `finishLate`. */
  readonly late: { token: number; handle: number; records: Uint8Array; acks: number }[] = [];
  isLateQueueFull = false;
  #onLate: (() => void) | null = null;

  openAppender(done: () => void): number {
    this.#onLate = done;
    return 1;
  }

  closeAppender(): void {
    this.#onLate = null;
  }

  appendLater(
    _appenderId: number,
    token: number,
    handle: number,
    records: Uint8Array,
    _leaderEpoch: number,
    acks: number,
  ): boolean {
    if (this.isLateQueueFull) return false;
    this.late.push({ token, handle, records: records.slice(), acks });
    return true;
  }

  lookUpLater(): boolean {
    return false;
  }

  /** What the native thread would do: appends the oldest and tells. */
  finishLate(): void {
    this.#onLate?.();
  }

  takeAppended(_appenderId: number, out: Float64Array): boolean {
    const next = this.late.shift();
    if (next === undefined) return false;
    out[0] = next.token;
    out[1] = this.append(next.handle, next.records, -1, next.acks, 0, 0, out.subarray(2));
    return true;
  }

  takeAppendErrors(): string {
    return this.appendErrors;
  }

  fetch(
    requests: Float64Array,
    count: number,
    maxBytes: number,
    _minOneMessage: boolean,
    _isolation: number,
    out: Float64Array,
  ): number {
    this.fetchCount++;
    const rows: Uint8Array[][] = [];
    let totalBytes = 0;
    for (let row = 0; row < count; row++) {
      const [handle = 0, offset = 0, partitionMaxBytes = 0] = requests.subarray(
        row * FETCH_REQUEST_COLUMNS,
      );
      const partition = this.#partition(handle);
      const taken: Uint8Array[] = [];
      let bytes = 0;
      const isInRange = offset >= partition.logStartOffset && offset <= partition.batches.length;
      if (!partition.isGone && isInRange) {
        for (const batch of partition.batches.slice(offset)) {
          const limit = Math.min(partitionMaxBytes - bytes, maxBytes - totalBytes);
          if (batch.length > limit && totalBytes > 0) break;
          taken.push(batch);
          bytes += batch.length;
          totalBytes += batch.length;
        }
      }
      const errorCode = partition.isGone ? 3 : isInRange ? 0 : 1;
      const end = errorCode === 0 ? partition.batches.length : -1;
      out.set(
        [
          errorCode,
          end,
          end,
          errorCode === 0 ? partition.logStartOffset : -1,
          bytes,
          -1,
          -1,
          0,
          -1,
          0,
        ],
        row * FETCH_RESULT_COLUMNS,
      );
      rows.push(taken);
    }
    if (totalBytes === 0) return 0;
    this.plans.set(++this.#planId, rows);
    return this.#planId;
  }

  fetchInto(
    requests: Float64Array,
    count: number,
    maxBytes: number,
    minOneMessage: boolean,
    isolation: number,
    out: Float64Array,
    into: Uint8Array,
  ): number {
    const plan = this.fetch(requests, count, maxBytes, minOneMessage, isolation, out);
    const rows = this.plans.get(plan) ?? [];
    const lengths = rows.flat().map(({ length }) => length);
    const totalBytes = lengths.reduce((sum, length) => sum + length, 0);
    if (totalBytes === 0 || totalBytes > into.length) return plan;
    let at = 0;
    for (let row = 0; row < rows.length; row++) at += this.planCopy(plan, row, into, at);
    this.planDrop(plan);
    return FETCH_COPIED;
  }

  /** No partition here has followers. */
  fetchAsReplica(
    _requests: Float64Array,
    count: number,
    _maxBytes: number,
    _minOneMessage: boolean,
    _replicaId: number,
    _brokerEpoch: number,
    _isNoted: boolean,
    _nowMs: number,
    out: Float64Array,
  ): number {
    for (let row = 0; row < count; row++) {
      out.set([6, -1, -1, -1, 0, -1, -1, 0, -1, 0], row * FETCH_RESULT_COLUMNS);
    }
    return 0;
  }

  replicationState(): number {
    return 3;
  }

  takeAborted(): string {
    return "[]";
  }

  planCopy(plan: number, row: number, into: Uint8Array, at: number): number {
    let position = at;
    for (const batch of this.plans.get(plan)?.[row] ?? []) {
      into.set(batch, position);
      position += batch.length;
    }
    return position - at;
  }

  planDrop(plan: number): void {
    if (!this.plans.delete(plan)) throw new Error(`plan ${plan} dropped twice`);
  }

  offsetForTimestamp(): number {
    return 0;
  }

  endOffsetForEpoch(): number {
    return 0;
  }

  partitionState(handle: number, out: Float64Array): number {
    const partition = this.#partition(handle);
    const end = partition.batches.length;
    const { logStartOffset, flushedOffset, writeRefusal } = partition;
    out.set([
      logStartOffset,
      end,
      end,
      end,
      flushedOffset,
      0,
      0,
      1,
      writeRefusal,
      0,
      0,
      logStartOffset,
    ]);
    return partition.isGone ? 3 : 0;
  }

  deleteRecords(): number {
    return 0;
  }

  openWaker(wake: () => void): number {
    this.#wake = wake;
    return 1;
  }

  closeWaker(): void {
    this.#wake = null;
  }

  watch(handle: number): void {
    this.#watched.add(handle);
  }

  watchLogEnd(handle: number): void {
    this.watch(handle);
  }

  drainWakes(_workerId: number, handles: Float64Array): number {
    const woken = [...this.#woken].slice(0, handles.length);
    for (const handle of woken) this.#woken.delete(handle);
    handles.set(woken);
    return woken.length;
  }

  #changed(handle: number): void {
    if (!this.#watched.delete(handle)) return;
    const isFirst = this.#woken.size === 0;
    this.#woken.add(handle);
    if (isFirst) queueMicrotask(() => this.#wake?.());
  }

  #partition(handle: number): FakePartition {
    const partition = this.partitions[handle];
    if (partition === undefined) throw new Error(`no partition ${handle}`);
    return partition;
  }
}
