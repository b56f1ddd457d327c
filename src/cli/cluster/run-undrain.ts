/**
 * `sluice cluster undrain NODE` at work: the way back from a drain. The node may be given replicas of new topics again; what was moved off it stays where
 * it is. What the node's own file cordons stays cordoned: that is the file's to say.
 */
import { describeBrokers } from "#client/cluster-info.ts";
import type { Cluster } from "#client/cluster.ts";
import { cordonSetting, uncordonBroker, uncordonStoppedBroker } from "#client/cordon.ts";
import type { ClusterArguments } from "../cluster-options.ts";
import type { CommandIo } from "../command-io.ts";
import { CommandError } from "../failure.ts";
import { printJson } from "../output.ts";
import { withCluster } from "../with-cluster.ts";
import { readNodeId } from "./node-argument.ts";

/** Options as commander gives them. */
export interface ClusterUndrainOptions extends ClusterArguments {
  readonly json?: true;
}

/** How often, and how many times, a node is asked whether its value is gone. */
const LOOK_MS = 50;
const LOOKS_MAX = 100;

/** What a node cordons by itself, once it has read that nothing else does: a Kafka tells of the new source a moment before it tells the value of it. */
async function settledValue(cluster: Cluster, node: number): Promise<string> {
  let last: string | null = null;
  for (let look = 0; look < LOOKS_MAX; look += 1) {
    const { value, source } = await cordonSetting(cluster, node);
    if (value === "" ? source !== "broker" : source === "static" && value === last) return value;
    last = value;
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
  return last ?? "";
}

/** Runs `sluice cluster undrain`. */
export async function runClusterUndrain(
  nodeText: string,
  options: ClusterUndrainOptions,
  io: CommandIo,
): Promise<void> {
  const node = readNodeId(nodeText);
  await withCluster(options, async (cluster) => {
    const broker = (await describeBrokers(cluster)).find(({ id }) => id === node);
    if (broker === undefined) {
      throw new CommandError(`node ${node} is not a broker of this cluster`, [
        "'sluice cluster status' shows who is.",
      ]);
    }
    let stillCordoned: string | null = null;
    if (broker.isFenced) await uncordonStoppedBroker(cluster, node);
    else {
      await uncordonBroker(cluster, node);
      stillCordoned = await settledValue(cluster, node);
    }
    if (options.json === true) {
      await printJson(io.stdout, { node, result: "undrained", cordonedLogDirs: stillCordoned });
      return;
    }
    await io.stdout.write(
      stillCordoned === null || stillCordoned === ""
        ? `node ${node} may get replicas of new topics again\n`
        : `node ${node} is not drained any more; its own configuration file cordons ${stillCordoned} (cordoned.log.dirs) still\n`,
    );
  });
}
