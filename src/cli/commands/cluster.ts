/** `sluice cluster`: its options and help; the work is in `src/cli/cluster/run-cluster.ts`. */
import type { Command } from "commander";
import type { ClusterCommandOptions } from "../cluster/run-cluster.ts";
import { addClusterOptions } from "../cluster-options.ts";
import type { CommandIo } from "../command-io.ts";
import { addExamples, groupOf } from "../program.ts";

/** Adds `cluster`. */
export function register(program: Command, io: CommandIo): void {
  const command = groupOf(program, "cluster").option("--json", "one JSON document");
  addClusterOptions(command).action(async (options: ClusterCommandOptions) => {
    const { runCluster } = await import("../cluster/run-cluster.ts");
    await runCluster(options, io);
  });
  addExamples(command, io, [
    ["sluice cluster", "the cluster on 127.0.0.1:9092"],
    ["sluice cluster -b broker-1:9092,broker-2:9092 --json", "for a program"],
  ]);
}
