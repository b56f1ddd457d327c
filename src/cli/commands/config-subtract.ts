/** `sluice config subtract`: its options and help; the work is in `src/cli/config/config-commands.ts`. */
import type { Command } from "commander";
import type { CommandIo } from "../command-io.ts";
import { addConfigChange } from "../config/change-command.ts";
import { addExamples } from "../program.ts";

/** Adds `config subtract TYPE [NAME] KEY=VALUE…`. */
export function register(program: Command, io: CommandIo): void {
  const command = addConfigChange(
    program,
    io,
    "subtract",
    "take from keys that are lists",
    "KEY=VALUE",
  );
  addExamples(command, io, [
    ["sluice config subtract topic orders cleanup.policy=compact", "no longer compact"],
  ]);
}
