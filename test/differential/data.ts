/**
 * Sends the same Produce, Fetch, ListOffsets, OffsetForLeaderEpoch and DeleteRecords requests, good and bad, at every version to
 * two brokers and compares their answers.
 *
 *   bun test/differential/data.ts --reference 127.0.0.1:9092 --bootstrap 127.0.0.1:19192 [--print]
 *
 * `--reference` is real Kafka. Prints each difference; exits with 1 when there is any that `KNOWN_DIFFERENCES` does not list.
 */
import { parseArgs } from "node:util";
import { gzipSync, zstdCompressSync } from "node:zlib";
import type { ApiMessages } from "#protocol/api.ts";
import {
  CreateTopicsApi,
  makeCreatableTopic,
  makeCreateTopicsRequest,
} from "#protocol/generated/create-topics.ts";
import { DeleteRecordsApi, makeDeleteRecordsRequest } from "#protocol/generated/delete-records.ts";
import {
  FetchApi,
  type FetchRequest,
  makeFetchPartition,
  makeFetchRequest,
  makeFetchTopic,
} from "#protocol/generated/fetch.ts";
import { ListOffsetsApi, makeListOffsetsRequest } from "#protocol/generated/list-offsets.ts";
import {
  makeOffsetForLeaderEpochRequest,
  OffsetForLeaderEpochApi,
} from "#protocol/generated/offset-for-leader-epoch.ts";
import {
  makeProduceRequest,
  makeTopicProduceData,
  ProduceApi,
  type ProduceRequest,
} from "#protocol/generated/produce.ts";
import { crc32c } from "#protocol/records/crc32c.ts";
import { encodeRecordBatch, type NewRecordBatch } from "#protocol/records/record-batch.ts";
import { Wire } from "./wire.ts";

const SLOPPY =
  "Kafka answers UNKNOWN_SERVER_ERROR for bytes it cannot unpack; we name what is wrong with them";

/** Answers that differ on purpose, by label, with the reason. */
export const KNOWN_DIFFERENCES: Readonly<Record<string, string>> = {
  "produce null records": "Kafka never answers and keeps the connection muted",
  "produce codec 5": SLOPPY,
  "produce codec 7": SLOPPY,
  "produce damaged gzip": SLOPPY,
  "produce damaged snappy": SLOPPY,
  "produce damaged lz4": SLOPPY,
  "produce damaged zstd": SLOPPY,
  "produce endless varint": SLOPPY,
  "produce two hours ahead":
    "the lower bound in the message: our longest span is 2^53-1 ms, Kafka's overflows",
};

/** A topic made for this run, on one of the brokers. */
interface Target {
  readonly address: string;
  readonly topic: string;
  readonly topicId: string;
}

interface Step {
  readonly label: string;
  readonly run: (wire: Wire, target: Target) => Promise<unknown>;
}

const START_MS = Date.now();
const CRC_POSITION = 17;
const CRC_START = 21;

function step<Req, Res>(
  label: string,
  api: ApiMessages<Req, Res>,
  version: number,
  request: (target: Target) => Req,
): Step {
  return { label, run: (wire, target) => wire.send(api, version, request(target)) };
}

// ---- batches

function batch(init: Partial<NewRecordBatch> = {}): Uint8Array {
  const value = new TextEncoder().encode("value");
  return encodeRecordBatch({ records: [{ key: value, value }], timestamp: START_MS, ...init });
}

/** A batch with other bytes in places, and a checksum that fits. */
function altered(alter: (view: DataView) => void, init: Partial<NewRecordBatch> = {}): Uint8Array {
  const bytes = batch(init).slice();
  const view = new DataView(bytes.buffer);
  alter(view);
  view.setUint32(CRC_POSITION, crc32c(bytes.subarray(CRC_START)));
  return bytes;
}

/** A batch whose records are these bytes. */
function withRecords(records: Uint8Array, attributes: number): Uint8Array {
  const bytes = new Uint8Array([...batch().subarray(0, 61), ...records]);
  const view = new DataView(bytes.buffer);
  view.setInt32(8, bytes.length - 12);
  view.setInt16(21, attributes);
  view.setUint32(CRC_POSITION, crc32c(bytes.subarray(CRC_START)));
  return bytes;
}

