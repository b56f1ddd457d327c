/** `sluice start`: its options and help; the work is in `src/cli/start/run-start.ts`. */
import type { Command } from "commander";
import type { CommandIo } from "../command-io.ts";
import { addExamples, collect } from "../program.ts";

/** Adds `start [FILE] [--override KEY=VALUE]…`. */
export function register(program: Command, io: CommandIo): void {
  const command = program
    .command("start")
    .description("start a broker")
    .argument("[file]", "a server.properties; without one, 127.0.0.1:9092 and ./data")
    .option("--override <key=value>", "set one configuration key, over the file", collect)
    .action(
      async (file: string | undefined, options: { readonly override?: readonly string[] }) => {
        const { runStart } = await import("../start/run-start.ts");
        await runStart({ file: file ?? null, overrides: options.override ?? [] }, io);
      },
    );
  addExamples(command, io, [
    ["sluice start", "serve 127.0.0.1:9092, keep data in ./data"],
    ["sluice start server.properties", "as an Apache Kafka configuration file says"],
    [
      "sluice start --override log.dirs=/var/lib/sluice --override num.partitions=3",
      "set single keys",
    ],
  ]);
}
