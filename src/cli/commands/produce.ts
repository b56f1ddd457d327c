/** `sluice produce`: its options and help; the work is in `src/cli/produce/run-produce.ts`. */
import type { Command } from "commander";
import { addClusterOptions } from "../cluster-options.ts";
import type { CommandIo } from "../command-io.ts";
import type { ProduceArguments } from "../produce/run-produce.ts";
import { addExamples, addNotes, collect } from "../program.ts";

/** Adds `produce TOPIC`. */
export function register(program: Command, io: CommandIo): void {
  const command = program
    .command("produce")
    .description("write records to a topic: the lines of standard input, or of files")
    .argument("<topic>", "the topic; made first if the broker makes topics by itself")
    .option("-f, --file <path>", "read this file instead of standard input; repeatable", collect)
    .option("-w, --whole", "each input is one record instead of one a line")
    .option(
      "-K, --key-separator <text>",
      "a line is key, this text, value; \\t and \\n are understood",
    )
    .option("-k, --key <text>", "the key of every record")
    .option("-H, --header <key=value>", "a header of every record; repeatable", collect)
    .option("-p, --partition <number>", "the partition (default: by key, or spread)")
    .option("--acks <all|1|0>", "when a record counts as written", "all")
    .option("-z, --compression <codec>", "none, gzip, snappy, lz4 or zstd", "none")
    .option("--json", "a line is a JSON object: key, value, headers, partition, timestamp")
    .option("-q, --quiet", "no summary");
  addClusterOptions(command).action(async (topic: string, options: ProduceArguments) => {
    const { runProduce } = await import("../produce/run-produce.ts");
    await runProduce(topic, options, io);
  });
  addNotes(command, io, [
    "With --json, bytes that are not text are given as keyBase64, valueBase64; 'sluice consume --json' writes the same form.",
    "Exit code: 0 when every record was acknowledged; 1 when one was not; 130 after Ctrl-C, with what had been read written.",
  ]);
  addExamples(command, io, [
    ["echo hello | sluice produce greetings", "one record"],
    ["echo en:hello | sluice produce greetings --key-separator :", "with a key"],
    [
      "sluice produce photos --file cat.jpg --whole --header type=image/jpeg",
      "a file as one record",
    ],
    ["sluice produce orders --file orders.txt --compression zstd", "a record a line"],
    [
      `echo '{"key":"a","value":null}' | sluice produce users --json`,
      "a null value, which deletes the key in a compacted topic",
    ],
  ]);
}