/** Records of 100,000 bytes each, a millisecond apart, that take few bytes when compressed. */
function inflating(codec: "gzip" | "zstd", count: number, firstMs: number): Uint8Array {
  const value = new Uint8Array(100_000);
  return encodeRecordBatch({
    timestamp: firstMs,
    records: Array.from({ length: count }, (_, index) => ({
      key: null,
      value,
      timestamp: firstMs + index,
    })),
    compression: {
      codec: codec === "gzip" ? 1 : 4,
      compressor: {
        compress: (_codec, block) => (codec === "gzip" ? gzipSync : zstdCompressSync)(block),
      },
    },
  });
}

function concat(...parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts));
}

function produce(
  label: string,
  records: Uint8Array | null,
  init: Partial<ProduceRequest> & { readonly index?: number; readonly name?: string } = {},
  version = 8,
): Step {
  return step(`produce ${label}`, ProduceApi, version, (target) =>
    makeProduceRequest({
      acks: 1,
      timeoutMs: 3000,
      ...init,
      topicData: [
        makeTopicProduceData({
          ...(version >= 13 ? { topicId: target.topicId } : { name: init.name ?? target.topic }),
          partitionData: [{ index: init.index ?? 0, records }],
        }),
      ],
    }),
  );
}

function sequence(producerEpoch: number, baseSequence: number): Uint8Array {
  return batch({ producerId: 4711n, producerEpoch, baseSequence });
}

function produceSteps(): Step[] {
  const garbage = new TextEncoder().encode("garbage!".repeat(4));
  const steps = [3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13].map((version) =>
    produce(`v${version}`, batch(), {}, version),
  );
  steps.push(
    produce("acks 2", batch(), { acks: 2 }),
    produce("acks all", batch(), { acks: -1 }),
    produce("no batch", new Uint8Array(0)),
    produce("two batches", concat(batch(), batch())),
    ...[0, 1, 3, -1].map((magic) =>
      produce(
        `magic ${magic}`,
        altered((view) => view.setInt8(16, magic)),
      ),
    ),
    ...[0, -1, 2, 0x7fffffff].map((count) =>
      produce(
        `count ${count}`,
        altered((view) => view.setInt32(57, count)),
      ),
    ),
    ...[-1, 5].map((delta) =>
      produce(
        `last offset delta ${delta}`,
        altered((view) => view.setInt32(23, delta)),
      ),
    ),
    produce("base offset 5", batch({ baseOffset: 5 })),
    produce("control", batch({ isControl: true })),
    produce(
      "transactional without id",
      batch({ isTransactional: true, producerId: 5n, producerEpoch: 0, baseSequence: 0 }),
    ),
    produce(
      "transactional with an unknown id",
      batch({ isTransactional: true, producerId: 5n, producerEpoch: 0, baseSequence: 0 }),
      { transactionalId: "nobody" },
    ),
    produce("id without a transaction", batch(), { transactionalId: "nobody" }),
    produce(
      "wrong checksum",
      batch().map((byte, index) => (index === CRC_POSITION ? byte ^ 1 : byte)),
    ),
    produce("cut off", batch().slice(0, -3)),
    produce("7 bytes behind", concat(batch(), new Uint8Array(7))),
    produce("20 bytes behind", concat(batch(), new Uint8Array(20))),
    produce("codec 5", withRecords(garbage, 5)),
    produce("codec 7", withRecords(garbage, 7)),
    ...["gzip", "snappy", "lz4", "zstd"].map((codec, index) =>
      produce(`damaged ${codec}`, withRecords(garbage, index + 1)),
    ),
    produce("zstd before v7", withRecords(garbage, 4), {}, 6),
    produce("endless varint", withRecords(new Uint8Array(10).fill(255), 0)),
    produce("two hours ahead", batch({ timestamp: START_MS + 7_200_000 })),
    produce("no timestamp", batch({ timestamp: -1 })),
    produce(
      "unused attribute bits",
      altered((view) => view.setInt16(21, 0x80)),
    ),
    produce("sequence without a start", sequence(0, -1)),
    produce("sequence 3", sequence(0, 3)),
    produce("sequence 3 again", sequence(0, 3)),
    produce("sequence gap", sequence(0, 9)),
    produce("new epoch not at 0", sequence(1, 3)),
    produce("new epoch at 0", sequence(1, 0)),
    produce("old epoch", sequence(0, 4)),
    produce("too large", batch({ records: [{ key: null, value: new Uint8Array(1_100_000) }] })),
    produce("unknown partition", batch(), { index: 99 }),
    produce("negative partition", batch(), { index: -1 }),
    produce("unknown topic", batch(), { name: "no-such-topic" }),
    produce("illegal topic", batch(), { name: "a/b" }),
  );
  return steps;
}

