/**
 * Produce (key 0): appends record batches to partitions. Second of the files a produce goes through.
 *
 * Each partition's records go to the native log in one call, which validates them, assigns offsets in place and writes
 * them. With acks=0 and 1 the answer leaves in the same turn of the event loop. With acks=all it leaves when the records
 * are as safe as the topic promises: in every replica of the ISR; where there is only one, fsynced by group commit unless the topic
 * says otherwise.
 *
 * A batch that inflates to more than a moment's work is checked and written by a native thread; the connection's next requests
 * wait until it is, so that a producer's batches stay in order.
 *
 * - v0-v2: message formats 0 and 1; refused like Kafka 4 does, but advertised, since librdkafka takes a broker that
 *   does not offer v0 for one that cannot compress (KAFKA-18659).
 * - v3: transactional id, record batches (KIP-98).
 * - v4: KAFKA_STORAGE_ERROR. v5: log start offset. v6: as v5.
 * - v7: zstd (KIP-110); earlier versions answer UNSUPPORTED_COMPRESSION_TYPE for it.
 * - v8: record errors and message (KIP-467). v9: flexible.
 * - v10: current leader and node endpoints (KIP-951). v11, v12: transactions (KIP-890).
 * - v13: topics by id (KIP-516).
 */
import { ErrorCode } from "#common/error-code.ts";
import type { ApiMessages } from "#protocol/api.ts";
import {
  type PartitionProduceData,
  type PartitionProduceResponse,
  ProduceApi,
  type ProduceRequest,
  type ProduceResponse,
  type TopicProduceData,
  type TopicProduceResponse,
} from "#protocol/generated/produce.ts";
import { APPEND_NOT_INLINE, AppendOrigin, WaitFor } from "#replica/log-port.ts";
import type {
  PartitionDirectory,
  PartitionEntry,
  TopicEntry,
  TopicTraffic,
} from "#replica/partition-directory.ts";
import type { AppendOutcome, PendingAppend, ReplicaManager } from "#replica/replica-manager.ts";
import {
  type ApiHandler,
  BlockingAnswer,
  CLOSE_CONNECTION,
  type HandlerResult,
  type RequestContext,
} from "../handler.ts";
import { type BrokerEndpoint, hintLeader, type ReplicationView } from "../replication-view.ts";

/** The client id under which Kafka's own tools may write to internal topics. */
const ADMIN_CLIENT_ID = "__admin_client";
const FIRST_VERSION_WITH_ZSTD = 7;
const FIRST_VERSION_WITH_LEADER_HINTS = 10;
const FIRST_VERSION_WITH_TOPIC_IDS = 13;

// Record batch: base offset 8, length 4, partition leader epoch 4, magic 1, crc 4, attributes 2.
const SIZE_POSITION = 8;
const BATCH_OVERHEAD_BYTES = 12;
const MAGIC_POSITION = 16;
const MAGIC_LATEST = 2;
/** The fewest bytes a record of format 0 takes behind its size; anything less is no record of any format. */
const OLDEST_RECORD_BYTES_MIN = 14;
/**
 * A flush is waited for at least this long where there is one replica. The client's timeout is for others: Kafka answers such a request
 * with success even where the timeout is 0.
 */
const FLUSH_PATIENCE_MIN_MS = 5000;
const ATTRIBUTES_POSITION = 21;
const TRANSACTIONAL_BIT = 0x10;
const CODEC_BITS = 0x07;
const CODEC_ZSTD = 4;

/** What the handler works with. */
export interface ProduceDependencies {
  readonly directory: PartitionDirectory;
  readonly replicas: ReplicaManager;
  readonly view: ReplicationView;
  isInternalTopic(name: string): boolean;
}

/** Serves Produce. */
export function createProduceHandler(
  dependencies: ProduceDependencies,
): ApiHandler<ProduceRequest, ProduceResponse> {
  return new ProduceHandler(dependencies);
}

