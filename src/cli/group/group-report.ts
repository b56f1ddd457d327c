/**
 * A group with what it has read: its description, its committed offsets and the ends of the partitions, put together. Lag is what lies
 * between a committed offset and the end; of a topic that is gone, and of a partition where nothing is committed, there is none.
 */
import type { Cluster } from "#client/cluster.ts";
import {
  byTopicPartition,
  type CommittedOffset,
  fetchCommittedOffsets,
} from "#client/group-offsets.ts";
import { describeGroup, type GroupDescription, type MemberDescription } from "#client/groups.ts";
import { listTopicOffsets, OffsetSpec, type TopicOffsets } from "#client/offsets.ts";

/** One partition that the group has committed in, or that a member reads. */
export interface GroupOffsetRow {
  readonly topic: string;
  readonly partition: number;
  readonly committed: number | null;
  readonly metadata: string | null;
  /** Null where the partition is gone or its leader cannot be reached. */
  readonly start: number | null;
  readonly end: number | null;
  readonly lag: number | null;
  readonly member: MemberDescription | null;
}

/** A group with its rows, in the order of topics and partitions. */
export interface GroupReport {
  readonly group: GroupDescription;
  readonly offsets: readonly GroupOffsetRow[];
  /** Sum over the partitions that have a lag. */
  readonly totalLag: number;
}

/** Asks for everything about a group. */
export async function reportGroup(cluster: Cluster, groupId: string): Promise<GroupReport> {
  const [group, committed] = await Promise.all([
    describeGroup(cluster, groupId),
    fetchCommittedOffsets(cluster, groupId),
  ]);
  const wanted = new Map<string, Set<number>>();
  const want = (topic: string, partition: number): void => {
    const known = wanted.get(topic);
    if (known === undefined) wanted.set(topic, new Set([partition]));
    else known.add(partition);
  };
  for (const { topic, partition } of committed) want(topic, partition);
  for (const { assignment } of group.members)
    for (const [topic, partitions] of assignment)
      for (const partition of partitions) want(topic, partition);
  const query = new Map(
    [...wanted].map(([topic, partitions]) => [topic, [...partitions]] as const),
  );
  const [starts, ends] = await Promise.all([
    listTopicOffsets(cluster, query, OffsetSpec.EARLIEST),
    listTopicOffsets(cluster, query, OffsetSpec.LATEST),
  ]);
  return joinReport(group, committed, { starts, ends });
}

/** Puts together what was asked. */
export function joinReport(
  group: GroupDescription,
  committed: readonly CommittedOffset[],
  bounds: { readonly starts: TopicOffsets; readonly ends: TopicOffsets },
): GroupReport {
  const rows = new Map<string, GroupOffsetRow>();
  const put = (
    topic: string,
    partition: number,
    part: Partial<Pick<GroupOffsetRow, "committed" | "metadata" | "member">>,
  ): void => {
    const key = `${topic}:${partition}`;
    const known = rows.get(key);
    const merged = {
      committed: known?.committed ?? null,
      metadata: known?.metadata ?? null,
      member: known?.member ?? null,
      ...part,
    };
    const start = bounds.starts.get(topic)?.get(partition) ?? null;
    const end = bounds.ends.get(topic)?.get(partition) ?? null;
    const lag =
      merged.committed === null || end === null ? null : Math.max(0, end - merged.committed);
    rows.set(key, { topic, partition, start, end, lag, ...merged });
  };
  for (const { topic, partition, offset, metadata } of committed)
    put(topic, partition, { committed: offset, metadata });
  for (const member of group.members)
    for (const [topic, partitions] of member.assignment)
      for (const partition of partitions) put(topic, partition, { member });
  const offsets = [...rows.values()].sort(byTopicPartition);
  return { group, offsets, totalLag: offsets.reduce((sum, { lag }) => sum + (lag ?? 0), 0) };
}
