/** Topics from the operator's side: made, grown, emptied, deleted; each function is a request to the broker that answers it. */
import { errorInfo } from "#common/error-code.ts";
import {
  CreatePartitionsApi,
  makeCreatePartitionsRequest,
  makeCreatePartitionsTopic,
} from "#protocol/generated/create-partitions.ts";
import {
  CreateTopicsApi,
  makeCreatableTopic,
  makeCreatableTopicConfig,
  makeCreateTopicsRequest,
} from "#protocol/generated/create-topics.ts";
import {
  DeleteRecordsApi,
  makeDeleteRecordsPartition,
  makeDeleteRecordsRequest,
  makeDeleteRecordsTopic,
} from "#protocol/generated/delete-records.ts";
import {
  DeleteTopicsApi,
  makeDeleteTopicsRequest,
  makeDeleteTopicState,
} from "#protocol/generated/delete-topics.ts";
import { refused } from "./client-error.ts";
import type { Cluster } from "./cluster.ts";
import { byLeader } from "./offsets.ts";

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
 * Adds partitions to a topic: `count` is how many it has then.
 *
 * @throws ClientError REFUSED, among others with INVALID_PARTITIONS when it has as many already.
 */
export async function createPartitions(
  cluster: Cluster,
  topic: string,
  count: number,
  options: { readonly isValidateOnly?: boolean } = {},
): Promise<void> {
  const connection = await cluster.controller();
  const answer = await connection.send(
    CreatePartitionsApi,
    makeCreatePartitionsRequest({
      topics: [makeCreatePartitionsTopic({ name: topic, count, assignments: null })],
      timeoutMs: TIMEOUT_MS,
      validateOnly: options.isValidateOnly ?? false,
    }),
  );
  const row = answer.results[0];
  if (row === undefined || row.errorCode !== 0)
    throw refused(`topic '${topic}'`, row?.errorCode ?? -1, row?.errorMessage ?? null);
}

/** What became of the records of one partition. */
export interface DeletedRecords {
  readonly partition: number;
  /** Where the partition begins now; null when nothing was deleted. */
  readonly startOffset: number | null;
  /** Kafka's name of the code; null when it worked. */
  readonly error: string | null;
}

/**
 * Deletes the records of partitions before an offset each.
 *
 * @throws ClientError when a leader cannot be asked; others may have deleted then.
 */
export async function deleteRecords(
  cluster: Cluster,
  topicName: string,
  before: ReadonlyMap<number, number>,
): Promise<readonly DeletedRecords[]> {
  const topic = await cluster.topic(topicName);
  const answers = await Promise.all(
    [...byLeader(topic, [...before.keys()])].map(async ([leader, partitions]) => {
      const connection = await cluster.node(leader);
      const answer = await connection.send(
        DeleteRecordsApi,
        makeDeleteRecordsRequest({
          topics: [
            makeDeleteRecordsTopic({
              name: topicName,
              partitions: partitions.map(({ partition }) =>
                makeDeleteRecordsPartition({
                  partitionIndex: partition,
                  offset: before.get(partition) ?? 0,
                }),
              ),
            }),
          ],
          timeoutMs: TIMEOUT_MS,
        }),
      );
      return (answer.topics[0]?.partitions ?? []).map(
        ({ partitionIndex, lowWatermark, errorCode }) => ({
          partition: partitionIndex,
          startOffset: errorCode === 0 ? lowWatermark : null,
          error: errorCode === 0 ? null : errorInfo(errorCode).name,
        }),
      );
    }),
  );
  return answers.flat().sort((a, b) => a.partition - b.partition);
}