/** An answer that waits for a flush, and what it waits for. */
interface WaitingPartition {
  readonly append: PendingAppend;
  readonly partition: PartitionEntry;
  readonly response: PartitionProduceResponse;
}

/** What of a request is not done when its partitions have been gone through. */
interface ProduceWork {
  readonly waiting: WaitingPartition[];
  /** Appends on a native thread; their partitions are answered when they settle. */
  late: Promise<void>[] | null;
  /** Partitions that others lead, or that this broker no longer led a moment later. */
  strangers:
    { readonly partition: PartitionEntry; readonly response: PartitionProduceResponse }[] | null;
}

class ProduceHandler implements ApiHandler<ProduceRequest, ProduceResponse> {
  readonly api: ApiMessages<ProduceRequest, ProduceResponse> = ProduceApi;
  readonly minVersion: number = 3;
  readonly maxVersion: number = 13;
  readonly advertisedMinVersion: number = 0;
  readonly isPipelined: boolean = true;
  readonly isFrameReleased: boolean = true;
  readonly #dependencies: ProduceDependencies;

  constructor(dependencies: ProduceDependencies) {
    this.#dependencies = dependencies;
  }

  handle(
    request: ProduceRequest,
    context: RequestContext,
  ):
    | HandlerResult<ProduceResponse>
    | Promise<HandlerResult<ProduceResponse>>
    | BlockingAnswer<ProduceResponse> {
    const broken = brokenBatch(request);
    if (broken !== null) {
      return request.acks === 0 ? CLOSE_CONNECTION : refusedAsCorrupt(request, broken);
    }
    const refusal = requestRefusal(request);
    const responses: TopicProduceResponse[] = [];
    const work: ProduceWork = { waiting: [], late: null, strangers: null };
    for (const topicData of withoutRepeatedTopics(request.topicData)) {
      if (topicData.partitionData.length === 0) continue;
      const topic =
        context.apiVersion >= FIRST_VERSION_WITH_TOPIC_IDS
          ? this.#dependencies.directory.topicById(topicData.topicId)
          : this.#dependencies.directory.topicByName(topicData.name);
      const partitionResponses: PartitionProduceResponse[] = [];
      for (const data of withoutRepeatedPartitions(topicData.partitionData)) {
        partitionResponses.push(this.#append(topic, data, request, context, refusal, work));
      }
      responses.push({ name: topicData.name, topicId: topicData.topicId, partitionResponses });
    }
    if (work.late !== null) {
      return new BlockingAnswer(
        Promise.all(work.late).then(() => this.#respond(request, context, responses, work)),
      );
    }
    return this.#respond(request, context, responses, work);
  }

  #respond(
    request: ProduceRequest,
    context: RequestContext,
    responses: TopicProduceResponse[],
    work: ProduceWork,
  ): HandlerResult<ProduceResponse> | Promise<HandlerResult<ProduceResponse>> {
    if (request.acks === 0) return hasError(responses) ? CLOSE_CONNECTION : null;
    const response: ProduceResponse = { responses, throttleTimeMs: 0, nodeEndpoints: [] };
    if (work.waiting.length > 0) return this.#respondWhenSafe(response, work, request, context);
    this.#nameLeaders(response, work, context);
    return response;
  }

  /** Tells who leads the partitions that this broker does not (KIP-951). */
  #nameLeaders(
    response: ProduceResponse,
    { strangers }: ProduceWork,
    context: RequestContext,
  ): void {
    if (strangers === null || context.apiVersion < FIRST_VERSION_WITH_LEADER_HINTS) return;
    const { view, directory } = this.#dependencies;
    const endpoints: BrokerEndpoint[] = [];
    for (const { partition, response: partitionResponse } of strangers) {
      const entry = directory.current(partition);
      partitionResponse.currentLeader = hintLeader(view, entry, context.connection, endpoints);
    }
    response.nodeEndpoints = endpoints;
  }

