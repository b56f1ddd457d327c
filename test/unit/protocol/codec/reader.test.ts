import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { decodeText, DEFAULT_ELEMENT_BUDGET, Reader } from "#protocol/codec/reader.ts";
import { Writer } from "#protocol/codec/writer.ts";

function readerOf(...bytes: number[]): Reader {
  return new Reader(Uint8Array.from(bytes));
}

/** Reads once and tells value, failure and what is left. */
function outcome(bytes: number[], read: (reader: Reader) => unknown): unknown {
  const reader = readerOf(...bytes);
  const value = read(reader);
  return { value, failure: reader.failure, remaining: reader.remaining };
}

describe("numbers", () => {
  test("int64 saturates outside what a number holds", () => {
    const read = (text: string): number => new Reader(Uint8Array.fromHex(text)).int64();
    expect(read("7fffffffffffffff")).toBe(Number.MAX_SAFE_INTEGER);
    expect(read("0020000000000000")).toBe(Number.MAX_SAFE_INTEGER);
    expect(read("001fffffffffffff")).toBe(Number.MAX_SAFE_INTEGER);
    expect(read("001ffffffffffffe")).toBe(Number.MAX_SAFE_INTEGER - 1);
    expect(read("8000000000000000")).toBe(Number.MIN_SAFE_INTEGER);
    expect(read("ffe0000000000000")).toBe(Number.MIN_SAFE_INTEGER);
    expect(read("ffe0000000000001")).toBe(Number.MIN_SAFE_INTEGER);
    expect(read("ffe0000000000002")).toBe(Number.MIN_SAFE_INTEGER + 1);
    expect(read("ffffffffffffffff")).toBe(-1);
    expect(new Reader(Uint8Array.fromHex("7fffffffffffffff")).bigint64()).toBe(2n ** 63n - 1n);
  });

  test("varints: five bytes at most, read as int32", () => {
    const unsigned = (reader: Reader): number => reader.unsignedVarint();
    expect(outcome([0x00], unsigned)).toEqual({ value: 0, failure: null, remaining: 0 });
    expect(outcome([0xac, 0x02], unsigned)).toEqual({ value: 300, failure: null, remaining: 0 });
    expect(outcome([0xff, 0xff, 0xff, 0xff, 0x07], unsigned)).toMatchObject({ value: 2 ** 31 - 1 });
    expect(outcome([0xff, 0xff, 0xff, 0xff, 0x0f], unsigned)).toMatchObject({
      value: -1,
      failure: null,
    });
    expect(outcome([0x80, 0x80, 0x80, 0x80, 0x80, 0x00], unsigned)).toMatchObject({
      value: 0,
      failure: "varint is longer than five bytes at byte 0",
    });
    expect(outcome([0x80], unsigned)).toMatchObject({
      failure: "message ends inside varint at byte 0",
    });
  });

  test("varint and varlong read back what was written", () => {
    const limit = Number.MAX_SAFE_INTEGER - 1;
    fc.assert(
      fc.property(fc.integer(), fc.integer({ min: -limit, max: limit }), (short, long) => {
        const writer = new Writer();
        writer.varint(short);
        writer.varlong(long);
        const reader = new Reader(writer.bytes());
        expect([reader.varint(), reader.varlong(), reader.remaining, reader.failure]).toEqual([
          short,
          long,
          0,
          null,
        ]);
      }),
    );
  });

  test("varlong saturates, and ends after ten bytes", () => {
    const largest = [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
    expect(outcome(largest, (reader) => reader.varlong())).toMatchObject({
      value: Number.MAX_SAFE_INTEGER,
    });
    const smallest = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
    expect(outcome(smallest, (reader) => reader.varlong())).toMatchObject({
      value: Number.MIN_SAFE_INTEGER,
    });
    expect(outcome(Array<number>(11).fill(0x80), (reader) => reader.varlong())).toMatchObject({
      failure: "varint is longer than ten bytes at byte 0",
    });
    expect(outcome([], (reader) => reader.varlong())).toMatchObject({
      failure: "message ends inside varint at byte 0",
    });
  });
});

describe("failure", () => {
  test("is the first one, and every later read answers zero", () => {
    const reader = readerOf(0, 5, 1, 2);
    reader.int16();
    expect(reader.int32()).toBe(0);
    expect(reader.failure).toBe("message ends inside int32 at byte 2");
    expect([
      reader.bool(),
      reader.int8(),
      reader.int16(),
      reader.uint16(),
      reader.int32(),
      reader.uint32(),
      reader.int64(),
      reader.bigint64(),
      reader.float64(),
      reader.uuid(),
      reader.unsignedVarint(),
      reader.string(),
      reader.compactString(),
      reader.byteArray().length,
      reader.compactBytes().length,
      reader.arrayCount(1),
      reader.compactArrayCount(1),
      reader.tagCount(),
    ]).toEqual([
      false,
      0,
      0,
      0,
      0,
      0,
      0,
      0n,
      0,
      "AAAAAAAAAAAAAAAAAAAAAA",
      0,
      "",
      "",
      0,
      0,
      0,
      0,
      0,
    ]);
    expect(reader.failure).toBe("message ends inside int32 at byte 2");
    reader.reset(Uint8Array.of(7));
    expect([reader.failure, reader.int8()]).toEqual([null, 7]);
  });
});

describe("strings and bytes", () => {
  test("null where none may be is a failure, and null otherwise", () => {
    expect(outcome([0xff, 0xff], (reader) => reader.string())).toMatchObject({
      value: "",
      failure: "string that must not be null is null at byte 2",
    });
    expect(outcome([0xff, 0xff], (reader) => reader.nullableString())).toMatchObject({
      value: null,
      failure: null,
    });
    expect(outcome([0x80, 0x00], (reader) => reader.nullableString())).toMatchObject({
      value: null,
      failure: null,
    });
    expect(outcome([0x00], (reader) => reader.compactString())).toMatchObject({ value: "" });
    expect(outcome([0x00], (reader) => reader.compactNullableString())).toMatchObject({
      value: null,
      failure: null,
    });
    expect(outcome([0xff, 0xff, 0xff, 0xff], (reader) => reader.nullableBytes())).toMatchObject({
      value: null,
    });
    expect(outcome([0x00], (reader) => reader.compactBytes())).toMatchObject({
      failure: "bytes that must not be null are null at byte 1",
    });
  });

  test("a length past the message is a failure before anything is allocated", () => {
    expect(outcome([0x00, 0x05, 0x61], (reader) => reader.string())).toMatchObject({
      failure: "string runs past the message at byte 2",
    });
    expect(outcome([0x7f, 0xff, 0xff, 0xff], (reader) => reader.byteArray())).toMatchObject({
      failure: "bytes run past the message at byte 4",
    });
  });

  test("a string longer than the protocol allows is a failure", () => {
    const bytes = new Uint8Array(40_000).fill(0x61);
    bytes.set([0x81, 0x80, 0x02]); // 32769 - 1
    expect(new Reader(bytes).compactString()).toBe("");
    bytes.set([0x80, 0x80, 0x02]);
    expect(new Reader(bytes).compactString().length).toBe(0x7fff);
  });

  test("bytes are a view of the message", () => {
    const bytes = Uint8Array.of(0, 0, 0, 2, 8, 9, 10);
    const view = new Reader(bytes).byteArray();
    bytes[4] = 1;
    expect(view).toEqual(Uint8Array.of(1, 9));
  });

  test("text decodes as UTF-8 of any length", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 60 }), (text) => {
        const bytes = new TextEncoder().encode(text);
        expect(decodeText(bytes, 0, bytes.length)).toBe(text);
      }),
    );
  });

  test("a string read before does not stand for another one", () => {
    const short = fc.uint8Array({ maxLength: 3 });
    fc.assert(
      fc.property(fc.array(fc.oneof(short, fc.uint8Array({ maxLength: 140 }))), (texts) => {
        for (const text of [...texts, ...texts]) {
          const reader = readerOf(text.length >> 8, text.length & 255, ...text);
          expect(reader.string()).toBe(decodeText(text, 0, text.length));
          expect(reader.remaining).toBe(0);
        }
      }),
      { numRuns: 500 },
    );
  });

  test.each([
    ["efbbbf61", "\ufeffa"],
    ["61ff62", "a\ufffdb"],
    ["eda080", "\ufffd"],
    ["eda08062", "\ufffdb"],
    ["eda0", "\ufffd"],
    ["ed", "\ufffd"],
    ["61edbfbfeda08162edbf", "a\ufffd\ufffdb\ufffd"],
    ["ed9fbf", "\ud7ff"],
    ["f09f98", "\ufffd"],
    ["c080", "\ufffd\ufffd"],
    ["f4908080", "\ufffd\ufffd\ufffd\ufffd"],
  ])("malformed %s decodes as Java does", (hex, text) => {
    const bytes = Uint8Array.fromHex(hex);
    expect(decodeText(bytes, 0, bytes.length)).toBe(text);
  });
});

