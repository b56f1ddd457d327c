/**
 * One topic with very many partitions, timed as a client sees it: created, a record into every partition, every record read back, `kill -9`, and again.
 * Each write goes into all partitions at once, in a few requests behind one another on one connection; a partition that is refused is asked again until it
 * takes its record, because that is what a producer would do. The clock runs until the last partition has answered.
 */
import {
  CreateTopicsApi,
  makeCreatableTopic,
  makeCreateTopicsRequest,
} from "#protocol/generated/create-topics.ts";
import {
  FetchApi,
  makeFetchPartition,
  makeFetchRequest,
  makeFetchTopic,
} from "#protocol/generated/fetch.ts";
import {
  makePartitionProduceData,
  makeProduceRequest,
  makeTopicProduceData,
  ProduceApi,
} from "#protocol/generated/produce.ts";
import { decodeRecordBatches, encodeRecordBatch } from "#protocol/records/record-batch.ts";
import { insist } from "../crash/load.ts";
import { Wire } from "../differential/wire.ts";
import type { BrokerProcess } from "../support/broker-process.ts";
import { type ProcessFigures, processFigures } from "../support/process-figures.ts";

/** Partitions in one request. */
const CHUNK = 250;
const PATIENCE_MS = 120_000;
const STORAGE_ERROR = 56;

/** Times in ms, from the client's side. */
export interface ManyPartitionsReport {
  readonly startMs: number;
  readonly createMs: number;
  /** From the request that creates the topic until every partition has acknowledged a record with acks=all. */
  readonly createdAndWrittenMs: number;
  readonly acksOneMs: number;
  readonly readMs: number;
  /** From the launch of the process after `kill -9`. */
  readonly firstWriteMs: number;
  readonly everyWriteMs: number;
  readonly secondReadMs: number;
  readonly findings: readonly string[];
  /** After the writes, and after the restart. */
  readonly usage: readonly ProcessFigures[];
}

/** Runs it on a broker that is not running yet, and leaves it stopped. */
export async function runManyPartitions(
  broker: BrokerProcess,
  partitions: number,
  say: (line: string) => void = (): void => {},
): Promise<ManyPartitionsReport> {
  const topic = `many-${partitions}`;
  const { bootstrap } = broker;
  const findings: string[] = [];
  const usage: ProcessFigures[] = [];
  const startMs = await broker.start();
  try {
    let clock = performance.now();
    const createMs = await insist(bootstrap, PATIENCE_MS, async (wire) => {
      clock = performance.now();
      const wanted = makeCreatableTopic({
        name: topic,
        numPartitions: partitions,
        replicationFactor: 1,
      });
      const request = makeCreateTopicsRequest({ topics: [wanted], timeoutMs: PATIENCE_MS });
      const answer = await wire.send(CreateTopicsApi, 5, request);
      const { errorCode = -1, errorMessage = "" } = answer.topics[0] ?? {};
      if (errorCode !== 0) throw new Error(`CreateTopics: error ${errorCode} ${errorMessage}`);
      return performance.now() - clock;
    });
    say(`created in ${ms(createMs)}`);
    await writeAll(bootstrap, topic, partitions, -1, "first");
    const createdAndWrittenMs = performance.now() - clock;
    say(`created and a record in every partition (acks=all) in ${ms(createdAndWrittenMs)}`);
    clock = performance.now();
    await writeAll(bootstrap, topic, partitions, 1, "second");
    const acksOneMs = performance.now() - clock;
    say(`another with acks=1 in ${ms(acksOneMs)}`);
    clock = performance.now();
    findings.push(...(await readAll(bootstrap, topic, partitions, ["first", "second"])));
    const readMs = performance.now() - clock;
    usage.push(processFigures(broker.pid ?? 0));
    say(`all read in ${ms(readMs)}; ${describeUsage(usage[0])}`);

    await broker.stop("SIGKILL");
    clock = performance.now();
    broker.launch();
    await writeSome(bootstrap, topic, [0], -1, "third");
    const firstWriteMs = performance.now() - clock;
    say(`after kill -9: first write after ${ms(firstWriteMs)}`);
    const rest = Array.from({ length: partitions - 1 }, (_, at) => at + 1);
    await writeSome(bootstrap, topic, rest, -1, "third");
    const everyWriteMs = performance.now() - clock;
    say(`every partition written after ${ms(everyWriteMs)}`);
    clock = performance.now();
    findings.push(...(await readAll(bootstrap, topic, partitions, ["first", "second", "third"])));
    const secondReadMs = performance.now() - clock;
    usage.push(processFigures(broker.pid ?? 0));
    say(`all read in ${ms(secondReadMs)}; ${describeUsage(usage[1])}`);
    return {
      startMs,
      createMs,
      createdAndWrittenMs,
      acksOneMs,
      readMs,
      firstWriteMs,
      everyWriteMs,
      secondReadMs,
      findings,
      usage,
    };
  } finally {
    await broker.stop("SIGKILL");
  }
}

