/** Records as lines, as templates and as JSON, and where reading begins. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { compileFormat } from "#cli/consume/record-format.ts";
import { parseStartPosition } from "#cli/consume/start-position.ts";
import { UsageError } from "#cli/failure.ts";
import { recordFromJson, recordToJson } from "#cli/json-record.ts";
import { readInteger, readPair, unescapeText } from "#cli/option-values.ts";
import { readLines } from "#cli/produce/lines.ts";
import type { LogRecord } from "#protocol/records/record-batch.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const record = (init: Partial<LogRecord>): LogRecord => ({
  offset: 5,
  timestamp: 1_000,
  key: null,
  value: null,
  headers: [],
  ...init,
});
const formatted = (template: string, init: Partial<LogRecord>): string =>
  Buffer.concat(compileFormat(template, "t")(record(init), 2)).toString();

async function* pieces(all: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < all.length; at += size) yield all.slice(at, at + size);
}

async function linesOf(text: string, size: number, max = 1_000): Promise<readonly string[]> {
  const lines: string[] = [];
  for await (const line of readLines(pieces(bytes(text), size), max))
    lines.push(new TextDecoder().decode(line));
  return lines;
}

describe("lines", () => {
  test("are the same however the input is cut", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.string()),
        fc.integer({ min: 1, max: 9 }),
        async (parts, size) => {
          const lines = parts.map((part) => part.replaceAll("\n", ""));
          expect(await linesOf(lines.map((line) => `${line}\n`).join(""), size)).toEqual(lines);
        },
      ),
    );
  });
  test("a last one without its end counts; one that is too long is an error", async () => {
    expect(await linesOf("a\n\nb", 2)).toEqual(["a", "", "b"]);
    expect(linesOf("aaaa", 2, 3)).rejects.toThrow("a line is longer than 3 bytes");
  });
});

test("a template has kcat's letters and escapes", () => {
  const headers = [
    { key: "h", value: bytes("1") },
    { key: "n", value: null },
  ];
  expect([
    formatted("%t %p %o %T %k %s\\n", { key: bytes("k"), value: bytes("v") }),
    formatted("%K %S [%k] [%s] {%h}", {}),
    formatted("%K %S {%h} 100%%\\t\\x41\\\\", { key: bytes(""), value: bytes("é"), headers }),
  ]).toEqual(["t 2 5 1000 k v\n", "-1 -1 [] [] {}", "0 2 {h=1,n=NULL} 100%\tA\\"]);
  expect(() => compileFormat("%q", "t")).toThrow(UsageError);
  expect(() => compileFormat("end%", "t")).toThrow(UsageError);
});

describe("JSON", () => {
  const anyBytes = fc.option(fc.uint8Array({ maxLength: 20 }), { nil: null });
  test("brings every record back", () => {
    fc.assert(
      fc.property(
        anyBytes,
        anyBytes,
        fc.array(fc.record({ key: fc.string(), value: anyBytes }), { maxLength: 3 }),
        (key, value, headers) => {
          const wanted = { key, value, headers, timestamp: 1_000 };
          const text = JSON.stringify(recordToJson("t", 2, record(wanted)));
          expect(recordFromJson(text)).toEqual({ record: wanted, partition: 2 });
        },
      ),
    );
  });
  test("is generous with what people write", () => {
    expect(
      recordFromJson('{"value":{"a":[1]},"headers":{"h":"x"},"timestamp":"1970-01-01T00:00:01Z"}'),
    ).toEqual({
      record: {
        key: null,
        value: bytes('{"a":[1]}'),
        headers: [{ key: "h", value: bytes("x") }],
        timestamp: 1_000,
      },
      partition: null,
    });
  });
  test.each([
    ["", "is not JSON"],
    ["[]", "is not a JSON object"],
    ['{"keyBase64":"~"}', "has a keyBase64 that is not base64"],
    ['{"valueBase64":7}', "has a valueBase64 that is not base64"],
    ['{"headers":"x"}', "has headers that are neither a list nor an object"],
    ['{"headers":[{}]}', "has a header without a key"],
    ['{"timestamp":"soon"}', "has a timestamp that is neither milliseconds nor a date"],
    ['{"partition":-1}', "has a partition that is no whole number"],
  ])("%s %s", (text, expected) => {
    expect(recordFromJson(text)).toBe(expected);
  });
});

test("--from", () => {
  expect(
    ["beginning", "end", "0", "17", "-3", "2026-01-31", "2026-01-31T12:00:00Z"].map(
      parseStartPosition,
    ),
  ).toEqual([
    { kind: "beginning" },
    { kind: "end" },
    { kind: "offset", offset: 0 },
    { kind: "offset", offset: 17 },
    { kind: "last", count: 3 },
    { kind: "time", timestampMs: Date.parse("2026-01-31") },
    { kind: "time", timestampMs: Date.parse("2026-01-31T12:00:00Z") },
  ]);
  for (const text of ["", "soon", "1.5", "--3", "99999999999999999", "January 1", "2026-13-45"])
    expect(() => parseStartPosition(text)).toThrow(UsageError);
});

test("values of options are read strictly", () => {
  expect([
    readInteger("--n", "12", { min: 0 }),
    readPair("--h", "a=b=c"),
    readPair("--h", "a="),
  ]).toEqual([12, ["a", "b=c"], ["a", ""]]);
  for (const text of ["", "1e3", "0x1", "-1", "1.0", "99", " 1"])
    expect(() => readInteger("--n", text, { min: 0, max: 9 })).toThrow(UsageError);
  expect(() => readPair("--h", "=x")).toThrow(UsageError);
  expect(unescapeText("a\\tb\\x41\\q\\0")).toBe("a\tbA\\q\0");
});
