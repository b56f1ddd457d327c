/** `sluice config unset`: its options and help; the work is in `src/cli/config/config-commands.ts`. */
import type { Command } from "commander";
import type { CommandIo } from "../command-io.ts";
import { addConfigChange } from "../config/change-command.ts";
import { addExamples } from "../program.ts";

/** Adds `config unset TYPE [NAME] KEY…`. */
export function register(program: Command, io: CommandIo): void {
  const command = addConfigChange(program, io, "unset", "go back to what holds otherwise", "KEY");
  addExamples(command, io, [
    ["sluice config unset topic orders retention.ms", "the broker's value holds again"],
  ]);
}
