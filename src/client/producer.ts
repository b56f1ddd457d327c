/**
 * Writes records to one topic: gathered into a batch a partition, one batch in flight a partition, so order is kept by itself.
 *
 * With acks `all` it is idempotent: each batch carries a producer id and a sequence number, and one that is sent again after a lost
 * answer is written once. What cannot be delivered is never dropped: the first failure is thrown by the next call, and
 * `acknowledgedRecords` says how far it came. @see KIP-98
 */
import { ErrorCode } from "#common/error-code.ts";
import {
  InitProducerIdApi,
  makeInitProducerIdRequest,
} from "#protocol/generated/init-producer-id.ts";
import {
  makePartitionProduceData,
  makeProduceRequest,
  makeTopicProduceData,
  ProduceApi,
} from "#protocol/generated/produce.ts";
import {
  type Compressor,
  encodeRecordBatch,
  type NewRecord,
} from "#protocol/records/record-batch.ts";
import { ClientError, refused } from "./client-error.ts";
import type { Cluster, TopicMetadata } from "./cluster.ts";
import { partitionOfKey } from "./partitioner.ts";
import { retrying } from "./retry.ts";

/** When a record counts as written. */
export const Acks = { ALL: -1, NONE: 0, LEADER: 1 } as const;

/** How a producer works. */
export interface ProducerOptions {
  /** As in `Acks`; ALL unless given. */
  readonly acks?: (typeof Acks)[keyof typeof Acks];
  /** Codec number as in `Compression`; none unless given. */
  readonly compression?: { readonly codec: number; readonly compressor: Compressor } | null;
  /** A batch is sent when its records reach this many bytes, uncompressed. */
  readonly batchBytes?: number;
  /** A batch is sent after this time at the latest. */
  readonly lingerMs?: number;
  /** `send` waits while this much is not acknowledged. */
  readonly maxBufferedBytes?: number;
  /** Told of each batch that was acknowledged. */
  readonly onAcknowledged?: (records: number, bytes: number) => void;
}

const DEFAULT_BATCH_BYTES = 524_288;
const DEFAULT_LINGER_MS = 20;
const DEFAULT_MAX_BUFFERED_BYTES = 33_554_432;
/** Version 13 names the topic by id. */
const PRODUCE_BY_NAME_VERSION = 12;
const PRODUCE_TIMEOUT_MS = 30_000;
/** What a record costs besides its key and value, roughly. */
const RECORD_OVERHEAD_BYTES = 16;
const MAX_SEQUENCE = 0x7f_ff_ff_ff;

interface Batch {
  readonly records: readonly NewRecord[];
  readonly bytes: number;
  /** Sequence number of the first record. */
  readonly sequence: number;
}

/** What is on its way to one partition. */
interface Lane {
  readonly partition: number;
  pending: NewRecord[];
  pendingBytes: number;
  readonly queue: Batch[];
  isSending: boolean;
  nextSequence: number;
}

/** See the head of the file. */
export class Producer {
  readonly #cluster: Cluster;
  readonly #options: ProducerOptions;
  readonly #producer: { readonly id: bigint; readonly epoch: number } | null;
  readonly #lanes: Map<number, Lane> = new Map();
  readonly #waiters: (() => void)[] = [];
  readonly #batchBytes: number;
  readonly #maxBufferedBytes: number;
  #topic: TopicMetadata;
  #timer: ReturnType<typeof setTimeout> | null = null;
  #bufferedBytes = 0;
  #failure: Error | null = null;
  #keylessPartition: number;
  #acknowledgedRecords = 0;

  private constructor(
    cluster: Cluster,
    topic: TopicMetadata,
    options: ProducerOptions,
    producer: { readonly id: bigint; readonly epoch: number } | null,
  ) {
    this.#cluster = cluster;
    this.#topic = topic;
    this.#options = options;
    this.#producer = producer;
    this.#batchBytes = options.batchBytes ?? DEFAULT_BATCH_BYTES;
    this.#maxBufferedBytes = options.maxBufferedBytes ?? DEFAULT_MAX_BUFFERED_BYTES;
    this.#keylessPartition = Math.floor(Math.random() * topic.partitions.length);
  }

