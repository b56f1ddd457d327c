/**
 * Writes one record after another with acks=all and notes when each was acknowledged: what a cluster is out for, seen from outside.
 *
 * A new attempt begins every few milliseconds, whatever became of the ones before, to whoever is the leader by the newest metadata; while nothing
 * succeeds, the metadata is asked of every node that answers. So the figure is the cluster's own, without a client's patience and back-off
 * in it. Every acknowledged value must be found in the log afterwards; those whose fate is open may.
 */
import {
  FetchApi,
  makeFetchPartition,
  makeFetchRequest,
  makeFetchTopic,
} from "#protocol/generated/fetch.ts";
import {
  makeMetadataRequest,
  makeMetadataRequestTopic,
  MetadataApi,
  type MetadataResponse,
} from "#protocol/generated/metadata.ts";
import {
  makePartitionProduceData,
  makeProduceRequest,
  makeTopicProduceData,
  ProduceApi,
} from "#protocol/generated/produce.ts";
import { decodeRecordBatches, encodeRecordBatch } from "#protocol/records/record-batch.ts";
import { Wire } from "../../test/differential/wire.ts";

/** Time between two attempts, ms. */
const ATTEMPT_EVERY_MS = 10;
/** What an attempt may take before it is given up, ms. */
const ATTEMPT_TIMEOUT_MS = 1_000;
/** Attempts under way at a time. */
const ATTEMPTS_MAX = 200;
const METADATA_TIMEOUT_MS = 300;
const FETCH_BYTES_MAX = 1 << 20;

