/** `sluice topic alter`: its options and help; the work is in `src/cli/topic/topic-changes.ts`. */
import type { Command } from "commander";
import { addClusterOptions } from "../cluster-options.ts";
import type { CommandIo } from "../command-io.ts";
import { addExamples, addNotes, collect, groupOf } from "../program.ts";
import type { TopicAlterOptions } from "../topic/topic-changes.ts";

/** Adds `topic alter TOPIC`. */
export function register(program: Command, io: CommandIo): void {
  const command = groupOf(program, "topic")
    .command("alter")
    .description("give a topic more partitions, or change its configuration")
    .argument("<topic>", "name of the topic")
    .option("-p, --partitions <count>", "number of partitions it is to have, more than now")
    .option("-c, --config <key=value>", "set a configuration key; repeatable", collect)
    .option("--unset <key>", "go back to the broker's value of a key; repeatable", collect)
    .option("--dry-run", "ask the broker whether it would do it; change nothing")
    .option("--json", "one JSON document");
  addClusterOptions(command).action(async (name: string, options: TopicAlterOptions) => {
    const { alterTopic } = await import("../topic/topic-changes.ts");
    await alterTopic(name, options, io);
  });
  addNotes(command, io, [
    "More partitions send most keys to another partition than before: their order holds within the old and within the new records, not across.",
  ]);
  addExamples(command, io, [
    ["sluice topic alter orders --partitions 12", "from six to twelve"],
    ["sluice topic alter orders --config retention.ms=86400000 --unset segment.ms", "keys"],
  ]);
}
