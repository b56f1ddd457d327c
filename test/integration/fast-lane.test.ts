/**
 * The fast lane gives the answers of the handlers: the same requests, through a broker with lanes and one without, get the same bytes,
 * and both count the same.
 */
import { expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { Compression, encodeRecordBatch } from "#protocol/records/record-batch.ts";
import { Writer } from "#protocol/codec/writer.ts";
import { Reader } from "#protocol/codec/reader.ts";
import { CreateTopicsApi, makeCreateTopicsRequest } from "#protocol/generated/create-topics.ts";
import { ProduceApi, type ProduceRequest } from "#protocol/generated/produce.ts";
import type { ApiMessages } from "#protocol/api.ts";
import { startBroker, type TestBroker } from "../support/start-broker.ts";

const ROW = 16;
const CASES = 80;
const TOPIC = "lane";
const TIMESTAMP = 1_700_000_000_000;

/** Numbers that are the same every time. */
class Numbers {
  #state: number;

  constructor(seed: number) {
    this.#state = seed;
  }

  below(limit: number): number {
    this.#state = (Math.imul(this.#state, 1664525) + 1013904223) >>> 0;
    return Math.floor((this.#state / 2 ** 32) * limit);
  }

  oneIn(count: number): boolean {
    return this.below(count) === 0;
  }
}

function requestFrame<Request>(
  api: ApiMessages<Request, unknown>,
  version: number,
  correlationId: number,
  clientId: string | null,
  request: Request,
): Uint8Array {
  const writer = new Writer(1024);
  writer.int32(0);
  writer.int16(api.key);
  writer.int16(version);
  writer.int32(correlationId);
  writer.nullableString(clientId);
  if (version >= api.firstFlexibleVersion) writer.int8(0);
  api.request.encode(writer, request, version);
  const bytes = writer.bytes().slice();
  new DataView(bytes.buffer).setInt32(0, bytes.length - 4);
  return bytes;
}

/** A connection that sends frames and collects replies. */
class Client {
  readonly #socket: Socket;
  #received: Buffer = Buffer.alloc(0);
  #isClosed = false;
  #wake: () => void = () => undefined;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("data", (chunk: Buffer) => {
      this.#received = Buffer.concat([this.#received, chunk]);
      this.#wake();
    });
    const onClosed = (): void => {
      this.#isClosed = true;
      this.#wake();
    };
    socket.on("close", onClosed);
    socket.on("error", onClosed);
  }

  static async open(broker: TestBroker): Promise<Client> {
    const socket = connect(broker.port, broker.host);
    await new Promise<void>((resolve) => socket.once("connect", resolve));
    return new Client(socket);
  }

  send(bytes: Uint8Array): void {
    this.#socket.write(bytes);
  }

  /** The next reply without its size; null when the connection is closed instead. */
  async reply(): Promise<Buffer | null> {
    for (;;) {
      if (this.#received.length >= 4) {
        const end = 4 + this.#received.readInt32BE(0);
        if (this.#received.length >= end) {
          const reply = this.#received.subarray(4, end);
          this.#received = this.#received.subarray(end);
          return reply;
        }
      }
      if (this.#isClosed) return null;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  close(): void {
    this.#socket.destroy();
  }
}

async function createTopics(broker: TestBroker): Promise<Uint8Array> {
  const client = await Client.open(broker);
  const topic = (name: string, configs: Record<string, string>) => ({
    name,
    numPartitions: 3,
    replicationFactor: 1,
    assignments: [],
    configs: Object.entries(configs).map(([key, value]) => ({ name: key, value })),
  });
  const request = makeCreateTopicsRequest({
    topics: [
      topic(TOPIC, { "max.message.bytes": "5000" }),
      topic("flushed", { "flush.messages": "1" }),
    ],
    timeoutMs: 10_000,
  });
  client.send(requestFrame(CreateTopicsApi, 7, 1, null, request));
  const reply = await client.reply();
  client.close();
  if (reply === null) throw new Error("no topics");
  const response = CreateTopicsApi.response.decode(new Reader(reply, 5), 7);
  expect(response.topics.map(({ errorCode }) => errorCode)).toEqual([0, 0]);
  const writer = new Writer(16);
  writer.uuid(response.topics.find(({ name }) => name === TOPIC)?.topicId ?? "");
  return writer.bytes().slice();
}

interface Case {
  readonly version: number;
  readonly clientId: string | null;
  /** Changes the frame behind the header, -1 for none. */
  readonly flipAt: number;
  readonly cutBytes: number;
  readonly extraBytes: number;
  readonly request: (topicId: string) => ProduceRequest;
}

function batch(numbers: Numbers): Uint8Array {
  const isIdempotent = numbers.oneIn(3);
  const records = Array.from({ length: 1 + numbers.below(4) }, (_, index) => ({
    key: null,
    value: new Uint8Array(numbers.oneIn(20) ? 6000 : numbers.below(200)).fill(index),
    headers: [],
  }));
  const bytes = encodeRecordBatch({
    records,
    timestamp: TIMESTAMP,
    isTransactional: numbers.oneIn(20),
    ...(isIdempotent
      ? { producerId: BigInt(numbers.below(3)), producerEpoch: 0, baseSequence: numbers.below(3) }
      : {}),
  });
  const damage = numbers.below(14);
  if (damage === 0) bytes[numbers.below(bytes.length)] = numbers.below(256);
  if (damage === 1) bytes[22] = Compression.ZSTD;
  if (damage === 2) return bytes.slice(0, numbers.below(bytes.length));
  if (damage === 3) return Buffer.concat([bytes, bytes]);
  if (damage === 4) return Buffer.concat([bytes, new Uint8Array(numbers.below(12))]);
  return bytes;
}

function makeCase(numbers: Numbers): Case {
  const version = 3 + numbers.below(11);
  const acks = [1, 1, 1, 1, 1, 1, 0, 0, -1, 2][numbers.below(10)] ?? 1;
  const name = numbers.oneIn(12) ? "missing" : numbers.oneIn(25) ? "flushed" : TOPIC;
  const transactionalId = numbers.oneIn(100) ? "t" : null;
  const partitionData = Array.from({ length: numbers.oneIn(8) ? 2 : 1 }, () => ({
    index: numbers.below(numbers.oneIn(10) ? 5 : 3),
    records: numbers.oneIn(20) ? null : batch(numbers),
  }));
  return {
    version,
    clientId: [null, "", "client", "__admin_client"][numbers.below(4)] ?? null,
    flipAt: numbers.oneIn(15) ? 14 + numbers.below(40) : -1,
    cutBytes: 0,
    extraBytes: numbers.oneIn(20) ? 1 + numbers.below(3) : 0,
    request: (topicId) => ({
      transactionalId,
      acks,
      timeoutMs: 1000,
      topicData: [{ name, topicId, partitionData }],
    }),
  };
}

function encodeCase(one: Case, correlationId: number, topicId: string): Uint8Array {
  const request = one.request(topicId);
  const frame = requestFrame(ProduceApi, one.version, correlationId, one.clientId, request);
  const bytes = Buffer.concat([frame, new Uint8Array(one.extraBytes)]);
  bytes.writeInt32BE(bytes.length - 4, 0);
  if (one.flipAt >= 0 && one.flipAt < bytes.length)
    bytes[one.flipAt] = (bytes[one.flipAt] ?? 0) ^ 1;
  return bytes;
}

/** Sends a row of plain requests and then the cases, all on one connection, and returns what came back. */
async function transcript(
  broker: TestBroker,
  topicId: Uint8Array,
  groups: readonly (readonly Case[])[],
): Promise<string[]> {
  const lines: string[] = [];
  const id = new Reader(topicId).uuid();
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
            topicId: id,
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
      client.send(encodeCase(plain, index, id));
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
          encodeCase(plain, first, id),
          encodeCase(one, first + 1, id),
          encodeCase(plain, first + 2, id),
        ]),
      );
      for (;;) {
        const reply = await client.reply();
        if (reply === null) {
          lines.push("closed");
          isOpen = false;
          break;
        }
        lines.push(reply.toString("hex").replaceAll(Buffer.from(topicId).toString("hex"), "id"));
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
  const groups = Array.from({ length: CASES }, () =>
    Array.from({ length: 1 + numbers.below(4) }, () => makeCase(numbers)),
  );
  const one = await transcript(withLane, ids[0], groups);
  const other = await transcript(without, ids[1], groups);
  expect(one).toEqual(other);
  expect(threadNames().filter((name) => name === "sluice-lane")).toHaveLength(1);
  expect(await counted(withLane)).toEqual(await counted(without));
  expect(await laneRequests(withLane)).toBeGreaterThan(CASES);
  expect(await laneRequests(without)).toBe(0);
}, 60_000);

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
        .map(({ index, isDamaged }, at) => encodeCase(oneRecord(index, isDamaged), from + at, ""));
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
  expect(await laneRequests(broker)).toBeGreaterThan(REQUESTS);
  for (const found of offsets) {
    expect(found.toSorted((a, b) => a - b)).toEqual(found.map((_, at) => at));
  }
}, 60_000);
