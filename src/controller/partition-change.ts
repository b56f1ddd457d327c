/**
 * How one partition changes: who leads it, who is in sync, who is eligible, and what becomes of a reassignment. Every decision
 * that touches a partition says what it wants as a {@link PartitionGoal} and gets the one record that brings it about, so that
 * the rules below hold whoever asks.
 *
 * - The leader stays while it may; else the first replica, in the order of assignment, that is in sync and may lead; else, where
 *   nobody is in sync, the first eligible one (KIP-966); else the last leader there was; else, where that is allowed, any that may.
 * - Where eligible leader replicas are served, the ISR may become empty: whoever leaves it below `min.insync.replicas` without
 *   losing data is eligible. Where they are not, the last member stays.
 * - A reassignment is over as soon as all replicas it adds are in sync; one that leaves fewer replicas, as soon as all of these are.
 *
 * Leader and partition epochs are not in the record: replaying one counts them up.
 */
import { ZERO_UUID } from "#common/uuid.ts";
import { NO_LEADER_CHANGE } from "#metadata/cluster-delta.ts";
import type { PartitionImage } from "#metadata/cluster-image.ts";
import type { MetadataRecord } from "#protocol/generated/records/metadata-record-table.ts";
import { makePartitionChangeRecord } from "#protocol/generated/records/partition-change-record.ts";
import type { PartitionChangeRecord } from "#protocol/generated/records/partition-change-record.ts";

/** Leader of a partition without one. */
export const NO_LEADER = -1;

/** Whether a leader may have lost records that were once committed. */
export const LeaderRecoveryState = { RECOVERED: 0, RECOVERING: 1 } as const;

/** What is true of the cluster and the topic while a partition is changed. */
export interface PartitionRules {
  /** Whether a replica may lead: its broker serves and its directory works. */
  readonly mayLead: (brokerId: number, directoryId: string) => boolean;
  /** `min.insync.replicas`, but not more than there are replicas. */
  readonly minIsr: number;
  /** Whether eligible leader replicas are kept (KIP-966). */
  readonly hasElr: boolean;
  /** Directory for a replica that is new to the partition. */
  readonly chooseDirectory: (brokerId: number) => string;
  /** A node without a quorum has nobody to recover records from, and gives up no replica before another one serves. */
  readonly isAlone: boolean;
}

/** What is asked for; what is absent stays as it is. */
export interface PartitionGoal {
  /** The first replica leads if it may; anybody leads if need be. Neither: the leader changes only when it must. */
  readonly election?: "online" | "preferred" | "unclean";
  readonly isr?: readonly number[];
  readonly replicas?: readonly number[];
  readonly adding?: readonly number[];
  readonly removing?: readonly number[];
  /** Replicas that may have lost records: they are eligible no more. */
  readonly uncleanReplicas?: readonly number[];
  readonly leaderRecoveryState?: number;
  /** Directories of replicas by broker id. */
  readonly directories?: ReadonlyMap<number, string>;
}

/** A partition's lists while they are changed. */
interface Draft {
  replicas: readonly number[];
  isr: readonly number[];
  adding: readonly number[];
  removing: readonly number[];
  elr: readonly number[];
}

interface Elected {
  readonly leader: number;
  readonly isUnclean: boolean;
}

/** The change that brings a goal about, or null when nothing changes. */
export function changePartition(
  topicId: string,
  before: PartitionImage,
  goal: PartitionGoal,
  rules: PartitionRules,
): PartitionChangeRecord | null {
  const draft: Draft = {
    replicas: goal.replicas ?? before.replicas,
    isr: goal.isr ?? before.isr,
    adding: goal.adding ?? before.addingReplicas,
    removing: goal.removing ?? before.removingReplicas,
    elr: before.eligibleLeaderReplicas,
  };
  completeReassignment(before, draft, rules);
  if (rules.hasElr) draft.elr = nextElr(before, draft, goal, rules);
  const { leader, isUnclean } = elect(before, draft, goal, rules);
  const isNew = leader !== before.leader;
  if (isNew && isUnclean) {
    draft.isr = [leader];
    draft.elr = [];
  } else if (isNew && draft.elr.includes(leader)) {
    draft.isr = [leader];
    draft.elr = draft.elr.filter((id) => id !== leader);
  }
  if (!rules.hasElr) {
    draft.elr = [];
    // Without eligible replicas the last one in sync is all that is known of where the data is.
    if (draft.isr.length === 0) draft.isr = before.isr;
  }
  const isBumped = !isNew && !before.replicas.every((id) => draft.replicas.includes(id));
  const recovers =
    isNew && isUnclean && !rules.isAlone ? LeaderRecoveryState.RECOVERING : undefined;
  const leaderRecoveryState = recovers ?? goal.leaderRecoveryState ?? before.leaderRecoveryState;
  const nextLeader = isNew || isBumped ? leader : undefined;
  const lastKnownElr = nextLastKnownElr(before, nextLeader, rules);
  const directoriesBefore = before.replicas.map((id) => directoryOf(before, id) ?? ZERO_UUID);
  const record = makePartitionChangeRecord({
    topicId,
    partitionId: before.partitionId,
    ...(nextLeader !== undefined && { leader: nextLeader }),
    isr: ifChanged(draft.isr, before.isr),
    replicas: ifChanged(draft.replicas, before.replicas),
    removingReplicas: ifChanged(draft.removing, before.removingReplicas),
    addingReplicas: ifChanged(draft.adding, before.addingReplicas),
    ...(leaderRecoveryState !== before.leaderRecoveryState && { leaderRecoveryState }),
    directories: ifChanged(
      draft.replicas.map(
        (id) =>
          goal.directories?.get(id) ??
          directoriesBefore[before.replicas.indexOf(id)] ??
          rules.chooseDirectory(id),
      ),
      directoriesBefore,
    ),
    eligibleLeaderReplicas: ifChanged(draft.elr, before.eligibleLeaderReplicas),
    lastKnownElr: ifChanged(lastKnownElr, before.lastKnownElr),
  });
  return isEmpty(record) ? null : record;
}