describe("arrays", () => {
  test("a count must fit into the bytes that are left", () => {
    expect(outcome([0, 0, 0, 2, 1, 2], (reader) => reader.arrayCount(1))).toMatchObject({
      value: 2,
      failure: null,
    });
    expect(outcome([0, 0, 0, 2, 1, 2], (reader) => reader.arrayCount(2))).toMatchObject({
      value: 0,
      failure: "array count runs past the message at byte 4",
    });
    expect(
      outcome([0x7f, 0xff, 0xff, 0xff], (reader) => reader.nullableArrayCount(1)),
    ).toMatchObject({ value: 0 });
    expect(
      outcome([0xff, 0xff, 0xff, 0xfe], (reader) => reader.nullableArrayCount(1)),
    ).toMatchObject({
      value: -1,
      failure: null,
    });
    expect(outcome([0xff, 0xff, 0xff, 0xff], (reader) => reader.arrayCount(1))).toMatchObject({
      failure: "array that must not be null is null at byte 4",
    });
    expect(outcome([0x00], (reader) => reader.compactNullableArrayCount(1))).toMatchObject({
      value: -1,
    });
  });

  test("all arrays together stay within the budget", () => {
    const reader = new Reader(new Uint8Array(100).fill(3));
    reader.elementBudget = 5;
    expect([
      reader.compactArrayCount(1),
      reader.compactArrayCount(1),
      reader.compactArrayCount(1),
    ]).toEqual([2, 2, 0]);
    expect(reader.failure).toBe("message has too many array elements at byte 3");
  });
});

test("a frame full of empty elements is refused before they are read", () => {
  const count = DEFAULT_ELEMENT_BUDGET + 1;
  const bytes = new Uint8Array(2 * count + 4);
  new DataView(bytes.buffer).setInt32(0, count);
  const reader = new Reader(bytes);
  expect(reader.arrayCount(2)).toBe(0);
  expect(reader.failure).toBe("message has too many array elements at byte 4");
});

describe("tagged fields", () => {
  test("unknown ones are skipped", () => {
    expect(outcome([2, 0, 1, 9, 5, 2, 8, 8, 77], (reader) => reader.skipTags())).toMatchObject({
      failure: null,
      remaining: 1,
    });
  });

  test.each([
    ["more than there is room for", [100, 1, 0]],
    ["a negative number of them", [0xff, 0xff, 0xff, 0xff, 0x0f]],
    ["a size past the message", [1, 0, 9, 1]],
    ["a negative size", [1, 0, 0xff, 0xff, 0xff, 0xff, 0x0f]],
    ["cut off", [1, 0]],
  ])("%s is a failure", (_what, bytes) => {
    const reader = readerOf(...bytes);
    reader.skipTags();
    expect(reader.failure).not.toBeNull();
  });
});
