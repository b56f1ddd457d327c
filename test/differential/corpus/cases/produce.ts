/** Produce: requests that ask for too much, and record batches that lie in every field. */
import {
  makePartitionProduceData,
  makeProduceRequest,
  makeTopicProduceData,
  ProduceApi,
} from "#protocol/generated/produce.ts";
import {
  ask,
  concat,
  int32,
  type MarkedBody,
  repeat,
  replace,
  unsignedVarint,
  utf8,
} from "../bytes.ts";
import { type Case, type CaseOptions, one, several } from "../case.ts";
import {
  altered,
  batch,
  BATCH_AT,
  batchOf,
  manyRecords,
  produce,
  type ProduceOptions,
  record,
  START_MS,
  withBlock,
  zigzag,
} from "./batches.ts";

const sent = (
  label: string,
  records: Uint8Array | null,
  options: ProduceOptions = {},
  caseOptions: CaseOptions = { own: {} },
): Case => one(`produce/${label}`, produce(records, options), caseOptions);

/** A batch of one record with these parts. */
const lying = (label: string, ...parts: Parameters<typeof record>): Case =>
  sent(label, withBlock(record(...parts), 0));

const GARBAGE = utf8("garbage!".repeat(4));
const ENDLESS = concat(repeat(0xff, 10), new Uint8Array([1]));
const SECOND_PARTITION = { own: { partitions: 2 } };

const onTwoPartitions = (
  label: string,
  first: Uint8Array | null,
  second: Uint8Array | null,
  indexes: readonly [number, number] = [0, 1],
  version = 9,
  acks = 1,
): Case =>
  one(
    `produce/${label}`,
    ({ topic, topicId }) =>
      ask(
        ProduceApi,
        version,
        makeProduceRequest({
          transactionalId: null,
          acks,
          timeoutMs: 3000,
          topicData: [
            makeTopicProduceData({
              ...(version >= 13 ? { topicId } : { name: topic }),
              partitionData: [
                makePartitionProduceData({ index: indexes[0], records: first }),
                makePartitionProduceData({ index: indexes[1], records: second }),
              ],
            }),
          ],
        }),
      ),
    SECOND_PARTITION,
  );