/** Rejects once `timeoutMs` have passed. */
async function within<T>(answer: Promise<T>, timeoutMs: number): Promise<T> {
  let timer: Timer | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs);
  });
  try {
    return await Promise.race([answer, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** A partition as Metadata tells it. */
export interface PartitionView {
  readonly leader: number;
  readonly isr: readonly number[];
  readonly replicas: readonly number[];
}

/** Metadata of one topic from the first of `addresses` that answers; null when none does. */
export async function askMetadata(
  addresses: readonly string[],
  topic: string,
): Promise<MetadataResponse | null> {
  const request = makeMetadataRequest({ topics: [makeMetadataRequestTopic({ name: topic })] });
  const asked = addresses.map(async (address) => {
    using wire = await within(Wire.connect(address, "failover"), METADATA_TIMEOUT_MS);
    return await within(wire.send(MetadataApi, 8, request), METADATA_TIMEOUT_MS);
  });
  return await Promise.any(asked).catch(() => null);
}

/** See the head of the file. */
export class Probe {
  readonly #addresses: ReadonlyMap<number, string>;
  readonly #topic: string;
  readonly #partition: number;
  readonly #connections: Map<string, Promise<Wire>> = new Map();
  readonly #acknowledged: Set<number> = new Set();
  #leader = -1;
  #under = 0;
  #next = 0;
  #lastSuccessMs = 0;
  #isAsking = false;
  #timer: Timer | null = null;
  #waiting: { readonly sinceMs: number; readonly resolve: (ms: number) => void } | null = null;
  #checkedUpTo = 0;
  readonly #mark: string;
  #longestGapMs = 0;
  #lastFailure = "none";
  /** Addresses that are not asked: of whom is known to be gone. */
  avoided: ReadonlySet<string> = new Set();

  /**
   * @param addresses - of the brokers, by node id.
   * @param mark - goes into every value, so that late writes of another probe are not taken for this one's.
   */
  constructor(
    addresses: ReadonlyMap<number, string>,
    topic: string,
    partition: number,
    mark: string,
  ) {
    this.#mark = mark;
    this.#addresses = addresses;
    this.#topic = topic;
    this.#partition = partition;
  }

  /** Why the newest failed attempt failed. */
  get lastFailure(): string {
    return this.#lastFailure;
  }

  /** Begins to write. */
  start(): void {
    this.#timer = setInterval(() => this.#turn(), ATTEMPT_EVERY_MS);
  }

  /** Forgets the gaps so far. */
  resetGap(): void {
    this.#longestGapMs = 0;
  }

  /** The longest time between two acknowledgements since `resetGap`, the one that lasts included, ms. */
  get longestGapMs(): number {
    return Math.max(this.#longestGapMs, performance.now() - this.#lastSuccessMs);
  }

  /** Ends writing and closes the connections. */
  async stop(): Promise<void> {
    if (this.#timer !== null) clearInterval(this.#timer);
    for (const connection of this.#connections.values())
      await connection.then((wire) => wire[Symbol.dispose]()).catch(() => {});
    this.#connections.clear();
  }

  /** Resolves with the time, by `performance.now()`, at which the first attempt that began after `sinceMs` was acknowledged. */
  async acknowledgedAfter(sinceMs: number, timeoutMs: number): Promise<number> {
    const answer = new Promise<number>((resolve) => {
      this.#waiting = { sinceMs, resolve };
    });
    return await within(answer, timeoutMs);
  }

  #turn(): void {
    const isQuiet = performance.now() - this.#lastSuccessMs > 5 * ATTEMPT_EVERY_MS;
    if (isQuiet || this.#leader === -1) void this.#ask();
    const address = this.#addresses.get(this.#leader);
    if (address === undefined || this.#under >= ATTEMPTS_MAX || this.avoided.has(address)) return;
    void this.#attempt(address);
  }

  async #ask(): Promise<void> {
    if (this.#isAsking) return;
    this.#isAsking = true;
    try {
      const addresses = [...this.#addresses.values()].filter((one) => !this.avoided.has(one));
      const answer = await askMetadata(addresses, this.#topic);
      const partition = answer?.topics[0]?.partitions.find(
        ({ partitionIndex }) => partitionIndex === this.#partition,
      );
      if (partition !== undefined) this.#leader = partition.leaderId;
    } finally {
      this.#isAsking = false;
    }
  }

  async #attempt(address: string): Promise<void> {
    const startedMs = performance.now();
    const number = this.#next++;
    this.#under += 1;
    try {
      const code = await within(this.#write(address, number), ATTEMPT_TIMEOUT_MS);
      if (code !== 0) throw new Error(`error ${code}`);
      this.#acknowledged.add(number);
      const nowMs = performance.now();
      if (this.#lastSuccessMs > 0)
        this.#longestGapMs = Math.max(this.#longestGapMs, nowMs - this.#lastSuccessMs);
      this.#lastSuccessMs = nowMs;
      if (this.#waiting !== null && startedMs >= this.#waiting.sinceMs) {
        this.#waiting.resolve(this.#lastSuccessMs);
        this.#waiting = null;
      }
    } catch (error) {
      this.#lastFailure = error instanceof Error ? error.message : String(error);
      const isConnectionLost = !this.#lastFailure.startsWith("error ");
      if (isConnectionLost) await this.#drop(address);
      void this.#ask();
    } finally {
      this.#under -= 1;
    }
  }

  async #drop(address: string): Promise<void> {
    const connection = this.#connections.get(address);
    this.#connections.delete(address);
    await connection?.then((wire) => wire[Symbol.dispose]()).catch(() => {});
  }

  async #write(address: string, number: number): Promise<number> {
    let connection = this.#connections.get(address);
    if (connection === undefined) {
      connection = Wire.connect(address, "failover");
      this.#connections.set(address, connection);
    }
    const wire = await connection;
    const records = encodeRecordBatch({
      timestamp: Date.now(),
      records: [{ key: null, value: Buffer.from(`${this.#mark}/${number}`) }],
    });
    const partitionData = [makePartitionProduceData({ index: this.#partition, records })];
    const topicData = [makeTopicProduceData({ name: this.#topic, partitionData })];
    const request = makeProduceRequest({ acks: -1, timeoutMs: ATTEMPT_TIMEOUT_MS, topicData });
    const answer = await wire.send(ProduceApi, 8, request);
    return answer.responses[0]?.partitionResponses[0]?.errorCode ?? -1;
  }

  /** Acknowledged values that the log does not hold; reads on from where the call before ended. */
  async lost(): Promise<number[]> {
    const address = this.#addresses.get(this.#leader);
    if (address === undefined) throw new Error("no leader to read from");
    const promised = new Set(this.#acknowledged);
    using wire = await within(Wire.connect(address, "failover"), ATTEMPT_TIMEOUT_MS);
    for (;;) {
      const partitions = [
        makeFetchPartition({
          partition: this.#partition,
          fetchOffset: this.#checkedUpTo,
          partitionMaxBytes: FETCH_BYTES_MAX,
        }),
      ];
      const topics = [makeFetchTopic({ topic: this.#topic, partitions })];
      const request = makeFetchRequest({
        maxWaitMs: 0,
        minBytes: 0,
        maxBytes: FETCH_BYTES_MAX,
        topics,
      });
      const answer = await within(wire.send(FetchApi, 11, request), 5 * ATTEMPT_TIMEOUT_MS);
      const found = answer.responses[0]?.partitions[0];
      if (found === undefined || found.errorCode !== 0)
        throw new Error(`Fetch: error ${found?.errorCode ?? answer.errorCode}`);
      const bytes = found.records instanceof Uint8Array ? found.records : new Uint8Array(0);
      const { batches, failure } = decodeRecordBatches(bytes);
      if (failure !== null) throw new Error(`Fetch at ${this.#checkedUpTo}: ${failure}`);
      for (const batch of batches) {
        for (const { value } of batch.records) {
          const [mark, number] = Buffer.from(value ?? [])
            .toString()
            .split("/");
          if (mark !== this.#mark) continue;
          promised.delete(Number(number));
          this.#acknowledged.delete(Number(number));
        }
        this.#checkedUpTo = batch.baseOffset + batch.lastOffsetDelta + 1;
      }
      if (this.#checkedUpTo >= found.highWatermark || batches.length === 0) return [...promised];
    }
  }
}
