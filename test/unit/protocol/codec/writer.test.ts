import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { Reader } from "#protocol/codec/reader.ts";
import { EncodeError, Writer } from "#protocol/codec/writer.ts";

function written(write: (writer: Writer) => void): string {
  // One byte to begin with, so that every write also grows the buffer.
  const writer = new Writer(1);
  write(writer);
  return writer.bytes().toHex();
}

describe("Writer", () => {
  test("writes every primitive while it grows", () => {
    expect(written((writer) => writer.bool(true))).toBe("01");
    expect(written((writer) => writer.int8(-1))).toBe("ff");
    expect(written((writer) => writer.int16(-2))).toBe("fffe");
    expect(written((writer) => writer.uint16(0xfffe))).toBe("fffe");
    expect(written((writer) => writer.int32(-2))).toBe("fffffffe");
    expect(written((writer) => writer.uint32(0xfffffffe))).toBe("fffffffe");
    expect(written((writer) => writer.float64(1.5))).toBe("3ff8000000000000");
    expect(written((writer) => writer.bigint64(-1n))).toBe("ffffffffffffffff");
    expect(written((writer) => writer.string("é"))).toBe("0002c3a9");
    expect(written((writer) => writer.nullableString(null))).toBe("ffff");
    expect(written((writer) => writer.compactString(""))).toBe("01");
    expect(written((writer) => writer.compactNullableString(null))).toBe("00");
    expect(written((writer) => writer.byteArray(Uint8Array.of(7)))).toBe("0000000107");
    expect(written((writer) => writer.compactNullableBytes(null))).toBe("00");
    expect(written((writer) => writer.arrayCount(-1))).toBe("ffffffff");
    expect(written((writer) => writer.compactArrayCount(-1))).toBe("00");
    expect(written((writer) => writer.uuid("AAAAAAAAAAAAAAAAAAAAAQ"))).toBe(
      "00000000000000000000000000000001",
    );
  });

  test("int64 is exact within what a number holds and the ends of the range beyond", () => {
    const limit = Number.MAX_SAFE_INTEGER - 1;
    fc.assert(
      fc.property(fc.integer({ min: -limit, max: limit }), (value) => {
        const hex = written((writer) => writer.int64(value));
        expect(new Reader(Uint8Array.fromHex(hex)).bigint64()).toBe(BigInt(value));
      }),
    );
    expect(written((writer) => writer.int64(Number.MAX_SAFE_INTEGER))).toBe("7fffffffffffffff");
    expect(written((writer) => writer.int64(Number.MIN_SAFE_INTEGER))).toBe("8000000000000000");
  });

  test("text is UTF-8, with a lone surrogate as Java writes it", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 200 }), (text) => {
        const writer = new Writer(1);
        writer.compactString(text);
        const reader = new Reader(writer.bytes());
        expect([reader.compactString(), reader.remaining]).toEqual([text, 0]);
      }),
    );
    expect(written((writer) => writer.compactString("a\ud800b\udc00"))).toBe("05613f623f");
  });

  test.each([0, 1, 126, 127, 128, 16_382, 16_383, 32_767])(
    "a compact string of %d bytes",
    (length) => {
      const writer = new Writer(1);
      writer.compactString("x".repeat(length));
      writer.int8(5);
      const reader = new Reader(writer.bytes());
      expect([reader.compactString().length, reader.int8(), reader.remaining]).toEqual([
        length,
        5,
        0,
      ]);
    },
  );

  test.each([0, 1, 127, 128, 16_383, 16_384, 2_097_152])("a tagged field of %d bytes", (length) => {
    const writer = new Writer(1);
    const mark = writer.beginTag(3);
    writer.raw(new Uint8Array(length).fill(9));
    writer.endTag(mark);
    writer.int8(5);
    const reader = new Reader(writer.bytes());
    expect([reader.unsignedVarint(), reader.unsignedVarint()]).toEqual([3, length]);
    expect(reader.take(length).every((byte) => byte === 9)).toBe(true);
    expect([reader.int8(), reader.remaining]).toEqual([5, 0]);
  });

  test("tagged fields nest", () => {
    const writer = new Writer(1);
    const outer = writer.beginTag(0);
    const inner = writer.beginTag(1);
    writer.raw(new Uint8Array(200));
    writer.endTag(inner);
    writer.endTag(outer);
    const reader = new Reader(writer.bytes());
    expect([0, 0, 0, 0].map(() => reader.unsignedVarint())).toEqual([0, 203, 1, 200]);
    expect(reader.remaining).toBe(200);
  });

  test("a cut leaves out the bytes, and follows when what is before it moves", () => {
    const writer = new Writer();
    writer.records({ row: 4, lengthBytes: 1000 });
    const mark = writer.beginTag(0);
    writer.compactRecords({ row: 5, lengthBytes: 300 });
    writer.raw(new Uint8Array(130));
    writer.endTag(mark);
    expect({ bytes: writer.bytes().toHex().slice(0, 18), cuts: writer.cuts }).toEqual({
      // length 1000, cut · tag 0 · size in two bytes · length 301, cut
      bytes: "000003e8008401ad02",
      cuts: [4, 4, 9, 5],
    });
    writer.reset();
    expect([writer.length, writer.cuts]).toEqual([0, []]);
  });

  test("refuses what cannot be written", () => {
    const writer = new Writer();
    expect(() => writer.string("x".repeat(32_768))).toThrow(EncodeError);
    expect(() => writer.string("é".repeat(20_000))).toThrow("string is longer than 32767 bytes");
    expect(() => writer.uuid("not an id")).toThrow("not an id: not an id");
  });

  test("a writer that grew far starts small again, and works", () => {
    const writer = new Writer();
    writer.raw(new Uint8Array(3_000_000));
    writer.reset();
    writer.string("after");
    expect([writer.bytes().toHex(), writer.bytes().buffer.byteLength]).toEqual([
      "00056166746572",
      1024,
    ]);
  });

  test("a copy outlives the next use, a view does not", () => {
    const writer = new Writer();
    writer.int16(0x0102);
    const copy = writer.toBytes();
    const view = writer.bytes();
    writer.reset();
    writer.int16(0x0304);
    expect([copy.toHex(), view.toHex()]).toEqual(["0102", "0304"]);
  });
});