const REQUEST_CASES: readonly Case[] = [
  ...[3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13].map((version) =>
    sent(`sound v${version}`, batch(), { version }),
  ),
  ...[2, -2, 32767, -32768].map((acks) => sent(`acks ${acks}`, batch(), { acks })),
  sent("acks all", batch(), { acks: -1 }),
  sent("acks all with timeout 0", batch(), { acks: -1, timeoutMs: 0 }),
  sent("timeout -1", batch(), { timeoutMs: -1 }),
  sent("acks 0", batch(), { acks: 0 }),
  sent("acks 0 of nothing", batch(), { acks: 0, topicData: [] }),
  sent("acks 0 and a bad checksum", flipped(batch(), BATCH_AT.CRC), { acks: 0 }),
  sent("acks 0 and an unknown partition", batch(), { acks: 0, index: 9 }),
  sent("acks 0 and an unknown topic", batch(), { acks: 0, name: "corpus-missing" }),
  sent(
    "acks 0 and an old magic",
    altered((view) => view.setInt8(BATCH_AT.MAGIC, 1)),
    { acks: 0 },
  ),
  sent("unknown topic", batch(), { name: "corpus-missing" }),
  sent("illegal topic", batch(), { name: "a/b" }),
  sent("empty topic", batch(), { name: "" }),
  sent("unknown topic v13", batch(), { version: 13, topicId: "AAAAAAAAAAAAAAAAAAAABg" }),
  sent("zero topic id", batch(), { version: 13, topicId: "AAAAAAAAAAAAAAAAAAAAAA" }),
  ...[9, -1, 0x7fffffff].map((index) => sent(`partition ${index}`, batch(), { index })),
  sent("__consumer_offsets", batch(), { name: "__consumer_offsets" }),
  sent("__cluster_metadata", batch(), { name: "__cluster_metadata" }),
  sent("null records", null),
  sent("null records v3", null, { version: 3 }),
  sent("null records of an unknown topic", null, { name: "corpus-missing" }),
  sent("null records, acks 0", null, { acks: 0 }),
  sent("no topics", null, { topicData: [] }),
  one("produce/no partitions", ({ topic }) =>
    ask(
      ProduceApi,
      9,
      makeProduceRequest({
        transactionalId: null,
        acks: 1,
        timeoutMs: 1000,
        topicData: [makeTopicProduceData({ name: topic })],
      }),
    ),
  ),
  one(
    "produce/topic twice",
    ({ topic }) => {
      const each = makeTopicProduceData({
        name: topic,
        partitionData: [{ index: 0, records: batch() }],
      });
      return ask(
        ProduceApi,
        9,
        makeProduceRequest({
          transactionalId: null,
          acks: 1,
          timeoutMs: 1000,
          topicData: [each, each],
        }),
      );
    },
    { own: {} },
  ),
  onTwoPartitions("partition twice", batch(), batch(), [0, 0]),
  onTwoPartitions(
    "partition twice, one of them bad",
    flipped(batch(), BATCH_AT.CRC),
    batch(),
    [0, 0],
  ),
  onTwoPartitions("a sound partition and a bad checksum", batch(), flipped(batch(), BATCH_AT.CRC)),
  onTwoPartitions("a sound partition and an unknown one", batch(), batch(), [0, 7]),
  onTwoPartitions("a sound partition and a bad magic", batch(), magic(7)),
  onTwoPartitions("a bad magic and a sound partition", magic(7), batch()),
  onTwoPartitions("a bad magic v13", magic(7), batch(), [0, 1], 13),
  onTwoPartitions("a bad magic and an unknown partition", magic(7), batch(), [0, 7]),
  onTwoPartitions(
    "a short size and a sound partition",
    concat(repeat(0, 8), int32(3), repeat(0, 20)),
    batch(),
  ),
  onTwoPartitions("an old magic and a sound partition", magic(1), batch()),
  onTwoPartitions("an empty and a sound partition", new Uint8Array(0), batch()),
  onTwoPartitions("a bad magic, acks 0", magic(7), batch(), [0, 1], 9, 0),
  one("produce/records of 2^31-1 bytes", ({ topic }) =>
    ask(
      ProduceApi,
      8,
      makeProduceRequest({
        transactionalId: null,
        acks: 1,
        timeoutMs: 1000,
        topicData: [
          makeTopicProduceData({ name: topic, partitionData: [{ index: 0, records: batch() }] }),
        ],
      }),
      { damage: recordsPrefix(int32(0x7fffffff)) },
    ),
  ),
  one("produce/records of -2 bytes", ({ topic }) =>
    ask(
      ProduceApi,
      8,
      makeProduceRequest({
        transactionalId: null,
        acks: 1,
        timeoutMs: 1000,
        topicData: [
          makeTopicProduceData({ name: topic, partitionData: [{ index: 0, records: batch() }] }),
        ],
      }),
      { damage: recordsPrefix(int32(-2)) },
    ),
  ),
  sent("batch with 7 bytes behind", concat(batch(), repeat(0, 7))),
  sent("batch with 20 zeros behind", concat(batch(), repeat(0, 20))),
  sent("batch with half a batch behind", concat(batch(), batch().subarray(0, 40))),
  sent("two batches", concat(batch(), batch())),
  sent("two batches, the second bad", concat(batch(), flipped(batch(), BATCH_AT.CRC))),
  sent("no batch", new Uint8Array(0)),
  ...[1, 11, 12, 16, 17, 60].map((count) =>
    sent(`${count} bytes of a batch`, batch().subarray(0, count)),
  ),
  sent(
    "larger than a topic takes",
    batch({ records: [{ key: null, value: new Uint8Array(1_100_000) }] }),
  ),
  sent(
    "larger than its topic takes",
    batchOf(100),
    {},
    { own: { configs: { "max.message.bytes": "1000" } } },
  ),
  sent(
    "null key on a compacted topic",
    batch({
      records: [
        { key: null, value: utf8("v") },
        { key: utf8("k"), value: null },
        { key: null, value: null },
      ],
    }),
    {},
    { own: { configs: { "cleanup.policy": "compact" } } },
  ),
  sent(
    "log append time",
    batch(),
    {},
    { own: { configs: { "message.timestamp.type": "LogAppendTime" } } },
  ),
  sent(
    "recompressed by the topic",
    batchOf(10),
    {},
    { own: { configs: { "compression.type": "gzip" } } },
  ),
];

