/** The table of error paths against the generated messages, and counting by it. */
import { describe, expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { ERROR_PATHS, ResponseErrors } from "../../../src/server/response-errors.ts";

const generated = join(import.meta.dir, "../../../src/protocol/generated");

/** Paths of `errorCode` in the response of one generated file, read from its interfaces. */
function pathsOf(text: string): { key: number; paths: string[] } | null {
  const key = /^ {2}key: (\d+),$/m.exec(text)?.[1];
  const fields = new Map<string, Map<string, string>>();
  for (const [, name, body] of text.matchAll(/^export interface (\w+) \{\n([\s\S]*?)^\}/gm)) {
    const types = new Map<string, string>();
    for (const [, field, type] of (body ?? "").matchAll(/^ {2}(\w+): ([^;]+);$/gm))
      types.set(field ?? "", type ?? "");
    fields.set(name ?? "", types);
  }
  const response = /ApiMessages<\w+, (\w+)>/.exec(text)?.[1];
  if (key === undefined || response === undefined) return null;
  const paths: string[] = [];
  const visit = (name: string, path: readonly string[]): void => {
    for (const [field, type] of fields.get(name) ?? []) {
      if (field === "errorCode") paths.push(path.join("."));
      const inner = /^(\w+)(?:\[\])?(?: \| null)?$/.exec(type)?.[1] ?? "";
      if (fields.has(inner)) visit(inner, [...path, field]);
    }
  };
  visit(response, []);
  return { key: Number(key), paths };
}

describe("the table", () => {
  test("holds every errorCode of every response", () => {
    const expected: Record<number, string[]> = {};
    for (const file of readdirSync(generated).filter((name) => name.endsWith(".ts"))) {
      const found = pathsOf(readFileSync(join(generated, file), "utf8"));
      if (found !== null && found.paths.length > 0) expected[found.key] = found.paths.sort();
    }
    expect(Object.keys(expected).length).toBeGreaterThan(50);
    const actual = Object.fromEntries(
      Object.entries(ERROR_PATHS).map(([key, paths]) => [key, [...paths].sort()]),
    );
    expect(actual).toEqual(expected);
  });
});

describe("counting", () => {
  const countOf = (apiKey: number, response: unknown): [number, number][] => {
    const counted: [number, number][] = [];
    new ResponseErrors((key, code) => void counted.push([key, code])).count(apiKey, response);
    return counted;
  };
  test("Produce and Fetch by partition, others by path, NONE never", () => {
    expect(
      countOf(0, { responses: [{ partitionResponses: [{ errorCode: 3 }, { errorCode: 0 }] }] }),
    ).toEqual([[0, 3]]);
    expect(
      countOf(1, {
        errorCode: 70,
        responses: [{ partitions: [{ errorCode: 1 }, { errorCode: 0 }] }],
      }),
    ).toEqual([
      [1, 70],
      [1, 1],
    ]);
    expect(
      countOf(3, {
        errorCode: 0,
        topics: [{ errorCode: 3, partitions: [{ errorCode: 5 }, null] }],
      }),
    ).toEqual([
      [3, 3],
      [3, 5],
    ]);
    expect(countOf(12, { errorCode: 25 })).toEqual([[12, 25]]);
  });
  test("does not fail on a response it does not know", () => {
    expect(countOf(3, { topics: "x" })).toEqual([]);
    expect(countOf(3, null)).toEqual([]);
    expect(countOf(120, { errorCode: 3 })).toEqual([]);
  });
});
