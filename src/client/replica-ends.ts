/**
 * Where each replica of partitions ends, the followers' too: ListOffsets as Kafka's debugging consumer asks, whom any replica
 * answers with the end of its own log.
 */
import {
  ListOffsetsApi,
  makeListOffsetsPartition,
  makeListOffsetsRequest,
  makeListOffsetsTopic,
} from "#protocol/generated/list-offsets.ts";
import type { Cluster, TopicMetadata } from "./cluster.ts";
import { OffsetSpec } from "./offsets.ts";

/** Replica id of a consumer that asks any replica. */
const DEBUGGING_CONSUMER = -2;

/** Log end offsets of one broker's replicas, by topic and partition. */
export type ReplicaEnds = ReadonlyMap<string, ReadonlyMap<number, number>>;

/** The ends of all replicas by broker; null for a broker that does not answer. What a broker does not know is left out. */
export async function describeReplicaEnds(
  cluster: Cluster,
  topics: readonly TopicMetadata[],
): Promise<ReadonlyMap<number, ReplicaEnds | null>> {
  const brokers = [...cluster.metadata.brokers.keys()];
  const ends = await Promise.all(
    brokers.map((broker) => endsOn(cluster, broker, topics).catch(() => null)),
  );
  return new Map(brokers.map((broker, index) => [broker, ends[index] ?? null]));
}

async function endsOn(
  cluster: Cluster,
  broker: number,
  topics: readonly TopicMetadata[],
): Promise<ReplicaEnds> {
  const held = topics
    .map(({ name, partitions }) => ({
      name,
      partitions: partitions.filter(({ replicas }) => replicas.includes(broker)),
    }))
    .filter(({ partitions }) => partitions.length > 0);
  if (held.length === 0) return new Map();
  const connection = await cluster.node(broker);
  const answer = await connection.send(
    ListOffsetsApi,
    makeListOffsetsRequest({
      replicaId: DEBUGGING_CONSUMER,
      topics: held.map(({ name, partitions }) =>
        makeListOffsetsTopic({
          name,
          partitions: partitions.map(({ partition }) =>
            makeListOffsetsPartition({
              partitionIndex: partition,
              timestamp: OffsetSpec.LATEST,
            }),
          ),
        }),
      ),
    }),
  );
  return new Map(
    answer.topics.map(({ name, partitions }) => [
      name,
      new Map(
        partitions
          .filter(({ errorCode }) => errorCode === 0)
          .map(({ partitionIndex, offset }) => [partitionIndex, offset]),
      ),
    ]),
  );
}
