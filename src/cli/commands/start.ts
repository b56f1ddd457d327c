/** `sluice start`: its options and help; the work is in `src/cli/start/run-start.ts`. */
import { type Command, Option } from "commander";
import type { CommandIo } from "../command-io.ts";
import { addExamples, collect } from "../program.ts";

interface StartOptions {
  readonly override?: readonly string[];
  readonly cluster?: true;
  readonly join?: string;
  readonly role?: string;
  readonly logFormat?: string;
  readonly logLevel?: string;
}

/** Adds `start [FILE] [--override KEY=VALUE]…`. */
export function register(program: Command, io: CommandIo): void {
  const command = program
    .command("start")
    .description("start a broker")
    .argument("[file]", "a server.properties; without one, 127.0.0.1:9092 and ./data")
    .option("--override <key=value>", "set one configuration key, over the file", collect)
    .option("--cluster", "be a cluster of one node, which others can join")
    .option("--join <servers>", "become part of the cluster of these brokers, HOST:PORT,HOST:PORT")
    .addOption(
      new Option("--role <roles>", "what a node that joins becomes; broker unless given").choices([
        "broker",
        "controller",
        "controller,broker",
        "broker,controller",
      ]),
    )
    .addOption(
      new Option("--log-format <format>", "write the log as text or JSON").choices([
        "text",
        "json",
      ]),
    )
    .addOption(
      new Option("--log-level <level>", "write lines of this level and above").choices([
        "trace",
        "debug",
        "info",
        "warn",
        "error",
      ]),
    )
    .action(async (file: string | undefined, options: StartOptions) => {
      const { runStart } = await import("../start/run-start.ts");
      const { override = [], cluster, join, role, logFormat, logLevel } = options;
      const chosen = { cluster, join, role, logFormat, logLevel };
      await runStart({ file: file ?? null, overrides: override, ...chosen }, io);
    });
  addExamples(command, io, [
    ["sluice start", "serve 127.0.0.1:9092, keep data in ./data"],
    ["sluice start server.properties", "as an Apache Kafka configuration file says"],
    ["sluice start --cluster", "the first node of a cluster, with its controller on port 9093"],
    [
      "sluice start --join 10.0.0.1:9092 --override log.dirs=/var/lib/sluice",
      "become a broker of a running cluster",
    ],
    [
      "sluice start --override log.dirs=/var/lib/sluice --override num.partitions=3",
      "set single keys",
    ],
  ]);
}