function flipped(bytes: Uint8Array, at: number): Uint8Array {
  return bytes.map((byte, index) => (index === at ? byte ^ 1 : byte));
}

function magic(value: number): Uint8Array {
  return altered((view) => view.setInt8(BATCH_AT.MAGIC, value));
}

function recordsPrefix(prefix: Uint8Array): (body: MarkedBody) => Uint8Array {
  return ({ bytes, marks }) => {
    const mark = marks.findLast(({ kind }) => kind === "bytes");
    return mark === undefined ? bytes : replace(bytes, mark.start, mark.prefixEnd, prefix);
  };
}

const HEADER_CASES: readonly Case[] = [
  ...[0, 1, 3, 7, 127, -1, -128].map((value) => sent(`magic ${value}`, magic(value))),
  ...[0, 1, 3].map((value) => sent(`magic ${value} v3`, magic(value), { version: 3 })),
  ...[0, -1, 2, 0x7fffffff, -0x80000000].map((count) =>
    sent(
      `count ${count}`,
      altered((view) => view.setInt32(BATCH_AT.COUNT, count)),
    ),
  ),
  ...[-1, 1, 5, 0x7fffffff].map((delta) =>
    sent(
      `last offset delta ${delta}`,
      altered((view) => view.setInt32(BATCH_AT.LAST_OFFSET_DELTA, delta)),
    ),
  ),
  sent(
    "count and last delta agree on 2, one record",
    altered((view) => {
      view.setInt32(BATCH_AT.COUNT, 2);
      view.setInt32(BATCH_AT.LAST_OFFSET_DELTA, 1);
    }),
  ),
  sent(
    "count and last delta agree on 1, two records",
    altered(
      (view) => {
        view.setInt32(BATCH_AT.COUNT, 1);
        view.setInt32(BATCH_AT.LAST_OFFSET_DELTA, 0);
      },
      {
        records: [
          { key: null, value: null },
          { key: null, value: null },
        ],
      },
    ),
  ),
  ...[5, -1, Number.MAX_SAFE_INTEGER].map((baseOffset) =>
    sent(`base offset ${baseOffset}`, batch({ baseOffset })),
  ),
  ...[0, -1, 13, 14, 48, 49, 60, 100_000, 0x7fffffff, -0x80000000].map((length) =>
    sent(
      `length ${length}`,
      altered((view) => view.setInt32(BATCH_AT.LENGTH, length)),
    ),
  ),
  sent(
    "length one short",
    altered((view) => view.setInt32(BATCH_AT.LENGTH, view.byteLength - 13)),
  ),
  sent(
    "length one long",
    altered((view) => view.setInt32(BATCH_AT.LENGTH, view.byteLength - 11)),
  ),
  ...[-1, 7, 0x7fffffff].map((epoch) =>
    sent(
      `leader epoch ${epoch}`,
      altered((view) => view.setInt32(BATCH_AT.LEADER_EPOCH, epoch)),
    ),
  ),
  sent("wrong checksum", flipped(batch(), BATCH_AT.CRC)),
  sent("a flipped byte of a record", flipped(batch(), BATCH_AT.RECORDS + 6)),
  sent("control", batch({ isControl: true })),
  sent(
    "control with a producer",
    batch({ isControl: true, producerId: 5n, producerEpoch: 0, baseSequence: 0 }),
  ),
  sent(
    "transactional without an id",
    batch({ isTransactional: true, producerId: 5n, producerEpoch: 0, baseSequence: 0 }),
  ),
  sent(
    "transactional with an unknown id",
    batch({ isTransactional: true, producerId: 5n, producerEpoch: 0, baseSequence: 0 }),
    { transactionalId: "nobody" },
  ),
  sent("id without a transaction", batch(), { transactionalId: "nobody" }),
  sent("transactional without a producer", batch({ isTransactional: true })),
  sent(
    "log append time flag",
    altered((view) => view.setInt16(BATCH_AT.ATTRIBUTES, 0x08)),
  ),
  sent(
    "delete horizon flag",
    altered((view) => view.setInt16(BATCH_AT.ATTRIBUTES, 0x40)),
  ),
  ...[0x80, 0x4000, -0x8000].map((bits) =>
    sent(
      `unused attribute bits ${bits}`,
      altered((view) => view.setInt16(BATCH_AT.ATTRIBUTES, bits)),
    ),
  ),
  sent("timestamp -1", batch({ timestamp: -1 })),
  sent("timestamp -2", batch({ timestamp: -2 })),
  sent("timestamp 0", batch({ timestamp: 0 })),
  sent("timestamp two hours ahead", batch({ timestamp: START_MS + 7_200_000 })),
  sent(
    "timestamp of the end of time",
    altered((view) => {
      view.setBigInt64(BATCH_AT.BASE_TIMESTAMP, 0x7fff_ffff_ffff_ffffn);
      view.setBigInt64(BATCH_AT.MAX_TIMESTAMP, 0x7fff_ffff_ffff_ffffn);
    }),
  ),
  sent(
    "timestamp of the end of time, under a limit before",
    altered((view) => {
      view.setBigInt64(BATCH_AT.BASE_TIMESTAMP, 5n);
      view.setBigInt64(BATCH_AT.MAX_TIMESTAMP, 5n);
    }),
    {},
    { own: { configs: { "message.timestamp.before.max.ms": "1000" } } },
  ),
  sent(
    "lying largest timestamp",
    altered((view) => view.setBigInt64(BATCH_AT.MAX_TIMESTAMP, 5n)),
  ),
  sent(
    "largest timestamp ahead",
    altered((view) => view.setBigInt64(BATCH_AT.MAX_TIMESTAMP, BigInt(START_MS + 90_000_000))),
  ),
  sent(
    "append time topic and a wild timestamp",
    batch({ timestamp: START_MS + 7_200_000 }),
    {},
    { own: { configs: { "message.timestamp.type": "LogAppendTime" } } },
  ),
];

