/** `sluice topic delete`: its options and help; the work is in `src/cli/topic/topic-commands.ts`. */
import type { Command } from "commander";
import { addClusterOptions } from "../cluster-options.ts";
import type { CommandIo } from "../command-io.ts";
import { addExamples, groupOf } from "../program.ts";
import type { TopicDeleteOptions } from "../topic/topic-commands.ts";

/** Adds `topic delete NAME…`. */
export function register(program: Command, io: CommandIo): void {
  const command = groupOf(program, "topic")
    .command("delete")
    .description("delete topics and their data")
    .argument("<topic...>", "names of the topics")
    .option("--if-exists", "a topic that does not exist is no failure")
    .option("--json", "one JSON document");
  addClusterOptions(command).action(async (names: string[], options: TopicDeleteOptions) => {
    const { deleteTopics } = await import("../topic/topic-commands.ts");
    await deleteTopics(names, options, io);
  });
  addExamples(command, io, [
    ["sluice topic delete orders", "at once, and for good"],
    ["sluice topic delete scratch-1 scratch-2 --if-exists", "several, for scripts that run twice"],
  ]);
}
