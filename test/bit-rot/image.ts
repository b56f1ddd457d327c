/**
 * The data that flips are aimed at: a topic of many small partitions with several segments each, written once, kept as two images, one stopped in
 * order and one killed; what each record was, and which batch each byte of a segment belongs to.
 */
import { cpSync, existsSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
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
  ListOffsetsApi,
  makeListOffsetsPartition,
  makeListOffsetsRequest,
  makeListOffsetsTopic,
} from "#protocol/generated/list-offsets.ts";
import {
  makePartitionProduceData,
  makeProduceRequest,
  makeTopicProduceData,
  ProduceApi,
} from "#protocol/generated/produce.ts";
import { decodeRecordBatches, encodeRecordBatch } from "#protocol/records/record-batch.ts";
import { insist } from "../crash/load.ts";
import type { Wire } from "../differential/wire.ts";
import type { BrokerProcess } from "../support/broker-process.ts";

/** Topic of the flips. */
export const TOPIC = "rot";
/** Batches of a partition; a segment ends after a third of them. */
export const BATCHES = 36;
/** Records of a batch. */
export const RECORDS = 3;
/** Offset after everything that was written. */
export const END_OFFSET: number = BATCHES * RECORDS;

const BATCHES_PER_SEGMENT = 12;
const FIRST_TIMESTAMP_MS = 1_700_000_000_000;
const SEGMENT_MS = 1_000_000;
const CORRUPT_MESSAGE = 2;
const MAGIC_AT = 16;
const HEADER_BYTES = 61;

/** What stands at an offset. */
export function valueOf(partition: number, offset: number): string {
  return `${partition}/${offset}/${"rotten? ".repeat(20 + ((partition * 7 + offset) % 40))}`;
}

/** When the record of an offset was made. */
export function timestampOf(offset: number): number {
  const batch = Math.floor(offset / RECORDS);
  const segment = Math.floor(batch / BATCHES_PER_SEGMENT);
  return FIRST_TIMESTAMP_MS + segment * 2 * SEGMENT_MS + offset * 10;
}

function batchOf(partition: number, batch: number, producerId: bigint): Uint8Array {
  const first = batch * RECORDS;
  return encodeRecordBatch({
    timestamp: timestampOf(first),
    producerId,
    producerEpoch: 0,
    baseSequence: first,
    records: Array.from({ length: RECORDS }, (_, at) => ({
      key: Buffer.from("k"),
      value: Buffer.from(valueOf(partition, first + at)),
      timestamp: timestampOf(first + at),
    })),
  });
}

async function produce(
  wire: Wire,
  batches: ReadonlyMap<number, Uint8Array>,
): Promise<ReadonlyMap<number, { readonly code: number; readonly offset: number }>> {
  const partitionData = [...batches].map(([index, records]) =>
    makePartitionProduceData({ index, records }),
  );
  const answer = await wire.send(
    ProduceApi,
    8,
    makeProduceRequest({
      acks: -1,
      timeoutMs: 30_000,
      topicData: [makeTopicProduceData({ name: TOPIC, partitionData })],
    }),
  );
  return new Map(
    (answer.responses[0]?.partitionResponses ?? []).map(({ index, errorCode, baseOffset }) => [
      index,
      { code: errorCode, offset: baseOffset },
    ]),
  );
}

/** Makes the topic and writes every record; the broker runs. */
export async function writeAll(address: string, partitions: number): Promise<void> {
  const configs = Object.entries({
    "segment.ms": String(SEGMENT_MS),
    "index.interval.bytes": "1024",
    "retention.ms": "-1",
  }).map(([name, value]) => makeCreatableTopicConfig({ name, value }));
  await insist(address, 60_000, async (wire) => {
    const topics = [
      makeCreatableTopic({ name: TOPIC, numPartitions: partitions, replicationFactor: 1, configs }),
    ];
    const made = await wire.send(
      CreateTopicsApi,
      5,
      makeCreateTopicsRequest({ topics, timeoutMs: 30_000 }),
    );
    const code = made.topics[0]?.errorCode ?? -1;
    if (code !== 0 && code !== 36) throw new Error(`CreateTopics: error ${code}`);
  });
  await insist(address, 60_000, async (wire) => {
    for (let batch = 0; batch < BATCHES; batch += 1) {
      const batches = new Map(
        Array.from({ length: partitions }, (_, at) => [
          at,
          batchOf(at, batch, 7_000n + BigInt(at)),
        ]),
      );
      for (const [at, { code }] of await produce(wire, batches)) {
        if (code !== 0 && code !== 46) throw new Error(`Produce to ${at}: error ${code}`);
      }
    }
  });
}

/** Appends one record to each partition; the offsets it got, or a negative error code. */
export async function appendOne(address: string, partitions: number): Promise<number[]> {
  return await insist(address, 60_000, async (wire) => {
    const batches = new Map(
      Array.from({ length: partitions }, (_, at) => [
        at,
        encodeRecordBatch({
          timestamp: timestampOf(END_OFFSET),
          records: [{ key: Buffer.from("k"), value: Buffer.from("after") }],
        }),
      ]),
    );
    const answers = await produce(wire, batches);
    return Array.from({ length: partitions }, (_, at) => {
      const answer = answers.get(at);
      return answer === undefined ? -1 : answer.code === 0 ? answer.offset : -answer.code;
    });
  });
}

/** What reading a whole partition gave. */
export interface ReadResult {
  readonly values: ReadonlyMap<number, string>;
  /** Offsets that were refused as corrupt. */
  readonly refused: ReadonlySet<number>;
  /** Anything else that kept the reading from its end. */
  readonly failure: string | null;
}

