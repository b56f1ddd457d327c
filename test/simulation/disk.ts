/**
 * The disk of a simulated node: files in memory behind the native log's own code, so that what a crash leaves is what the code in production
 * would find. A store on it starts no thread and reads no clock: flushes that were asked for wait until the world calls `step`, and everything
 * else happens within the call.
 *
 * ```ts
 * const disk = new Disk();
 * const store = disk.open(nodeId, clusterId);
 * …
 * disk.crash("power", seed);      // the store is gone; what it had not flushed is there or not
 * const again = disk.open(nodeId, clusterId);
 * ```
 */
import * as native from "#native";
import {
  Columns,
  LogError,
  type LogConfig,
  type NewPartition,
  type PartitionHandle,
  type StoreReport,
} from "#log/log.ts";
import { NativeLogStore } from "#log/native-log.ts";
import type { ReplicaBroker, Replication } from "#log/replication.ts";

/** What a crash leaves of bytes that were not flushed: all, nothing, or each sector by chance. */
export type CrashMode = "process" | "unsynced" | "power";

const MODES: Readonly<Record<CrashMode, number>> = { process: 0, unsynced: 1, power: 2 };

/** A disk with less room than this counts as full. */
const LITTLE_BYTES = 400;

/** A store whose work is done within its calls. */
export class SimulatedStore extends NativeLogStore {
  readonly #id: number;
  readonly #wakers: (() => void)[] = [];
  readonly #cuts: Map<number, number> = new Map();
  #touched: Set<number> = new Set();
  #isAllTouched = true;
  #isOver = false;
  /** Told once when the first change since {@link takeTouched} happens. */
  onTouched: () => void = () => {};

  constructor(id: number, report: StoreReport) {
    super(id, report);
    this.#id = id;
  }

  // Whatever may change a partition says so: nothing else has to be looked at.

  override readonly append: NativeLogStore["append"] = (handle, ...rest) => {
    this.#touch(handle);
    return native.append(handle, ...rest);
  };

  override readonly deleteRecords: NativeLogStore["deleteRecords"] = (handle, ...rest) => {
    this.#touch(handle);
    return native.deleteRecords(handle, ...rest);
  };

  override readonly fetchAsReplica: NativeLogStore["fetchAsReplica"] = (rows, count, ...rest) => {
    for (let row = 0; row < count; row += 1)
      this.#touch(rows[row * Columns.FETCH_REQUEST] as number);
    return native.fetchAsReplica(rows, count, ...rest);
  };

  override readonly followerAppend: NativeLogStore["followerAppend"] = (handle, ...rest) => {
    this.#touch(handle);
    return native.followerAppend(handle, ...rest);
  };

  override readonly followerTruncate: NativeLogStore["followerTruncate"] = (
    handle,
    leaderEpoch,
    offset,
  ) => {
    this.#cut(handle, offset);
    return native.followerTruncate(handle, leaderEpoch, offset);
  };

  override readonly followerStartAt: NativeLogStore["followerStartAt"] = (
    handle,
    leaderEpoch,
    offset,
  ) => {
    this.#cut(handle, 0);
    return native.followerStartAt(handle, leaderEpoch, offset);
  };

  override readonly replicationState: NativeLogStore["replicationState"] = (handle, nowMs, out) => {
    // Told a time, the log may let go of a follower.
    if (nowMs > 0) this.#touch(handle);
    return native.replicationState(handle, nowMs, out);
  };

  override createPartition(partition: NewPartition): PartitionHandle {
    const handle = super.createPartition(partition);
    this.#touch(handle);
    return handle;
  }

  override deletePartition(handle: PartitionHandle): void {
    this.#touch(handle);
    super.deletePartition(handle);
  }

  override configurePartition(handle: PartitionHandle, config: Partial<LogConfig>): void {
    this.#touch(handle);
    super.configurePartition(handle, config);
  }

  override setLeader(handle: PartitionHandle, leaderEpoch: number, how?: Replication): void {
    this.#touch(handle);
    super.setLeader(handle, leaderEpoch, how);
  }

  override setFollower(handle: PartitionHandle, leaderEpoch: number, leaderId: number): void {
    this.#touch(handle);
    super.setFollower(handle, leaderEpoch, leaderId);
  }

  override setPendingIsr(
    handle: PartitionHandle,
    leaderEpoch: number,
    partitionEpoch: number,
    additions: readonly number[],
    nowMs: number,
  ): boolean {
    this.#touch(handle);
    return super.setPendingIsr(handle, leaderEpoch, partitionEpoch, additions, nowMs);
  }

  override setBrokers(brokers: readonly ReplicaBroker[]): void {
    this.#touch(null);
    super.setBrokers(brokers);
  }

