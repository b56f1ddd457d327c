import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { crc32c } from "#protocol/records/crc32c.ts";
import {
  ControlRecordType,
  controlRecordType,
  encodeControlKey,
} from "#protocol/records/control-records.ts";
import {
  BATCH_HEADER_BYTES,
  Compression,
  decodeBatchHeader,
  decodeRecordBatches,
  encodeRecordBatch,
  recordSizeBytes,
  type NewRecordBatch,
} from "#protocol/records/record-batch.ts";
import { BUN_DECOMPRESSOR, describeBatch, readBatches } from "../../../golden/batches.ts";
import { damaged, randomFrom } from "../../../golden/damage.ts";

const utf8 = new TextEncoder();
const seed = Number(process.env["SEED"] ?? Math.floor(Math.random() * 0x7fffffff));

describe("batches written by Kafka's own classes", () => {
  const samples = readBatches();

  test("read as Kafka reads them", () => {
    for (const sample of samples) {
      const { batches, failure, validBytes } = decodeRecordBatches(Uint8Array.fromHex(sample.hex), {
        decompressor: BUN_DECOMPRESSOR,
      });
      expect({ failure, validBytes, batches: batches.map(describeBatch) }).toEqual({
        failure: null,
        validBytes: sample.hex.length / 2,
        batches: [...sample.batches],
      });
    }
  });

  test("are written again byte for byte when they are plain and without gaps", () => {
    let compared = 0;
    for (const sample of samples) {
      const batch = decodeRecordBatches(Uint8Array.fromHex(sample.hex)).batches[0];
      // The builder takes the base time from its first record also when the log's own time rules.
      if (batch === undefined || batch.isLogAppendTime) continue;
      if (batch.lastOffsetDelta !== batch.records.length - 1) continue;
      compared += 1;
      expect(
        encodeRecordBatch({
          ...batch,
          timestamp: 0,
          compression: undefined,
        } as unknown as NewRecordBatch).toHex(),
      ).toBe(sample.hex);
    }
    expect(compared).toBeGreaterThan(20);
  });

  test("say what kind of control record they hold", () => {
    const types = new Set<number | null>();
    for (const sample of samples) {
      for (const batch of decodeRecordBatches(Uint8Array.fromHex(sample.hex)).batches) {
        if (batch.isControl)
          for (const record of batch.records) types.add(controlRecordType(record.key));
      }
    }
    expect([...types].sort((one, other) => Number(one) - Number(other))).toEqual([
      ControlRecordType.ABORT,
      ControlRecordType.COMMIT,
    ]);
  });
});

describe("encodeRecordBatch", () => {
  test("what is written reads back", () => {
    const bytes = encodeRecordBatch({
      baseOffset: 7,
      partitionLeaderEpoch: 3,
      timestamp: 1000,
      producerId: 99n,
      producerEpoch: 2,
      baseSequence: 5,
      isTransactional: true,
      records: [
        { key: utf8.encode("k"), value: null },
        {
          key: null,
          value: utf8.encode("v"),
          timestamp: 900,
          headers: [{ key: "ключ", value: null }],
        },
      ],
    });
    expect(decodeRecordBatches(bytes)).toEqual({
      failure: null,
      validBytes: bytes.length,
      batches: [
        {
          baseOffset: 7,
          sizeBytes: bytes.length,
          partitionLeaderEpoch: 3,
          compression: Compression.NONE,
          isLogAppendTime: false,
          isTransactional: true,
          isControl: false,
          hasDeleteHorizon: false,
          lastOffsetDelta: 1,
          baseTimestamp: 1000,
          maxTimestamp: 1000,
          producerId: 99n,
          producerEpoch: 2,
          baseSequence: 5,
          recordCount: 2,
          records: [
            { offset: 7, timestamp: 1000, key: utf8.encode("k"), value: null, headers: [] },
            {
              offset: 8,
              timestamp: 900,
              key: null,
              value: utf8.encode("v"),
              headers: [{ key: "ключ", value: null }],
            },
          ],
        },
      ],
    });
  });

  test("a compressed batch reads back through the injected codec", () => {
    const compressor = {
      compress: (_codec: number, block: Uint8Array) =>
        new Uint8Array(Bun.zstdCompressSync(block.slice())),
    };
    const records = [{ key: null, value: new Uint8Array(5000).fill(7) }];
    const bytes = encodeRecordBatch({
      timestamp: 1,
      records,
      compression: { codec: Compression.ZSTD, compressor },
    });
    expect(bytes.length).toBeLessThan(300);
    expect(
      decodeRecordBatches(bytes, { decompressor: BUN_DECOMPRESSOR }).batches[0]?.records[0]?.value,
    ).toEqual(records[0]!.value);
    expect(decodeRecordBatches(bytes).failure).toContain("cannot be decompressed (codec 4)");
    const small = decodeRecordBatches(bytes, {
      decompressor: BUN_DECOMPRESSOR,
      maxDecompressedBytes: 100,
    });
    expect(small.failure).toContain("cannot be decompressed");
  });

  test("refuses a batch without records", () => {
    expect(() => encodeRecordBatch({ timestamp: 0, records: [] })).toThrow(
      "a batch needs a record",
    );
  });
});

