/** `sluice topic create`: its options and help; the work is in `src/cli/topic/topic-commands.ts`. */
import type { Command } from "commander";
import { addClusterOptions } from "../cluster-options.ts";
import type { CommandIo } from "../command-io.ts";
import { addExamples, collect, groupOf } from "../program.ts";
import type { TopicCreateOptions } from "../topic/topic-commands.ts";

/** Adds `topic create NAME…`. */
export function register(program: Command, io: CommandIo): void {
  const command = groupOf(program, "topic")
    .command("create")
    .description("create topics")
    .argument("<name...>", "names of the topics")
    .option("-p, --partitions <count>", "number of partitions (default: the broker's)")
    .option("-r, --replication-factor <count>", "replicas of a partition (default: the broker's)")
    .option("-c, --config <key=value>", "set a configuration key of the topic; repeatable", collect)
    .option("--if-not-exists", "a topic that exists is no failure")
    .option("--json", "one JSON document");
  addClusterOptions(command).action(async (names: string[], options: TopicCreateOptions) => {
    const { createTopics } = await import("../topic/topic-commands.ts");
    await createTopics(names, options, io);
  });
  addExamples(command, io, [
    [
      "sluice topic create orders --partitions 6",
      "six partitions, the broker's defaults otherwise",
    ],
    [
      "sluice topic create logs --config retention.ms=86400000 --config compression.type=zstd",
      "keep a day, compressed",
    ],
    ["sluice topic create orders --if-not-exists", "for scripts that run twice"],
  ]);
}
