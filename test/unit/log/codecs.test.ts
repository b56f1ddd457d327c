/**
 * The addon's codecs against everybody else's: Bun's and Node's built-in ones, zstd-napi, and batches that Kafka's own classes
 * wrote and (where a Kafka is at hand) read.
 */
import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { gunzipSync, gzipSync, zstdCompressSync, zstdDecompressSync } from "node:zlib";
import { compress, crc32c, decompress, nativeCodecs } from "#log/native-log.ts";
import { crc32c as plainCrc32c } from "#protocol/records/crc32c.ts";
import {
  Compression,
  decodeRecordBatches,
  encodeRecordBatch,
} from "#protocol/records/record-batch.ts";
import { runReferee, whyNoReferee } from "../../golden/kafka-java.ts";

const MAX_BYTES = 1 << 24;
const codecs = [
  ["gzip", Compression.GZIP],
  ["snappy", Compression.SNAPPY],
  ["lz4", Compression.LZ4],
  ["zstd", Compression.ZSTD],
] as const;

/** Text that compresses, then bytes that do not: both kinds of block in one input. */
function content(bytes: number): Uint8Array<ArrayBuffer> {
  const output = new Uint8Array(bytes);
  let state = 12345;
  for (let at = 0; at < bytes; at++) {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    output[at] = at < bytes / 2 ? 97 + (at % 23) : state >>> 16;
  }
  return output;
}

/** What Kafka's own classes wrote; see test/golden/java/KafkaCodecs.java. */
function javaBatches(): { readonly name: string; readonly bytes: Uint8Array }[] {
  const lines = readFileSync(join(import.meta.dir, "../../golden/codecs.txt"), "utf8")
    .trimEnd()
    .split("\n");
  return lines.map((line) => {
    const [name = "", base64 = ""] = line.split(" ");
    return { name, bytes: new Uint8Array(Buffer.from(base64, "base64")) };
  });
}

const expectedRecords = Array.from({ length: 60 }, (_, index) => ({
  key: `key-${index}`,
  value: `value-${index}-`.repeat((index * 37) % 900),
}));

const text = (bytes: Uint8Array | null): string | null =>
  bytes === null ? null : Buffer.from(bytes).toString();

