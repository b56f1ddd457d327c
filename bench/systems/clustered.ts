/**
 * A system as a cluster of several nodes on this machine: the same broker, each node started from a `server.properties` as Kafka ships it for a
 * combined node. What is counted of it is counted of all its processes.
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { BrokerCluster, ClusterOptions } from "../../test/support/cluster-process.ts";
import { kafkaJavaFlags, kafkaLibraries } from "./kafka.ts";
import type { RunningSystem, StartOptions, System } from "./system.ts";

async function make(system: System, options: ClusterOptions): Promise<BrokerCluster> {
  // Only a checkout has it, and only this needs it.
  const { kafkaCluster, sluiceCluster } = await import("../../test/support/cluster-process.ts");
  return system.name === "kafka"
    ? await kafkaCluster(await kafkaLibraries(), { ...options, javaFlags: kafkaJavaFlags })
    : await sluiceCluster(options);
}

/** The same system with `nodeCount` nodes. Topics need two replicas in sync. */
export function clustered(system: System, nodeCount: number): System {
  const overrides = (options: StartOptions): Record<string, string> => ({
    "log.segment.delete.delay.ms": "500",
    "min.insync.replicas": "2",
    ...options.settings,
  });
  return {
    ...system,
    prepare: () => system.prepare(),
    version: () => system.version(),
    topicConfig: (durability, acks) => system.topicConfig(durability, acks),
    config: (options) => ({ nodes: String(nodeCount), ...overrides(options) }),
    start: async (options): Promise<RunningSystem> => {
      const directory = join(options.directory, "cluster");
      mkdirSync(directory, { recursive: true });
      const cluster = await make(system, { directory, nodeCount, overrides: overrides(options) });
      const startedMs = performance.now();
      try {
        await cluster.start();
      } catch (error) {
        await cluster.stop("SIGKILL");
        throw error;
      }
      const pids = cluster.nodes.flatMap(({ pid }) => (pid === null ? [] : [pid]));
      const [pid = -1] = pids;
      return {
        pid,
        pids,
        bootstrap: cluster.nodes[0]?.bootstrap ?? "",
        startUpMs: performance.now() - startedMs,
        dataDirectory: directory,
        stop: () => cluster.stop(),
        kill: () => cluster.stop("SIGKILL"),
      };
    },
  };
}