describe("decodeRecordBatches", () => {
  const one = encodeRecordBatch({
    timestamp: 5,
    records: [{ key: utf8.encode("a"), value: utf8.encode("b") }],
  });
  const two = Uint8Array.from([...one, ...one]);

  test("leaves out a last batch that is cut off, wherever the cut", () => {
    for (let end = one.length; end < two.length; end += 1) {
      const { batches, validBytes, failure } = decodeRecordBatches(two.subarray(0, end));
      expect({ count: batches.length, validBytes, failure }).toEqual({
        count: 1,
        validBytes: one.length,
        failure: null,
      });
    }
    expect(decodeRecordBatches(two).batches.length).toBe(2);
    expect(decodeRecordBatches(new Uint8Array(0))).toEqual({
      batches: [],
      validBytes: 0,
      failure: null,
    });
  });

  test("stops at the batch whose CRC is wrong, unless told not to look", () => {
    const bytes = two.slice();
    bytes[one.length + BATCH_HEADER_BYTES + 1] = 1; // attributes of the record: read, never used
    expect(decodeRecordBatches(bytes)).toMatchObject({
      validBytes: one.length,
      failure: `batch at byte ${one.length} fails its CRC`,
    });
    expect(decodeRecordBatches(bytes, { verifyCrc: false }).batches.length).toBe(2);
  });

  test.each([
    ["length below a header", 8, [0, 0, 0, 10], "claims 22 bytes"],
    ["negative length", 8, [0xff, 0xff, 0xff, 0xff], "claims 11 bytes"],
    ["old format", 16, [1], "has format 1"],
    ["too many records", 57, [0x7f, 0xff, 0xff, 0xff], "claims 2147483647 records"],
    ["negative count", 57, [0xff, 0xff, 0xff, 0xff], "claims -1 records"],
    ["fewer records than bytes", 57, [0, 0, 0, 0], "bytes after its records"],
    ["record longer than its batch", 61, [0x7e], "record runs past its batch"],
    ["key longer than its record", 65, [0x7e], "bytes run past the message"],
  ])("names what is wrong: %s", (_what, at, patch, reason) => {
    const bytes = one.slice();
    bytes.set(patch, at);
    expect(decodeRecordBatches(bytes, { verifyCrc: false }).failure).toContain(reason);
  });

  test("damaged bytes never throw and never yield more records than bytes", () => {
    const random = randomFrom(seed);
    for (const sample of readBatches()) {
      const bytes = Uint8Array.fromHex(sample.hex);
      for (let index = 0; index < 20; index += 1) {
        const spoiled = damaged(bytes, random);
        for (const verifyCrc of [true, false]) {
          const { batches, validBytes } = decodeRecordBatches(spoiled, { verifyCrc });
          expect(validBytes).toBeLessThanOrEqual(spoiled.length);
          const records = batches.reduce((sum, batch) => sum + batch.records.length, 0);
          if (records > spoiled.length) throw new Error(`SEED=${seed} ${spoiled.toHex()}`);
        }
      }
    }
  });
});

test("a batch header is read without its records", () => {
  const bytes = encodeRecordBatch({
    baseOffset: 3,
    timestamp: 9,
    records: [{ key: null, value: null }],
    isControl: true,
  });
  expect(decodeBatchHeader(bytes)).toMatchObject({
    baseOffset: 3,
    isControl: true,
    recordCount: 1,
    maxTimestamp: 9,
  });
  expect(decodeBatchHeader(bytes.subarray(0, 60))).toBeNull();
  expect(decodeBatchHeader(new Uint8Array(61))).toBe("batch at byte 0 claims 12 bytes");
});

test("control keys", () => {
  expect(encodeControlKey(ControlRecordType.COMMIT)).toEqual(Uint8Array.of(0, 0, 0, 1));
  expect(controlRecordType(Uint8Array.of(0, 0, 0, 6))).toBe(ControlRecordType.KRAFT_VOTERS);
  expect(controlRecordType(Uint8Array.of(0, 0, 0))).toBeNull();
  expect(controlRecordType(Uint8Array.of(0xff, 0xff, 0, 0))).toBeNull();
  expect(controlRecordType(null)).toBeNull();
});

describe("crc32c", () => {
  test("known values", () => {
    expect(crc32c(utf8.encode("123456789"))).toBe(0xe3069283);
    expect(crc32c(new Uint8Array(0))).toBe(0);
    expect(crc32c(new Uint8Array(32))).toBe(0x8a9136aa);
    expect(crc32c(new Uint8Array(32).fill(0xff))).toBe(0x62a8ab43);
  });

  test("agrees with a bit at a time, at every alignment", () => {
    const slow = (bytes: Uint8Array): number => {
      let crc = ~0;
      for (const byte of bytes) {
        crc ^= byte;
        for (let bit = 0; bit < 8; bit += 1) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
      }
      return ~crc >>> 0;
    };
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 70 }),
        fc.nat(20),
        fc.nat(20),
        (bytes, cutFront, cutBack) => {
          const start = Math.min(cutFront, bytes.length);
          const end = Math.max(start, bytes.length - cutBack);
          expect(crc32c(bytes, start, end)).toBe(slow(bytes.subarray(start, end)));
        },
      ),
      { seed },
    );
  });
});

describe("the size of a record", () => {
  test("is what encoding takes", () => {
    for (const count of [1, 64, 65, 8192, 8193]) {
      for (const [keyBytes, valueBytes] of [
        [0, -1],
        [63, 64],
        [64, 63],
        [8191, 0],
        [20, 8192],
      ] as const) {
        if (count > 100 && keyBytes + valueBytes > 200) continue;
        const key = new Uint8Array(keyBytes);
        const value = valueBytes < 0 ? null : new Uint8Array(valueBytes);
        const records = Array.from({ length: count }, () => ({ key, value }));
        const size = records.reduce(
          (sum, _, index) => sum + recordSizeBytes(index, keyBytes, valueBytes),
          BATCH_HEADER_BYTES,
        );
        expect(encodeRecordBatch({ records, timestamp: 9 }).length).toBe(size);
      }
    }
  });
});
