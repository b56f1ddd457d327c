/**
 * What goes wrong in a run, as data: a list that is drawn from the seed before the run begins, so that a failing run can be repeated with some
 * of it left out. Each seed draws its own mix of kinds first (swarm testing): many runs without crashes, many with nothing but crashes, and so
 * on find more than all runs with a bit of everything.
 */
import type { CrashMode } from "./disk.ts";
import type { SwimProfile } from "#membership/swim.ts";
import type { NetworkProfile } from "./network.ts";
import { drawPattern, type Pattern, PATTERNS } from "./patterns.ts";
import { SeededRandom } from "./random.ts";

/** One fault. Times are milliseconds since the world began. */
export type Fault = { readonly atMs: number; readonly forMs: number } & (
  | {
      readonly kind: "crash";
      readonly node: number;
      readonly mode: CrashMode;
      readonly seed: number;
    }
  | { readonly kind: "stop"; readonly node: number }
  | { readonly kind: "pause"; readonly node: number }
  | {
      readonly kind: "cut";
      readonly from: readonly number[];
      readonly to: readonly number[];
      readonly isOneWay: boolean;
    }
  | { readonly kind: "reset"; readonly one: number; readonly other: number }
  | { readonly kind: "slow"; readonly node: number; readonly byMs: number }
  | { readonly kind: "full"; readonly node: number; readonly freeBytes: number }
  | {
      readonly kind: "verdict";
      readonly at: number;
      readonly about: number;
      readonly verdict: "suspect" | "down";
    }
  | { readonly kind: "transfer"; readonly to: number }
  | { readonly kind: "elect"; readonly partition: number }
  | {
      readonly kind: "reassign";
      readonly partition: number;
      /** Null takes the one under way back. */
      readonly replicas: readonly number[] | null;
    }
  /** Gives a node a vote in the quorum, or takes it. */
  | { readonly kind: "vote"; readonly node: number }
);

export type FaultKind = Fault["kind"];

/** Rules of the design that a run can do without, to see that it is missed. */
export const SAFETY_RULES = [
  /** The high watermark waits for who is about to join the ISR. */
  "maximal-isr",
  /**
   * Fetches of followers name the leader's epoch and that of their last record, and are refused, or told to cut, where they are others. One
   * stands behind the other: only without both something breaks.
   */
  "fetch-epochs",
  /** AlterPartition is a compare-and-swap on leader and partition epoch: who led before is refused. */
  "alter-epochs",
  /** Nobody joins an ISR in another life than the leader saw. */
  "broker-epochs",
  /** Raft votes and acknowledges only what is on disk. */
  "raft-sync",
  /** Followers cut their logs where epochs diverge, not at the high watermark. */
  "truncate-by-epoch",
  /** Who was not closed in order is in no ISR until it has caught up. */
  "unclean-registration",
  /** A node acts on metadata only once it has read its own registration. */
  "catch-up-first",
  /** SWIM leaves alone who has refuted a suspicion. */
  "suspect-guard",
  /** Acks=all, and the high watermark, need `min.insync.replicas` members. */
  "min-isr",
  /** A leader comes from the ISR or the ELR. */
  "clean-elections",
  /** A coordinator answers once the high watermark has passed what it wrote. */
  "commits-wait",
] as const;
export type SafetyRule = (typeof SAFETY_RULES)[number];

/** What a run is made of, besides its faults. */
export interface Plan {
  readonly seed: number;
  readonly nodeCount: number;
  /** Nodes 0 to this many minus one vote; the others are brokers only. */
  readonly voterCount: number;
  readonly partitionCount: number;
  readonly replicationFactor: number;
  readonly minIsr: number;
  readonly producerCount: number;
  readonly consumerCount: number;
  /** Members of a group that commits offsets; 0 for no group, and no topic for its offsets. */
  readonly memberCount: number;
  /** How long faults happen; healing and the last checks come after it. */
  readonly busyMs: number;
  readonly network: NetworkProfile;
  readonly swimProfile: SwimProfile;
  /** `unclean.leader.election.enable` of the topic. */
  readonly allowsUnclean: boolean;
  readonly flushDelayMs: number;
  /** Verdicts about brokers are drawn by lot instead of coming from SWIM. */
  readonly hasRandomVerdicts: boolean;
  /** An answer over TCP saves a broker that SWIM calls down. Without it every verdict fences. */
  readonly isConfirming: boolean;
  readonly switchedOff: readonly SafetyRule[];
  /** Faults in an order that chance draws too seldom; see `patterns.ts`. */
  readonly pattern: Pattern | null;
  readonly faults: readonly Fault[];
}

const KINDS: readonly FaultKind[] = [
  "crash",
  "stop",
  "pause",
  "cut",
  "reset",
  "slow",
  "full",
  "verdict",
  "transfer",
  "elect",
  "reassign",
  "vote",
];

