/** `sluice topic describe`: its options and help; the work is in `src/cli/topic/topic-commands.ts`. */
import type { Command } from "commander";
import { addClusterOptions } from "../cluster-options.ts";
import type { CommandIo } from "../command-io.ts";
import { addExamples, groupOf } from "../program.ts";
import type { TopicDescribeOptions } from "../topic/topic-commands.ts";

/** Adds `topic describe NAME…`. */
export function register(program: Command, io: CommandIo): void {
  const command = groupOf(program, "topic")
    .command("describe")
    .description("show a topic's partitions, leaders, offsets, size and configuration")
    .argument("<topic...>", "names of the topics")
    .option("--all-configs", "also the keys that have their default")
    .option("--json", "one JSON document");
  addClusterOptions(command).action(async (names: string[], options: TopicDescribeOptions) => {
    const { describeTopics } = await import("../topic/topic-commands.ts");
    await describeTopics(names, options, io);
  });
  addExamples(command, io, [
    ["sluice topic describe orders", "partitions, and the keys that were set"],
    ["sluice topic describe orders --all-configs", "with every key"],
    ["sluice topic describe orders --json | jq '.[0].partitions[].endOffset'", "end offsets"],
  ]);
}
