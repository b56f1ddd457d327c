/** `sluice log verify`: its options and help; the work is in `src/cli/log-check/run-log-verify.ts`. */
import type { Command } from "commander";
import type { CommandIo } from "../command-io.ts";
import { addExamples, groupOf } from "../program.ts";

/** Adds `log verify PATH…`. */
export function register(program: Command, io: CommandIo): void {
  const command = groupOf(program, "log")
    .command("verify")
    .description("check segments, indexes and checkpoints for damage; changes nothing")
    .argument("<path...>", "log directories, directories of partitions, or segment files")
    .option("--json", "one JSON document")
    .action(async (paths: string[], options: { readonly json?: true }) => {
      const { runLogVerify } = await import("../log-check/run-log-verify.ts");
      await runLogVerify(paths, options.json === true, io);
    });
  command.addHelpText(
    "after",
    "\nNot beside a running broker. Exit code 1 when something is damaged.",
  );
  addExamples(command, io, [
    ["sluice log verify data", "everything in ./data"],
    ["sluice log verify data/orders-0", "one partition"],
    ["sluice log verify data --json | jq .findings", "for a program"],
  ]);
}
