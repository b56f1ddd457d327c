/** From arguments to commands, failures and exit codes, without a process. */
import { describe, expect, test } from "bun:test";
import { runCommandLine } from "#cli/command-line.ts";
import { COMMANDS, findCommand } from "#cli/command-table.ts";
import { fakeIo, type FakeIo } from "../../support/fake-io.ts";

async function run(...args: readonly string[]): Promise<FakeIo> {
  const io = fakeIo();
  await runCommandLine(args, io);
  return io;
}

describe("the command line", () => {
  test("finds a command among options", () => {
    expect(
      [["start"], ["--no-color", "start", "x"], ["topic"], ["nothing"], []].map(
        (args) => findCommand(args)?.words.join(" ") ?? null,
      ),
    ).toEqual(["start", "start", null, null, null]);
  });

  test("every command has help with examples and a description", async () => {
    for (const { words } of COMMANDS) {
      const io = await run(...words, "--help");
      expect([
        words,
        io.exitCode,
        io.err,
        io.out.includes(`Usage: sluice ${words.join(" ")}`),
      ]).toEqual([words, 0, "", true]);
      expect([words, /Examples:\n {2}# .+\n {2}(.*\| )?sluice /.test(io.out)]).toEqual([
        words,
        true,
      ]);
    }
  });

  test("help names every command, with and without the word", async () => {
    const helps = await Promise.all([run(), run("--help"), run("help"), run("--no-color")]);
    expect(new Set(helps.map(({ out }) => out)).size).toBe(1);
    const text = helps[0]?.out ?? "";
    for (const { words } of COMMANDS) expect(text).toContain(`\n  ${words[0]}`);
  });

  test.each([
    [["--version"], "sluice 1.2.3\n"],
    [["-V"], "sluice 1.2.3\n"],
    [["version"], "sluice 1.2.3\n"],
  ])("%j tells the version", async (args, expected) => {
    const io = await run(...args);
    expect([io.exitCode, io.out, io.err]).toEqual([0, expected, ""]);
  });

  test.each([
    [
      ["strat"],
      "sluice: unknown command 'strat' (Did you mean start?)\n        'sluice --help' shows what there is.\n",
    ],
    [
      ["start", "--overide", "a=b"],
      "sluice: unknown option '--overide' (Did you mean --override?)\n        'sluice start --help' shows what there is.\n",
    ],
    [
      ["topic", "lst"],
      "sluice: unknown command 'lst' (Did you mean list?)\n        'sluice topic --help' shows what there is.\n",
    ],
    [["start", "--override", "nonsense"], "sluice: --override wants KEY=VALUE, not 'nonsense'\n"],
  ])("%j is not understood", async (args, expected) => {
    const io = await run(...args);
    expect([io.exitCode, io.out, io.err]).toEqual([2, "", expected]);
  });
});
