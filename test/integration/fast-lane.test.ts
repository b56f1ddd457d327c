/**
 * The fast lane gives the answers of the handlers: the same requests, through a broker with lanes and one without, get the same bytes,
 * and both count the same.
 */
import { expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { encodeRecordBatch } from "#protocol/records/record-batch.ts";
import { Writer } from "#protocol/codec/writer.ts";
import { Reader } from "#protocol/codec/reader.ts";
import { ApiVersionsApi } from "#protocol/generated/api-versions.ts";
import { ProduceApi } from "#protocol/generated/produce.ts";
import {
  type Case,
  Client,
  createTopics,
  encodeCase,
  makeCase,
  MISSING_ID,
  requestFrame,
  Numbers,
  Producers,
  TIMESTAMP,
  TOPIC,
  type TopicIds,
} from "../support/lane-requests.ts";
import { startBroker, type TestBroker } from "../support/start-broker.ts";

const ROW = 16;
const NO_SOFTWARE = { clientSoftwareName: "", clientSoftwareVersion: "" };
const CASES = 80;

/** Sends a row of plain requests and then the cases, all on one connection, and returns what came back. */
async function transcript(
  broker: TestBroker,
  ids: TopicIds,
  groups: readonly (readonly Case[])[],
): Promise<string[]> {
  const lines: string[] = [];
  // Ids differ from broker to broker, also those that a flip has made.
  const named = [...ids].flatMap(([name, id]) => {
    const writer = new Writer(16);
    writer.uuid(id);
    return Array.from({ length: 17 }, (_, flipAt): [string, string] => {
      const bytes = Buffer.from(writer.bytes().slice());
      if (flipAt < bytes.length) bytes[flipAt] = (bytes[flipAt] ?? 0) ^ 1;
      return [bytes.toString("hex"), `(${name}/${flipAt})`];
    });
  });
  const masked = (reply: Buffer): string =>
    named.reduce((text, [id, name]) => text.replaceAll(id, name), reply.toString("hex"));
  for (const cases of groups) {
    const client = await Client.open(broker);
    const plain: Case = {
      version: 9,
      clientId: "plain",
      flipAt: -1,
      cutBytes: 0,
      extraBytes: 0,
      request: () => ({
        transactionalId: null,
        acks: 1,
        timeoutMs: 1000,
        topicData: [
          {
            name: TOPIC,
            topicId: ids.get(TOPIC) ?? MISSING_ID,
            partitionData: [
              {
                index: 0,
                records: encodeRecordBatch({
                  records: [{ key: null, value: new Uint8Array(10), headers: [] }],
                  timestamp: TIMESTAMP,
                }),
              },
            ],
          },
        ],
      }),
    };
    for (let index = 0; index < ROW; index++) {
      client.send(encodeCase(plain, index, ids));
      lines.push((await client.reply())?.toString("hex") ?? "closed");
    }
    // A plain one behind each case tells where an answer without bytes belongs. Nothing that may wait is before a case: one that closes
    // the connection would cut it off, or not, as the disk is fast.
    let isOpen = true;
    for (let index = 0; index < cases.length && isOpen; index++) {
      const first = 100 + index * 3;
      const one = cases[index] ?? plain;
      client.send(
        Buffer.concat([
          encodeCase(plain, first, ids),
          encodeCase(one, first + 1, ids),
          encodeCase(plain, first + 2, ids),
        ]),
      );
      for (;;) {
        const reply = await client.reply();
        if (reply === null) {
          lines.push("closed");
          isOpen = false;
          break;
        }
        lines.push(masked(reply));
        if (reply.readInt32BE(0) === first + 2) break;
      }
    }
    client.close();
  }
  return lines;
}

/** What a broker counted of its requests and topics, without times. */
async function counted(broker: TestBroker): Promise<string[]> {
  const text = await broker.broker.metrics();
  const wanted = /^sluice_(requests_total|request_errors|request_bytes|topic_|produced)/;
  return text
    .split("\n")
    .filter(
      (line) => wanted.test(line) && !line.includes("seconds") && !line.includes("ApiVersions"),
    )
    .toSorted();
}

/** Requests that a broker's fast lane answered. */
async function laneRequests(broker: TestBroker): Promise<number> {
  const text = await broker.broker.metrics();
  return Number(/^sluice_fast_lane_requests_total (\d+)/m.exec(text)?.[1]);
}

/** Names of this process's threads. */
function threadNames(): string[] {
  const names: string[] = [];
  for (const task of readdirSync("/proc/self/task")) {
    // A thread may end at any time.
    try {
      names.push(readFileSync(`/proc/self/task/${task}/comm`, "utf8").trim());
    } catch {}
  }
  return names;
}

test("a lane's answers are those of the handler, and count the same", async () => {
  await using withLane = await startBroker();
  await using without = await startBroker({ config: { "sluice.fast.lane.enable": false } });
  const ids = [await createTopics(withLane), await createTopics(without)] as const;
  const numbers = new Numbers(20261123);
  const producers = new Producers();
  const groups = Array.from({ length: CASES }, () => {
    if (numbers.oneIn(2)) producers.renew();
    return Array.from({ length: 1 + numbers.below(4) }, () => makeCase(numbers, producers));
  });
  const one = await transcript(withLane, ids[0], groups);
  const other = await transcript(without, ids[1], groups);
  expect(one).toEqual(other);
  expect(threadNames().filter((name) => name === "sluice-lane")).toHaveLength(1);
  expect(await counted(withLane)).toEqual(await counted(without));
  expect(await laneRequests(withLane)).toBeGreaterThan(CASES);
  expect(await laneRequests(without)).toBe(0);
}, 60_000);

/** What Java's producer sends by default: acks=all, idempotent, a batch for each of several partitions. */
function byDefault(sequence: number): Case {
  const records = (size: number): Uint8Array =>
    encodeRecordBatch({
      records: [{ key: null, value: new Uint8Array(size), headers: [] }],
      timestamp: TIMESTAMP,
      producerId: 4711n,
      producerEpoch: 0,
      baseSequence: sequence,
    });
  const topicData = ["other-lane", TOPIC].map((name) => ({
    name,
    partitionData: [2, 0, 1].map((index) => ({ index, records: records(20 + index) })),
  }));
  return {
    version: 13,
    clientId: "java",
    flipAt: -1,
    cutBytes: 0,
    extraBytes: 0,
    request: (ids) => ({
      transactionalId: null,
      acks: -1,
      timeoutMs: 1000,
      topicData: topicData.map((topic) => ({ ...topic, topicId: ids.get(topic.name) ?? "" })),
    }),
  };
}

test("what default producers send never leaves the lane where nothing waits", async () => {
  await using broker = await startBroker();
  const ids = await createTopics(broker);
  const client = await Client.open(broker);
  // Each a second time, as a retry.
  const sequences = Array.from({ length: ROW + 100 }, (_, number) => number >> 1);
  for (const [number, sequence] of sequences.entries()) {
    client.send(encodeCase(byDefault(sequence), number, ids));
    const reader = new Reader((await client.reply()) ?? Buffer.alloc(0));
    expect(reader.int32()).toBe(number);
    reader.int8();
    const { responses } = ProduceApi.response.decode(reader, 13);
    const outcomes = responses.flatMap(({ partitionResponses }) =>
      partitionResponses.map(({ index, errorCode, baseOffset }) => [index, errorCode, baseOffset]),
    );
    const topic = [2, 0, 1].map((index) => [index, 0, sequence]);
    expect(outcomes).toEqual([...topic, ...topic]);
  }
  client.close();
  expect(await laneRequests(broker)).toBe(100);
}, 30_000);

const PRODUCERS = 12;
const REQUESTS = 120;
const PARTITIONS = 3;
const CORRUPT_MESSAGE = 2;

/** One record to a partition, damaged where the broker has to refuse it. */
function oneRecord(index: number, isDamaged: boolean): Case {
  const records = encodeRecordBatch({
    records: [{ key: null, value: new Uint8Array(20), headers: [] }],
    timestamp: TIMESTAMP,
  });
  if (isDamaged) records[records.length - 1] = 77;
  const topicData = [{ name: TOPIC, topicId: "", partitionData: [{ index, records }] }];
  return {
    version: 9,
    clientId: "many",
    flipAt: -1,
    cutBytes: 0,
    extraBytes: 0,
    request: () => ({ transactionalId: null, acks: 1, timeoutMs: 1000, topicData }),
  };
}

test("producers that send at once are each answered in order, and every record lands once", async () => {
  await using broker = await startBroker();
  await createTopics(broker);
  const clients = await Promise.all(Array.from({ length: PRODUCERS }, () => Client.open(broker)));
  const numbers = new Numbers(7);
  const plans = clients.map((_, producer) =>
    Array.from({ length: ROW + REQUESTS }, (_, number) => ({
      // Some keep to a partition, the others go through all.
      index: (producer % 2 === 0 ? producer / 2 : number) % PARTITIONS,
      isDamaged: number >= ROW && numbers.oneIn(60),
    })),
  );
  const offsets: number[][] = Array.from({ length: PARTITIONS }, () => []);
  const replies = async (producer: number, from: number, to: number): Promise<void> => {
    for (let number = from; number < to; number++) {
      const reply = await clients[producer]?.reply();
      const plan = plans[producer]?.[number];
      if (reply === null || reply === undefined || plan === undefined) throw new Error("closed");
      const reader = new Reader(reply);
      expect(reader.int32()).toBe(number);
      reader.int8();
      const response = ProduceApi.response.decode(reader, 9);
      const [partition] = response.responses[0]?.partitionResponses ?? [];
      expect(partition?.errorCode).toBe(plan.isDamaged ? CORRUPT_MESSAGE : 0);
      if (!plan.isDamaged) offsets[plan.index]?.push(partition?.baseOffset ?? -1);
    }
  };
  const send = (from: number, to: number): void => {
    for (const [producer, client] of clients.entries()) {
      const frames = (plans[producer] ?? [])
        .slice(from, to)
        .map(({ index, isDamaged }, at) =>
          encodeCase(oneRecord(index, isDamaged), from + at, new Map()),
        );
      client.send(Buffer.concat(frames));
    }
  };
  for (const [from, to] of [
    [0, ROW],
    [ROW, ROW + REQUESTS],
  ] as const) {
    send(from, to);
    await Promise.all(clients.map((_, producer) => replies(producer, from, to)));
  }
  for (const client of clients) client.close();
  expect(await laneRequests(broker)).toBeGreaterThan(PRODUCERS);
  for (const found of offsets) {
    expect(found.toSorted((a, b) => a - b)).toEqual(found.map((_, at) => at));
  }
}, 60_000);

/** Requests on one connection, those in flight at once in one write, and a few that are not the lane's between them. */
test("what waits for the disk is answered in the lane, in order, whatever else is sent", async () => {
  await using broker = await startBroker();
  await createTopics(broker);
  const client = await Client.open(broker);
  const one = (number: number): Case => {
    const plain = oneRecord(number % PARTITIONS, false);
    return {
      ...plain,
      request: (ids) => {
        const request = plain.request(ids);
        const topicData = request.topicData.map((topic) => ({ ...topic, name: "synced" }));
        return { ...request, acks: number % 5 === 4 ? 1 : -1, topicData };
      },
    };
  };
  const offsets: number[][] = Array.from({ length: PARTITIONS }, () => []);
  const answered = async (number: number): Promise<void> => {
    const reader = new Reader((await client.reply()) ?? Buffer.alloc(0));
    expect(reader.int32()).toBe(number);
    reader.int8();
    const [partition] =
      ProduceApi.response.decode(reader, 9).responses[0]?.partitionResponses ?? [];
    expect(partition?.errorCode).toBe(0);
    offsets[number % PARTITIONS]?.push(partition?.baseOffset ?? -1);
  };
  let number = 0;
  for (let group = 0; group < 60; group++) {
    const count = 1 + (group % 9) * 12;
    const frames = Array.from({ length: count }, (_, at) =>
      encodeCase(one(number + at), number + at, new Map()),
    );
    const isForeign = group % 20 === 19;
    if (isForeign) {
      frames.push(requestFrame(ApiVersionsApi, 0, 1_000_000, null, NO_SOFTWARE));
      frames.push(encodeCase(one(number + count), number + count, new Map()));
    }
    client.send(Buffer.concat(frames));
    for (let at = 0; at < count; at++) await answered(number + at);
    number += count;
    if (isForeign) {
      expect((await client.reply())?.readInt32BE(0)).toBe(1_000_000);
      await answered(number++);
    }
  }
  client.close();
  for (const found of offsets) expect(found).toEqual(found.map((_, at) => at));
  expect(await laneRequests(broker)).toBeGreaterThan(number / 2);
}, 60_000);
