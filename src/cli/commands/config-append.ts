/** `sluice config append`: its options and help; the work is in `src/cli/config/config-commands.ts`. */
import type { Command } from "commander";
import type { CommandIo } from "../command-io.ts";
import { addConfigChange } from "../config/change-command.ts";
import { addExamples } from "../program.ts";

/** Adds `config append TYPE [NAME] KEY=VALUE…`. */
export function register(program: Command, io: CommandIo): void {
  const command = addConfigChange(program, io, "append", "add to keys that are lists", "KEY=VALUE");
  addExamples(command, io, [
    ["sluice config append topic orders cleanup.policy=compact", "compact, and delete as before"],
  ]);
}