const RECORD_CASES: readonly Case[] = [
  lying("sound record"),
  lying("record length one short", { length: zigzag(9) }),
  lying("record length one long", { length: zigzag(13) }),
  lying("record length -1", { length: zigzag(-1) }),
  lying("record length 0", { length: zigzag(0) }),
  lying("record length 2^31-1", { length: unsignedVarint(0xfffffffe) }),
  lying("record length endless", { length: ENDLESS }),
  lying("record attributes 127", { attributes: 127 }),
  lying("timestamp delta endless", { timestampDelta: ENDLESS }),
  lying("timestamp delta -5", { timestampDelta: zigzag(-5) }),
  lying("offset delta 1", { offsetDelta: 1 }),
  lying("offset delta -1", { offsetDelta: -1 }),
  lying("key length -2", { key: zigzag(-2) }),
  lying("key length past the end", { key: zigzag(1000) }),
  lying("key length 2^31-1", { key: unsignedVarint(0xfffffffe) }),
  lying("key length endless", { key: ENDLESS }),
  lying("value length -2", { value: zigzag(-2) }),
  lying("value length past the end", { value: zigzag(1000) }),
  lying("value length 2^31-1", { value: unsignedVarint(0xfffffffe) }),
  lying("value missing", { value: new Uint8Array(0), headers: new Uint8Array(0) }),
  lying("header count -1", { headers: zigzag(-1) }),
  lying("header count 1, none there", { headers: zigzag(1) }),
  lying("header count 2^31-1", { headers: unsignedVarint(0xfffffffe) }),
  lying("header count endless", { headers: ENDLESS }),
  lying("header key null", { headers: concat(zigzag(1), zigzag(-1), zigzag(0)) }),
  lying("header key past the end", { headers: concat(zigzag(1), zigzag(100)) }),
  lying("header key not UTF-8", {
    headers: concat(zigzag(1), zigzag(1), new Uint8Array([0xff]), zigzag(0)),
  }),
  lying("header value null", { headers: concat(zigzag(1), zigzag(1), utf8("h"), zigzag(-1)) }),
  lying("header value -2", { headers: concat(zigzag(1), zigzag(1), utf8("h"), zigzag(-2)) }),
  lying("header value past the end", {
    headers: concat(zigzag(1), zigzag(1), utf8("h"), zigzag(99)),
  }),
  lying("bytes behind the headers", { headers: concat(zigzag(0), repeat(0, 3)) }),
  sent("bytes behind the last record", withBlock(concat(record(), repeat(0, 5)), 0)),
  sent(
    "offset deltas 0, 5, 1",
    withBlock(concat(record(), record({ offsetDelta: 5 }), record({ offsetDelta: 1 })), 0, 3),
  ),
  sent("offset deltas 0, 0", withBlock(concat(record(), record()), 0, 2)),
  sent("endless varint", withBlock(repeat(0xff, 10), 0)),
  sent("no block at all", withBlock(new Uint8Array(0), 0)),
  sent("10,000 empty records", withBlock(manyRecords(10_000, 0), 0, 10_000)),
];

