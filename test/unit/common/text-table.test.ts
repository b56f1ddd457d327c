import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { TextTable } from "#common/text-table.ts";

const encoder = new TextEncoder();

describe("a table of texts", () => {
  test("gives the text of the bytes, whatever came before", () => {
    const property = fc.property(
      fc.array(fc.oneof(fc.string({ maxLength: 6 }), fc.string({ unit: "grapheme" }))),
      (texts) => {
        const table = new TextTable((bytes, start, end) =>
          new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes.subarray(start, end)),
        );
        for (const text of [...texts, ...texts]) {
          const bytes = encoder.encode(`<${text}>`);
          expect(table.intern(bytes, 1, bytes.length - 1)).toBe(text);
        }
      },
    );
    fc.assert(property);
  });

  test("decodes a known name once, through many others", () => {
    let decoded = 0;
    const table = new TextTable((bytes, start, end) => {
      decoded += 1;
      return String.fromCharCode(...bytes.subarray(start, end));
    });
    const names = Array.from({ length: 1000 }, (_, index) => encoder.encode(`topic-${index}`));
    for (let round = 0; round < 3; round++) {
      for (const [index, name] of names.entries())
        expect(table.intern(name, 0, name.length)).toBe(`topic-${index}`);
    }
    expect(decoded).toBe(1000);
  });
});