/** Draws a run from a seed. */
export function planOf(seed: number, change: Partial<Plan> = {}): Plan {
  const random = new SeededRandom(seed).split("plan");
  const nodeCount = random.pick([3, 3, 3, 4, 5]);
  const voterCount = nodeCount >= 5 && random.chance(0.5) ? 5 : 3;
  const replicationFactor = random.pick([3, 3, 3, 2]);
  const base: Plan = {
    seed,
    nodeCount,
    voterCount,
    partitionCount: random.integer(1, 4),
    replicationFactor,
    minIsr: replicationFactor === 3 ? random.pick([2, 2, 2, 1]) : random.pick([1, 2]),
    producerCount: random.integer(1, 4),
    consumerCount: 1,
    memberCount: 0,
    busyMs: random.pick([3000, 5000, 8000]),
    network: {
      delayMs: random.pick([
        [0.1, 0.5],
        [0.1, 5],
        [1, 20],
      ] as const),
      slowChance: random.pick([0, 0.01, 0.05]),
      slowMs: random.pick([10, 100, 400]),
      lossChance: random.pick([0, 0, 0.01, 0.1, 0.3]),
      duplicateChance: random.pick([0, 0.01, 0.1]),
    },
    swimProfile: random.pick(["default", "fast"] as const),
    allowsUnclean: random.chance(0.15),
    flushDelayMs: random.pick([1, 5, 30]),
    hasRandomVerdicts: random.chance(0.5),
    isConfirming: random.chance(0.5),
    switchedOff: [],
    pattern: random.chance(0.2) ? random.pick(PATTERNS) : null,
    faults: [],
  };
  // Drawn last: seeds from before there were groups are what they were.
  const memberCount = random.split("group").pick([0, 0, 2, 3]);
  const plan = { ...base, memberCount, ...change };
  return { ...plan, faults: change.faults ?? drawAll(random, plan) };
}

/** A pattern is mostly alone: more would only blur it. */
function drawAll(random: SeededRandom, plan: Plan): Fault[] {
  const { pattern } = plan;
  const faults = pattern === null ? [] : drawPattern(random, pattern, plan);
  if (pattern === null || random.chance(0.3)) faults.push(...drawFaults(random, plan));
  return faults.sort((left, right) => left.atMs - right.atMs);
}

/** Each kind has a weight of its own, most of them none: some seeds are nothing but crashes, some of everything. */
function drawFaults(random: SeededRandom, plan: Plan): Fault[] {
  const weighted = KINDS.flatMap((kind) => {
    const isIn = kind === "verdict" ? plan.hasRandomVerdicts : random.chance(0.4);
    const weight = random.pick([1, 1, 2, 5, 20]);
    return isIn ? [{ kind, weight }] : [];
  });
  const sum = weighted.reduce((before, { weight }) => before + weight, 0);
  if (sum === 0) return [];
  const count = random.integer(1, 1 + Math.ceil(plan.busyMs / random.pick([100, 200, 500, 1500])));
  const faults: Fault[] = [];
  for (let index = 0; index < count; index += 1) {
    let at = random.integer(0, sum);
    const drawn = weighted.find(({ weight }) => (at -= weight) < 0);
    if (drawn !== undefined) faults.push(drawFault(random, drawn.kind, plan));
  }
  return faults;
}

function drawFault(random: SeededRandom, kind: FaultKind, plan: Plan): Fault {
  const node = random.integer(0, plan.nodeCount);
  const other = (node + random.integer(1, plan.nodeCount)) % plan.nodeCount;
  const atMs = Math.floor(random.between(500, plan.busyMs));
  const forMs = Math.floor(random.pick([20, 200, 1000, 4000]) * random.between(0.5, 1.5));
  const when = { atMs, forMs };
  switch (kind) {
    case "crash": {
      const mode = random.pick(["process", "unsynced", "power"] as const);
      return { ...when, kind, node, mode, seed: random.uint32() };
    }
    case "stop":
    case "pause":
      return { ...when, kind, node };
    case "cut": {
      const isOneWay = random.chance(0.4);
      const all = Array.from({ length: plan.nodeCount }, (_, id) => id);
      const from = random.chance(0.5) ? [node] : all.filter(() => random.chance(0.5));
      const to = all.filter((id) => !from.includes(id));
      return { ...when, kind, from, to: random.chance(0.3) ? [other] : to, isOneWay };
    }
    case "reset":
      return { ...when, kind, one: node, other };
    case "slow":
      return { ...when, kind, node, byMs: random.pick([5, 50, 300]) };
    case "full":
      return { ...when, kind, node, freeBytes: random.integer(0, 3000) };
    case "verdict":
      return {
        ...when,
        kind,
        at: other,
        about: node,
        verdict: random.pick(["suspect", "down", "down"] as const),
      };
    case "transfer":
      return { ...when, kind, to: random.integer(0, plan.voterCount) };
    case "elect":
      return { ...when, kind, partition: random.integer(0, plan.partitionCount) };
    case "reassign": {
      const partition = random.integer(0, plan.partitionCount);
      const replicas = random.chance(0.2) ? null : drawReplicas(random, plan);
      return { ...when, kind, partition, replicas };
    }
    case "vote":
      return { ...when, kind, node };
    default:
      return kind satisfies never;
  }
}

/** As many brokers as the topic has replicas, in any order. */
function drawReplicas(random: SeededRandom, plan: Plan): number[] {
  const all = Array.from({ length: plan.nodeCount }, (_, id) => id);
  const replicas: number[] = [];
  while (replicas.length < plan.replicationFactor) {
    const [id] = all.splice(random.integer(0, all.length), 1);
    if (id !== undefined) replicas.push(id);
  }
  return replicas;
}

/** A fault in a few words, for reports. */
export function describeFault(fault: Fault): string {
  const { atMs, forMs, kind, ...rest } = fault;
  const words = Object.entries(rest).map(([key, value]) => `${key}=${JSON.stringify(value)}`);
  return `${atMs} ms for ${forMs} ms: ${kind} ${words.join(" ")}`;
}
