/** Topics from the operator's side: made, described, deleted; each function is one request to the broker that answers it. */
import {
  CreateTopicsApi,
  makeCreatableTopic,
  makeCreatableTopicConfig,
  makeCreateTopicsRequest,
} from "#protocol/generated/create-topics.ts";
import {
  DeleteTopicsApi,
  makeDeleteTopicsRequest,
  makeDeleteTopicState,
} from "#protocol/generated/delete-topics.ts";
import {
  DescribeLogDirsApi,
  makeDescribableLogDirTopic,
  makeDescribeLogDirsRequest,
} from "#protocol/generated/describe-log-dirs.ts";
import { refused } from "./client-error.ts";
import type { Cluster, TopicMetadata } from "./cluster.ts";

/** A topic to be made. */
export interface NewTopic {
  readonly name: string;
  /** -1: the broker's default. */
  readonly partitions: number;
  /** -1: the broker's default. */
  readonly replicationFactor: number;
  readonly configs: ReadonlyMap<string, string>;
}

const TIMEOUT_MS = 30_000;
/** DeleteTopics by name alone. */
const DELETE_BY_NAME_VERSION = 5;
/** Since version 4 partitions and replication factor may be left to the broker. */
const CREATE_WITH_DEFAULTS_VERSION = 4;

/**
 * Makes a topic.
 *
 * @returns partitions and replication factor it got; -1 where the broker does not tell.
 * @throws ClientError REFUSED, among others with TOPIC_ALREADY_EXISTS.
 */
export async function createTopic(
  cluster: Cluster,
  topic: NewTopic,
): Promise<{ readonly partitions: number; readonly replicationFactor: number }> {
  const connection = await cluster.controller();
  const version = connection.versionOf(CreateTopicsApi) ?? 0;
  const orOne = (count: number): number =>
    count === -1 && version < CREATE_WITH_DEFAULTS_VERSION ? 1 : count;
  const answer = await connection.send(
    CreateTopicsApi,
    makeCreateTopicsRequest({
      topics: [
        makeCreatableTopic({
          name: topic.name,
          numPartitions: orOne(topic.partitions),
          replicationFactor: orOne(topic.replicationFactor),
          configs: [...topic.configs].map(([name, value]) =>
            makeCreatableTopicConfig({ name, value }),
          ),
        }),
      ],
      timeoutMs: TIMEOUT_MS,
    }),
  );
  const row = answer.topics[0];
  if (row === undefined || row.errorCode !== 0)
    throw refused(`topic '${topic.name}'`, row?.errorCode ?? -1, row?.errorMessage ?? null);
  return { partitions: row.numPartitions, replicationFactor: row.replicationFactor };
}

/** Deletes a topic. */
export async function deleteTopic(cluster: Cluster, name: string): Promise<void> {
  const connection = await cluster.controller();
  const version = connection.versionOf(DeleteTopicsApi) ?? 0;
  const answer = await connection.send(
    DeleteTopicsApi,
    makeDeleteTopicsRequest(
      version > DELETE_BY_NAME_VERSION
        ? { topics: [makeDeleteTopicState({ name })], timeoutMs: TIMEOUT_MS }
        : { topicNames: [name], timeoutMs: TIMEOUT_MS },
    ),
  );
  const row = answer.responses[0];
  if (row === undefined || row.errorCode !== 0)
    throw refused(`topic '${name}'`, row?.errorCode ?? -1, row?.errorMessage ?? null);
}

/**
 * Bytes on disk of partitions, largest replica of each; of the topics given, or of all. Brokers that do not answer are left out: sizes
 * are told where they can be had.
 *
 * @returns by topic, then by partition.
 */
export async function describeSizes(
  cluster: Cluster,
  topics: readonly TopicMetadata[] | null,
): Promise<ReadonlyMap<string, ReadonlyMap<number, number>>> {
  const sizes = new Map<string, Map<number, number>>();
  const request = makeDescribeLogDirsRequest({
    topics:
      topics?.map(({ name, partitions }) =>
        makeDescribableLogDirTopic({
          topic: name,
          partitions: partitions.map(({ partition }) => partition),
        }),
      ) ?? null,
  });
  await Promise.all(
    [...cluster.metadata.brokers.keys()].map(async (nodeId) => {
      const answer = await cluster
        .node(nodeId)
        .then((connection) => connection.send(DescribeLogDirsApi, request))
        .catch(() => null);
      for (const directory of answer?.results ?? []) {
        for (const topic of directory.topics) {
          const known = sizes.get(topic.name) ?? new Map<number, number>();
          sizes.set(topic.name, known);
          for (const { partitionIndex, partitionSize, isFutureKey } of topic.partitions) {
            if (!isFutureKey)
              known.set(partitionIndex, Math.max(partitionSize, known.get(partitionIndex) ?? 0));
          }
        }
      }
    }),
  );
  return sizes;
}
