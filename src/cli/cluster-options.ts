/** What every command that talks to a cluster takes: `--bootstrap`. Light; `src/cli/with-cluster.ts` uses it. */
import type { Command } from "commander";

/** Options of `addClusterOptions`, as commander gives them. */
export interface ClusterArguments {
  readonly bootstrap: string;
}

/** Adds `--bootstrap`. */
export function addClusterOptions(command: Command): Command {
  return command.option(
    "-b, --bootstrap <host:port,...>",
    "brokers to ask first",
    "127.0.0.1:9092",
  );
}
