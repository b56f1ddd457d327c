/** `sluice group reset-offsets`: its options and help; the work is in `src/cli/group/run-reset-offsets.ts`. */
import type { Command } from "commander";
import { addClusterOptions } from "../cluster-options.ts";
import type { CommandIo } from "../command-io.ts";
import type { ResetOffsetsOptions } from "../group/run-reset-offsets.ts";
import { addExamples, addNotes, collect, groupOf } from "../program.ts";

/** Adds `group reset-offsets GROUP`. */
export function register(program: Command, io: CommandIo): void {
  const command = groupOf(program, "group")
    .command("reset-offsets")
    .description("set where a group reads on; shows a plan unless --execute is given")
    .argument("<group>", "id of the group")
    .option(
      "-t, --topic <topic[:partitions]>",
      "a topic, or some of its partitions; repeatable",
      collect,
    )
    .option("--all-topics", "every topic that the group has committed in")
    .option("--to-earliest", "to the first record there is")
    .option("--to-latest", "to the end")
    .option("--to-current", "to what is committed; to the end where nothing is")
    .option("--to-offset <offset>", "to this offset")
    .option("--shift-by <count>", "from what is committed, forward or (-N) back")
    .option(
      "--to-datetime <date>",
      "to the first record at or after this time (UTC unless it says)",
    )
    .option("--by-duration <span>", "to the first record of the last PT1H30M, 90m, 2d …")
    .option(
      "--from-file <file>",
      "to the offsets of TOPIC,PARTITION,OFFSET lines; - is standard input",
    )
    .option("--execute", "commit the new offsets")
    .option("--dry-run", "only show them (the default)")
    .option("--export", "write the new offsets as TOPIC,PARTITION,OFFSET lines")
    .option("--json", "one JSON document");
  addClusterOptions(command).action(async (group: string, options: ResetOffsetsOptions) => {
    const { runResetOffsets } = await import("../group/run-reset-offsets.ts");
    await runResetOffsets(group, options, io);
  });
  addNotes(command, io, [
    "The group must have no members: they would commit over what is reset. Offsets outside of what a partition has are moved to its start or end, with a warning.",
  ]);
  addExamples(command, io, [
    [
      "sluice group reset-offsets billing --topic orders --to-earliest",
      "what reading again would mean",
    ],
    [
      "sluice group reset-offsets billing --topic orders --to-earliest --execute",
      "read all of orders again",
    ],
    [
      "sluice group reset-offsets billing --all-topics --by-duration 2h --execute",
      "read the last two hours again",
    ],
    [
      "sluice group reset-offsets billing --topic orders:0,2 --shift-by 1 --execute",
      "skip a record in two partitions",
    ],
    [
      "sluice group reset-offsets billing --all-topics --to-current --export >saved.csv",
      "save offsets; --from-file saved.csv brings them back",
    ],
  ]);
}
