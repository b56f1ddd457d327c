/**
 * Stories kept as text beside the tests, replayed and compared:
 *
 * ```
 * transcripts(directory, { start: (config) => Context.start(config), run: (context, command) => answers })
 * ```
 * A file is blocks between empty lines: commands, `----`, their answers. Lines with `#` are prose. `config KEY=VALUE …` begins anew.
 * With `UPDATE_TRANSCRIPTS=1` the answers are written instead.
 */
import { expect, test } from "bun:test";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** What a kind of story is told about. */
export interface Stage<Context> {
  /** A new world; `config` are the words of its `config` line, by key. */
  start(config: Readonly<Record<string, string>>): Promise<Context>;
  /** Carries out one command. */
  run(context: Context, command: string): Promise<readonly string[]>;
  /** After each block; throws when something does not hold. */
  check?(context: Context): void;
}

/** Words of the form `KEY=VALUE`, by key; one without a value has an empty one. */
export function options(words: readonly string[]): Record<string, string> {
  return Object.fromEntries(words.map((word) => [...word.split(/=(.*)/s), ""].slice(0, 2)));
}

/** Declares a test for each transcript of `directory`. */
export function transcripts<Context>(directory: string, stage: Stage<Context>): void {
  const isUpdating = process.env["UPDATE_TRANSCRIPTS"] === "1";
  for (const file of readdirSync(directory).filter((name) => name.endsWith(".txt"))) {
    test(`transcript ${file}`, async () => {
      const path = join(directory, file);
      const recorded = readFileSync(path, "utf8");
      const replayed = await replay(recorded, stage);
      if (isUpdating) writeFileSync(path, replayed);
      else expect(replayed).toBe(recorded);
    });
  }
}

/** Runs the commands of a transcript and returns it with fresh answers. */
async function replay<Context>(text: string, stage: Stage<Context>): Promise<string> {
  const output: string[] = [];
  let context: Context | null = null;
  for (const block of text.split(/\n\n+/)) {
    const lines = block.trim().split("\n");
    const cut = lines.indexOf("----");
    const head = cut === -1 ? lines : lines.slice(0, cut);
    const commands = head.filter((line) => line !== "" && !line.startsWith("#"));
    if (commands[0]?.startsWith("config") === true) {
      context = await stage.start(options(commands[0].split(" ").slice(1)));
      output.push(head.join("\n"));
      continue;
    }
    context ??= await stage.start({});
    const answers: string[] = [];
    for (const command of commands) answers.push(...(await stage.run(context, command)));
    stage.check?.(context);
    const isProse = commands.length === 0;
    output.push(isProse ? head.join("\n") : [...head, "----", ...answers].join("\n"));
  }
  return `${output.join("\n\n")}\n`;
}
