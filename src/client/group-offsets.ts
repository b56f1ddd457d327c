/** Committed offsets of a group from the operator's side: read, set and deleted at its coordinator without being a member of it. */
import {
  makeOffsetCommitRequest,
  makeOffsetCommitRequestPartition,
  makeOffsetCommitRequestTopic,
  OffsetCommitApi,
} from "#protocol/generated/offset-commit.ts";
import {
  makeOffsetDeleteRequest,
  makeOffsetDeleteRequestPartition,
  makeOffsetDeleteRequestTopic,
  OffsetDeleteApi,
} from "#protocol/generated/offset-delete.ts";
import {
  makeOffsetFetchRequest,
  makeOffsetFetchRequestGroup,
  OffsetFetchApi,
} from "#protocol/generated/offset-fetch.ts";
import { errorInfo } from "#common/error-code.ts";
import { refused } from "./client-error.ts";
import type { Cluster } from "./cluster.ts";
import { atCoordinator } from "./groups.ts";

/** A partition of a topic. */
export interface TopicPartition {
  readonly topic: string;
  readonly partition: number;
}

/** Where a group reads on in a partition. */
export interface CommittedOffset extends TopicPartition {
  readonly offset: number;
  /** -1 where the committer did not tell. */
  readonly leaderEpoch: number;
  readonly metadata: string;
}

/** What became of one partition of a request over several. */
export interface PartitionOutcome extends TopicPartition {
  /** Kafka's name of the code; null when it worked. */
  readonly error: string | null;
}

/** Names topics by id from version 10 on, and knows no deleted ones then. */
const FETCH_BY_NAME_VERSION = 9;
/** Asks for groups in a list. */
const FETCH_GROUPS_VERSION = 8;
/** Names topics by id from version 10 on. */
const COMMIT_BY_NAME_VERSION = 9;

/** Every offset that a group has committed, sorted; of a group that does not exist none. */
export function fetchCommittedOffsets(
  cluster: Cluster,
  groupId: string,
): Promise<readonly CommittedOffset[]> {
  return atCoordinator(cluster, groupId, async (connection) => {
    const options = { maxVersion: FETCH_BY_NAME_VERSION };
    const version = connection.versionOf(OffsetFetchApi, FETCH_BY_NAME_VERSION) ?? 0;
    const answer = await connection.send(
      OffsetFetchApi,
      version >= FETCH_GROUPS_VERSION
        ? makeOffsetFetchRequest({
            groups: [makeOffsetFetchRequestGroup({ groupId, topics: null })],
          })
        : makeOffsetFetchRequest({ groupId, topics: null }),
      options,
    );
    const group = answer.groups[0];
    const errorCode = version >= FETCH_GROUPS_VERSION ? (group?.errorCode ?? -1) : answer.errorCode;
    if (errorCode !== 0) throw refused(`group '${groupId}'`, errorCode);
    const rows: CommittedOffset[] = [];
    for (const { name, partitions } of group?.topics ?? answer.topics) {
      for (const row of partitions) {
        if (row.errorCode !== 0)
          throw refused(
            `group '${groupId}', ${name} partition ${row.partitionIndex}`,
            row.errorCode,
          );
        if (row.committedOffset < 0) continue;
        rows.push({
          topic: name,
          partition: row.partitionIndex,
          offset: row.committedOffset,
          leaderEpoch: row.committedLeaderEpoch,
          metadata: row.metadata ?? "",
        });
      }
    }
    return rows.sort(byTopicPartition);
  });
}

/**
 * Commits offsets for a group that has no members; one that does not exist comes to be.
 *
 * @throws ClientError REFUSED with UNKNOWN_MEMBER_ID when it has members. Then, or with an outcome that failed, other rows may stand.
 */
export function commitOffsets(
  cluster: Cluster,
  groupId: string,
  rows: readonly (TopicPartition & { readonly offset: number })[],
): Promise<readonly PartitionOutcome[]> {
  return atCoordinator(cluster, groupId, async (connection) => {
    const answer = await connection.send(
      OffsetCommitApi,
      makeOffsetCommitRequest({
        groupId,
        generationIdOrMemberEpoch: -1,
        topics: [...groupByTopic(rows)].map(([name, partitions]) =>
          makeOffsetCommitRequestTopic({
            name,
            partitions: partitions.map(({ partition, offset }) =>
              makeOffsetCommitRequestPartition({
                partitionIndex: partition,
                committedOffset: offset,
                committedMetadata: "",
              }),
            ),
          }),
        ),
      }),
      { maxVersion: COMMIT_BY_NAME_VERSION },
    );
    return outcomesOf(groupId, answer.topics, rows.length);
  });
}

/**
 * Deletes committed offsets of topics that nobody in the group reads.
 *
 * @throws ClientError REFUSED with GROUP_ID_NOT_FOUND, or NON_EMPTY_GROUP for a group that is not of consumers.
 */
export function deleteOffsets(
  cluster: Cluster,
  groupId: string,
  rows: readonly TopicPartition[],
): Promise<readonly PartitionOutcome[]> {
  return atCoordinator(cluster, groupId, async (connection) => {
    const answer = await connection.send(
      OffsetDeleteApi,
      makeOffsetDeleteRequest({
        groupId,
        topics: [...groupByTopic(rows)].map(([name, partitions]) =>
          makeOffsetDeleteRequestTopic({
            name,
            partitions: partitions.map(({ partition }) =>
              makeOffsetDeleteRequestPartition({ partitionIndex: partition }),
            ),
          }),
        ),
      }),
    );
    if (answer.errorCode !== 0) throw refused(`group '${groupId}'`, answer.errorCode);
    return outcomesOf(groupId, answer.topics, rows.length);
  });
}

/** Rows in the order of topics, then of partitions. */
export function byTopicPartition(left: TopicPartition, right: TopicPartition): number {
  if (left.topic === right.topic) return left.partition - right.partition;
  return left.topic < right.topic ? -1 : 1;
}

/** Rows by their topic, in the order they come. */
export function groupByTopic<T extends TopicPartition>(
  rows: readonly T[],
): ReadonlyMap<string, readonly T[]> {
  const byTopic = new Map<string, T[]>();
  for (const row of rows) {
    const known = byTopic.get(row.topic);
    if (known === undefined) byTopic.set(row.topic, [row]);
    else known.push(row);
  }
  return byTopic;
}

/** Per-partition codes as outcomes; when the same one refuses every row it is the request's, and is thrown. */
function outcomesOf(
  groupId: string,
  topics: readonly {
    readonly name: string;
    readonly partitions: readonly { readonly partitionIndex: number; readonly errorCode: number }[];
  }[],
  wanted: number,
): readonly PartitionOutcome[] {
  const rows = topics.flatMap(({ name, partitions }) =>
    partitions.map((row) => ({
      topic: name,
      partition: row.partitionIndex,
      errorCode: row.errorCode,
    })),
  );
  const [first] = rows;
  if (
    first !== undefined &&
    first.errorCode !== 0 &&
    rows.length === wanted &&
    rows.every(({ errorCode }) => errorCode === first.errorCode)
  )
    throw refused(`group '${groupId}'`, first.errorCode);
  return rows
    .map(({ topic, partition, errorCode }) => ({
      topic,
      partition,
      error: errorCode === 0 ? null : errorInfo(errorCode).name,
    }))
    .sort(byTopicPartition);
}
