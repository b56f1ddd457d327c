/**
 * What may come next on a command line: read from the program that parses it, so a command that is added is completed by itself. The
 * words before the cursor lead to a command, an option that waits for its value, or an argument; what that is called
 * (`<topic>`, `<file>`) says with what it is completed, in `src/cli/completion/value-sources.ts`.
 */
import type { Argument, Command, Option } from "commander";

/** One word that may be typed. */
export interface Candidate {
  readonly value: string;
  readonly description: string;
}

/** What to offer: words, or names of files. `isOpen`: more is to come right after the word, no space. */
export interface Completion {
  readonly candidates: readonly Candidate[];
  readonly hasFiles: boolean;
  readonly isOpen: boolean;
}

/** What is known where a value is asked for. */
export interface ValueQuestion {
  /** What the argument or the option's value is called in the help. */
  readonly name: string;
  /** The words that lead to the command. */
  readonly command: string;
  /** Arguments of the command before this one. */
  readonly before: readonly string[];
  /** What is typed of it. */
  readonly partial: string;
  /** The value of `--bootstrap`; null when it is not given. */
  readonly bootstrap: string | null;
}

/** Gives the values that a question has. Must not fail. */
export type ValueSource = (question: ValueQuestion) => Promise<Completion>;

/** Nothing to offer. */
export const NOTHING: Completion = { candidates: [], hasFiles: false, isOpen: false };

/** Completes the last of `words`; the ones before it are whole. Offered is only what begins with it. */
export async function complete(
  program: Command,
  words: readonly string[],
  valuesOf: ValueSource,
): Promise<Completion> {
  const place = findPlace(program, words.slice(0, -1));
  const partial = words.at(-1) ?? "";
  const ask = (name: string, text: string): Promise<Completion> =>
    valuesOf({
      name,
      command: place.path.join(" "),
      before: place.arguments,
      partial: text,
      bootstrap: place.bootstrap ?? bootstrapIn(words),
    });
  if (place.option !== null) return beginning(partial, await ask(valueName(place.option), partial));
  if (!place.isPastOptions && partial.startsWith("-")) {
    const assigned = /^(--[^=]+)=(.*)$/s.exec(partial);
    if (assigned === null) return beginning(partial, optionNames(program, place.command));
    const [, flag = "", value = ""] = assigned;
    const option = findOption(program, place.command, flag);
    if (option === null || !takesValue(option)) return NOTHING;
    const values = beginning(value, await ask(valueName(option), value));
    const prefixed = values.candidates.map((candidate) => ({
      ...candidate,
      value: `${flag}=${candidate.value}`,
    }));
    return { ...values, candidates: prefixed };
  }
  if (place.command.commands.length > 0) return beginning(partial, commandNames(place.command));
  const argument = argumentAt(place.command, place.arguments.length);
  return argument === null ? NOTHING : beginning(partial, await ask(argument.name(), partial));
}

interface Place {
  readonly command: Command;
  readonly path: readonly string[];
  readonly arguments: readonly string[];
  /** The option whose value comes next. */
  readonly option: Option | null;
  /** After `--`. */
  readonly isPastOptions: boolean;
  readonly bootstrap: string | null;
}

function findPlace(program: Command, words: readonly string[]): Place {
  let command = program;
  const path: string[] = [];
  const given: string[] = [];
  let option: Option | null = null;
  let isPastOptions = false;
  let bootstrap: string | null = null;
  for (const word of words) {
    if (option !== null) {
      if (option.long === "--bootstrap") bootstrap = word;
      option = null;
    } else if (!isPastOptions && word === "--") {
      isPastOptions = true;
    } else if (!isPastOptions && word.startsWith("-") && word !== "-") {
      const found = findOption(program, command, word);
      option = found !== null && takesValue(found) ? found : null;
    } else {
      const next = command.commands.find((candidate) => candidate.name() === word);
      if (next !== undefined) {
        command = next;
        path.push(word);
      } else given.push(word);
    }
  }
  return { command, path, arguments: given, option, isPastOptions, bootstrap };
}

/** Also one given as `--bootstrap=…`. */
function bootstrapIn(words: readonly string[]): string | null {
  const prefix = "--bootstrap=";
  return words.findLast((word) => word.startsWith(prefix))?.slice(prefix.length) ?? null;
}

function findOption(program: Command, command: Command, flag: string): Option | null {
  return (
    [...command.options, ...program.options].find(
      ({ long, short }) => long === flag || short === flag,
    ) ?? null
  );
}

function takesValue({ required, optional }: Option): boolean {
  return required || optional;
}

/** `-b, --bootstrap <host:port,...>` → `host:port,...`. */
function valueName({ flags }: Option): string {
  return /[<[](.*)[>\]]$/.exec(flags)?.[1] ?? "";
}

function optionNames(program: Command, command: Command): Completion {
  const help = command.createHelp();
  const options = [
    ...help.visibleOptions(command),
    ...(command === program ? [] : program.options.filter(({ long }) => long === "--no-color")),
  ];
  return {
    ...NOTHING,
    candidates: options.map((option) => ({
      value: option.long ?? option.short ?? "",
      description: option.description,
    })),
  };
}

function commandNames(command: Command): Completion {
  return {
    ...NOTHING,
    candidates: command
      .createHelp()
      .visibleCommands(command)
      .map((each) => ({ value: each.name(), description: each.description() })),
  };
}

function argumentAt(command: Command, index: number): Argument | null {
  const { registeredArguments } = command;
  const last = registeredArguments.at(-1);
  return registeredArguments[index] ?? (last?.variadic === true ? last : null);
}

/** Only what begins with what is typed, and can stand on one line. */
function beginning(partial: string, { candidates, ...rest }: Completion): Completion {
  return {
    ...rest,
    candidates: candidates.filter(
      ({ value }) => value.startsWith(partial) && !/\p{Cc}/u.test(value),
    ),
  };
}
