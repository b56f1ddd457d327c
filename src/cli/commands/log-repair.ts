/** `sluice log repair`: its options and help; the work is in `src/cli/log-check/run-log-repair.ts`. */
import { type Command, Option } from "commander";
import type { CommandIo } from "../command-io.ts";
import type { LogRepairOptions } from "../log-check/run-log-repair.ts";
import { addExamples, groupOf } from "../program.ts";

/** Adds `log repair DIRECTORY`. */
export function register(program: Command, io: CommandIo): void {
  const command = groupOf(program, "log")
    .command("repair")
    .description("put a damaged log directory right; shows a plan first")
    .argument("<directory>", "a log directory")
    .addOption(
      new Option("--lost <what>", "what becomes of batches that cannot be restored")
        .choices(["drop", "cut"])
        .default("drop"),
    )
    .option("--apply", "do it, without asking")
    .option("--json", "one JSON document")
    .action(async (directory: string, options: LogRepairOptions) => {
      const { runLogRepair } = await import("../log-check/run-log-repair.ts");
      await runLogRepair(directory, options, io);
    });
  command.addHelpText(
    "after",
    `
A batch with one flipped bit comes back whole. What cannot be restored is replaced by an empty batch of the
same offsets (drop), or the log ends before it (cut). Every file is copied to .quarantine in the partition's
directory before it is changed. Not beside a running broker.`,
  );
  addExamples(command, io, [
    ["sluice log repair data", "show the plan; on a terminal, ask"],
    ["sluice log repair data --apply", "do it"],
    ["sluice log repair data --lost cut", "what it would take to end the logs before the damage"],
  ]);
}
