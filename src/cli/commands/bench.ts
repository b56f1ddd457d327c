/** `sluice bench`: its options and help; the work is in `bench/command.ts`, which the package ships and which is loaded when it is called. */
import type { Command } from "commander";
import type { BenchArguments } from "#bench";
import type { CommandIo } from "../command-io.ts";
import { CommandError, UsageError } from "../failure.ts";
import { addExamples, addNotes, collect } from "../program.ts";

const colors = { green: 32, red: 31, yellow: 33, dim: 2, bold: 1 } as const;

/** Adds `bench`. */
export function register(program: Command, io: CommandIo): void {
  const command = program
    .command("bench")
    .description("measure brokers against each other under the same load")
    .option("--target <name>", "start this one: sluice, kafka, limit; repeatable", collect)
    .option("--bootstrap <name=host:port>", "a cluster that runs already; repeatable", collect)
    .option(
      "--pid <name=pid>",
      "its process on this machine, for CPU and memory; repeatable",
      collect,
    )
    .option("--workload <names>", "only these cases, or those that begin so; repeatable", collect)
    .option("--quick", "a few cases, short runs: under five minutes")
    .option("--goals", "what the goals are judged by: about 40 minutes")
    .option("--runs <n>", "measured runs of each case on each target, default 5 (quick: 2)")
    .option("--seconds <s>", "length of a run, default 5 (quick: 1.5, goals: 3)")
    .option("--nodes <n>", "nodes of each target; above 1 the replicated cases, default 1")
    .option("--seed <n>", "of values and arrivals, default 1")
    .option("--out <file>", "the record; the page is written beside it")
    .option("--resume <file>", "go on from a record of the same options: its clean cases are kept")
    .option("--json", "the record as one JSON document on standard output")
    .option("--list", "the cases there are; with a mode or names: those, and their time")
    .action(async (options: BenchArguments) => {
      const { BenchUsageError, runBench } = await import("#bench");
      const { isTerminal, hasColor } = io.stderr;
      try {
        const isClean = await runBench(options, process.argv.slice(3), {
          progress: {
            isTerminal,
            write: (text) => void io.stderr.write(dimmed(text, hasColor)).catch(() => {}),
          },
          paint: (color, text) =>
            io.stdout.hasColor ? `\u001b[${colors[color]}m${text}\u001b[0m` : text,
          write: (text) => io.stdout.write(text),
        });
        if (!isClean) throw new CommandError("a run had errors: its case has no score");
      } catch (error) {
        if (error instanceof BenchUsageError) throw new UsageError(error.message);
        if (error instanceof Error && !(error instanceof CommandError) && error.cause === undefined)
          throw new CommandError(error.message);
        throw error;
      }
    });
  addNotes(command, io, [
    "Without targets: sluice, kafka and the physical limit, each started on a directory of its own, in turns A B C A B C.",
    "Real Kafka needs Java 17 and either Maven or KAFKA_DIR (a directory with libs/); the load generator is built by Cargo, or named by SLUICE_LOAD.",
    "Every answer is checked; a case with a lost, doubled or reordered record has no score. Exit code 1 when there is one.",
  ]);
  addExamples(command, io, [
    ["sluice bench --quick", "sluice, kafka and the limit, a few minutes"],
    ["sluice bench --target sluice --target kafka --workload produce-128KiB", "some cases of two"],
    ["sluice bench --bootstrap staging=broker-1:9092 --workload fetch", "a cluster that runs"],
  ]);
}

function dimmed(text: string, hasColor: boolean): string {
  if (!hasColor || text.startsWith("\r")) return text;
  return text.replace(/[^\n]+/g, (line) => `\u001b[2m${line}\u001b[0m`);
}
