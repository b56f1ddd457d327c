/** `sluice consume`: its options and help; the work is in `src/cli/consume/run-consume.ts`. */
import type { Command } from "commander";
import { addClusterOptions } from "../cluster-options.ts";
import type { CommandIo } from "../command-io.ts";
import type { ConsumeArguments } from "../consume/run-consume.ts";
import { addExamples, addNotes, collect } from "../program.ts";

/** Adds `consume TOPIC`. */
export function register(program: Command, io: CommandIo): void {
  const command = program
    .command("consume")
    .description("read a topic's records to standard output")
    .argument("<topic>", "the topic")
    .option("--from <where>", "beginning, end, an offset, -N (the last N), or a date", "beginning")
    .option("-f, --follow", "wait for more at the end, until Ctrl-C")
    .option("--no-follow", "stop at the end (the default)")
    .option(
      "-g, --group <group>",
      "read as a member of this group, from where it committed, and commit",
    )
    .option(
      "--group-protocol <protocol>",
      "classic or consumer, the next generation's (default: classic)",
    )
    .option("-p, --partition <number>", "only this partition; repeatable", collect)
    .option("-n, --max <count>", "stop after this many records")
    .option("-F, --format <template>", 'how to write a record, see below (default: "%s\\n")')
    .option("--json", "a record as one JSON object a line")
    .option("--isolation <level>", "read_uncommitted or read_committed", "read_uncommitted");
  addClusterOptions(command).action(async (topic: string, options: ConsumeArguments) => {
    const { runConsume } = await import("../consume/run-consume.ts");
    await runConsume(topic, options, io);
  });
  addNotes(command, io, [
    "It stops at the end found at the start, on a terminal as in a pipe, unless --follow is given.",
    "--from says where to begin in each partition, within what exists; in a group only where nothing is committed.",
    "--format: %s value, %S its length, %k key, %K its length, %t topic, %p partition, %o offset, %T timestamp in ms, %h headers, %% percent sign; \\n, \\t, \\r, \\0, \\xNN. A length is -1 where there is no key or value.",
    "--json: bytes that are not text are in keyBase64 and valueBase64.",
  ]);
  addExamples(command, io, [
    ["sluice consume greetings", "everything there is"],
    [
      "sluice consume greetings --from -10 --follow",
      "the last ten of each partition, then what comes",
    ],
    [
      "sluice consume orders --from 2026-01-31T12:00:00Z --format '%T %k %s\\n'",
      "since noon, with keys",
    ],
    ["sluice consume orders --group billing --follow", "share the work with other members"],
    ["sluice consume orders --json | sluice produce orders-copy --json", "copy a topic"],
  ]);
}
