/** A store for one test, closed and removed at its end, and the few lines every test of the log starts with. */
import { type LogConfig, type PartitionHandle, Columns, Isolation, Origin } from "#log/log.ts";
import { type NativeLogStore, nativeCodecs, openNativeStore } from "#log/native-log.ts";
import { decodeRecordBatches, encodeRecordBatch } from "#protocol/records/record-batch.ts";
import { temporaryDirectory } from "../../support/process.ts";

/** An open store and its directory. */
export interface TestStore extends AsyncDisposable {
  readonly store: NativeLogStore;
  readonly dir: string;
  /** Creates partition 0 of a topic and leads it. */
  lead(topic: string, config?: Partial<LogConfig>): PartitionHandle;
}

/** Opens a store on disk, or in memory, in a directory of its own unless one is given. */
export async function openStore(
  options: { dir?: string; inMemory?: boolean } = {},
): Promise<TestStore> {
  const directory = options.dir === undefined ? temporaryDirectory("log") : null;
  const dir = options.dir ?? directory?.path ?? "";
  const store = await openNativeStore({
    dirs: [dir],
    clusterId: null,
    nodeId: 1,
    defaults: {},
    recoveryThreads: 1,
    maxOpenFiles: 100,
    verifyOnRead: false,
    inMemory: options.inMemory ?? false,
  });
  return {
    store,
    dir,
    lead(topic, config = {}) {
      const topicId = Buffer.from(crypto.getRandomValues(new Uint8Array(16))).toString("base64url");
      const handle = store.createPartition({ topic, partition: 0, topicId, config });
      store.setLeader(handle, 0);
      return handle;
    },
    async [Symbol.asyncDispose]() {
      await store.close();
      directory?.remove();
    },
  };
}

/** One batch with these values. */
export function batchOf(...values: string[]): Uint8Array {
  const now = Date.now();
  return encodeRecordBatch({
    timestamp: now,
    records: values.map((value) => ({ key: null, value: new TextEncoder().encode(value) })),
  });
}

/** Outcome of an append, by name. */
export interface Appended {
  readonly code: number;
  readonly baseOffset: number;
  readonly lastOffset: number;
  readonly mustWait: boolean;
}

/** Appends as a client and returns where it landed. */
export function append(
  store: NativeLogStore,
  handle: PartitionHandle,
  batch: Uint8Array,
  acks = 1,
): Appended {
  const out = new Float64Array(Columns.APPEND);
  const code = store.append(handle, batch, -1, acks, Origin.CLIENT, Date.now(), out);
  return {
    code,
    baseOffset: out[0] as number,
    lastOffset: out[1] as number,
    mustWait: out[4] === 1,
  };
}

/** One row of a fetch answer, by name. */
export interface FetchedRow {
  readonly code: number;
  readonly highWatermark: number;
  readonly logStartOffset: number;
  readonly bytes: number;
}

/** Plans a fetch of `[handle, offset, max bytes]` rows. */
export function plan(
  store: NativeLogStore,
  rows: readonly (readonly [PartitionHandle, number, number])[],
  options: { maxBytes?: number; hasMinOneMessage?: boolean } = {},
): { readonly plan: number; readonly rows: FetchedRow[] } {
  const requests = new Float64Array(
    rows.flatMap(([handle, offset, bytes]) => [handle, offset, bytes, -1, -1, -1]),
  );
  const out = new Float64Array(rows.length * Columns.FETCH_RESULT);
  const id = store.fetch(
    requests,
    rows.length,
    options.maxBytes ?? 1 << 30,
    options.hasMinOneMessage ?? true,
    Isolation.READ_UNCOMMITTED,
    out,
  );
  return {
    plan: id,
    rows: rows.map((_, row) => {
      const at = row * Columns.FETCH_RESULT;
      return {
        code: out[at] as number,
        highWatermark: out[at + 1] as number,
        logStartOffset: out[at + 3] as number,
        bytes: out[at + 4] as number,
      };
    }),
  };
}

/** Record batches of a partition from `offset` on, as bytes. */
export function readBytes(
  store: NativeLogStore,
  handle: PartitionHandle,
  offset: number,
): Uint8Array {
  const { plan: id, rows } = plan(store, [[handle, offset, 1 << 30]]);
  const bytes = new Uint8Array(rows[0]?.bytes ?? 0);
  if (id === 0) return bytes;
  const count = store.planCopy(id, 0, bytes, 0);
  store.planDrop(id);
  return bytes.subarray(0, count);
}

/** Offsets and values of a partition from `offset` on. */
export function readValues(
  store: NativeLogStore,
  handle: PartitionHandle,
  offset: number,
): string[] {
  const { batches, failure } = decodeRecordBatches(readBytes(store, handle, offset), {
    decompressor: nativeCodecs,
  });
  if (failure !== null) throw new Error(failure);
  return batches.flatMap((batch) =>
    batch.records.map(
      (record) =>
        `${record.offset}:${record.value === null ? "" : Buffer.from(record.value).toString()}`,
    ),
  );
}

/** What a promise is rejected with; fails when it is not. */
export async function rejectionOf(promise: Promise<unknown>): Promise<unknown> {
  const outcome = await promise.then(
    () => ({ error: null }),
    (error: unknown) => ({ error }),
  );
  if (outcome.error === null) throw new Error("the promise was not rejected");
  return outcome.error;
}
