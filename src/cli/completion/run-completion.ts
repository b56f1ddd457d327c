/**
 * Both halves of completion: `sluice completion SHELL` prints the script that a shell loads, and what that script calls while somebody
 * types, `sluice __complete -- WORD…`, which prints a candidate a line, with a description after a tab, and at last `:` and what
 * the shell is to do: `none`, `open` (no space after the word) or `files`.
 */
import type { CommandIo, OutputStream } from "../command-io.ts";
import { COMMANDS } from "../command-table.ts";
import { createProgram } from "../program.ts";
import { complete } from "./complete.ts";
import { completionScript, type Shell } from "./scripts.ts";
import { valuesFor } from "./value-sources.ts";

/** Runs `sluice completion`; `launch` is the command line of this program, for a shell that does not find it. */
export async function runCompletion(
  shell: Shell,
  launch: readonly string[],
  io: CommandIo,
): Promise<void> {
  await io.stdout.write(completionScript(shell, launch));
}

/** Answers a shell. Says nothing about what goes wrong: the person is in the middle of a word. */
export async function runComplete(args: readonly string[], io: CommandIo): Promise<void> {
  const words = args[0] === "--" ? args.slice(1) : args;
  const mute: OutputStream = {
    ...io.stderr,
    isTerminal: false,
    hasColor: false,
    write: async () => {},
  };
  const muteIo: CommandIo = { ...io, stdout: mute, stderr: mute };
  const program = createProgram(muteIo);
  for (const { register } of await Promise.all(COMMANDS.map((command) => command.load())))
    register(program, muteIo);
  const { candidates, hasFiles, isOpen } = await complete(program, words, valuesFor);
  const lines = candidates.map(({ value, description }) => `${value}\t${firstLine(description)}\n`);
  const directive = hasFiles ? "files" : isOpen ? "open" : "none";
  await io.stdout.write(`${lines.join("")}:${directive}\n`);
}

function firstLine(description: string): string {
  return description.replaceAll(/\s+/g, " ");
}