function ms(duration: number): string {
  return `${Math.round(duration)} ms`;
}

function describeUsage(usage: ProcessFigures | undefined): string {
  return `${usage?.descriptors} descriptors, RSS ${usage?.residentMib.toFixed(0)} MiB`;
}

async function writeAll(
  address: string,
  topic: string,
  partitions: number,
  acks: number,
  value: string,
): Promise<void> {
  const all = Array.from({ length: partitions }, (_, at) => at);
  await writeSome(address, topic, all, acks, value);
}

/** One record into each of the partitions; those that refuse are asked again. */
async function writeSome(
  address: string,
  topic: string,
  partitions: readonly number[],
  acks: number,
  value: string,
): Promise<void> {
  let left = [...partitions];
  await insist(address, PATIENCE_MS, async (wire) => {
    const deadline = performance.now() + PATIENCE_MS;
    while (left.length > 0) {
      const chunks: number[][] = [];
      for (let at = 0; at < left.length; at += CHUNK) chunks.push(left.slice(at, at + CHUNK));
      // Whatever was acknowledged must not be written again when the connection breaks in the middle.
      const written = new Set<number>();
      const outcomes = await Promise.allSettled(
        chunks.map(async (chunk) => {
          for (const index of await write(wire, topic, chunk, acks, value)) written.add(index);
        }),
      );
      left = left.filter((index) => !written.has(index));
      const broken = outcomes.find((outcome) => outcome.status === "rejected");
      if (broken !== undefined) throw broken.reason;
      if (performance.now() > deadline) throw new Error(`${left.length} partitions refuse records`);
      if (left.length > 0) await Bun.sleep(10);
    }
  });
}

/** @returns the partitions that acknowledged. */
async function write(
  wire: Wire,
  topic: string,
  partitions: readonly number[],
  acks: number,
  value: string,
): Promise<number[]> {
  const partitionData = partitions.map((index) =>
    makePartitionProduceData({
      index,
      records: encodeRecordBatch({
        timestamp: Date.now(),
        records: [{ key: null, value: Buffer.from(`${index}/${value}`) }],
      }),
    }),
  );
  const topicData = [makeTopicProduceData({ name: topic, partitionData })];
  const request = makeProduceRequest({ acks, timeoutMs: 60_000, topicData });
  const answer = await wire.send(ProduceApi, 8, request);
  return (answer.responses[0]?.partitionResponses ?? [])
    .filter(({ errorCode }) => errorCode === 0)
    .map(({ index }) => index);
}

/** Reads every partition from the beginning. @returns what is not as it was written. */
async function readAll(
  address: string,
  topic: string,
  partitions: number,
  expected: readonly string[],
): Promise<string[]> {
  const findings: string[] = [];
  using wire = await Wire.connect(address, "many-partitions");
  // A fetch holds the files of its answer open: with few descriptors some partitions have to be asked again, as a consumer does.
  const waiting = Array.from({ length: partitions }, (_, at) => at);
  const deadline = performance.now() + PATIENCE_MS;
  while (waiting.length > 0) {
    const indexes = waiting.splice(0, CHUNK);
    const request = makeFetchRequest({
      maxWaitMs: 0,
      minBytes: 0,
      maxBytes: 64 << 20,
      topics: [
        makeFetchTopic({
          topic,
          partitions: indexes.map((partition) =>
            makeFetchPartition({ partition, fetchOffset: 0, partitionMaxBytes: 1 << 16 }),
          ),
        }),
      ],
    });
    const answer = await wire.send(FetchApi, 11, request);
    const found = new Map(
      answer.responses[0]?.partitions.map((partition) => [partition.partitionIndex, partition]),
    );
    for (const index of indexes) {
      const errorCode = found.get(index)?.errorCode ?? -1;
      if (errorCode === STORAGE_ERROR && performance.now() < deadline) {
        waiting.push(index);
        continue;
      }
      const bytes = found.get(index)?.records;
      const { batches } = decodeRecordBatches(
        bytes instanceof Uint8Array ? bytes : new Uint8Array(0),
      );
      const values = batches.flatMap(({ records }) =>
        records.map(({ value }) => Buffer.from(value ?? []).toString()),
      );
      // A write whose answer was lost may be there twice: these producers are not idempotent.
      const distinct = [...new Set(values)];
      const wanted = expected.map((value) => `${index}/${value}`);
      if (distinct.join() !== wanted.join()) {
        findings.push(`partition ${index} holds [${values.join()}], not [${wanted.join()}]`);
      }
    }
  }
  return findings;
}