  #append(
    topic: TopicEntry | undefined,
    data: PartitionProduceData,
    request: ProduceRequest,
    context: RequestContext,
    refusal: number,
    work: ProduceWork,
  ): PartitionProduceResponse {
    if (refusal === ErrorCode.TRANSACTIONAL_ID_AUTHORIZATION_FAILED) return failed(data, refusal);
    if (topic === undefined && context.apiVersion >= FIRST_VERSION_WITH_TOPIC_IDS) {
      return failed(data, ErrorCode.UNKNOWN_TOPIC_ID);
    }
    const partition = topic?.partitions[data.index];
    if (topic === undefined || partition === undefined) {
      return failed(data, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION);
    }
    const records = data.records;
    if (records === null) return failed(data, ErrorCode.INVALID_RECORD);
    if (
      context.apiVersion < FIRST_VERSION_WITH_ZSTD &&
      (batchAttributes(records) & CODEC_BITS) === CODEC_ZSTD
    ) {
      return failed(data, ErrorCode.UNSUPPORTED_COMPRESSION_TYPE);
    }
    if (refusal !== ErrorCode.NONE) return failed(data, refusal);
    if (this.#dependencies.isInternalTopic(topic.name) && context.clientId !== ADMIN_CLIENT_ID) {
      return failed(data, ErrorCode.INVALID_TOPIC_EXCEPTION);
    }
    if (partition.otherLeader !== null) {
      const refused = failed(data, ErrorCode.NOT_LEADER_OR_FOLLOWER);
      topic.traffic.failedProduces++;
      this.#dependencies.replicas.traffic.failedProduces++;
      (work.strangers ??= []).push({ partition, response: refused });
      return refused;
    }
    const replicas = this.#dependencies.replicas;
    const outcome = replicas.append(
      partition.handle,
      records,
      partition.leaderEpoch,
      request.acks,
      AppendOrigin.CLIENT,
    );
    const response = failed(data, ErrorCode.NONE);
    if (outcome.errorCode === APPEND_NOT_INLINE) {
      const { handle, leaderEpoch } = partition;
      const { promise, resolve } = Promise.withResolvers<void>();
      work.late ??= [];
      work.late.push(promise);
      const recordsBytes = records.length;
      replicas.appendLater(
        handle,
        records,
        leaderEpoch,
        request.acks,
        AppendOrigin.CLIENT,
        (later) => {
          this.#count(topic.traffic, later, recordsBytes);
          this.#settle(response, later, partition, work);
          resolve();
        },
      );
    } else {
      this.#count(topic.traffic, outcome, records.length);
      this.#settle(response, outcome, partition, work);
    }
    return response;
  }

  /** Counts an append for its topic and for all topics together. */
  #count(traffic: TopicTraffic, outcome: AppendOutcome, bytes: number): void {
    const total = this.#dependencies.replicas.traffic;
    if (outcome.errorCode !== ErrorCode.NONE) {
      traffic.failedProduces++;
      total.failedProduces++;
      return;
    }
    const recordCount = outcome.lastOffset - outcome.baseOffset + 1;
    traffic.producedRecords += recordCount;
    traffic.producedBytes += bytes;
    total.producedRecords += recordCount;
    total.producedBytes += bytes;
  }

  /** Writes the outcome of an append into its response. */
  #settle(
    response: PartitionProduceResponse,
    outcome: AppendOutcome,
    partition: PartitionEntry,
    work: ProduceWork,
  ): void {
    const { handle, leaderEpoch } = partition;
    response.errorCode = outcome.errorCode;
    response.baseOffset = outcome.baseOffset;
    response.logAppendTimeMs = outcome.appendTimeMs;
    response.logStartOffset = outcome.logStartOffset;
    if (outcome.errorCode !== ErrorCode.NONE) {
      this.#explain(response, handle, outcome.recordErrorCount);
      if (outcome.errorCode === ErrorCode.NOT_LEADER_OR_FOLLOWER) {
        (work.strangers ??= []).push({ partition, response });
      }
    } else if (outcome.waitsFor !== 0) {
      const { lastOffset, waitsFor } = outcome;
      const append = { handle, lastOffset, leaderEpoch, waitsFor, errorCode: 0 };
      work.waiting.push({ append, partition, response });
    }
  }

  /** Fills in what Kafka tells of a failed append: a message only where records are at fault. */
  #explain(response: PartitionProduceResponse, handle: number, recordErrorCount: number): void {
    const { replicas } = this.#dependencies;
    const errors = replicas.takeAppendErrors();
    if (recordErrorCount > 0) {
      response.errorMessage = errors.message;
      response.recordErrors = errors.recordErrors.map(({ batchIndex, message }) => ({
        batchIndex,
        batchIndexErrorMessage: message,
      }));
    }
    const isSeenByLog =
      !CODES_WITHOUT_LOG_START.has(response.errorCode) &&
      errors.message?.startsWith(REQUEST_FAULT_PREFIX) !== true;
    response.logStartOffset = isSeenByLog ? replicas.logStartOffset(handle) : -1;
  }

  async #respondWhenSafe(
    response: ProduceResponse,
    work: ProduceWork,
    request: ProduceRequest,
    context: RequestContext,
  ): Promise<ProduceResponse> {
    const { replicas } = this.#dependencies;
    const replicated: PendingAppend[] = [];
    const flushed: PendingAppend[] = [];
    for (const { append } of work.waiting) {
      ((append.waitsFor & WaitFor.HIGH_WATERMARK) === 0 ? flushed : replicated).push(append);
    }
    const { timeoutMs } = request;
    const waits: Promise<void>[] = [];
    if (replicated.length > 0) waits.push(replicas.awaitReplicated(replicated, timeoutMs));
    if (flushed.length > 0) {
      waits.push(replicas.awaitReplicated(flushed, Math.max(timeoutMs, FLUSH_PATIENCE_MIN_MS)));
    }
    await Promise.all(waits);
    for (const { append, partition, response: partitionResponse } of work.waiting) {
      partitionResponse.errorCode = append.errorCode;
      if (append.errorCode === ErrorCode.NOT_LEADER_OR_FOLLOWER) {
        (work.strangers ??= []).push({ partition, response: partitionResponse });
      }
    }
    this.#nameLeaders(response, work, context);
    return response;
  }
}

