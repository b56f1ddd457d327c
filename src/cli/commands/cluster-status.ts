/** `sluice cluster status`: its options and help; the work is in `src/cli/cluster/run-status.ts`. */
import type { Command } from "commander";
import type { ClusterStatusOptions } from "../cluster/run-status.ts";
import { addClusterOptions } from "../cluster-options.ts";
import type { CommandIo } from "../command-io.ts";
import { addExamples, addNotes, groupOf } from "../program.ts";

/** Adds `cluster status`. */
export function register(program: Command, io: CommandIo): void {
  const command = groupOf(program, "cluster")
    .command("status")
    .description("show every node, and the partitions that are not in sync")
    .option("--watch [seconds]", "look again until Ctrl-C, each second unless said otherwise")
    .option("--all", "every partition that is not in sync, not only the first 20")
    .option("--json", "one JSON document; with --watch one a line");
  addClusterOptions(command).action(async (options: ClusterStatusOptions) => {
    const { runClusterStatus } = await import("../cluster/run-status.ts");
    await runClusterStatus(options, io);
  });
  addNotes(command, io, [
    "STATE is what the controller decided; HEARD BY N is what the failure detector of the node that was asked says. UNSYNCED counts replicas that are not in the ISR. LAG is how many records the slowest replica of a node is behind its leader, METADATA how many entries of the metadata the node is behind the active controller.",
  ]);
  addExamples(command, io, [
    ["sluice cluster status", "the cluster on 127.0.0.1:9092"],
    ["sluice cluster status --watch", "during a restart of its nodes, one after the other"],
  ]);
}
