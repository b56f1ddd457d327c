/** `sluice cluster remove`: its options and help; the work is in `src/cli/cluster/run-remove.ts`. */
import type { Command } from "commander";
import type { ClusterRemoveOptions } from "../cluster/run-remove.ts";
import { addClusterOptions } from "../cluster-options.ts";
import type { CommandIo } from "../command-io.ts";
import { addExamples, groupOf } from "../program.ts";

/** Adds `cluster remove`. */
export function register(program: Command, io: CommandIo): void {
  const command = groupOf(program, "cluster")
    .command("remove")
    .description("make the cluster forget a node that is empty and stopped")
    .argument("<node>", "node id")
    .option("--json", "one JSON document");
  addClusterOptions(command).action(async (node: string, options: ClusterRemoveOptions) => {
    const { runClusterRemove } = await import("../cluster/run-remove.ts");
    await runClusterRemove(node, options, io);
  });
  addExamples(command, io, [
    ["sluice cluster remove 4", "after 'sluice cluster drain 4' and its stop"],
  ]);
}
