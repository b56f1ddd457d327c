/** `sluice cluster drain`: its options and help; the work is in `src/cli/cluster/run-drain.ts`. */
import type { Command } from "commander";
import type { ClusterDrainOptions } from "../cluster/run-drain.ts";
import { addClusterOptions } from "../cluster-options.ts";
import type { CommandIo } from "../command-io.ts";
import { addExamples, addNotes, groupOf } from "../program.ts";

/** Adds `cluster drain`. */
export function register(program: Command, io: CommandIo): void {
  const command = groupOf(program, "cluster")
    .command("drain")
    .description("move every replica of a node to the others, and give it no new ones")
    .argument("<node>", "node id")
    .option("--at-once <count>", "partitions on their way at a time", "10")
    .option(
      "--throttle <bytes-per-second>",
      "rate of each broker, sent and received, for what is on its way",
    )
    .option("--dry-run", "only show what would move where")
    .option("--json", "one JSON document");
  addClusterOptions(command).action(async (node: string, options: ClusterDrainOptions) => {
    const { runClusterDrain } = await import("../cluster/run-drain.ts");
    await runClusterDrain(node, options, io);
  });
  addNotes(command, io, [
    "First the node is cordoned (cordoned.log.dirs=* of that broker), so that it gets no replicas of new topics; 'sluice cluster undrain' takes that back, 'sluice cluster remove' too.",
    "Replicas go to other racks than those that hold the partition, and to the brokers with the fewest. Ctrl-C begins no more moves; what is under way ends by itself, and the same command goes on. --throttle sets what kafka-reassign-partitions sets, and takes it away in the end; after Ctrl-C it stays until the same command is run to its end.",
  ]);
  addExamples(command, io, [
    ["sluice cluster drain 4 --dry-run", "where its replicas would go"],
    [
      "sluice cluster drain 4 --throttle 20000000",
      "with at most 20 MB/s in and out of each broker",
    ],
    ["sluice cluster drain 4", "before node 4 is taken out of the cluster"],
  ]);
}