describe("codecs", () => {
  test.each(codecs)("%s round-trips at the borders of its blocks", (_name, codec) => {
    for (const size of [0, 1, 32_767, 32_768, 65_536, 65_537, 300_000]) {
      const bytes = content(size);
      expect(decompress(codec, compress(codec, null, bytes), MAX_BYTES)).toEqual(bytes);
    }
  });

  test.each(codecs)("%s stops at the cap", (_name, codec) => {
    const bomb = compress(codec, null, new Uint8Array(4_000_000));
    expect(() => decompress(codec, bomb, 1000)).toThrow(
      expect.objectContaining({ code: "TOO_LARGE" }),
    );
    expect(nativeCodecs.decompress(codec, bomb, 1000)).toBeNull();
  });

  test.each(codecs)("%s refuses noise", (_name, codec) => {
    expect(() => decompress(codec, content(100).subarray(50), 1000)).toThrow(
      expect.objectContaining({ code: "CORRUPT_DATA" }),
    );
  });

  test("an unknown codec is refused", () => {
    for (const codec of [5, 7, 256]) {
      expect(() => compress(codec, null, content(1))).toThrow(
        expect.objectContaining({ code: "INVALID_ARGUMENT" }),
      );
    }
  });

  test("results are plain memory of JavaScript's", () => {
    const packed = compress(Compression.ZSTD, 19, content(1000));
    expect(packed.constructor).toBe(Uint8Array);
    packed.fill(0);
    expect(structuredClone(packed)).toEqual(packed);
  });

  test("gzip agrees with Bun and Node", () => {
    const bytes = content(100_000);
    for (const level of [null, -1, 1, 9]) {
      const packed = compress(Compression.GZIP, level, bytes);
      expect(new Uint8Array(gunzipSync(packed))).toEqual(bytes);
      expect(new Uint8Array(Bun.gunzipSync(packed.slice()))).toEqual(bytes);
    }
    expect(decompress(Compression.GZIP, gzipSync(bytes), MAX_BYTES)).toEqual(bytes);
    expect(decompress(Compression.GZIP, Bun.gzipSync(bytes), MAX_BYTES)).toEqual(bytes);
  });

  test("zstd agrees with Bun and Node", () => {
    const bytes = content(100_000);
    for (const level of [null, -5, 1, 3, 19]) {
      const packed = compress(Compression.ZSTD, level, bytes);
      expect(new Uint8Array(zstdDecompressSync(packed))).toEqual(bytes);
      expect(new Uint8Array(Bun.zstdDecompressSync(packed))).toEqual(bytes);
    }
    expect(decompress(Compression.ZSTD, zstdCompressSync(bytes), MAX_BYTES)).toEqual(bytes);
    expect(decompress(Compression.ZSTD, Bun.zstdCompressSync(bytes), MAX_BYTES)).toEqual(bytes);
  });

  test("zstd agrees with zstd-napi", () => {
    const zstdNapi = loadZstdNapi();
    if (zstdNapi === null) {
      console.log("skipped: the optional package zstd-napi is not installed");
      return;
    }
    const bytes = content(100_000);
    expect(new Uint8Array(zstdNapi.decompress(compress(Compression.ZSTD, null, bytes)))).toEqual(
      bytes,
    );
    expect(decompress(Compression.ZSTD, zstdNapi.compress(bytes), MAX_BYTES)).toEqual(bytes);
  });

  test("crc32c agrees with the one in TypeScript", () => {
    expect(crc32c(Buffer.from("123456789"))).toBe(0xe3069283);
    for (const size of [0, 1, 7, 64, 1000, 4097])
      expect(crc32c(content(size))).toBe(plainCrc32c(content(size), 0));
  });

  test("what Kafka's classes wrote is read, codec by codec", () => {
    const seen = javaBatches();
    expect(seen.map(({ name }) => name)).toEqual(["gzip", "snappy", "lz4", "zstd"]);
    for (const { name, bytes } of seen) {
      const decoded = decodeRecordBatches(bytes, { decompressor: nativeCodecs });
      expect({ name, failure: decoded.failure, count: decoded.batches.length }).toEqual({
        name,
        failure: null,
        count: 1,
      });
      const records = decoded.batches[0]?.records ?? [];
      expect(records.map(({ key, value }) => ({ key: text(key), value: text(value) }))).toEqual(
        expectedRecords,
      );
    }
  });

  test("what the addon compressed is read by Kafka's classes", () => {
    const reason = whyNoReferee();
    if (reason !== null) {
      console.log(`skipped: ${reason}`);
      return;
    }
    const batches = codecs.map(([, codec]) =>
      encodeRecordBatch({
        timestamp: 1_700_000_000_000,
        records: expectedRecords.map(({ key, value }) => ({
          key: Buffer.from(key),
          value: Buffer.from(value),
        })),
        compression: { codec, compressor: nativeCodecs },
      }),
    );
    const answers = runReferee(
      "current",
      ["check"],
      batches.map((batch) => `${batch.toHex()}\n`).join(""),
      "KafkaBatches",
    );
    const seen = answers
      .trimEnd()
      .split("\n")
      .map(
        (line) =>
          JSON.parse(line) as {
            failure?: string;
            batches?: { compression: number; records: { key: string; value: string }[] }[];
          },
      );
    expect(
      seen.map(({ failure, batches: read }) => ({ failure, codec: read?.[0]?.compression })),
    ).toEqual(codecs.map(([, codec]) => ({ failure: undefined, codec })));
    for (const { batches: read } of seen) {
      const records = read?.[0]?.records.map(({ key, value }) => ({
        key: Buffer.from(key, "hex").toString(),
        value: Buffer.from(value, "hex").toString(),
      }));
      expect(records).toEqual(expectedRecords);
    }
  }, 60_000);
});

interface ZstdNapi {
  compress(bytes: Uint8Array): Uint8Array;
  decompress(bytes: Uint8Array): Uint8Array;
}

function loadZstdNapi(): ZstdNapi | null {
  try {
    return createRequire(import.meta.url)("zstd-napi") as ZstdNapi;
  } catch {
    return null;
  }
}