/** As {@link changePartition}, as an entry of the log: none or one. */
export function partitionChangeEntries(
  topicId: string,
  before: PartitionImage,
  goal: PartitionGoal,
  rules: PartitionRules,
): MetadataRecord[] {
  const record = changePartition(topicId, before, goal, rules);
  return record === null ? [] : [{ kind: "PartitionChangeRecord", record }];
}

/** Ends a reassignment once everybody it adds is in sync; one that leaves fewer replicas once all of these are. */
function completeReassignment(before: PartitionImage, draft: Draft, rules: PartitionRules): void {
  if (draft.adding.length === 0 && draft.removing.length === 0) return;
  const stays = (id: number): boolean => !draft.removing.includes(id);
  const replicas = draft.replicas.filter(stays);
  const isr = draft.isr.filter(stays);
  const isShrunk = draft.adding.length < draft.removing.length;
  const needed = isShrunk ? [...draft.adding, ...replicas] : draft.adding;
  if (isr.length === 0 || !needed.every((id) => isr.includes(id))) return;
  if (rules.isAlone && !isr.some((id) => rules.mayLead(id, directoryOf(before, id) ?? ZERO_UUID))) {
    return;
  }
  draft.replicas = replicas;
  draft.isr = isr;
  draft.adding = [];
  draft.removing = [];
}

/** Replicas that were in sync or eligible and are not in sync now, as long as fewer than the minimum are. */
function nextElr(
  before: PartitionImage,
  { isr, replicas }: Draft,
  { uncleanReplicas = [] }: PartitionGoal,
  { minIsr }: PartitionRules,
): readonly number[] {
  if (isr.length >= minIsr) return [];
  const candidates = new Set([...before.eligibleLeaderReplicas, ...before.isr]);
  return [...candidates]
    .filter((id) => replicas.includes(id) && !isr.includes(id) && !uncleanReplicas.includes(id))
    .sort((left, right) => left - right);
}

function elect(
  before: PartitionImage,
  { replicas, isr, elr }: Draft,
  { election = "online" }: PartitionGoal,
  rules: PartitionRules,
): Elected {
  const mayLead = (id: number): boolean => rules.mayLead(id, directoryOf(before, id) ?? ZERO_UUID);
  const mayLeadCleanly = (id: number): boolean =>
    (isr.length === 0 ? elr : isr).includes(id) && mayLead(id);
  const clean = (leader: number): Elected => ({ leader, isUnclean: false });
  const [preferred] = replicas;
  if (election === "preferred" && preferred !== undefined && mayLeadCleanly(preferred)) {
    return clean(preferred);
  }
  if (mayLeadCleanly(before.leader)) return clean(before.leader);
  const first = replicas.find(mayLeadCleanly);
  if (first !== undefined) return clean(first);
  const [last] = before.lastKnownElr;
  if (
    rules.hasElr &&
    isr.length === 0 &&
    elr.length === 0 &&
    before.lastKnownElr.length === 1 &&
    last !== undefined &&
    replicas.includes(last) &&
    mayLead(last)
  ) {
    return { leader: last, isUnclean: true };
  }
  const any = election === "unclean" ? replicas.find(mayLead) : undefined;
  return any === undefined ? clean(NO_LEADER) : { leader: any, isUnclean: true };
}

/** Names the last leader when a partition loses it, and nobody once somebody leads anew. */
function nextLastKnownElr(
  { leader: leaderBefore, lastKnownElr }: PartitionImage,
  leader: number | undefined,
  { hasElr }: PartitionRules,
): readonly number[] {
  if (!hasElr || leader === undefined) return lastKnownElr;
  if (leader >= 0) return [];
  return lastKnownElr.length === 0 && leaderBefore >= 0 ? [leaderBefore] : lastKnownElr;
}

/** Directory id of a replica; undefined when the broker is none or none are told. */
export function directoryOf(
  { replicas, directories }: PartitionImage,
  brokerId: number,
): string | undefined {
  const index = replicas.indexOf(brokerId);
  return index === -1 ? undefined : directories[index];
}

function ifChanged<T>(now: readonly T[], before: readonly T[]): T[] | null {
  const isSame = now.length === before.length && now.every((each, index) => each === before[index]);
  return isSame ? null : [...now];
}

function isEmpty(record: PartitionChangeRecord): boolean {
  return (
    record.leader === NO_LEADER_CHANGE &&
    record.isr === null &&
    record.replicas === null &&
    record.removingReplicas === null &&
    record.addingReplicas === null &&
    record.leaderRecoveryState === -1 &&
    record.directories === null &&
    record.eligibleLeaderReplicas === null &&
    record.lastKnownElr === null
  );
}