  /** Handles of what may have changed since the last call; `all` for every one. Null for nothing. */
  takeTouched(): ReadonlySet<number> | "all" | null {
    const touched = this.#isAllTouched ? "all" : this.#touched;
    if (touched !== "all" && touched.size === 0) return null;
    this.#touched = new Set();
    this.#isAllTouched = false;
    return touched;
  }

  /** The lowest offset that a log was cut to since the last call, infinite where it was not. */
  takeCut(handle: number): number {
    const offset = this.#cuts.get(handle);
    if (offset === undefined) return Number.POSITIVE_INFINITY;
    this.#cuts.delete(handle);
    return offset;
  }

  #cut(handle: number, offset: number): void {
    this.#touch(handle);
    this.#cuts.set(handle, Math.min(offset, this.#cuts.get(handle) ?? offset));
  }

  #touch(handle: number | null): void {
    const isFirst = !this.#isAllTouched && this.#touched.size === 0;
    if (handle === null) this.#isAllTouched = true;
    else this.#touched.add(handle);
    if (isFirst) this.onTouched();
  }

  /** Notes who wants to be woken; {@link wake} does it, in the world's own order. */
  override readonly openWaker: NativeLogStore["openWaker"] = (wake) => {
    this.#wakers.push(wake);
    return native.openWaker(() => {});
  };

  /** Tells everybody who watches that something may have changed. Nothing is told otherwise. */
  wake(): void {
    for (const wake of this.#wakers) wake();
  }

  /** Does the flushes that were asked for; how many partitions it were. */
  step(): number {
    const count = native.stepSimulatedStore(this.#id);
    if (count > 0) this.#touch(null);
    return count;
  }

  override reopenPartitions(): Promise<number> {
    const count = native.reopenSimulatedPartitions(this.#id);
    if (count > 0) this.#touch(null);
    return Promise.resolve(count);
  }

  override flush(handle: number): Promise<void> {
    this.#touch(handle);
    return settled(() => native.flushSimulatedPartition(handle));
  }

  override checkpoint(): Promise<void> {
    this.#touch(null);
    return settled(() => native.checkpointSimulatedStore(this.#id));
  }

  override close(brokerEpoch = -1): Promise<void> {
    this.#isOver = true;
    return settled(() => native.closeSimulatedStore(this.#id, brokerEpoch));
  }

  /** Leaves everything as it is: the process died. */
  abandon(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    native.dropSimulatedStore(this.#id);
  }
}

/** See the head of the file. */
export class Disk {
  #id: number = native.makeSimulatedDisk();
  #store: SimulatedStore | null = null;
  #limitBytes: number = Number.POSITIVE_INFINITY;

  /** The number under which other parts of the addon find the disk. It changes with each crash. */
  get id(): number {
    return this.#id;
  }

  /** Opens the store, recovering what is there. */
  open(nodeId: number, clusterId: string, defaults: Partial<LogConfig> = {}): SimulatedStore {
    const options = {
      dirs: ["/data"],
      clusterId,
      nodeId,
      defaults,
      recoveryThreads: 1,
      maxOpenFiles: 1000,
      verifyOnRead: false,
      inMemory: true,
    };
    const opened = coded(() => native.openSimulatedStore(this.#id, JSON.stringify(options)));
    const { storeId, ...report } = JSON.parse(opened) as StoreReport & { storeId: number };
    this.#store = new SimulatedStore(storeId, report);
    return this.#store;
  }

  /** Ends the store without a word, and with it what the mode says. */
  crash(mode: CrashMode, seed: number): void {
    const after = native.crashSimulatedDisk(this.#id, MODES[mode], seed);
    this.drop();
    this.#id = after;
  }

  /** Makes the disk as large as what it holds and this many bytes more; null ends the limit. */
  limit(freeBytes: number | null): void {
    const bytes = freeBytes === null ? -1 : native.simulatedDiskBytes(this.#id) + freeBytes;
    this.#limitBytes = freeBytes === null ? Number.POSITIVE_INFINITY : bytes;
    native.limitSimulatedDisk(this.#id, bytes);
  }

  /** Whether some more records fit. */
  get hasRoom(): boolean {
    if (this.#limitBytes === Number.POSITIVE_INFINITY) return true;
    return native.simulatedDiskBytes(this.#id) + LITTLE_BYTES <= this.#limitBytes;
  }

  /** Gives back the memory. */
  drop(): void {
    this.#store?.abandon();
    this.#store = null;
    native.dropSimulatedDisk(this.#id);
  }
}

function coded<T>(call: () => T): T {
  try {
    return call();
  } catch (error) {
    const code = (error as { code?: unknown }).code;
    if (!(error instanceof Error) || typeof code !== "string") throw error;
    throw new LogError(code, error.message, { cause: error });
  }
}

async function settled(call: () => void): Promise<void> {
  coded(call);
  return Promise.resolve();
}
