/** `sluice cluster undrain`: its options and help; the work is in `src/cli/cluster/run-undrain.ts`. */
import type { Command } from "commander";
import type { ClusterUndrainOptions } from "../cluster/run-undrain.ts";
import { addClusterOptions } from "../cluster-options.ts";
import type { CommandIo } from "../command-io.ts";
import { addExamples, addNotes, groupOf } from "../program.ts";

/** Adds `cluster undrain`. */
export function register(program: Command, io: CommandIo): void {
  const command = groupOf(program, "cluster")
    .command("undrain")
    .description("let a node that was drained get replicas of new topics again")
    .argument("<node>", "node id")
    .option("--json", "one JSON document");
  addClusterOptions(command).action(async (node: string, options: ClusterUndrainOptions) => {
    const { runClusterUndrain } = await import("../cluster/run-undrain.ts");
    await runClusterUndrain(node, options, io);
  });
  addNotes(command, io, [
    "Takes away the cordoned.log.dirs that a drain set; of a node that is stopped, too. What was set there before the drain is not put back. Replicas that were moved off it stay where they are.",
  ]);
  addExamples(command, io, [["sluice cluster undrain 4", "node 4 stays in the cluster after all"]]);
}