/** Reads from `from` to the end; refused offsets are passed over one by one, and a batch that does not decode counts as served wrong. */
export async function readFrom(
  wire: Wire,
  partition: number,
  from: number,
  end: number,
): Promise<ReadResult> {
  const values = new Map<number, string>();
  const refused = new Set<number>();
  let next = from;
  while (next < end) {
    const answer = await wire.send(
      FetchApi,
      11,
      makeFetchRequest({
        maxWaitMs: 0,
        minBytes: 0,
        maxBytes: 1 << 20,
        topics: [
          makeFetchTopic({
            topic: TOPIC,
            partitions: [
              makeFetchPartition({ partition, fetchOffset: next, partitionMaxBytes: 1 << 20 }),
            ],
          }),
        ],
      }),
    );
    const found = answer.responses[0]?.partitions[0];
    if (found?.errorCode === CORRUPT_MESSAGE) {
      refused.add(next);
      next += 1;
      continue;
    }
    if (found === undefined || found.errorCode !== 0) {
      return { values, refused, failure: `error ${found?.errorCode ?? -1} at ${next}` };
    }
    const bytes = found.records instanceof Uint8Array ? found.records : new Uint8Array(0);
    const { batches, failure } = decodeRecordBatches(bytes);
    if (failure !== null && batches.length === 0) {
      return { values, refused, failure: `served at ${next}: ${failure}` };
    }
    if (batches.length === 0) return { values, refused, failure: `nothing at ${next}` };
    for (const batch of batches) {
      for (const { offset, value } of batch.records) {
        if (offset >= next) values.set(offset, Buffer.from(value ?? []).toString());
      }
      next = Math.max(next, batch.baseOffset + batch.lastOffsetDelta + 1);
    }
  }
  return { values, refused, failure: null };
}

/** First offset at or after a time, or a negative error code. */
export async function offsetAt(wire: Wire, partition: number, timestamp: number): Promise<number> {
  const answer = await wire.send(
    ListOffsetsApi,
    2,
    makeListOffsetsRequest({
      replicaId: -1,
      isolationLevel: 0,
      topics: [
        makeListOffsetsTopic({
          name: TOPIC,
          partitions: [makeListOffsetsPartition({ partitionIndex: partition, timestamp })],
        }),
      ],
    }),
  );
  const found = answer.topics[0]?.partitions[0];
  return found === undefined || found.errorCode !== 0 ? -(found?.errorCode ?? 1) : found.offset;
}

/** Which part of a batch a byte is. */
export type BatchPart = "base offset" | "length" | "epoch" | "magic" | "crc" | "checked";

/** The batch a byte of a segment belongs to. */
export function partAt(
  segment: Uint8Array,
  position: number,
): { readonly part: BatchPart; readonly first: number; readonly last: number } {
  const view = new DataView(segment.buffer, segment.byteOffset, segment.byteLength);
  let at = 0;
  for (;;) {
    const size = view.getInt32(at + 8) + 12;
    if (position < at + size) {
      const first = Number(view.getBigInt64(at));
      const inside = position - at;
      const part: BatchPart =
        inside < 8
          ? "base offset"
          : inside < 12
            ? "length"
            : inside < MAGIC_AT
              ? "epoch"
              : inside === MAGIC_AT
                ? "magic"
                : inside < 21
                  ? "crc"
                  : "checked";
      return { part, first, last: first + view.getInt32(at + 23) };
    }
    at += Math.max(size, HEADER_BYTES);
  }
}

/** Puts an image in place of a broker's data directory. */
export function restore(image: string, dataDirectory: string): void {
  rmSync(dataDirectory, { recursive: true, force: true });
  cpSync(image, dataDirectory, { recursive: true, preserveTimestamps: true });
}

/** Writes the data and keeps it as two images: stopped in order, and killed. */
export async function makeImages(
  broker: BrokerProcess,
  directory: string,
  partitions: number,
): Promise<{ readonly clean: string; readonly killed: string }> {
  const clean = join(directory, "clean");
  const killed = join(directory, "killed");
  await broker.start();
  await writeAll(broker.bootstrap, partitions);
  // A checkpoint says that all of it is on disk.
  const checkpoint = join(broker.dataDirectory, "recovery-point-offset-checkpoint");
  const isCovered = (): boolean => {
    try {
      const lines = readFileSync(checkpoint, "utf8").split("\n");
      const covered = lines.filter(
        (line) => line.startsWith(`${TOPIC} `) && line.endsWith(` ${END_OFFSET}`),
      );
      return covered.length === partitions;
    } catch {
      return false;
    }
  };
  const deadline = performance.now() + 30_000;
  while (!isCovered()) {
    if (performance.now() > deadline) throw new Error("no checkpoint covers what was written");
    await Bun.sleep(50);
  }
  await broker.stop("SIGKILL");
  cpSync(broker.dataDirectory, killed, { recursive: true, preserveTimestamps: true });
  // A signal that comes before the broker listens to it ends it at once: then once more.
  const marker = join(broker.dataDirectory, ".kafka_cleanshutdown");
  for (let attempt = 1; !existsSync(marker); attempt += 1) {
    if (attempt > 5) throw new Error("the broker does not stop in order");
    await broker.start();
    await insist(broker.bootstrap, 30_000, async (wire) => {
      const { failure } = await readFrom(wire, 0, END_OFFSET - 1, END_OFFSET);
      if (failure !== null) throw new Error(failure);
    });
    await Bun.sleep(attempt * 200);
    await broker.stop("SIGTERM");
  }
  cpSync(broker.dataDirectory, clean, { recursive: true, preserveTimestamps: true });
  return { clean, killed };
}

/** Names of the files of a partition. */
export function filesOf(dataDirectory: string, partition: number): string[] {
  return readdirSync(join(dataDirectory, `${TOPIC}-${partition}`)).sort();
}
