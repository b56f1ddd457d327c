/**
 * What can befall one of three nodes, as data: whom it strikes, how it begins and how it ends. A node "leads" when it leads the partition that
 * is written to, and "controls" when it is the active controller.
 */
import type { ClusterNode } from "../../test/support/cluster-process.ts";

/** One kind of fault. */
export interface Fault {
  readonly name: string;
  /** Roles of the victim. */
  readonly leads: boolean;
  readonly controls: boolean;
  /** Needs hosts of their own, which can be cut off. */
  readonly needsNetwork: boolean;
  /** Goals for the median and the 99th percentile, ms. With the fast profile of SWIM and with the default one. */
  readonly goalMs: Readonly<Record<"fast" | "default", readonly [p50: number, p99: number]>>;
  /** What counts: the time to the first acknowledgement of what was sent after the fault began, or the longest gap while it went on. */
  readonly measure: "first acknowledgement" | "longest gap";
  /** Begins the fault; resolves once it has begun, or for a gap once it is over. */
  begin(node: ClusterNode): Promise<void>;
  /** Ends it; resolves once the node runs as before. */
  end(node: ClusterNode): Promise<void>;
}

const crashGoal = { fast: [300, 800], default: [300, 800] } as const;
const silentGoal = { fast: [800, 1200], default: [1200, 2000] } as const;
const controllerGoal = { fast: [800, 1500], default: [800, 1500] } as const;

async function kill(node: ClusterNode): Promise<void> {
  await node.stop("SIGKILL");
}

async function restart(node: ClusterNode): Promise<void> {
  await node.start();
}

/** All faults, by name. */
export const faults: readonly Fault[] = [
  {
    name: "kill -9 of the leader",
    leads: true,
    controls: false,
    needsNetwork: false,
    measure: "first acknowledgement",
    goalMs: crashGoal,
    begin: kill,
    end: restart,
  },
  {
    name: "kill -9 of a follower",
    leads: false,
    controls: false,
    needsNetwork: false,
    measure: "first acknowledgement",
    goalMs: crashGoal,
    begin: kill,
    end: restart,
  },
  {
    name: "kill -9 of the controller",
    leads: false,
    controls: true,
    needsNetwork: false,
    measure: "first acknowledgement",
    goalMs: controllerGoal,
    begin: kill,
    end: restart,
  },
  {
    name: "kill -9 of leader and controller",
    leads: true,
    controls: true,
    needsNetwork: false,
    measure: "first acknowledgement",
    goalMs: controllerGoal,
    begin: kill,
    end: restart,
  },
  {
    name: "SIGSTOP of the leader",
    leads: true,
    controls: false,
    needsNetwork: false,
    measure: "first acknowledgement",
    goalMs: silentGoal,
    begin: (node) => Promise.resolve(node.pause()),
    end: (node) => Promise.resolve(node.resume()),
  },
  {
    name: "network partition of the leader",
    leads: true,
    controls: false,
    needsNetwork: true,
    measure: "first acknowledgement",
    goalMs: silentGoal,
    begin: async (node) => await node.networkHost?.isolate(),
    end: async (node) => await node.networkHost?.rejoin(),
  },
  {
    name: "controlled shutdown of the leader",
    leads: true,
    controls: false,
    needsNetwork: false,
    measure: "longest gap",
    goalMs: { fast: [100, 100], default: [100, 100] },
    begin: async (node) => void (await node.stop("SIGTERM")),
    end: restart,
  },
];
