/** `sluice group list`: its options and help; the work is in `src/cli/group/group-commands.ts`. */
import type { Command } from "commander";
import { addClusterOptions } from "../cluster-options.ts";
import type { CommandIo } from "../command-io.ts";
import type { GroupListOptions } from "../group/group-commands.ts";
import { addExamples, groupOf } from "../program.ts";

/** Adds `group list`. */
export function register(program: Command, io: CommandIo): void {
  const command = groupOf(program, "group")
    .command("list")
    .description("list groups with their state and type")
    .option("--state <state,...>", "only groups in these states: stable, empty, dead and so on")
    .option("--type <type,...>", "only these types: classic, consumer, share, streams")
    .option("--names", "only the ids, one a line")
    .option("--json", "one JSON document");
  addClusterOptions(command).action(async (options: GroupListOptions) => {
    const { runGroupList } = await import("../group/group-commands.ts");
    await runGroupList(options, io);
  });
  addExamples(command, io, [
    ["sluice group list", "every group of the cluster"],
    ["sluice group list --state empty", "groups that nobody is a member of"],
    ["sluice group list --type consumer --names", "ids of next-generation groups, for a loop"],
  ]);
}
