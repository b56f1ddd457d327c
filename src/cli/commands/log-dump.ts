/** `sluice log dump`: its options and help; the work is in `src/cli/log-dump/run-log-dump.ts`. */
import type { Command } from "commander";
import type { CommandIo } from "../command-io.ts";
import type { LogDumpArguments } from "../log-dump/run-log-dump.ts";
import { addExamples, addNotes, groupOf } from "../program.ts";

/** Adds `log dump FILE…`. */
export function register(program: Command, io: CommandIo): void {
  const command = groupOf(program, "log")
    .command("dump")
    .description("show what is in files of a log directory, Sluice's or Kafka's")
    .argument(
      "<file...>",
      "segments, indexes, snapshots, checkpoints, partition.metadata, meta.properties",
    )
    .option("-r, --records", "also the records, with keys and values")
    .option("-d, --deep", "read every batch: check its CRC, decompress it, count its records")
    .option(
      "--decode <what>",
      "records as auto, none, offsets, metadata or transactions (default: by the directory's name)",
    )
    .option("--json", "one JSON object a line")
    .action(async (files: string[], options: LogDumpArguments) => {
      const { runLogDump } = await import("../log-dump/run-log-dump.ts");
      await runLogDump(files, options, io);
    });
  addNotes(command, io, [
    "Nothing is locked or written; a broker may run. Damage is shown by position, and the dump goes on with the next good batch. Exit code 1 when there was damage.",
  ]);
  addExamples(command, io, [
    ["sluice log dump data/orders-0/*.log", "the batches of a partition"],
    ["sluice log dump --deep data/orders-0/*.log", "every byte checked"],
    [
      "sluice log dump --records data/__consumer_offsets-12/*.log",
      "committed offsets and groups, decoded",
    ],
    [
      "sluice log dump data/orders-0/leader-epoch-checkpoint data/meta.properties",
      "the small files",
    ],
  ]);
}
