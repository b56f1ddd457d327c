/**
 * A cluster that somebody else runs, by its address. It is neither started nor stopped, its settings are not ours to know, and its
 * CPU and memory are only seen where it runs on this machine and its processes are named.
 */
import type { Durability, RunningSystem, System } from "./system.ts";

/** What is known of it. */
export interface RunningCluster {
  readonly name: string;
  /** `host:port` for clients. */
  readonly bootstrap: string;
  /** Its processes on this machine. */
  readonly pids: readonly number[];
}

/** Adapter for a cluster that runs already. */
export function runningSystem({ name, bootstrap, pids }: RunningCluster): System {
  return {
    name,
    warmUpSeconds: 5,
    isBroker: true,
    isOurs: false,
    prepare: () => Promise.resolve(),
    version: () => Promise.resolve(`a cluster at ${bootstrap}`),
    config: () => ({ bootstrap }),
    topicConfig: (durability: Durability): Record<string, string> =>
      durability === "page-cache" ? {} : { "flush.messages": "1" },
    start: (): Promise<RunningSystem> =>
      Promise.resolve({
        pid: pids[0] ?? -1,
        pids,
        bootstrap,
        startUpMs: 0,
        dataDirectory: null,
        stop: () => Promise.resolve(),
        kill: () => Promise.resolve(),
      }),
  };
}
