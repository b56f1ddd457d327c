/** `sluice local-cluster`: its options and help; the work is in `src/cli/local-cluster/run-local-cluster.ts`. */
import type { Command } from "commander";
import type { CommandIo } from "../command-io.ts";
import type { LocalClusterOptions } from "../local-cluster/run-local-cluster.ts";
import { addExamples, collect } from "../program.ts";

/** Adds `local-cluster`. */
export function register(program: Command, io: CommandIo): void {
  const command = program
    .command("local-cluster")
    .description("start several brokers on this machine, as one cluster, until Ctrl-C")
    .option("--nodes <count>", "how many brokers, each a controller too", "3")
    .option("--port <port>", "port of the first broker; each takes two", "9092")
    .option("--data <directory>", "where the brokers keep their data and logs", "data-cluster")
    .option("--override <key=value>", "set one configuration key of all of them", collect)
    .action(async (options: LocalClusterOptions) => {
      const { runLocalCluster } = await import("../local-cluster/run-local-cluster.ts");
      await runLocalCluster(options, io);
    });
  addExamples(command, io, [
    ["sluice local-cluster", "three brokers on ports 9092, 9094 and 9096"],
    ["sluice local-cluster --nodes 5 --data /tmp/five", "five of them, elsewhere"],
  ]);
}
