/**
 * Which compressed payloads a broker takes: every framing quirk that Kafka's readers have, appended through the addon. The
 * expected answers are Kafka's own (4.4); where a Kafka is at hand it is asked again, also about random damage.
 */
import { describe, expect, test } from "bun:test";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { compress, nativeCodecs } from "#log/native-log.ts";
import { Compression, encodeRecordBatch } from "#protocol/records/record-batch.ts";
import { runReferee, whyNoReferee } from "../../golden/kafka-java.ts";
import { append, openStore } from "./store.ts";

const NOW = 1_700_000_000_000;
const JUNK = new Uint8Array([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
const XERIAL_HEADER_BYTES = 16;
const LZ4_HEADER_BYTES = 7;
const { GZIP, SNAPPY, LZ4, ZSTD } = Compression;

type Pack = (records: Uint8Array) => Uint8Array;

const join = (...parts: (Uint8Array | readonly number[])[]): Uint8Array =>
  new Uint8Array(Buffer.concat(parts.map((part) => Uint8Array.from(part))));
const packed =
  (codec: number): Pack =>
  (records) =>
    compress(codec, null, records);
const cut =
  (codec: number, count: number): Pack =>
  (records) =>
    packed(codec)(records).slice(0, -count);
const followed =
  (codec: number): Pack =>
  (records) =>
    join(packed(codec)(records), JUNK);
const inTwo =
  (pack: Pack): Pack =>
  (records) =>
    join(pack(records.subarray(0, 100)), pack(records.subarray(100)));

/** The packed bytes with one changed; `at` counts from the end when negative. */
const changed =
  (codec: number, at: number, value: number): Pack =>
  (records) => {
    const bytes = packed(codec)(records).slice();
    bytes[at < 0 ? bytes.length + at : at] = value;
    return bytes;
  };

/** Snappy without framing, in literals only. */
const rawSnappy: Pack = (records) => {
  const output: number[] = [];
  let rest = records.length;
  for (; rest >= 0x80; rest >>>= 7) output.push((rest & 0x7f) | 0x80);
  output.push(rest);
  for (let at = 0; at < records.length; at += 60) {
    const literal = records.subarray(at, at + 60);
    output.push((literal.length - 1) << 2, ...literal);
  }
  return new Uint8Array(output);
};

const insert =
  (codec: number, at: number, bytes: readonly number[]): Pack =>
  (records) => {
    const whole = packed(codec)(records);
    return join(whole.subarray(0, at), bytes, whole.subarray(at));
  };

/** Name, codec, how the records are packed, whether Kafka takes it. */
const framings: readonly (readonly [string, number, Pack, boolean])[] = [
  ["gzip, two members", GZIP, inTwo((records) => gzipSync(records)), true],
  ["gzip, junk behind it", GZIP, followed(GZIP), true],
  ["gzip, no trailer", GZIP, cut(GZIP, 8), false],
  ["gzip, half a trailer", GZIP, cut(GZIP, 3), false],
  ["gzip, wrong CRC", GZIP, changed(GZIP, -6, 0x55), false],
  ["gzip, empty", GZIP, () => new Uint8Array(0), false],
  ["snappy, raw", SNAPPY, rawSnappy, true],
  ["snappy, raw and junk", SNAPPY, (records) => join(rawSnappy(records), JUNK), false],
  ["snappy, xerial", SNAPPY, packed(SNAPPY), true],
  ["snappy, two xerial streams", SNAPPY, inTwo(packed(SNAPPY)), true],
  ["snappy, xerial and junk", SNAPPY, followed(SNAPPY), false],
  ["snappy, xerial, cut", SNAPPY, cut(SNAPPY, 3), false],
  ["snappy, xerial, compatible with version 2", SNAPPY, changed(SNAPPY, 15, 2), true],
  [
    "snappy, xerial, chunk of no bytes",
    SNAPPY,
    insert(SNAPPY, XERIAL_HEADER_BYTES, [0, 0, 0, 0]),
    false,
  ],
  [
    "snappy, xerial, chunk without content",
    SNAPPY,
    insert(SNAPPY, XERIAL_HEADER_BYTES, [0, 0, 0, 1, 0]),
    true,
  ],
  ["snappy, empty", SNAPPY, () => new Uint8Array(0), false],
  ["lz4", LZ4, packed(LZ4), true],
  ["lz4, junk behind the end mark", LZ4, followed(LZ4), true],
  ["lz4, no end mark", LZ4, cut(LZ4, 4), false],
  ["lz4, two frames", LZ4, inTwo(packed(LZ4)), false],
  ["lz4, wrong header checksum", LZ4, changed(LZ4, 6, 0), false],
  ["lz4, a block without content", LZ4, insert(LZ4, LZ4_HEADER_BYTES, [0, 0, 0, 0x80]), false],
  ["lz4, empty", LZ4, () => new Uint8Array(0), false],
  ["zstd, two frames", ZSTD, inTwo((records) => zstdCompressSync(records)), true],
  [
    "zstd, a skippable frame first",
    ZSTD,
    insert(ZSTD, 0, [0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4]),
    true,
  ],
  ["zstd, junk behind it", ZSTD, followed(ZSTD), false],
  ["zstd, cut", ZSTD, cut(ZSTD, 3), false],
  ["zstd, empty", ZSTD, () => new Uint8Array(0), false],
];

const records = Array.from({ length: 20 }, (_, index) => ({
  key: Buffer.from(`k${index}`),
  value: Buffer.from(`v${index}`.repeat(200)),
}));

function batchOf(codec: number, pack: Pack): Uint8Array {
  return encodeRecordBatch({
    timestamp: NOW,
    records,
    compression: { codec, compressor: { compress: (_codec, block) => pack(block) } },
  });
}

/** Whether our log takes each batch, each into a partition of its own. */
async function judge(batches: readonly Uint8Array[]): Promise<boolean[]> {
  await using opened = await openStore({ inMemory: true });
  return batches.map(
    (batch, index) => append(opened.store, opened.lead(`t${index}`), batch.slice()).code === 0,
  );
}

/** Whether Kafka's classes read each batch to its end. */
function askKafka(batches: readonly Uint8Array[]): boolean[] {
  const input = batches.map((batch) => `${batch.toHex()}\n`).join("");
  const lines = runReferee("current", ["check"], input, "KafkaBatches").trimEnd().split("\n");
  return lines.map((line) => !line.startsWith('{"failure"'));
}

describe("framings", () => {
  test("are taken and refused as the table says", async () => {
    const seen = await judge(framings.map(([, codec, pack]) => batchOf(codec, pack)));
    expect(framings.map(([name], index) => [name, seen[index]])).toEqual(
      framings.map(([name, , , isTaken]) => [name, isTaken]),
    );
  });

  test("the table is Kafka's", () => {
    const reason = whyNoReferee();
    if (reason !== null) {
      console.log(`skipped: ${reason}`);
      return;
    }
    const seen = askKafka(framings.map(([, codec, pack]) => batchOf(codec, pack)));
    expect(framings.map(([name], index) => [name, seen[index]])).toEqual(
      framings.map(([name, , , isTaken]) => [name, isTaken]),
    );
  }, 60_000);

  test("damaged records are judged as Kafka judges them", async () => {
    const reason = whyNoReferee();
    if (reason !== null) {
      console.log(`skipped: ${reason}`);
      return;
    }
    let state = 42;
    const random = (limit: number): number => {
      state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
      return (state >>> 8) % limit;
    };
    const damage =
      (codec: number): Pack =>
      (block) => {
        const bytes = block.slice();
        for (let count = 1 + random(2); count > 0; count--) {
          const at = random(Math.min(bytes.length, 40));
          bytes[at] = random(2) === 0 ? random(256) : (bytes[at] ?? 0) ^ (1 << random(8));
        }
        return codec === Compression.NONE ? bytes : nativeCodecs.compress(codec, bytes);
      };
    const batches = Array.from({ length: 600 }, (_, index) => {
      const codec = [Compression.NONE, GZIP, ZSTD][index % 3] ?? 0;
      return encodeRecordBatch({
        // A damaged timestamp must not decide: the log is asked about structure here.
        timestamp: NOW,
        records: Array.from({ length: 1 + random(3) }, () => ({
          key: random(3) === 0 ? null : Buffer.from("key"),
          value: random(3) === 0 ? null : Buffer.alloc(random(200), 97),
          headers: Array.from({ length: random(3) }, () => ({
            key: "h",
            value: random(2) === 0 ? null : Buffer.from("x"),
          })),
        })),
        compression: { codec, compressor: { compress: (_codec, block) => damage(codec)(block) } },
      });
    });
    const kafka = askKafka(batches);
    await using opened = await openStore({ inMemory: true });
    const config = { messageTimestampAfterMaxMs: 9e15, messageTimestampBeforeMaxMs: 9e15 };
    const ours = batches.map(
      (batch, index) =>
        append(opened.store, opened.lead(`d${index}`, config), batch.slice()).code === 0,
    );
    expect(kafka.filter((isTaken) => !isTaken).length).toBeGreaterThan(50);
    expect(
      batches.flatMap((batch, index) =>
        kafka[index] === ours[index] ? [] : [{ hex: batch.toHex(), kafka: kafka[index] }],
      ),
    ).toEqual([]);
  }, 60_000);
});
