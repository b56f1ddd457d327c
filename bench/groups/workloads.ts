/**
 * The group workloads, data only. A name says its content: `commit-10x16conn` is commits of ten partitions each on sixteen
 * connections. Every goal is the same: at most half of what Kafka needs.
 */
import type { Durability } from "../systems/system.ts";

/** The rebalance protocols of consumer groups. */
export type Protocol = "classic" | "consumer";

/** One figure of a run that is compared. */
export interface Figure {
  /** Name in `GroupRun.figures`. */
  readonly key: string;
  /** Kafka's figure that it is compared with, where that has another name. */
  readonly rival?: string;
  readonly label: string;
  /** Higher is better: compared as the time that one takes. */
  readonly isRate?: boolean;
  readonly goal?: number;
}

interface Common {
  readonly name: string;
  /** One line for people. */
  readonly about: string;
  readonly figures: readonly Figure[];
  /** Part of `--quick`. */
  readonly isQuick?: boolean;
}

/** Two members become fifty. */
export interface RebalanceWorkload extends Common {
  readonly kind: "rebalance";
  readonly protocol: Protocol;
  readonly membersBefore: number;
  readonly membersAfter: number;
  readonly partitions: number;
}

/** Members of groups of one commit as fast as they are answered. */
export interface CommitWorkload extends Common {
  readonly kind: "commit";
  readonly connections: number;
  readonly partitionsPerCommit: number;
  readonly durability: Durability;
}

/** Members of large groups send heartbeats that change nothing, as fast as they are answered. */
export interface HeartbeatWorkload extends Common {
  readonly kind: "heartbeat";
  readonly protocol: Protocol;
  readonly members: number;
  readonly membersPerGroup: number;
  readonly connections: number;
}

/** Many offsets are written once; the broker is restarted on them. */
export interface OffsetsWorkload extends Common {
  readonly kind: "offsets";
  readonly groups: number;
  readonly partitionsPerGroup: number;
}

export type GroupWorkload =
  RebalanceWorkload | CommitWorkload | HeartbeatWorkload | OffsetsWorkload;

const goal = 0.5;

function commit(
  connections: number,
  partitionsPerCommit: number,
  durability: Durability,
): CommitWorkload {
  const isFsync = durability === "fsync";
  return {
    kind: "commit",
    name: `commit-${partitionsPerCommit}x${connections}conn${isFsync ? "-fsync" : ""}`,
    about: `${partitionsPerCommit} partition(s) a commit, ${connections} connection(s), a group each, answered ${isFsync ? "after an fsync" : "from the page cache"}`,
    connections,
    partitionsPerCommit,
    durability,
    figures: [
      { key: "commitsPerSecond", label: "commits/s", isRate: true, goal },
      { key: "cpuSecondsPer100k", label: "CPU s/100k commits", goal },
    ],
    isQuick: connections === 16,
  };
}

function heartbeat(protocol: Protocol): HeartbeatWorkload {
  return {
    kind: "heartbeat",
    name: `heartbeat-${protocol}`,
    about: `heartbeats of 1,000 stable members of 20 ${protocol} groups on 16 connections`,
    protocol,
    members: 1000,
    membersPerGroup: 50,
    connections: 16,
    figures: [
      { key: "cpuSecondsPer100k", label: "CPU s/100k heartbeats", goal },
      { key: "heartbeatsPerSecond", label: "heartbeats/s", isRate: true },
    ],
    isQuick: true,
  };
}

function rebalance(protocol: Protocol): RebalanceWorkload {
  return {
    kind: "rebalance",
    name: `rebalance-${protocol}`,
    about: `2 members of a ${protocol} group on 200 partitions become 50`,
    protocol,
    membersBefore: 2,
    membersAfter: 50,
    partitions: 200,
    figures: [
      { key: "rebalanceMs", label: "rebalance, ms", goal },
      { key: "cpuMsPerRebalance", label: "CPU ms a rebalance", goal },
    ],
    isQuick: true,
  };
}

const offsets: OffsetsWorkload = {
  kind: "offsets",
  name: "offsets-1000x100",
  about: "100,000 offsets of 1,000 groups: memory after writing them, and a restart on them",
  groups: 1000,
  partitionsPerGroup: 100,
  figures: [
    { key: "residentMib", label: "RSS of the broker, written, MiB", goal },
    { key: "residentGrowthMib", label: "RSS growth, written, MiB", goal },
    {
      key: "residentGrowthMib",
      rival: "heapGrowthMib",
      label: "the same beside Kafka's live heap, MiB",
    },
    {
      key: "residentGrowthLoadedMib",
      rival: "heapGrowthLoadedMib",
      label: "RSS growth, loaded, beside Kafka's live heap, MiB",
    },
    { key: "loadMs", label: "start until all groups answer, beyond an empty start, ms", goal },
    { key: "loadCpuMs", label: "CPU of the same, ms", goal },
    { key: "startToAllGroupsMs", label: "whole start until all groups answer, ms", goal },
  ],
  isQuick: true,
};

export const groupWorkloads: readonly GroupWorkload[] = [
  offsets,
  rebalance("classic"),
  rebalance("consumer"),
  commit(1, 1, "page-cache"),
  commit(16, 1, "page-cache"),
  commit(64, 1, "page-cache"),
  commit(1, 10, "page-cache"),
  commit(16, 10, "page-cache"),
  commit(64, 10, "page-cache"),
  commit(16, 1, "fsync"),
  heartbeat("classic"),
  heartbeat("consumer"),
];

/**
 * The workloads that names select: exact names, or beginnings of names (`commit`).
 *
 * @throws Error when a name selects nothing.
 */
export function selectGroupWorkloads(names: readonly string[]): GroupWorkload[] {
  const found = names.flatMap((name) => {
    const exact = groupWorkloads.filter((each) => each.name === name);
    const some =
      exact.length > 0 ? exact : groupWorkloads.filter((each) => each.name.startsWith(name));
    if (some.length === 0) {
      const known = groupWorkloads.map((each) => `  ${each.name}`).join("\n");
      throw new Error(`no workload ${name}; there are:\n${known}`);
    }
    return some;
  });
  const chosen = new Set(found);
  return groupWorkloads.filter((each) => chosen.has(each));
}