/**
 * What is wrong with the first batch of a partition, in Kafka's words, or null. Kafka looks there for transactional records
 * before anything else, and so refuses the whole request for one partition whose records do not even begin like a batch; it stops
 * looking at the first transactional one.
 */
function brokenBatch({ topicData }: ProduceRequest): string | null {
  for (const { partitionData } of topicData) {
    for (const { records } of partitionData) {
      if (records === null) continue;
      const problem = sizeProblem(records);
      if (problem !== null) return problem;
      if (records.length <= MAGIC_POSITION) continue;
      const magic = ((records[MAGIC_POSITION] as number) << 24) >> 24;
      if (magic < 0 || magic > MAGIC_LATEST) return `Invalid magic found in record: ${magic}`;
      if (isTransactionalStart(records)) return null;
    }
  }
  return null;
}

function sizeProblem(records: Uint8Array): string | null {
  if (records.length < BATCH_OVERHEAD_BYTES) return null;
  const at = SIZE_POSITION;
  const sizeBytes =
    ((records[at] as number) << 24) |
    ((records[at + 1] as number) << 16) |
    ((records[at + 2] as number) << 8) |
    (records[at + 3] as number);
  return sizeBytes < OLDEST_RECORD_BYTES_MIN
    ? `Record size ${sizeBytes} is less than the minimum record overhead (${OLDEST_RECORD_BYTES_MIN})`
    : null;
}