// ---- fetches

function fetch(
  label: string,
  version: number,
  partition: Parameters<typeof makeFetchPartition>[0],
  init: Partial<FetchRequest> & { readonly name?: string } = {},
): Step {
  return step(`fetch ${label}`, FetchApi, version, (target) =>
    makeFetchRequest({
      maxWaitMs: 50,
      maxBytes: 1 << 20,
      ...init,
      topics: [
        makeFetchTopic({
          ...(version >= 13 ? { topicId: target.topicId } : { topic: init.name ?? target.topic }),
          partitions: [makeFetchPartition({ partitionMaxBytes: 1 << 20, ...partition })],
        }),
      ],
    }),
  );
}

function fetchSteps(): Step[] {
  const steps: Step[] = [];
  for (let version = 4; version <= 18; version++) {
    steps.push(
      fetch(`v${version}`, version, {}),
      fetch(`v${version} committed only`, version, {}, { isolationLevel: 1 }),
      fetch(`v${version} out of range`, version, { fetchOffset: 9999 }),
      fetch(`v${version} unknown partition`, version, { partition: 77 }),
      fetch(`v${version} isolation 9`, version, {}, { isolationLevel: 9 }),
    );
    if (version < 13)
      steps.push(fetch(`v${version} unknown topic`, version, {}, { name: "no-such-topic" }));
    if (version < 15) steps.push(fetch(`v${version} as follower`, version, {}, { replicaId: 5 }));
    if (version >= 9)
      steps.push(fetch(`v${version} future epoch`, version, { currentLeaderEpoch: 99 }));
    if (version >= 12)
      steps.push(fetch(`v${version} diverging`, version, { fetchOffset: 3, lastFetchedEpoch: 99 }));
  }
  steps.push(
    fetch("negative offset", 11, { fetchOffset: -1 }),
    fetch("no bytes", 11, {}, { maxBytes: 0 }),
    fetch("negative bytes", 11, {}, { maxBytes: -1 }),
    fetch("negative partition bytes", 11, { partitionMaxBytes: -1 }),
    fetch("unknown session", 11, {}, { sessionId: 5, sessionEpoch: 3 }),
  );
  return steps;
}

// ---- offsets

function offsetSteps(): Step[] {
  const steps: Step[] = [];
  const offsets = (
    label: string,
    version: number,
    timestamp: number,
    currentLeaderEpoch = -1,
    index = 0,
  ): Step =>
    step(`offsets ${label}`, ListOffsetsApi, version, ({ topic }) =>
      makeListOffsetsRequest({
        replicaId: -1,
        timeoutMs: version >= 10 ? 1000 : 0,
        topics: [
          {
            name: topic,
            partitions: [
              { partitionIndex: index, currentLeaderEpoch, timestamp, maxNumOffsets: 1 },
            ],
          },
        ],
      }),
    );
  for (let version = 1; version <= 11; version++) {
    for (const timestamp of [
      -1,
      -2,
      -3,
      -4,
      -5,
      -6,
      -7,
      -99,
      0,
      START_MS,
      START_MS + 60_000,
      Number.MAX_SAFE_INTEGER,
    ]) {
      steps.push(
        offsets(
          `v${version} ${timestamp - START_MS > -1e6 ? "now" : timestamp}/${timestamp > START_MS}`,
          version,
          timestamp,
        ),
      );
    }
    steps.push(offsets(`v${version} unknown partition`, version, -1, -1, 9));
    if (version >= 4)
      for (const epoch of [0, 99, -5])
        steps.push(offsets(`v${version} epoch ${epoch}`, version, -1, epoch));
  }
  // Inside batches that inflate to 0.5 and 40 MB: at their first records, in their middle, at their end, behind them.
  for (const [codec, firstMs] of [
    ["gzip", START_MS + 120_000],
    ["zstd", START_MS + 180_000],
  ] as const) {
    for (const count of [5, 400]) {
      const from = firstMs + count * 10;
      steps.push(produce(`${count} records that inflate, ${codec}`, inflating(codec, count, from)));
      for (const at of [-1, 0, 1, 3, count / 2, count - 1, count])
        steps.push(offsets(`${codec} ${count} at ${at}`, 5, from + at));
      steps.push(offsets(`${codec} ${count} largest`, 7, -3));
    }
  }
  for (const version of [2, 3, 4]) {
    for (const [currentLeaderEpoch, leaderEpoch] of [
      [-1, 0],
      [-1, 5],
      [0, 0],
      [99, 0],
      [-1, -1],
      [-7, -7],
    ] as const) {
      steps.push(
        step(
          `epoch end v${version} ${currentLeaderEpoch} ${leaderEpoch}`,
          OffsetForLeaderEpochApi,
          version,
          ({ topic }) =>
            makeOffsetForLeaderEpochRequest({
              replicaId: -1,
              topics: [{ topic, partitions: [{ partition: 0, currentLeaderEpoch, leaderEpoch }] }],
            }),
        ),
      );
    }
  }
  for (const version of [0, 1, 2]) {
    for (const offset of [1, -2, 9999, 0, -1]) {
      steps.push(
        step(`delete v${version} to ${offset}`, DeleteRecordsApi, version, ({ topic }) =>
          makeDeleteRecordsRequest({
            timeoutMs: 1000,
            topics: [{ name: topic, partitions: [{ partitionIndex: 0, offset }] }],
          }),
        ),
      );
    }
  }
  return steps;
}

