/** `sluice group delete`: its options and help; the work is in `src/cli/group/group-commands.ts`. */
import type { Command } from "commander";
import { addClusterOptions } from "../cluster-options.ts";
import type { CommandIo } from "../command-io.ts";
import type { GroupDeleteOptions } from "../group/group-commands.ts";
import { addExamples, groupOf } from "../program.ts";

/** Adds `group delete GROUP…`. */
export function register(program: Command, io: CommandIo): void {
  const command = groupOf(program, "group")
    .command("delete")
    .description("delete groups without members, and their committed offsets")
    .argument("<group...>", "ids of the groups")
    .option("--if-exists", "a group that does not exist is no failure")
    .option("--json", "one JSON document");
  addClusterOptions(command).action(async (names: string[], options: GroupDeleteOptions) => {
    const { runGroupDelete } = await import("../group/group-commands.ts");
    await runGroupDelete(names, options, io);
  });
  addExamples(command, io, [
    ["sluice group delete billing-test", "at once, and for good"],
    [
      "sluice group list --state empty --names | grep ^test- | xargs sluice group delete",
      "what tests left behind",
    ],
  ]);
}
