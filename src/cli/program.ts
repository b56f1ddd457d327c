/**
 * The parser, dressed: commander with our streams, our colours and our way to fail. It never ends the process; it throws, and
 * `src/cli/command-line.ts` says how that ends.
 */
import { Command } from "commander";
import type { CommandIo } from "./command-io.ts";
import { GROUPS } from "./command-table.ts";
import { styleOf } from "./output.ts";
import { wrapText } from "./wrap-text.ts";

const MAX_HELP_WIDTH = 100;

/** An empty program; commands add themselves to it. */
export function createProgram(io: CommandIo): Command {
  const program = new Command("sluice");
  const style = styleOf(io.stdout);
  const write = (text: string): void => {
    io.stdout.write(text).catch(() => {});
  };
  program
    .description("Sluice, a broker for Apache Kafka clients")
    .version(`sluice ${io.version}`, "-V, --version", "show the version")
    .helpOption("-h, --help", "show help")
    .helpCommand(false)
    .option("--no-color", "no colour, also on a terminal")
    .showSuggestionAfterError(true)
    .exitOverride()
    .configureOutput({
      writeOut: write,
      // Help that stands in for a missing word goes to where errors go.
      writeErr: (text) => {
        io.stderr.write(text).catch(() => {});
      },
      outputError: () => {},
      getOutHelpWidth: () => helpWidth(io.stdout.width),
      getErrHelpWidth: () => helpWidth(io.stderr.width),
      getOutHasColors: () => io.stdout.hasColor,
      getErrHasColors: () => io.stderr.hasColor,
    })
    .configureHelp({
      styleTitle: style.bold,
      styleSubcommandText: style.cyan,
      styleOptionText: style.cyan,
      subcommandTerm: (command) => command.name(),
      showGlobalOptions: true,
      visibleGlobalOptions: (command) =>
        command.parent === null ? [] : program.options.filter(({ long }) => long === "--no-color"),
    });
  addExamples(program, io, [
    ["sluice start", "a broker on 127.0.0.1:9092, data in ./data"],
    ["echo hello | sluice produce greetings", "write a record"],
    ["sluice consume greetings", "read what there is"],
    ["sluice doctor", "what is wrong, and what to do"],
    ["sluice topic create --help", "each command has its own help"],
  ]);
  return program;
}

/** The command of a group's first word, made on first use. */
export function groupOf(program: Command, name: string): Command {
  const found = program.commands.find((command) => command.name() === name);
  if (found !== undefined) return found;
  return program
    .command(name)
    .description(GROUPS[name] ?? "")
    .helpCommand(false);
}

/** An example of a help text: what is typed, and what it does. */
export type Example = readonly [command: string, what: string];

/** Adds examples under the help of a command. */
export function addExamples(command: Command, io: CommandIo, examples: readonly Example[]): void {
  const style = styleOf(io.stdout);
  const lines = examples.map(([typed, what]) => `  ${style.dim(`# ${what}`)}\n  ${typed}`);
  command.addHelpText("after", `\n${style.bold("Examples:")}\n${lines.join("\n")}`);
}

/** Adds paragraphs under the options of a command, one a line of `text`, wrapped to the terminal. */
export function addNotes(command: Command, io: CommandIo, paragraphs: readonly string[]): void {
  const width = helpWidth(io.stdout.width);
  command.addHelpText("after", `\n${paragraphs.map((text) => wrapText(text, width)).join("\n")}`);
}

/** Long lines are hard to read, however wide the terminal is. */
function helpWidth(columns: number): number {
  return Math.min(columns, MAX_HELP_WIDTH);
}

/** Gathers the values of an option that may be given several times. */
export function collect(value: string, previous: readonly string[] | undefined): readonly string[] {
  return [...(previous ?? []), value];
}
