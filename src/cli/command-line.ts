/**
 * From arguments to a command and from its end to an exit code: the one place where failures become text.
 *
 * Exit codes: 0 done; 1 understood, but it did not work; 2 not understood.
 */
import type { CommandIo } from "./command-io.ts";
import { type CommandEntry, COMMANDS, findCommand } from "./command-table.ts";
import { ClosedOutputError, CommandError, ExitCode } from "./failure.ts";
import { formatFailure, styleOf } from "./output.ts";
import { readPlainStart } from "./start/plain-arguments.ts";

/** Runs the command that `args` name. Never throws for what a person or a broker can cause; sets the exit code instead. */
export async function runCommandLine(args: readonly string[], io: CommandIo): Promise<void> {
  const words = withHelpLast(args);
  const entry = findCommand(words);
  try {
    if (words.length === 1 && (words[0] === "--version" || words[0] === "-V")) {
      await io.stdout.write(`sluice ${io.version}\n`);
      return;
    }
    if (words[0] === "__complete") {
      const { runComplete } = await import("./completion/run-completion.ts");
      await runComplete(words.slice(1), io);
      return;
    }
    const start = readPlainStart(words);
    if (start !== null) {
      const { runStart } = await import("./start/run-start.ts");
      await runStart(start, io);
      return;
    }
    const { createProgram } = await import("./program.ts");
    const program = createProgram(io);
    const modules =
      entry === null
        ? await Promise.all(COMMANDS.map((command) => command.load()))
        : await Promise.all(familyOf(entry).map((command) => command.load()));
    for (const { register } of modules) register(program, io);
    if (words.every((word) => word === "--no-color")) program.outputHelp();
    else await program.parseAsync(words, { from: "user" });
  } catch (error) {
    await tellFailure(error, entry?.words.join(" ") ?? groupIn(words), io);
  }
}

/** A command; with those of two words that begin with its only one. */
function familyOf(entry: CommandEntry): readonly CommandEntry[] {
  return entry.words.length > 1
    ? [entry]
    : COMMANDS.filter(({ words }) => words[0] === entry.words[0]);
}

/** `help topic create` is `topic create --help`; `version` is `--version`. */
function withHelpLast(args: readonly string[]): readonly string[] {
  if (args[0] === "help") return [...args.slice(1), "--help"];
  return args[0] === "version" ? ["--version"] : args;
}

/** The group that was called, when its second word is not known. */
function groupIn(words: readonly string[]): string | null {
  const first = words.find((word) => !word.startsWith("-"));
  return COMMANDS.some((command) => command.words.length > 1 && command.words[0] === first)
    ? (first ?? null)
    : null;
}

async function tellFailure(error: unknown, command: string | null, io: CommandIo): Promise<void> {
  if (error instanceof ClosedOutputError) return;
  if (isParserError(error)) {
    if (error.exitCode === 0) return;
    io.setExitCode(ExitCode.USAGE);
    // A group without its second word: its help was shown.
    if (error.code === "commander.help") return;
    const sentence = error.message.replace(/^error: /, "").replaceAll("\n", " ");
    const help = `sluice ${command === null ? "" : `${command} `}--help`;
    await tell(sentence, [`'${help}' shows what there is.`], io);
    return;
  }
  if (!(error instanceof CommandError)) throw error;
  io.setExitCode(error.exitCode);
  await tell(error.message, error.remedies, io);
}

/** Known by its shape: its class would have to be loaded for every start. */
function isParserError(
  error: unknown,
): error is Error & { readonly code: string; readonly exitCode: number } {
  return (
    error instanceof Error &&
    "code" in error &&
    typeof error.code === "string" &&
    error.code.startsWith("commander.") &&
    "exitCode" in error
  );
}

async function tell(message: string, remedies: readonly string[], io: CommandIo): Promise<void> {
  try {
    await io.stderr.write(formatFailure(message, remedies, styleOf(io.stderr)));
  } catch {
    // Nobody listens; the exit code says it.
  }
}