  /** A producer for a topic, which the broker may create if it is configured to. */
  static async open(
    cluster: Cluster,
    topicName: string,
    options: ProducerOptions = {},
  ): Promise<Producer> {
    const topic = await cluster.topic(topicName, { mayCreate: true });
    const isIdempotent = (options.acks ?? Acks.ALL) === Acks.ALL;
    const producer = isIdempotent ? await initProducerId(cluster) : null;
    return new Producer(cluster, topic, options, producer);
  }

  /** Number of partitions of the topic. */
  get partitionCount(): number {
    return this.#topic.partitions.length;
  }

  /** Records that the broker said it has (with acks 0: that were handed to the network). */
  get acknowledgedRecords(): number {
    return this.#acknowledgedRecords;
  }

  /**
   * Takes a record; settles when there is room for another. Without a partition it goes where its key says, keyless ones to one
   * partition a batch.
   *
   * @throws ClientError of an earlier record that could not be delivered; this one is then not taken.
   */
  async send(record: NewRecord, partition?: number): Promise<void> {
    if (this.#failure !== null) throw this.#failure;
    const lane = this.#laneOf(partition ?? this.#partitionOf(record));
    const bytes = (record.key?.length ?? 0) + (record.value?.length ?? 0) + RECORD_OVERHEAD_BYTES;
    if (lane.pendingBytes > 0 && lane.pendingBytes + bytes > this.#batchBytes) this.#close(lane);
    lane.pending.push(record);
    lane.pendingBytes += bytes;
    this.#bufferedBytes += bytes;
    if (lane.pendingBytes >= this.#batchBytes) this.#close(lane);
    else
      this.#timer ??= setTimeout(
        () => this.#closeAll(),
        this.#options.lingerMs ?? DEFAULT_LINGER_MS,
      );
    while (this.#bufferedBytes > this.#maxBufferedBytes && this.#failure === null) {
      await this.#progress();
    }
  }

  /**
   * Sends what was taken and waits until all of it is acknowledged.
   *
   * @throws ClientError of the first batch that could not be delivered.
   */
  async flush(): Promise<void> {
    this.#closeAll();
    while (this.#bufferedBytes > 0 && this.#failure === null) await this.#progress();
    if (this.#failure !== null) throw this.#failure;
  }

  #partitionOf(record: NewRecord): number {
    return record.key === null
      ? this.#keylessPartition
      : partitionOfKey(record.key, this.#topic.partitions.length);
  }

  #laneOf(partition: number): Lane {
    const known = this.#lanes.get(partition);
    if (known !== undefined) return known;
    if (partition < 0 || partition >= this.#topic.partitions.length) {
      throw new ClientError(
        "INVALID",
        `topic '${this.#topic.name}' has no partition ${partition}, only 0 to ${this.#topic.partitions.length - 1}`,
      );
    }
    const lane: Lane = {
      partition,
      pending: [],
      pendingBytes: 0,
      queue: [],
      isSending: false,
      nextSequence: 0,
    };
    this.#lanes.set(partition, lane);
    return lane;
  }

  #progress(): Promise<void> {
    return new Promise((resolve) => this.#waiters.push(resolve));
  }

  #closeAll(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    for (const lane of this.#lanes.values()) this.#close(lane);
  }

  /** Makes a batch of what waits for a partition, and sees that it is sent. */
  #close(lane: Lane): void {
    if (lane.pending.length === 0) return;
    const { pending: records, pendingBytes: bytes, nextSequence: sequence } = lane;
    lane.queue.push({ records, bytes, sequence });
    lane.nextSequence = advanceSequence(sequence, records.length);
    lane.pending = [];
    lane.pendingBytes = 0;
    if (lane.partition === this.#keylessPartition) {
      this.#keylessPartition = (lane.partition + 1) % this.#topic.partitions.length;
    }
    if (!lane.isSending) void this.#drain(lane);
  }

  async #drain(lane: Lane): Promise<void> {
    lane.isSending = true;
    try {
      for (let batch = lane.queue.shift(); batch !== undefined; batch = lane.queue.shift()) {
        if (this.#failure !== null) break;
        await this.#deliver(lane, batch);
      }
    } catch (error) {
      this.#failure ??= error instanceof Error ? error : new Error(String(error));
    } finally {
      lane.isSending = false;
      for (const wake of this.#waiters.splice(0)) wake();
    }
  }

  async #deliver(lane: Lane, batch: Batch): Promise<void> {
    const bytes = encodeRecordBatch({
      records: batch.records,
      timestamp: Date.now(),
      producerId: this.#producer?.id ?? -1n,
      producerEpoch: this.#producer?.epoch ?? -1,
      baseSequence: this.#producer === null ? -1 : batch.sequence,
      ...(this.#options.compression ? { compression: this.#options.compression } : {}),
    });
    const outcome = await this.#sendBatch(lane.partition, bytes);
    if (outcome === "too large" && batch.records.length > 1) {
      // The topic takes less than we thought. Nothing was written, so the halves may use the batch's sequence numbers.
      const half = batch.records.length >> 1;
      const second = advanceSequence(batch.sequence, half);
      const halves = batch.records.slice(0, half);
      await this.#deliver(lane, { records: halves, bytes: 0, sequence: batch.sequence });
      await this.#deliver(lane, { ...batch, records: batch.records.slice(half), sequence: second });
      return;
    }
    if (outcome === "too large") {
      throw new ClientError(
        "REFUSED",
        `topic '${this.#topic.name}', partition ${lane.partition}: a record of ${bytes.length} bytes is larger than the topic takes (MESSAGE_TOO_LARGE)`,
        ErrorCode.MESSAGE_TOO_LARGE,
      );
    }
    this.#acknowledgedRecords += batch.records.length;
    this.#bufferedBytes -= batch.bytes;
    this.#options.onAcknowledged?.(batch.records.length, bytes.length);
    for (const wake of this.#waiters.splice(0)) wake();
  }

  #sendBatch(partition: number, records: Uint8Array): Promise<"written" | "too large"> {
    const { name } = this.#topic;
    const acks = this.#options.acks ?? Acks.ALL;
    const request = makeProduceRequest({
      acks,
      timeoutMs: PRODUCE_TIMEOUT_MS,
      topicData: [
        makeTopicProduceData({
          name,
          partitionData: [makePartitionProduceData({ index: partition, records })],
        }),
      ],
    });
    const options = { maxVersion: PRODUCE_BY_NAME_VERSION };
    let isStale = false;
    return retrying(async () => {
      if (isStale) this.#topic = await this.#cluster.topic(name);
      isStale = true;
      const leader = this.#topic.partitions[partition]?.leader ?? -1;
      const connection = await this.#cluster.node(leader);
      if (acks === Acks.NONE) {
        await connection.sendUnanswered(ProduceApi, request, options);
        return "written";
      }
      const answer = await connection.send(ProduceApi, request, options);
      const row = answer.responses[0]?.partitionResponses[0];
      const errorCode = row?.errorCode ?? ErrorCode.UNKNOWN_SERVER_ERROR;
      if (errorCode === ErrorCode.NONE || errorCode === ErrorCode.DUPLICATE_SEQUENCE_NUMBER)
        return "written";
      if (
        errorCode === ErrorCode.MESSAGE_TOO_LARGE ||
        errorCode === ErrorCode.RECORD_LIST_TOO_LARGE
      )
        return "too large";
      const reason = row?.recordErrors[0]?.batchIndexErrorMessage ?? row?.errorMessage ?? null;
      throw refused(`topic '${name}', partition ${partition}`, errorCode, reason);
    }, this.#cluster.retryTimeoutMs);
  }
}

/** Sequence numbers go round at 2^31. */
function advanceSequence(sequence: number, count: number): number {
  const next = sequence + count;
  return next > MAX_SEQUENCE ? next - MAX_SEQUENCE - 1 : next;
}

async function initProducerId(
  cluster: Cluster,
): Promise<{ readonly id: bigint; readonly epoch: number } | null> {
  return retrying(async () => {
    const connection = await cluster.any();
    // A broker without it is too old for idempotence, or does not serve it; order and acks hold all the same.
    if (connection.versionOf(InitProducerIdApi) === null) return null;
    const answer = await connection.send(
      InitProducerIdApi,
      makeInitProducerIdRequest({ transactionalId: null, transactionTimeoutMs: 60_000 }),
    );
    if (answer.errorCode !== 0) throw refused("producer id", answer.errorCode);
    return { id: answer.producerId, epoch: answer.producerEpoch };
  }, cluster.retryTimeoutMs);
}
