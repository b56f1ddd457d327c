/** `sluice group describe`: its options and help; the work is in `src/cli/group/group-commands.ts`. */
import type { Command } from "commander";
import { addClusterOptions } from "../cluster-options.ts";
import type { CommandIo } from "../command-io.ts";
import type { GroupDescribeOptions } from "../group/group-commands.ts";
import { addExamples, addNotes, groupOf } from "../program.ts";

/** Adds `group describe GROUP…`. */
export function register(program: Command, io: CommandIo): void {
  const command = groupOf(program, "group")
    .command("describe")
    .description("show a group's members, committed offsets and lag")
    .argument("[group...]", "ids of the groups")
    .option("--all", "every group")
    .option("--members", "only the members, with what they subscribe to")
    .option("--state", "only a line a group: state, assignor, coordinator, epochs")
    .option("--json", "one JSON document");
  addClusterOptions(command).action(async (names: string[], options: GroupDescribeOptions) => {
    const { runGroupDescribe } = await import("../group/group-commands.ts");
    await runGroupDescribe(names, options, io);
  });
  addNotes(command, io, [
    "Lag is what lies between the committed offset and the end. On a terminal it is green at 0, yellow above, and red where no member reads the partition or where records were deleted before the group read them.",
  ]);
  addExamples(command, io, [
    ["sluice group describe billing", "members, offsets, lag"],
    ["sluice group describe --all --state", "one line for each group"],
    ["sluice group describe billing --json | jq '.[0].totalLag'", "the lag, for a program"],
  ]);
}
