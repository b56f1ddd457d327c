/**
 * The load of the crash tests, over bare connections: nothing here retries behind the checkers' back. Idempotent producers keep a few
 * requests in flight and send an unanswered one again, unchanged and in order, until it is acknowledged; that is what makes "none lost, none doubled"
 * the broker's promise alone.
 */
import {
  CreateTopicsApi,
  makeCreatableTopic,
  makeCreatableTopicConfig,
  makeCreateTopicsRequest,
} from "#protocol/generated/create-topics.ts";
import {
  FetchApi,
  makeFetchPartition,
  makeFetchRequest,
  makeFetchTopic,
} from "#protocol/generated/fetch.ts";
import {
  InitProducerIdApi,
  makeInitProducerIdRequest,
} from "#protocol/generated/init-producer-id.ts";
import {
  ListOffsetsApi,
  makeListOffsetsPartition,
  makeListOffsetsRequest,
  makeListOffsetsTopic,
} from "#protocol/generated/list-offsets.ts";
import {
  makeOffsetFetchRequest,
  makeOffsetFetchRequestTopic,
  OffsetFetchApi,
} from "#protocol/generated/offset-fetch.ts";
import {
  makePartitionProduceData,
  makeProduceRequest,
  makeTopicProduceData,
  ProduceApi,
} from "#protocol/generated/produce.ts";
import { decodeRecordBatches, encodeRecordBatch } from "#protocol/records/record-batch.ts";
import { Wire } from "../differential/wire.ts";
import type { LogChecker, LoggedRecord } from "./checkers.ts";

const ANSWER_TIMEOUT_MS = 10_000;
const IN_FLIGHT = 4;
const DUPLICATE_SEQUENCE_NUMBER = 46;
/** Codes that mean "again": the broker is starting, stopping, or lost an earlier request of the same stream. */
export const AGAIN: ReadonlySet<number> = new Set([3, 5, 6, 7, 13, 14, 15, 16, 45, 56]);

