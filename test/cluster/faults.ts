/**
 * What is done to a running cluster, as data: whom a fault strikes, how long it lasts, what it needs, and whether the cluster must serve
 * every partition while it goes on.
 */
import type { BrokerCluster, ClusterNode } from "../support/cluster-process.ts";
import type { NetworkHost } from "../support/namespaces.ts";

/** Who is struck. */
export type Victim = "leader" | "follower" | "controller" | "all";

/** What a fault works on. */
export interface FaultScene {
  readonly cluster: BrokerCluster;
  /** Struck nodes, one unless the fault strikes all. */
  readonly victims: readonly ClusterNode[];
  readonly random: () => number;
  /** How long it lasts, ms. */
  readonly lastsMs: number;
  /** Room on a node's disk, for the fault that fills it. */
  readonly disks: ReadonlyMap<number, { fill(leaveBytes: number): void; release(): void }>;
}

/** What is needed beside processes. */
export type FaultNeed = "network" | "loss" | "disk";

/** One kind of fault. */
export interface ClusterFault {
  readonly name: string;
  readonly strikes: readonly Victim[];
  readonly needs: readonly FaultNeed[];
  /** Whether acks=all writes to every partition must go on while it lasts. */
  readonly keepsService: boolean;
  /** The longest that it lasts, ms. */
  readonly lastsMaxMs: number;
  begin(scene: FaultScene): Promise<void>;
  /** Mends what was done. Processes that were ended run again. */
  end(scene: FaultScene): Promise<void>;
}

const ONE: readonly Victim[] = ["leader", "follower", "controller"];

function hostOf(node: ClusterNode): NetworkHost {
  if (node.networkHost === null) throw new Error(`${node.name} has no host of its own`);
  return node.networkHost;
}

async function eachVictim(
  scene: FaultScene,
  work: (node: ClusterNode) => Promise<unknown> | void,
): Promise<void> {
  await Promise.all(scene.victims.map(work));
}

const others = ({ cluster, victims }: FaultScene): ClusterNode[] =>
  cluster.nodes.filter((node) => !victims.includes(node));

/** The victims' packets do not reach the others. */
async function cutOut(scene: FaultScene): Promise<void> {
  for (const victim of scene.victims)
    for (const other of others(scene)) await hostOf(victim).cutTo(hostOf(other));
}

/** The others' packets do not reach the victims. */
async function cutIn(scene: FaultScene): Promise<void> {
  for (const victim of scene.victims)
    for (const other of others(scene)) await hostOf(other).cutTo(hostOf(victim));
}

/** A fault that ends processes, and starts them again. */
function stopping(
  name: string,
  signal: "SIGTERM" | "SIGKILL",
  strikes: readonly Victim[],
): ClusterFault {
  const isAll = strikes.includes("all");
  return {
    name,
    strikes,
    needs: [],
    keepsService: !isAll,
    lastsMaxMs: isAll ? 500 : 4_000,
    begin: (scene) => eachVictim(scene, (node) => node.stop(signal)),
    end: ({ cluster }) => cluster.start(),
  };
}

/** All faults, by name. */
export const FAULTS: readonly ClusterFault[] = [
  stopping("kill", "SIGKILL", ONE),
  stopping("stop", "SIGTERM", ONE),
  stopping("kill-all", "SIGKILL", ["all"]),
  stopping("stop-all", "SIGTERM", ["all"]),
  {
    name: "restart-in-turn",
    strikes: ["all"],
    needs: [],
    keepsService: true,
    lastsMaxMs: 1_000,
    begin: async ({ cluster }) => {
      for (const node of cluster.nodes) {
        await node.stop("SIGTERM");
        await node.start();
      }
    },
    end: () => Promise.resolve(),
  },
  {
    name: "pause",
    strikes: ONE,
    needs: [],
    keepsService: true,
    lastsMaxMs: 8_000,
    begin: (scene) => eachVictim(scene, (node) => node.pause()),
    end: (scene) => eachVictim(scene, (node) => node.resume()),
  },
  {
    name: "pause-all",
    strikes: ["all"],
    needs: [],
    keepsService: false,
    lastsMaxMs: 6_000,
    begin: (scene) => eachVictim(scene, (node) => node.pause()),
    end: (scene) => eachVictim(scene, (node) => node.resume()),
  },
  {
    name: "partition",
    strikes: ONE,
    needs: ["network"],
    keepsService: true,
    lastsMaxMs: 8_000,
    begin: (scene) => eachVictim(scene, (node) => hostOf(node).isolate()),
    end: (scene) => eachVictim(scene, (node) => hostOf(node).rejoin()),
  },
  {
    name: "partition-from-nodes",
    strikes: ONE,
    needs: ["network"],
    keepsService: true,
    lastsMaxMs: 8_000,
    begin: async (scene) => {
      await cutOut(scene);
      await cutIn(scene);
    },
    end: mendLinks,
  },
  {
    name: "one-way-out",
    strikes: ONE,
    needs: ["network"],
    keepsService: true,
    lastsMaxMs: 8_000,
    begin: cutOut,
    end: mendLinks,
  },
  {
    name: "one-way-in",
    strikes: ONE,
    needs: ["network"],
    keepsService: true,
    lastsMaxMs: 8_000,
    begin: cutIn,
    end: mendLinks,
  },
  {
    name: "one-link",
    strikes: ONE,
    needs: ["network"],
    keepsService: true,
    lastsMaxMs: 8_000,
    begin: async (scene) => {
      const [victim] = scene.victims;
      const rest = others(scene);
      const other = rest[Math.floor(scene.random() * rest.length)];
      if (victim !== undefined && other !== undefined) await hostOf(victim).cutTo(hostOf(other));
    },
    end: mendLinks,
  },
  {
    name: "loss",
    strikes: ["all"],
    needs: ["network", "loss"],
    // With a third of all packets lost TCP itself waits for seconds.
    keepsService: false,
    lastsMaxMs: 8_000,
    begin: async (scene) => {
      const percent = 10 + Math.floor(scene.random() * 21);
      await eachVictim(scene, (node) => hostOf(node).lose(percent));
    },
    end: (scene) => eachVictim(scene, (node) => hostOf(node).lose(0)),
  },
  {
    name: "full-disk",
    strikes: ONE,
    needs: ["disk"],
    keepsService: true,
    lastsMaxMs: 6_000,
    begin: (scene) => eachVictim(scene, (node) => scene.disks.get(node.id)?.fill(0)),
    end: (scene) => eachVictim(scene, (node) => scene.disks.get(node.id)?.release()),
  },
];

async function mendLinks({ cluster }: FaultScene): Promise<void> {
  for (const node of cluster.nodes) await hostOf(node).mend();
}
