import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { encodeRecordBatch } from "#protocol/records/record-batch.ts";
import { BatchBuilder, RecordBlock } from "#protocol/records/record-block.ts";

const someBytes = fc.oneof(
  fc.uint8Array({ maxLength: 70 }),
  fc.integer({ min: 0, max: 9000 }).map((length) => new Uint8Array(length).fill(length & 255)),
);
const record = fc.record({ key: someBytes, value: fc.option(someBytes, { nil: null }) });

describe("a batch built from blocks", () => {
  test("is what encoding its records at once gives, and as large as foretold", () => {
    const property = fc.property(
      fc.array(fc.array(record, { maxLength: 20 }), { minLength: 1, maxLength: 8 }),
      (blocks) => {
        const builder = new BatchBuilder();
        const block = new RecordBlock();
        for (const records of blocks) {
          block.reset();
          for (const { key, value } of records) {
            block.writer.raw(key);
            block.endKey();
            if (value !== null) block.writer.raw(value);
            block.endValue(value === null);
          }
          expect(block.count).toBe(records.length);
          const half = records.length >> 1;
          const foretold = builder.sizeWith(block, 0, records.length);
          builder.add(block, 0, half);
          builder.add(block, half, records.length);
          expect(builder.sizeBytes).toBe(foretold);
        }
        const all = blocks.flat();
        fc.pre(all.length > 0);
        const expected = encodeRecordBatch({ records: all, timestamp: 1_700_000_000_000 });
        expect(builder.build(1_700_000_000_000)).toEqual(expected);
        expect(builder.count).toBe(all.length);
      },
    );
    fc.assert(property, { numRuns: 200 });
  });

  test("of very many records", () => {
    const builder = new BatchBuilder();
    const block = new RecordBlock();
    const records = Array.from({ length: 20_000 }, (_, index) => {
      const key = new Uint8Array([index & 255]);
      block.writer.raw(key);
      block.endKey();
      block.endValue(true);
      return { key, value: null };
    });
    builder.add(block, 0, records.length);
    expect(builder.build(5)).toEqual(encodeRecordBatch({ records, timestamp: 5 }));
  });
});
