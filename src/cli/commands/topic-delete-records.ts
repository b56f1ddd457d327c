/** `sluice topic delete-records`: its options and help; the work is in `src/cli/topic/topic-changes.ts`. */
import type { Command } from "commander";
import { addClusterOptions } from "../cluster-options.ts";
import type { CommandIo } from "../command-io.ts";
import { addExamples, collect, groupOf } from "../program.ts";
import type { TopicDeleteRecordsOptions } from "../topic/topic-changes.ts";

/** Adds `topic delete-records TOPIC`. */
export function register(program: Command, io: CommandIo): void {
  const command = groupOf(program, "topic")
    .command("delete-records")
    .description("delete a topic's oldest records")
    .argument("<topic>", "name of the topic")
    .requiredOption("--before <where>", "an offset, a date (UTC unless it says), or end for all")
    .option("-p, --partition <number>", "only this partition; repeatable", collect)
    .option("--dry-run", "show how much that is; delete nothing")
    .option("--json", "one JSON document");
  addClusterOptions(command).action(async (name: string, options: TopicDeleteRecordsOptions) => {
    const { deleteTopicRecords } = await import("../topic/topic-changes.ts");
    await deleteTopicRecords(name, options, io);
  });
  addExamples(command, io, [
    ["sluice topic delete-records orders --before 2026-01-01 --dry-run", "how much is older?"],
    ["sluice topic delete-records orders --before end", "empty the topic, at once and for good"],
    ["sluice topic delete-records orders --before 1000 --partition 2", "up to an offset"],
  ]);
}
