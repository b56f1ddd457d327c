/** The short way to start means the same as the parser's, or leaves it to the parser. */
import { Command } from "commander";
import { expect, test } from "bun:test";
import { readPlainStart } from "#cli/start/plain-arguments.ts";
import { register } from "#cli/commands/start.ts";
import { fakeIo } from "../../support/fake-io.ts";

/** What the parser makes of the same words. */
async function parsed(args: readonly string[]): Promise<unknown> {
  const program = new Command("sluice");
  register(program, fakeIo());
  let seen: unknown = null;
  program.commands[0]?.action(
    (file: string | undefined, options: Readonly<Record<string, unknown>>) => {
      seen = {
        file: file ?? null,
        overrides: options["override"] ?? [],
        logFormat: options["logFormat"],
        logLevel: options["logLevel"],
      };
    },
  );
  await program.parseAsync(args, { from: "user" });
  return seen;
}

test.each([
  [["start"]],
  [["start", "server.properties"]],
  [["start", "--override", "a=b", "file", "--override", "c=d e=f"]],
  [["start", "--log-format", "json", "--log-level", "debug", "--log-level", "warn"]],
])("%j means the same either way", async (args) => {
  const plain = readPlainStart(args);
  expect(plain).not.toBeNull();
  const same: unknown = plain;
  expect(same).toEqual(await parsed(args));
});

test.each([
  [[]],
  [["topic", "list"]],
  [["--no-color", "start"]],
  [["start", "--help"]],
  [["start", "-h"]],
  [["start", "one", "two"]],
  [["start", ""]],
  [["start", "--"]],
  [["start", "--override"]],
  [["start", "--override", "--help"]],
  [["start", "--override=a=b"]],
  [["start", "--log-format", "xml"]],
  [["start", "--overide", "a=b"]],
  [["start", "--toString", "a"]],
])("%j is left to the parser", (args) => {
  expect(readPlainStart(args)).toBeNull();
});