/** Every partition answered with CORRUPT_MESSAGE. */
function refusedAsCorrupt(request: ProduceRequest, errorMessage: string): ProduceResponse {
  const responses: TopicProduceResponse[] = [];
  for (const { name, topicId, partitionData } of withoutRepeatedTopics(request.topicData)) {
    if (partitionData.length === 0) continue;
    const partitionResponses = withoutRepeatedPartitions(partitionData).map((data) => ({
      ...failed(data, ErrorCode.CORRUPT_MESSAGE),
      errorMessage,
    }));
    responses.push({ name, topicId, partitionResponses });
  }
  return { responses, throttleTimeMs: 0, nodeEndpoints: [] };
}

/** Errors after which Kafka does not tell the log start offset. */
const CODES_WITHOUT_LOG_START: ReadonlySet<number> = new Set<number>([
  ErrorCode.CORRUPT_MESSAGE,
  ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
  ErrorCode.NOT_LEADER_OR_FOLLOWER,
  ErrorCode.MESSAGE_TOO_LARGE,
  ErrorCode.RECORD_LIST_TOO_LARGE,
  ErrorCode.KAFKA_STORAGE_ERROR,
]);
/** Faults that Kafka finds before the records reach a log; the log's messages for them begin like this. */
const REQUEST_FAULT_PREFIX = "Produce requests ";

const NO_LEADER: { leaderId: number; leaderEpoch: number } = { leaderId: -1, leaderEpoch: -1 };

function hasError(responses: readonly TopicProduceResponse[]): boolean {
  return responses.some(({ partitionResponses }) =>
    partitionResponses.some(({ errorCode }) => errorCode !== ErrorCode.NONE),
  );
}

/** An error that every partition of the request gets, or NONE. */
function requestRefusal(request: ProduceRequest): number {
  const isTransactional = request.topicData.some(({ partitionData }) =>
    partitionData.some(({ records }) => records !== null && isTransactionalStart(records)),
  );
  if (isTransactional) {
    return request.transactionalId === null
      ? ErrorCode.TRANSACTIONAL_ID_AUTHORIZATION_FAILED
      : // No transactional id was ever given a producer id, since there are no transactions yet.
        ErrorCode.INVALID_PRODUCER_ID_MAPPING;
  }
  if (request.acks < -1 || request.acks > 1) return ErrorCode.INVALID_REQUIRED_ACKS;
  return ErrorCode.NONE;
}

function isTransactionalStart(records: Uint8Array): boolean {
  return (batchAttributes(records) & TRANSACTIONAL_BIT) !== 0;
}

/** Attributes of the first batch, 0 when there is none of a format that has them. */
function batchAttributes(records: Uint8Array): number {
  return records.length > ATTRIBUTES_POSITION + 1 && records[MAGIC_POSITION] === 2
    ? (records[ATTRIBUTES_POSITION + 1] as number)
    : 0;
}

function failed(data: PartitionProduceData, errorCode: number): PartitionProduceResponse {
  return {
    index: data.index,
    errorCode,
    baseOffset: -1,
    logAppendTimeMs: -1,
    logStartOffset: -1,
    recordErrors: [],
    errorMessage: null,
    currentLeader: NO_LEADER,
  };
}

/** Topics with the partitions of a repeated topic joined: a partition is written to, and answered for, once. */
function withoutRepeatedTopics(topics: readonly TopicProduceData[]): readonly TopicProduceData[] {
  if (topics.length < 2) return topics;
  const byIdentity = new Map<string, TopicProduceData>();
  for (const topic of topics) {
    const identity = `${topic.topicId}/${topic.name}`;
    const first = byIdentity.get(identity);
    if (first === undefined) byIdentity.set(identity, topic);
    else first.partitionData.push(...topic.partitionData);
  }
  return byIdentity.size === topics.length ? topics : [...byIdentity.values()];
}

/** Of a partition named several times only the last counts, as in Kafka. */
function withoutRepeatedPartitions(
  partitions: readonly PartitionProduceData[],
): readonly PartitionProduceData[] {
  if (partitions.length < 2) return partitions;
  const byIndex = new Map<number, PartitionProduceData>();
  for (const partition of partitions) byIndex.set(partition.index, partition);
  return byIndex.size === partitions.length ? partitions : [...byIndex.values()];
}
