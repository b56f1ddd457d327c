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
import { LogError, type LogConfig, type StoreReport } from "#log/log.ts";
import { NativeLogStore } from "#log/native-log.ts";

/** What a crash leaves of bytes that were not flushed: all, nothing, or each sector by chance. */
export type CrashMode = "process" | "unsynced" | "power";

const MODES: Readonly<Record<CrashMode, number>> = { process: 0, unsynced: 1, power: 2 };

/** A store whose work is done within its calls. */
export class SimulatedStore extends NativeLogStore {
  readonly #id: number;
  readonly #wakers: (() => void)[] = [];
  #isOver = false;

  constructor(id: number, report: StoreReport) {
    super(id, report);
    this.#id = id;
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
    return native.stepSimulatedStore(this.#id);
  }

  override flush(handle: number): Promise<void> {
    return settled(() => native.flushSimulatedPartition(handle));
  }

  override checkpoint(): Promise<void> {
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
    native.limitSimulatedDisk(this.#id, bytes);
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