const pack = {
  1: (block: Uint8Array): Uint8Array => Bun.gzipSync(new Uint8Array(block)),
  4: (block: Uint8Array): Uint8Array => new Uint8Array(Bun.zstdCompressSync(block)),
};

const CODEC_CASES: readonly Case[] = [
  ...[5, 6, 7].map((codec) => sent(`codec ${codec}`, withBlock(GARBAGE, codec))),
  ...["gzip", "snappy", "lz4", "zstd"].flatMap((name, index) => [
    sent(`${name} of garbage`, withBlock(GARBAGE, index + 1)),
    sent(`${name} of nothing`, withBlock(new Uint8Array(0), index + 1)),
    sent(`${name} of zeros`, withBlock(repeat(0, 64), index + 1)),
  ]),
  ...([1, 4] as const).flatMap((codec) => {
    const name = codec === 1 ? "gzip" : "zstd";
    const sound = pack[codec](record());
    return [
      sent(`${name} sound`, withBlock(sound, codec)),
      sent(`${name} cut short`, withBlock(sound.subarray(0, -4), codec)),
      sent(`${name} with a flipped byte`, withBlock(flipped(sound, sound.length - 6), codec)),
      sent(`${name} with bytes behind`, withBlock(concat(sound, repeat(0, 9)), codec)),
      sent(`${name} twice over`, withBlock(concat(sound, sound), codec)),
      sent(`${name} of too few records`, withBlock(sound, codec, 2)),
      sent(
        `${name} of too many records`,
        withBlock(pack[codec](concat(record(), record())), codec, 1),
      ),
      sent(
        `${name} of a lying record`,
        withBlock(pack[codec](record({ length: zigzag(900) })), codec),
      ),
      sent(`${name} of an endless varint`, withBlock(pack[codec](repeat(0xff, 20)), codec)),
      sent(`${name} of nothing packed`, withBlock(pack[codec](new Uint8Array(0)), codec)),
    ];
  }),
  sent("zstd before v7", withBlock(pack[4](record()), 4), { version: 6 }),
  sent("zstd of garbage before v7", withBlock(GARBAGE, 4), { version: 6 }),
];

/** All of them. */
export const PRODUCE_CASES: readonly Case[] = [
  ...REQUEST_CASES,
  ...HEADER_CASES,
  ...RECORD_CASES,
  ...CODEC_CASES,
  several("produce/sound after a refused one", [produce(magic(1)), produce(batch())], { own: {} }),
];
