/** Where partitions begin and end, and where in them a time lies: ListOffsets, asked of each leader once. */
import { ErrorCode } from "#common/error-code.ts";
import {
  ListOffsetsApi,
  makeListOffsetsPartition,
  makeListOffsetsRequest,
  makeListOffsetsTopic,
} from "#protocol/generated/list-offsets.ts";
import { ClientError, refused } from "./client-error.ts";
import type { Cluster, TopicMetadata } from "./cluster.ts";
import { retrying } from "./retry.ts";

/** Special timestamps of ListOffsets. */
export const OffsetSpec = { LATEST: -1, EARLIEST: -2 } as const;

/** How far a reader sees: everything below the high watermark, or only what transactions have committed. */
export const Isolation = { READ_UNCOMMITTED: 0, READ_COMMITTED: 1 } as const;

/** As in `Isolation`. */
export type IsolationLevel = (typeof Isolation)[keyof typeof Isolation];

/** What to ask for. */
export interface OffsetQuery {
  /** Milliseconds, or an `OffsetSpec`. */
  readonly timestamp: number;
  readonly isolation?: IsolationLevel;
  /** Only these; all of the topic unless given. */
  readonly partitions?: readonly number[];
}

const CONSUMER_REPLICA_ID = -1;

/**
 * Offset of each partition for a time or a special; -1 where no record is that late.
 *
 * @throws ClientError after the cluster's retry time.
 */
export function listOffsets(
  cluster: Cluster,
  topicName: string,
  query: OffsetQuery,
): Promise<ReadonlyMap<number, number>> {
  return retrying(async () => {
    const topic = await cluster.topic(topicName);
    const offsets = new Map<number, number>();
    await Promise.all(
      [...byLeader(topic, query.partitions)].map(async ([leader, partitions]) => {
        const connection = await cluster.node(leader);
        const answer = await connection.send(
          ListOffsetsApi,
          makeListOffsetsRequest({
            replicaId: CONSUMER_REPLICA_ID,
            isolationLevel: query.isolation ?? Isolation.READ_UNCOMMITTED,
            topics: [
              makeListOffsetsTopic({
                name: topicName,
                partitions: partitions.map(({ partition, leaderEpoch }) =>
                  makeListOffsetsPartition({
                    partitionIndex: partition,
                    currentLeaderEpoch: leaderEpoch,
                    timestamp: query.timestamp,
                  }),
                ),
              }),
            ],
          }),
        );
        for (const row of answer.topics[0]?.partitions ?? []) {
          if (row.errorCode !== 0)
            throw refused(`topic '${topicName}', partition ${row.partitionIndex}`, row.errorCode);
          offsets.set(row.partitionIndex, row.offset);
        }
      }),
    );
    return offsets;
  }, cluster.retryTimeoutMs);
}

/** An offset by topic, then by partition. */
export type TopicOffsets = ReadonlyMap<string, ReadonlyMap<number, number>>;

/**
 * Offset of partitions of many topics for one time or special, with one request a leader. Left out is what does not exist, has no
 * leader, or whose leader cannot be reached; -1 says that no record is that late.
 *
 * @param wanted - partitions by topic; null for all of a topic.
 */
export function listTopicOffsets(
  cluster: Cluster,
  wanted: ReadonlyMap<string, readonly number[] | null>,
  timestamp: number,
): Promise<TopicOffsets> {
  if (wanted.size === 0) return Promise.resolve(new Map());
  return retrying(async () => {
    const { topics } = await cluster.refresh({ topics: [...wanted.keys()] });
    const requests = new Map<number, Map<string, PartitionOfLeader[]>>();
    for (const topic of topics) {
      const name = topic.name ?? "";
      const only = wanted.get(name) ?? null;
      for (const { partitionIndex, leaderId, leaderEpoch } of topic.partitions) {
        if (leaderId < 0 || (only !== null && !only.includes(partitionIndex))) continue;
        const ofLeader = requests.get(leaderId) ?? new Map<string, PartitionOfLeader[]>();
        requests.set(leaderId, ofLeader);
        const rows = ofLeader.get(name) ?? [];
        ofLeader.set(name, rows);
        rows.push({ partitionIndex, leaderEpoch });
      }
    }
    const offsets = new Map<string, Map<number, number>>();
    await Promise.all(
      [...requests].map(async ([leader, byTopic]) => {
        const connection = await cluster.node(leader).catch(() => null);
        if (connection === null) return;
        const answer = await connection.send(
          ListOffsetsApi,
          makeListOffsetsRequest({
            replicaId: CONSUMER_REPLICA_ID,
            topics: [...byTopic].map(([name, partitions]) =>
              makeListOffsetsTopic({
                name,
                partitions: partitions.map(({ partitionIndex, leaderEpoch }) =>
                  makeListOffsetsPartition({
                    partitionIndex,
                    currentLeaderEpoch: leaderEpoch,
                    timestamp,
                  }),
                ),
              }),
            ),
          }),
        );
        for (const { name, partitions } of answer.topics) {
          const known = offsets.get(name) ?? new Map<number, number>();
          offsets.set(name, known);
          for (const { partitionIndex, errorCode, offset } of partitions) {
            if (errorCode === 0) known.set(partitionIndex, offset);
            else if (errorCode !== ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
              throw refused(`topic '${name}', partition ${partitionIndex}`, errorCode);
          }
        }
      }),
    );
    return offsets;
  }, cluster.retryTimeoutMs);
}

interface PartitionOfLeader {
  readonly partitionIndex: number;
  readonly leaderEpoch: number;
}

/**
 * The wanted partitions of a topic, by leader.
 *
 * @throws ClientError INVALID for a partition the topic does not have.
 */
export function byLeader(
  topic: TopicMetadata,
  wanted?: readonly number[],
): ReadonlyMap<number, TopicMetadata["partitions"]> {
  const rows = new Map<number, TopicMetadata["partitions"][number][]>();
  for (const partition of wanted ?? topic.partitions.map((row) => row.partition)) {
    const row = topic.partitions.find((candidate) => candidate.partition === partition);
    if (row === undefined) {
      throw new ClientError(
        "INVALID",
        `topic '${topic.name}' has no partition ${partition}, only 0 to ${topic.partitions.length - 1}`,
      );
    }
    const leaders = rows.get(row.leader);
    if (leaders === undefined) rows.set(row.leader, [row]);
    else leaders.push(row);
  }
  return rows;
}
