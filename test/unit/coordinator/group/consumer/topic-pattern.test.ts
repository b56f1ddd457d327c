/** Patterns over topic names: against RE2/J's answers (`test/golden/patterns.tsv`), and what would explode in a backtracking matcher. */
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import {
  compilePattern,
  InvalidPatternError,
  matchingNames,
} from "#coordinator/group/consumer/topic-pattern.ts";

const golden = readFileSync(join(import.meta.dir, "../../../../golden/patterns.tsv"), "utf8");

function answer(source: string, names: readonly string[]): string {
  try {
    return `matches ${matchingNames(compilePattern(source), names).join(" ")}`.trim();
  } catch (error) {
    if (!(error instanceof InvalidPatternError)) throw error;
    return `refused ${error.message}`;
  }
}

test("answers as Kafka's matcher does", () => {
  const [first = "", ...lines] = golden.trimEnd().split("\n");
  const names = first.split(" ");
  const ours = lines.map((line) => {
    const source = line.slice(0, line.lastIndexOf("\t"));
    return `${source}\t${answer(source, names)}`;
  });
  expect(ours).toEqual(lines);
  expect(lines.length).toBeGreaterThan(200);
});

test("a pattern that explodes when backtracking is matched in linear time", () => {
  // Ten thousand names of full length; a backtracking matcher would not finish the first.
  const names = Array.from({ length: 10_000 }, (_, index) => "a".repeat(240) + String(index));
  const pattern = compilePattern("(a+)+(a|aa)*(.*)*!");
  expect(matchingNames(pattern, names)).toEqual([]);
});

test("a pattern that would be huge is refused", () => {
  expect(() => compilePattern("(a{1000}){1000}")).toThrow(
    new InvalidPatternError("too large when compiled"),
  );
  expect(() => compilePattern("a".repeat(32_768))).toThrow(InvalidPatternError);
  expect(() => compilePattern("\u{d800}(")).toThrow(InvalidPatternError);
});

test("no names, and names in their order", () => {
  const pattern = compilePattern("t-[ab]");
  expect(matchingNames(pattern, [])).toEqual([]);
  expect(matchingNames(pattern, ["t-b", "x", "t-a", "t-ab", "t-b2"])).toEqual(["t-b", "t-a"]);
});
