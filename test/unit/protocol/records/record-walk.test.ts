import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import {
  Compression,
  decodeRecordBatches,
  encodeRecordBatch,
  type NewRecord,
} from "#protocol/records/record-batch.ts";
import { keyOf, RecordWalker, valueOf } from "#protocol/records/record-walk.ts";

interface Seen {
  readonly offset: number;
  readonly key: Uint8Array | null;
  readonly value: Uint8Array | null;
}

/** All records of the whole batches in `bytes`, and why the walk ended early. */
function walk(bytes: Uint8Array): { seen: Seen[]; failure: string | null; nextOffset: number } {
  const walker = new RecordWalker({
    decompress: (codec, block) =>
      codec === Compression.GZIP ? new Uint8Array(Bun.gunzipSync(new Uint8Array(block))) : null,
  });
  const seen: Seen[] = [];
  let nextOffset = -1;
  for (let at = 0; at < bytes.length;) {
    const batch = walker.walkBatch(bytes, at, (record) => {
      const [key, value] = [keyOf(record), valueOf(record)];
      seen.push({
        offset: record.offset,
        key: key?.slice() ?? null,
        value: value?.slice() ?? null,
      });
    });
    if (typeof batch === "string") return { seen, failure: batch, nextOffset };
    if (batch.sizeBytes === 0) break;
    at += batch.sizeBytes;
    nextOffset = batch.nextOffset;
  }
  return { seen, failure: null, nextOffset };
}

const bytesOrNull = fc.option(fc.uint8Array({ maxLength: 200 }), { nil: null });
const record: fc.Arbitrary<NewRecord> = fc.record({
  key: bytesOrNull,
  value: bytesOrNull,
  headers: fc.array(fc.record({ key: fc.string({ maxLength: 4 }), value: bytesOrNull }), {
    maxLength: 2,
  }),
});
const gzip = {
  codec: Compression.GZIP,
  compressor: {
    compress: (_codec: number, block: Uint8Array) =>
      new Uint8Array(Bun.gzipSync(new Uint8Array(block))),
  },
};

describe("a walk over batches", () => {
  test("shows what decoding gives", () => {
    const batches = fc.array(
      fc.record({
        records: fc.array(record, { minLength: 1, maxLength: 5 }),
        isCompressed: fc.boolean(),
        isControl: fc.boolean(),
      }),
      { minLength: 1, maxLength: 4 },
    );
    const property = fc.property(batches, fc.nat(40), (list, cut) => {
      let baseOffset = 7;
      const parts = list.map(({ records, isCompressed, isControl }) => {
        const compression = isCompressed ? { compression: gzip } : {};
        const bytes = encodeRecordBatch({
          records,
          timestamp: 5,
          baseOffset,
          isControl,
          ...compression,
        });
        baseOffset += records.length;
        return bytes;
      });
      const whole = new Uint8Array(Buffer.concat(parts));
      const bytes = whole.subarray(0, whole.length - cut);
      const decoded = decodeRecordBatches(bytes, {
        decompressor: {
          decompress: (_codec, block) => new Uint8Array(Bun.gunzipSync(new Uint8Array(block))),
        },
      });
      const { seen, failure } = walk(bytes);
      expect(failure).toBe(null);
      const expected = decoded.batches
        .filter((batch) => !batch.isControl)
        .flatMap((batch) =>
          batch.records.map(({ offset, key, value }) => ({ offset, key, value })),
        );
      expect(seen).toEqual(expected);
    });
    fc.assert(property);
  });

  test("says where the next batch begins, also after gaps that compaction left", () => {
    const bytes = encodeRecordBatch({
      records: [{ key: null, value: null }],
      timestamp: 1,
      baseOffset: 100,
    });
    expect(walk(bytes).nextOffset).toBe(101);
  });

  test("refuses any flipped bit but those outside the checksum", () => {
    const sound = encodeRecordBatch({
      records: [{ key: new Uint8Array([1]), value: new Uint8Array([2, 3]) }],
      timestamp: 1,
    });
    for (let at = 17; at < sound.length; at++) {
      const damaged = sound.slice();
      damaged[at] = (damaged[at] ?? 0) ^ 4;
      expect(walk(damaged).failure).not.toBe(null);
    }
  });

  test("refuses a codec it cannot unpack", () => {
    const bytes = encodeRecordBatch({
      records: [{ key: null, value: null }],
      timestamp: 1,
      compression: { ...gzip, codec: Compression.ZSTD },
    });
    expect(walk(bytes).failure).toContain("codec 4");
  });
});
