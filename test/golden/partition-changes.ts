/**
 * Partitions, wishes, and the records that Kafka's own controller writes for them (`java/KafkaPartitionChanges.java`).
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { PartitionGoal } from "#controller/partition-change.ts";

/** What the referee reads. */
export interface PartitionWish {
  readonly before: {
    readonly leader: number;
    readonly leaderRecoveryState: number;
    readonly replicas: readonly number[];
    readonly isr: readonly number[];
    readonly adding: readonly number[];
    readonly removing: readonly number[];
    readonly elr: readonly number[];
    readonly lastKnownElr: readonly number[];
  };
  readonly goal: PartitionGoal & { readonly election: "online" | "preferred" | "unclean" };
  /** Brokers that may lead. */
  readonly serving: readonly number[];
  readonly minIsr: number;
  readonly hasElr: boolean;
}

/** What it adds: fields of PartitionChangeRecord. */
export interface PartitionChangeSample extends PartitionWish {
  readonly record: Readonly<Record<string, unknown>> | null;
}

export const PARTITION_CHANGES_FILE: string = join(
  import.meta.dirname,
  "partition-changes.ndjson.zst",
);

/** Reads the committed changes. */
export function readPartitionChanges(): PartitionChangeSample[] {
  const text = Bun.zstdDecompressSync(readFileSync(PARTITION_CHANGES_FILE)).toString();
  return text
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as PartitionChangeSample);
}

const ascending = (left: number, right: number): number => left - right;

/** Random partitions and wishes of every kind the controller has. The same seed gives the same. */
export function makePartitionWishes(seed: number, count: number): PartitionWish[] {
  let state = seed >>> 0;
  const next = (below: number): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
  const some = (ids: readonly number[], outOf: number): number[] =>
    ids.filter(() => next(outOf) > 0);
  const mixed = (ids: readonly number[]): number[] =>
    ids
      .map((id) => ({ id, key: next(1 << 20) }))
      .sort((left, right) => left.key - right.key)
      .map(({ id }) => id);
  const wishes: PartitionWish[] = [];
  while (wishes.length < count) {
    const brokers = [1, 2, 3, 4, 5];
    const replicas = mixed(brokers).slice(0, 1 + next(4));
    const hasElr = next(4) > 0;
    const isr = mixed(some(replicas, 3));
    if (!hasElr && isr.length === 0) isr.push(replicas[0] ?? 1);
    const elr = hasElr ? some(replicas, 2).filter((id) => !isr.includes(id)) : [];
    const outOfSync = replicas.filter((id) => !isr.includes(id));
    const isMoving = next(3) === 0;
    const adding = isMoving ? some(outOfSync, 3) : [];
    const removing = isMoving ? some(replicas, 2).filter((id) => !adding.includes(id)) : [];
    const serving = some(brokers, 4);
    const able = isr.filter((id) => serving.includes(id) || next(3) === 0);
    const leader = able.length === 0 || next(4) === 0 ? -1 : (able[next(able.length)] ?? -1);
    const lastKnownElr = hasElr && leader === -1 && next(2) === 0 ? some(replicas, 2) : [];
    const before = {
      leader,
      leaderRecoveryState: next(8) === 0 ? 1 : 0,
      replicas,
      isr,
      adding,
      removing,
      elr: elr.sort(ascending),
      lastKnownElr: next(2) === 0 ? lastKnownElr.slice(0, 1) : lastKnownElr,
    };
    const election = (["online", "online", "preferred", "unclean"] as const)[next(4)] ?? "online";
    const gone = brokers[next(brokers.length)] ?? 1;
    const without = isr.filter((id) => id !== gone);
    const asked = [leader, ...some(replicas, 3).filter((id) => id !== leader)];
    const settled = replicas.filter((id) => !adding.includes(id));
    const inSync = isr.filter((id) => !adding.includes(id));
    const target = mixed(brokers).slice(0, 1 + next(4));
    const goals: Omit<PartitionWish["goal"], "election">[] = [
      {},
      { isr: without },
      { isr: without, uncleanReplicas: [gone] },
      { isr: asked, leaderRecoveryState: before.leaderRecoveryState },
      { isr: asked, leaderRecoveryState: 0 },
      {
        replicas: [...target, ...replicas.filter((id) => !target.includes(id)).sort(ascending)],
        adding: target.filter((id) => !replicas.includes(id)).sort(ascending),
        removing: replicas.filter((id) => !target.includes(id)).sort(ascending),
      },
      { replicas: settled, isr: inSync.length > 0 ? inSync : settled, adding: [], removing: [] },
    ];
    const goal = goals[next(goals.length)] ?? {};
    if (goal.replicas?.length === 0) continue;
    const minIsr = 1 + next(replicas.length);
    // Who tells of the recovery is the leader: nobody else is elected then.
    const isTold = goal.leaderRecoveryState !== undefined;
    if (isTold && leader === -1) continue;
    const wish = { ...goal, election: isTold ? "online" : election } as const;
    wishes.push({ before, goal: wish, serving, minIsr, hasElr });
  }
  return wishes;
}
