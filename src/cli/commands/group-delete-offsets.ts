/** `sluice group delete-offsets`: its options and help; the work is in `src/cli/group/group-commands.ts`. */
import type { Command } from "commander";
import { addClusterOptions } from "../cluster-options.ts";
import type { CommandIo } from "../command-io.ts";
import type { GroupDeleteOffsetsOptions } from "../group/group-commands.ts";
import { addExamples, collect, groupOf } from "../program.ts";

/** Adds `group delete-offsets GROUP`. */
export function register(program: Command, io: CommandIo): void {
  const command = groupOf(program, "group")
    .command("delete-offsets")
    .description("delete a group's committed offsets of topics that it no longer reads")
    .argument("<group>", "id of the group")
    .requiredOption(
      "-t, --topic <topic[:partitions]>",
      "a topic, or some of its partitions; repeatable",
      collect,
    )
    .option("--json", "one JSON document");
  addClusterOptions(command).action(async (group: string, options: GroupDeleteOffsetsOptions) => {
    const { runGroupDeleteOffsets } = await import("../group/group-commands.ts");
    await runGroupDeleteOffsets(group, options, io);
  });
  addExamples(command, io, [
    ["sluice group delete-offsets billing --topic orders-old", "all of a topic"],
    ["sluice group delete-offsets billing --topic orders:3-5", "three of its partitions"],
  ]);
}
