/**
 * Connections that move much take turns behind those that move little, and each is one or the other as it goes: whichever it is, every
 * request has its answer, in order.
 */
import { expect, test } from "bun:test";
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
import { Reader } from "#protocol/codec/reader.ts";
import { encodeRecordBatch } from "#protocol/records/record-batch.ts";
import { Client, createTopics, requestFrame, TIMESTAMP } from "../support/lane-requests.ts";
import { startBroker } from "../support/start-broker.ts";

/** Of `createTopics`, of three partitions. */
const TOPIC = "synced";
/** More than have their turn at once. */
const CLIENTS = 7;
const PARTITIONS = 3;
const LARGE_BYTES = 100_000;
/** What is fetched: several large batches, of which all clients are to see the same bytes. */
const FETCH_BYTES = 1 << 20;
const PRODUCE_VERSION = 9;
const FETCH_VERSION = 11;

function produceFrame(correlationId: number, index: number, valueBytes: number): Uint8Array {
  const records = encodeRecordBatch({
    records: [{ key: null, value: new Uint8Array(valueBytes).fill(index + 1) }],
    timestamp: TIMESTAMP,
  });
  const partitionData = [makePartitionProduceData({ index, records })];
  const topicData = [makeTopicProduceData({ name: TOPIC, partitionData })];
  const request = makeProduceRequest({ acks: 1, timeoutMs: 1000, topicData });
  return requestFrame(ProduceApi, PRODUCE_VERSION, correlationId, "turns", request);
}

function fetchFrame(correlationId: number): Uint8Array {
  const partitions = [makeFetchPartition({ partition: 0, partitionMaxBytes: FETCH_BYTES })];
  const topics = [makeFetchTopic({ topic: TOPIC, partitions })];
  const request = makeFetchRequest({
    maxWaitMs: 0,
    minBytes: 1,
    maxBytes: FETCH_BYTES,
    sessionEpoch: -1,
    topics,
  });
  return requestFrame(FetchApi, FETCH_VERSION, correlationId, "turns", request);
}

test("connections that move much and little by turns are each answered, in order", async () => {
  await using broker = await startBroker();
  await createTopics(broker);
  const offsets: number[][] = Array.from({ length: PARTITIONS }, () => []);
  let fetched: Uint8Array | null = null;

  const run = async (at: number): Promise<void> => {
    const client = await Client.open(broker);
    const index = at % PARTITIONS;
    let number = 0;
    const produced = async (): Promise<void> => {
      const reader = new Reader((await client.reply()) ?? Buffer.alloc(0));
      expect(reader.int32()).toBe(number);
      reader.int8();
      number += 1;
      const { responses } = ProduceApi.response.decode(reader, PRODUCE_VERSION);
      const [partition] = responses[0]?.partitionResponses ?? [];
      expect(partition?.errorCode).toBe(0);
      offsets[index]?.push(partition?.baseOffset ?? -1);
    };
    /** One after another: each has a turn of its own. */
    const little = async (count: number): Promise<void> => {
      for (let left = count; left > 0; left -= 1) {
        client.send(produceFrame(number, index, 10));
        await produced();
      }
    };
    const much = async (count: number): Promise<void> => {
      client.send(
        Buffer.concat(
          Array.from({ length: count }, (_, ahead) =>
            produceFrame(number + ahead, index, LARGE_BYTES),
          ),
        ),
      );
      for (let left = count; left > 0; left -= 1) await produced();
    };
    const read = async (count: number): Promise<void> => {
      client.send(
        Buffer.concat(Array.from({ length: count }, (_, ahead) => fetchFrame(number + ahead))),
      );
      for (let left = count; left > 0; left -= 1) {
        const reader = new Reader((await client.reply()) ?? Buffer.alloc(0));
        expect(reader.int32()).toBe(number);
        number += 1;
        const { responses } = FetchApi.response.decode(reader, FETCH_VERSION);
        const [partition] = responses[0]?.partitions ?? [];
        const records = partition?.records;
        if (!(records instanceof Uint8Array)) throw new Error("nothing was read");
        expect(records.length).toBeGreaterThan(FETCH_BYTES / 2);
        fetched ??= records.slice();
        expect(Buffer.compare(records, fetched)).toBe(0);
      }
    };
    await little(16);
    await much(12);
    await little(40);
    // Partition 0 has more than is fetched by then: of each client of it.
    if (index === 0) await read(3);
    await much(6);
    if (index === 0) await read(5);
    await little(20);
    client.close();
  };
  await run(0);
  await Promise.all(Array.from({ length: CLIENTS }, (_, at) => run(at)));
  const metrics = await broker.broker.metrics();
  const answered = Number(/^sluice_fast_lane_requests_total (\d+)/m.exec(metrics)?.[1]);
  expect(answered).toBeGreaterThan(CLIENTS * 40);
  for (const found of offsets)
    expect(found.toSorted((a, b) => a - b)).toEqual(found.map((_, offset) => offset));
}, 60_000);
