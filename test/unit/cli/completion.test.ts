/** What may come next on a command line, asked of the real program with a cluster that is made up. */
import { describe, expect, test } from "bun:test";
import { COMMANDS } from "#cli/command-table.ts";
import {
  complete,
  type Completion,
  NOTHING,
  type ValueQuestion,
} from "#cli/completion/complete.ts";
import { valuesFor } from "#cli/completion/value-sources.ts";
import { createProgram } from "#cli/program.ts";
import { fakeIo } from "../../support/fake-io.ts";

const program = createProgram(fakeIo());
for (const command of COMMANDS) (await command.load()).register(program, fakeIo());

/** Completes a line, whose last word may be empty; says what was asked and what was offered. */
async function completed(line: string): Promise<{
  readonly asked: readonly ValueQuestion[];
  readonly words: readonly string[];
  readonly result: Completion;
}> {
  const asked: ValueQuestion[] = [];
  const result = await complete(program, line.split(" "), async (question) => {
    asked.push(question);
    if (question.name === "topic" || question.name === "group")
      return {
        ...NOTHING,
        candidates: ["alpha", "beta", "al\nien"].map((value) => ({ value, description: "" })),
      };
    return valuesFor(question);
  });
  return { asked, words: result.candidates.map(({ value }) => value), result };
}

describe("complete", () => {
  test.each([
    ["topi", ["topic"]],
    ["topic de", ["describe", "delete-records", "delete"]],
    ["--no-color topic al", ["alter"]],
    ["topic describe a", ["alpha"]],
    ["topic describe alpha b", ["beta"]],
    ["topic describe ", ["alpha", "beta"]],
    ["consume --follow -n 5 b", ["beta"]],
    ["consume alpha ", []],
    ["consume alpha --group be", ["beta"]],
    ["consume alpha -g be", ["beta"]],
    ["consume alpha --iso", ["--isolation"]],
    ["consume alpha --isolation=read_c", ["--isolation=read_committed"]],
    ["produce alpha -z g", ["gzip"]],
    ["group list --state stable,em", ["stable,empty"]],
    ["config list cl", ["client-metrics"]],
    ["config describe broker-d", ["broker-defaults"]],
    ["completion f", ["fish"]],
    ["topic create x --config retention.m", ["retention.ms="]],
    ["topic list --no", ["--no-color"]],
    ["topic describe -- -", []],
    ["nonsense x", []],
    ["topic create na", []],
    ["start --nothing=x", []],
  ])("%j", async (line, words) => {
    expect((await completed(line)).words).toEqual(words);
  });

  test("an empty line offers every command", async () => {
    expect(new Set((await completed("")).words)).toEqual(
      new Set(COMMANDS.map(({ words }) => words[0])),
    );
  });

  test("files, and words that go on", async () => {
    const [files, open] = await Promise.all([
      completed("log dump x"),
      completed("start --override log.ret"),
    ]);
    expect([files.result.hasFiles, files.words]).toEqual([true, []]);
    expect([open.result.isOpen, open.words.includes("log.retention.ms=")]).toEqual([true, true]);
  });

  test.each([
    ["topic describe -b b1:1 ", "b1:1"],
    ["topic describe --bootstrap b2:2 ", "b2:2"],
    ["topic describe --bootstrap=b3:3 ", "b3:3"],
    ["topic describe ", null],
  ])("%j is asked of %s", async (line, bootstrap) => {
    const { asked } = await completed(line);
    expect(asked.map((question) => question.bootstrap)).toEqual([bootstrap]);
  });

  test("a cluster that is not there is passed over", async () => {
    const question = { name: "topic", command: "topic describe", before: [], partial: "" };
    expect(await valuesFor({ ...question, bootstrap: "127.0.0.1:1" })).toEqual(NOTHING);
    expect(await valuesFor({ ...question, bootstrap: ":::" })).toEqual(NOTHING);
  });
});