/** Bounds the wait for an answer; a late one counts as a lost connection. */
export async function within<T>(
  answer: Promise<T>,
  timeoutMs: number = ANSWER_TIMEOUT_MS,
): Promise<T> {
  let timer: Timer | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error("no answer")), timeoutMs);
  });
  try {
    return await Promise.race([answer, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** An address, or how it is found anew for each attempt: leaders and coordinators move. */
export type Where = string | (() => string | Promise<string>);

/** Keeps trying `work` on fresh connections until it succeeds or `timeoutMs` has passed. */
export async function insist<T>(
  where: Where,
  timeoutMs: number,
  work: (wire: Wire) => Promise<T>,
): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    try {
      const address = typeof where === "string" ? where : await where();
      using wire = await within(Wire.connect(address, "crash-test"));
      return await work(wire);
    } catch (error) {
      if (performance.now() > deadline) throw error;
      await Bun.sleep(20);
    }
  }
}

/** Makes a topic of the run, with segments small enough (unless `settings` say otherwise) that stops meet rolls. */
export async function createTopic(
  where: Where,
  topic: string,
  partitions: number,
  settings: Readonly<Record<string, string>> = {},
  replicationFactor = 1,
): Promise<void> {
  const configs = Object.entries({ "segment.bytes": String(1 << 20), ...settings }).map(
    ([name, value]) => makeCreatableTopicConfig({ name, value }),
  );
  const wanted = makeCreatableTopic({
    name: topic,
    numPartitions: partitions,
    replicationFactor,
    configs,
  });
  await insist(where, 30_000, async (wire) => {
    const answer = await within(
      wire.send(
        CreateTopicsApi,
        5,
        makeCreateTopicsRequest({ topics: [wanted], timeoutMs: 10_000 }),
      ),
    );
    const code = answer.topics[0]?.errorCode ?? -1;
    if (code !== 0 && code !== 36) throw new Error(`CreateTopics: error ${code}`);
  });
}

/** A request that is sent until it is acknowledged: one batch of one partition. */
interface Pending {
  readonly partition: number;
  readonly first: number;
  readonly last: number;
  readonly records: Uint8Array;
}

/** What a producer is made of. */
export interface CrashProducerOptions {
  readonly name: string;
  /** Who leads the partitions: one connection is used for all of them. */
  readonly where: Where;
  readonly topic: string;
  readonly partitions: readonly number[];
  readonly checker: LogChecker;
  readonly random: () => number;
  /**
   * Several batches of one partition in flight. Kafka keeps only the last batch's sequence over a restart, so that it refuses to recognise an
   * earlier one: there, one at a time.
   */
  readonly isPipelined: boolean;
  /** Codes that mean "again"; those of a single broker unless given. */
  readonly again?: ReadonlySet<number>;
  /** Time an answer may take, ms; the broker is told the same. */
  readonly answerTimeoutMs?: number;
  /** Time from one batch to the next, ms; none unless given. */
  readonly pauseMs?: number;
}

/** One idempotent producer over some partitions, `acks=all`. */
export class CrashProducer {
  readonly name: string;
  readonly #options: CrashProducerOptions;
  readonly #random: () => number;
  /** By partition: the number of its next record. */
  readonly #next: Map<number, number>;
  readonly #answerTimeoutMs: number;
  readonly #again: ReadonlySet<number>;
  #isStopping = false;
  #requestsAgain = 0;
  #waiting: readonly Pending[] = [];
  #lastFailure = "none";

  constructor(options: CrashProducerOptions) {
    this.name = options.name;
    this.#options = options;
    this.#random = options.random;
    this.#again = options.again ?? AGAIN;
    this.#answerTimeoutMs = options.answerTimeoutMs ?? ANSWER_TIMEOUT_MS;
    this.#next = new Map(options.partitions.map((partition) => [partition, 0]));
  }

  /** Requests that had to be sent more than once. */
  get requestsAgain(): number {
    return this.#requestsAgain;
  }

  /** What still waits for its acknowledgement, in words; empty once the run has ended. */
  get waiting(): string[] {
    return this.#waiting.map(
      ({ partition, first, last }) =>
        `${this.name}: ${first} to ${last} of partition ${partition} get no acknowledgement; the last answer was: ${this.#lastFailure}`,
    );
  }

  /** Ends the run once everything that was sent is acknowledged. */
  stop(): void {
    this.#isStopping = true;
  }

  /** Produces until stopped; rejects on an answer that no retry can mend. */
  async run(): Promise<void> {
    const { producerId, producerEpoch } = await insist(
      this.#options.where,
      60_000,
      async (wire) => {
        const answer = await within(
          wire.send(
            InitProducerIdApi,
            4,
            makeInitProducerIdRequest({
              transactionalId: null,
              transactionTimeoutMs: 60_000,
              producerId: -1n,
              producerEpoch: -1,
            }),
          ),
        );
        if (answer.errorCode !== 0) throw new Error(`InitProducerId: error ${answer.errorCode}`);
        return answer;
      },
    );
    let outstanding: Pending[] = [];
    let isFresh = true;
    while (!this.#isStopping || outstanding.length > 0) {
      try {
        const { where } = this.#options;
        const address = typeof where === "string" ? where : await where();
        using wire = await within(Wire.connect(address, this.name), this.#answerTimeoutMs);
        if (outstanding.length > 0) this.#requestsAgain += outstanding.length;
        const answers: { pending: Pending; answer: Promise<number> }[] = [];
        const unsent = outstanding;
        outstanding = [...unsent];
        this.#waiting = outstanding;
        isFresh = false;
        while (!this.#isStopping || answers.length > 0 || unsent.length > 0) {
          while (answers.length < IN_FLIGHT && (unsent.length > 0 || !this.#isStopping)) {
            let pending = unsent.shift();
            if (pending === undefined) {
              const busy = this.#options.isPipelined
                ? []
                : outstanding.map(({ partition }) => partition);
              const free = [...this.#next.keys()].filter((at) => !busy.includes(at));
              const partition = free[Math.floor(this.#random() * free.length)];
              if (partition === undefined) break;
              pending = this.#make(partition, producerId, producerEpoch);
              outstanding.push(pending);
            }
            const answer = this.#send(wire, pending);
            answer.catch(() => {});
            answers.push({ pending, answer });
          }
          const oldest = answers.shift();
          if (oldest === undefined) break;
          const code = await within(oldest.answer, this.#answerTimeoutMs);
          if (this.#again.has(code)) throw new Error(`error ${code}`);
          if (code !== 0)
            throw new FatalAnswer(
              `${this.name}: Produce of ${oldest.pending.first} to partition ${oldest.pending.partition}: error ${code}`,
            );
          outstanding.shift();
          if (this.#options.pauseMs !== undefined) await Bun.sleep(this.#options.pauseMs);
        }
      } catch (error) {
        if (error instanceof FatalAnswer) throw error;
        this.#lastFailure = error instanceof Error ? error.message : String(error);
        await Bun.sleep(isFresh ? 50 : 20);
        isFresh = true;
      }
    }
  }

  #make(partition: number, producerId: bigint, producerEpoch: number): Pending {
    const first = this.#next.get(partition) ?? 0;
    const count = 1 + Math.floor(this.#random() * 8);
    const last = first + count - 1;
    this.#next.set(partition, last + 1);
    const padding = "·".repeat(Math.floor(this.#random() * 200));
    const records = encodeRecordBatch({
      // The clock's time: Kafka forgets a producer whose last batch is a day old by its timestamp, and with it what was written already.
      timestamp: Date.now(),
      producerId,
      producerEpoch,
      baseSequence: first,
      records: Array.from({ length: count }, (_, at) => ({
        key: Buffer.from(this.name),
        value: Buffer.from(`${this.name}/${first + at}/${padding}`),
      })),
    });
    return { partition, first, last, records };
  }

  async #send(wire: Wire, pending: Pending): Promise<number> {
    const { partition, first, last, records } = pending;
    const { topic, checker } = this.#options;
    checker.sending(this.name, partition, last);
    const partitionData = [makePartitionProduceData({ index: partition, records })];
    const topicData = [makeTopicProduceData({ name: topic, partitionData })];
    const answer = await wire.send(
      ProduceApi,
      8,
      makeProduceRequest({ acks: -1, timeoutMs: this.#answerTimeoutMs, topicData }),
    );
    const found = answer.responses[0]?.partitionResponses[0];
    const code = found?.errorCode ?? -1;
    if (code !== 0 && code !== DUPLICATE_SEQUENCE_NUMBER) return code;
    const offset =
      code === 0 && found !== undefined && found.baseOffset >= 0 ? found.baseOffset : null;
    checker.acknowledged(this.name, partition, first, last, offset);
    return 0;
  }
}

class FatalAnswer extends Error {}

/** The record that a value names. */
export function toLogged(offset: number, value: Uint8Array | null): LoggedRecord {
  const [producer = "?", number = "-1"] = Buffer.from(value ?? [])
    .toString()
    .split("/");
  return { offset, producer, number: Number(number) };
}

/** Reads a partition from offset 0 to the high watermark of the moment. */
export async function readLog(
  where: Where,
  topic: string,
  partition: number,
): Promise<LoggedRecord[]> {
  return (await readTrimmedLog(where, topic, partition, false)).log;
}

/** Reads a partition from its start, wherever that is when `mayStartLater`, to the high watermark of the moment. */
export async function readTrimmedLog(
  where: Where,
  topic: string,
  partition: number,
  mayStartLater = true,
): Promise<{ start: number; log: LoggedRecord[] }> {
  return await insist(where, 30_000, async (wire) => {
    let log: LoggedRecord[] = [];
    let start = 0;
    for (let fetchOffset = 0; ;) {
      const partitions = [
        makeFetchPartition({ partition, fetchOffset, partitionMaxBytes: 1 << 20 }),
      ];
      const request = makeFetchRequest({
        maxWaitMs: 0,
        minBytes: 0,
        maxBytes: 1 << 20,
        topics: [makeFetchTopic({ topic, partitions })],
      });
      const answer = await within(wire.send(FetchApi, 11, request));
      const found = answer.responses[0]?.partitions[0];
      if (found?.errorCode === 1 && mayStartLater) {
        // The start moved on: what was read before it is no longer part of the log.
        start = await readStart(wire, topic, partition);
        fetchOffset = start;
        log = [];
        continue;
      }
      if (found === undefined || found.errorCode !== 0)
        throw new Error(`Fetch: error ${found?.errorCode ?? answer.errorCode}`);
      const { batches, failure } = decodeRecordBatches(
        found.records instanceof Uint8Array ? found.records : new Uint8Array(0),
      );
      if (failure !== null) throw new Error(`Fetch at ${fetchOffset}: ${failure}`);
      for (const batch of batches) {
        for (const record of batch.records)
          if (record.offset >= fetchOffset) log.push(toLogged(record.offset, record.value));
        fetchOffset = batch.baseOffset + batch.lastOffsetDelta + 1;
      }
      if (fetchOffset >= found.highWatermark) return { start, log };
      if (batches.length === 0)
        throw new Error(
          `Fetch at ${fetchOffset}: nothing below the high watermark ${found.highWatermark}`,
        );
    }
  });
}

async function readStart(wire: Wire, topic: string, partition: number): Promise<number> {
  const partitions = [makeListOffsetsPartition({ partitionIndex: partition, timestamp: -2 })];
  const topics = [makeListOffsetsTopic({ name: topic, partitions })];
  const answer = await within(
    wire.send(ListOffsetsApi, 5, makeListOffsetsRequest({ replicaId: -1, topics })),
  );
  const found = answer.topics[0]?.partitions[0];
  if (found?.errorCode !== 0) throw new Error(`ListOffsets: error ${found?.errorCode}`);
  return found.offset;
}

/** What the group has committed, by partition; -1 where nothing. */
export async function readCommitted(
  where: Where,
  group: string,
  topic: string,
  partitions: number,
): Promise<number[]> {
  const partitionIndexes = Array.from({ length: partitions }, (_, at) => at);
  const request = makeOffsetFetchRequest({
    groupId: group,
    topics: [makeOffsetFetchRequestTopic({ name: topic, partitionIndexes })],
  });
  return await insist(where, 30_000, async (wire) => {
    const answer = await within(wire.send(OffsetFetchApi, 5, request));
    if (answer.errorCode !== 0) throw new Error(`OffsetFetch: error ${answer.errorCode}`);
    const found = answer.topics[0]?.partitions ?? [];
    return partitionIndexes.map((partition) => {
      const one = found.find(({ partitionIndex }) => partitionIndex === partition);
      if (one === undefined || one.errorCode !== 0)
        throw new Error(`OffsetFetch of ${partition}: error ${one?.errorCode ?? "none"}`);
      return one.committedOffset;
    });
  });
}