// ---- running and comparing

async function createTarget(address: string, run: string): Promise<Target> {
  using wire = await Wire.connect(address);
  const topic = `data-${run}`;
  const created = await wire.send(
    CreateTopicsApi,
    7,
    makeCreateTopicsRequest({
      topics: [makeCreatableTopic({ name: topic, numPartitions: 2, replicationFactor: 1 })],
      timeoutMs: 10_000,
    }),
  );
  return { address, topic, topicId: created.topics[0]?.topicId ?? "" };
}

/** What an answer says, without what cannot be the same on two brokers. */
function normalized(answer: unknown, target: Target): string {
  const text = JSON.stringify(answer, (key, value: unknown) => {
    if (value instanceof Uint8Array) return `${value.length} bytes`;
    if (typeof value === "bigint") return String(value);
    if (key === "logAppendTimeMs" && typeof value === "number" && value > 0) return "time";
    if (key === "port" && typeof value === "number" && value > 0) return "port";
    return value;
  });
  return text.replaceAll(target.topicId, "ID");
}

async function run(target: Target, { run: send }: Step): Promise<string> {
  using wire = await Wire.connect(target.address);
  try {
    const silence = new Promise<string>((resolve) =>
      setTimeout(() => resolve("silence"), 3000).unref(),
    );
    return await Promise.race([
      send(wire, target).then((answer) => normalized(answer, target)),
      silence,
    ]);
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

const { values } = parseArgs({
  options: {
    reference: { type: "string" },
    bootstrap: { type: "string" },
    print: { type: "boolean", default: false },
  },
});
const { reference, bootstrap } = values;
if (reference === undefined || bootstrap === undefined) {
  console.error("usage: bun test/differential/data.ts --reference HOST:PORT --bootstrap HOST:PORT");
  process.exit(2);
}
const name = START_MS.toString(36);
const [theirs, ours] = [await createTarget(reference, name), await createTarget(bootstrap, name)];
const steps = [...produceSteps(), ...fetchSteps(), ...offsetSteps(), produce("null records", null)];
let differentCount = 0;
let knownCount = 0;
for (const one of steps) {
  const [expected, actual] = [await run(theirs, one), await run(ours, one)];
  if (values.print) console.log(`${one.label}: ${expected}`);
  if (expected === actual) continue;
  const reason = KNOWN_DIFFERENCES[one.label];
  if (reason !== undefined) {
    knownCount++;
    continue;
  }
  differentCount++;
  console.log(`${one.label}\n  Kafka ${expected}\n  ours  ${actual}`);
}
console.log(
  `${steps.length} requests, ${differentCount} different, ${knownCount} different on purpose`,
);
process.exit(differentCount === 0 ? 0 : 1);
