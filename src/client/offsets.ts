/** Where partitions begin and end, and where in them a time lies: ListOffsets, asked of each leader once. */
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
