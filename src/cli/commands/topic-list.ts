/** `sluice topic list`: its options and help; the work is in `src/cli/topic/topic-commands.ts`. */
import type { Command } from "commander";
import { addClusterOptions } from "../cluster-options.ts";
import type { CommandIo } from "../command-io.ts";
import { addExamples, groupOf } from "../program.ts";
import type { TopicListOptions } from "../topic/topic-commands.ts";

/** Adds `topic list`. */
export function register(program: Command, io: CommandIo): void {
  const command = groupOf(program, "topic")
    .command("list")
    .description("list topics")
    .option("--internal", "also the topics that belong to the broker")
    .option("--names", "only the names, one a line")
    .option("--json", "one JSON document");
  addClusterOptions(command).action(async (options: TopicListOptions) => {
    const { listTopics } = await import("../topic/topic-commands.ts");
    await listTopics(options, io);
  });
  addExamples(command, io, [
    ["sluice topic list", "names, partitions, replicas, sizes"],
    ["sluice topic list --names", "for a shell loop"],
    ["sluice topic list --bootstrap broker-1:9092 --json", "for a program"],
  ]);
}
