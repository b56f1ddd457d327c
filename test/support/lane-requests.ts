/**
 * Produce requests for tests of the fast lane: what producers send, good and bad, drawn from a seed, and a connection that sends frames as
 * they are.
 */
import { expect } from "bun:test";
import { connect, type Socket } from "node:net";
import { Compression, encodeRecordBatch } from "#protocol/records/record-batch.ts";
import { Writer } from "#protocol/codec/writer.ts";
import { Reader } from "#protocol/codec/reader.ts";
import { CreateTopicsApi, makeCreateTopicsRequest } from "#protocol/generated/create-topics.ts";
import { ProduceApi, type ProduceRequest } from "#protocol/generated/produce.ts";
import type { ApiMessages } from "#protocol/api.ts";
import type { TestBroker } from "./start-broker.ts";

export const TOPIC = "lane";
const OTHER = "other-lane";
export const TIMESTAMP = 1_700_000_000_000;
/** No topic has it. */
export const MISSING_ID = "AAAAAAAAAAAAAAAAAAAAAQ";

/** Numbers that are the same every time. */
export class Numbers {
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

export function requestFrame<Request>(
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
export class Client {
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

  static async open({ host, port }: { host: string; port: number }): Promise<Client> {
    const socket = connect(port, host);
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

/** Ids of the topics by name. */
export type TopicIds = ReadonlyMap<string, string>;

export async function createTopics(broker: TestBroker): Promise<TopicIds> {
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
      topic(TOPIC, { "max.message.bytes": "5000", "sluice.acks.all.fsync": "false" }),
      topic(OTHER, { "sluice.acks.all.fsync": "false" }),
      topic("synced", {}),
      topic("flushed", { "flush.messages": "1" }),
    ],
    timeoutMs: 10_000,
  });
  client.send(requestFrame(CreateTopicsApi, 7, 1, null, request));
  const reply = await client.reply();
  client.close();
  if (reply === null) throw new Error("no topics");
  const response = CreateTopicsApi.response.decode(new Reader(reply, 5), 7);
  expect(response.topics.map(({ errorCode }) => errorCode)).toEqual([0, 0, 0, 0]);
  return new Map(response.topics.map(({ name, topicId }) => [name, topicId]));
}

export interface Case {
  readonly version: number;
  readonly clientId: string | null;
  /** Changes the frame behind the header, -1 for none. */
  readonly flipAt: number;
  readonly cutBytes: number;
  readonly extraBytes: number;
  readonly request: (ids: TopicIds) => ProduceRequest;
}

/** Idempotent producers and what they sent to each partition, as far as they know. */
export class Producers {
  readonly #next: Map<string, number> = new Map();
  readonly #sent: Map<string, Uint8Array[]> = new Map();
  #round = 0;

  /** Others from here on: what was refused leaves the old ones behind. */
  renew(): void {
    this.#round++;
  }

  /** A batch for a partition: the next one, one of the last, or one behind a gap. */
  batch(numbers: Numbers, partition: string, count: number, encode: Encode): Uint8Array {
    const producerId = this.#round * 3 + numbers.below(3);
    const key = `${partition}/${producerId}`;
    const next = this.#next.get(key) ?? 0;
    const sent = this.#sent.get(key) ?? [];
    const again = numbers.oneIn(6) ? sent.at(-1 - numbers.below(6)) : undefined;
    if (again !== undefined) return again.slice();
    const gap = numbers.oneIn(25) ? 1 : 0;
    const bytes = encode({
      producerId: BigInt(producerId),
      producerEpoch: 0,
      baseSequence: next + gap,
    });
    if (gap === 0) {
      this.#next.set(key, next + count);
      this.#sent.set(key, [...sent, bytes.slice()]);
    }
    return bytes;
  }
}

type Encode = (
  producer: { producerId: bigint; producerEpoch: number; baseSequence: number } | object,
) => Uint8Array;

function batch(numbers: Numbers, producers: Producers, partition: string): Uint8Array {
  const count = 1 + numbers.below(4);
  const records = Array.from({ length: count }, (_, index) => ({
    key: null,
    value: new Uint8Array(numbers.oneIn(150) ? 6000 : numbers.below(200)).fill(index),
    headers: [],
  }));
  const isTransactional = numbers.oneIn(60);
  const encode: Encode = (producer) =>
    encodeRecordBatch({ records, timestamp: TIMESTAMP, isTransactional, ...producer });
  const damage = numbers.below(100);
  const bytes =
    damage > 8 && numbers.oneIn(2)
      ? producers.batch(numbers, partition, count, encode)
      : encode({});
  if (damage < 2) bytes[numbers.below(bytes.length)] = numbers.below(256);
  if (damage === 2) bytes[22] = Compression.ZSTD;
  if (damage === 3) return bytes.slice(0, numbers.below(bytes.length));
  if (damage === 4) return Buffer.concat([bytes, bytes]);
  if (damage === 5) return Buffer.concat([bytes, new Uint8Array(numbers.below(12))]);
  return bytes;
}

const TOPICS = [TOPIC, TOPIC, TOPIC, TOPIC, OTHER, OTHER, OTHER, "synced", "flushed", "missing"];

export function makeCase(numbers: Numbers, producers: Producers): Case {
  const version = 3 + numbers.below(11);
  const acks = numbers.oneIn(40) ? 2 : ([1, 1, 1, 1, -1, -1, -1, -1, 0, 0][numbers.below(10)] ?? 1);
  const transactionalId = numbers.oneIn(100) ? "t" : null;
  const name = (): string => (numbers.oneIn(3) ? (TOPICS[numbers.below(10)] ?? TOPIC) : TOPIC);
  const first = name();
  const second = numbers.oneIn(6) ? name() : OTHER;
  const names = numbers.oneIn(3) ? [first, second] : [first];
  const topics = names.map((topic) => {
    const firstIndex = numbers.below(3);
    return {
      name: topic,
      partitionData: Array.from({ length: [1, 1, 2, 3][numbers.below(4)] ?? 1 }, (_, at) => {
        const index = numbers.oneIn(30) ? numbers.below(5) : (firstIndex + at) % 3;
        const records = numbers.oneIn(60) ? null : batch(numbers, producers, `${topic}/${index}`);
        return { index, records };
      }),
    };
  });
  return {
    version,
    clientId: [null, "", "client", "__admin_client"][numbers.below(4)] ?? null,
    flipAt: numbers.oneIn(30) ? 14 + numbers.below(40) : -1,
    cutBytes: 0,
    extraBytes: numbers.oneIn(40) ? 1 + numbers.below(3) : 0,
    request: (ids) => ({
      transactionalId,
      acks,
      timeoutMs: 1000,
      topicData: topics.map((topic) => ({ ...topic, topicId: ids.get(topic.name) ?? MISSING_ID })),
    }),
  };
}

export function encodeCase(one: Case, correlationId: number, ids: TopicIds): Uint8Array {
  const request = one.request(ids);
  const frame = requestFrame(ProduceApi, one.version, correlationId, one.clientId, request);
  const bytes = Buffer.concat([frame, new Uint8Array(one.extraBytes)]);
  bytes.writeInt32BE(bytes.length - 4, 0);
  if (one.flipAt >= 0 && one.flipAt < bytes.length)
    bytes[one.flipAt] = (bytes[one.flipAt] ?? 0) ^ 1;
  return bytes;
}
