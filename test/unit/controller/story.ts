/**
 * What can be told of a cluster in a transcript, for real Kafka and for ours alike: an administrator's requests, the comings and goings
 * of brokers, and what a client sees. Topics are placed by hand where the answer is to be the same twice.
 *
 * ```
 * create t 1,2,3 2,3,1 min.insync.replicas=2 · create t partitions=3 factor=2 · grow t 3 1,2 · set t KEY=VALUE
 * stop 3 · kill 3 · start 3 · unregister 3
 * reassign t-0 2,3 · reassign t-0 2,3 same-factor · cancel t-0 · list · elect preferred t-0
 * show t · brokers
 * ```
 */
import type { ApiMessages } from "#protocol/api.ts";
import {
  AlterPartitionReassignmentsApi,
  makeAlterPartitionReassignmentsRequest,
  makeReassignablePartition,
  makeReassignableTopic,
} from "#protocol/generated/alter-partition-reassignments.ts";
import {
  CreatePartitionsApi,
  makeCreatePartitionsAssignment,
  makeCreatePartitionsRequest,
  makeCreatePartitionsTopic,
} from "#protocol/generated/create-partitions.ts";
import {
  CreateTopicsApi,
  makeCreatableReplicaAssignment,
  makeCreatableTopic,
  makeCreatableTopicConfig,
  makeCreateTopicsRequest,
} from "#protocol/generated/create-topics.ts";
import {
  DescribeClusterApi,
  makeDescribeClusterRequest,
} from "#protocol/generated/describe-cluster.ts";
import {
  DescribeTopicPartitionsApi,
  makeDescribeTopicPartitionsRequest,
  makeTopicRequest,
} from "#protocol/generated/describe-topic-partitions.ts";
import {
  ElectLeadersApi,
  makeElectLeadersRequest,
  makeTopicPartitions,
} from "#protocol/generated/elect-leaders.ts";
import {
  IncrementalAlterConfigsApi,
  makeAlterableConfig,
  makeAlterConfigsResource,
  makeIncrementalAlterConfigsRequest,
} from "#protocol/generated/incremental-alter-configs.ts";
import {
  ListPartitionReassignmentsApi,
  makeListPartitionReassignmentsRequest,
} from "#protocol/generated/list-partition-reassignments.ts";
import {
  makeUnregisterBrokerRequest,
  UnregisterBrokerApi,
} from "#protocol/generated/unregister-broker.ts";

/** A cluster that a story is told of. */
export interface StoryCluster {
  /** Asks any broker that is up. */
  send<Req, Res>(api: ApiMessages<Req, Res>, version: number, request: Req): Promise<Res>;
  stop(id: number): Promise<void>;
  kill(id: number): Promise<void>;
  start(id: number): Promise<void>;
  /** Resolves when nothing moves any more. */
  settle(): Promise<void>;
}

const TIMEOUT_MS = 30_000;

/** Carries out one command. */
export async function tell(cluster: StoryCluster, command: string): Promise<readonly string[]> {
  const [verb = "", what = "", ...words] = command.split(" ");
  switch (verb) {
    case "create":
      return create(cluster, what, words);
    case "grow":
      return grow(cluster, what, words);
    case "set":
      return set(cluster, what, words);
    case "stop":
    case "kill":
    case "start":
      await cluster[verb](Number(what));
      await cluster.settle();
      return [];
    case "unregister": {
      const request = makeUnregisterBrokerRequest({ brokerId: Number(what) });
      const answer = await cluster.send(UnregisterBrokerApi, 0, request);
      await cluster.settle();
      return [outcome(answer.errorCode, answer.errorMessage)];
    }
    case "reassign":
    case "cancel":
      return reassign(cluster, what, words);
    case "list":
      return list(cluster);
    case "elect":
      return elect(cluster, what, words);
    case "show":
      return show(cluster, what);
    case "brokers":
      return brokers(cluster);
    default:
      throw new Error(`no such command: ${command}`);
  }
}

function outcome(errorCode: number, errorMessage: string | null): string {
  return errorMessage === null || errorMessage === ""
    ? String(errorCode)
    : `${errorCode} ${errorMessage}`;
}

const idsOf = (word: string): number[] => word.split(",").filter(Boolean).map(Number);
const isIds = (word: string): boolean => /^[\d,]*$/.test(word);
const pairsOf = (words: readonly string[]): (readonly [string, string])[] =>
  words.filter((word) => word.includes("=")).map((word) => splitOnce(word, "="));

function splitOnce(word: string, at: string): readonly [string, string] {
  const index = word.lastIndexOf(at);
  return [word.slice(0, index), word.slice(index + 1)];
}

async function create(
  cluster: StoryCluster,
  name: string,
  words: readonly string[],
): Promise<readonly string[]> {
  const pairs = new Map(pairsOf(words));
  const count = (key: string): number => Number(pairs.get(key) ?? -1);
  const row = makeCreatableTopic({
    name,
    numPartitions: count("partitions"),
    replicationFactor: count("factor"),
    assignments: words
      .filter(isIds)
      .map((word, partitionIndex) =>
        makeCreatableReplicaAssignment({ partitionIndex, brokerIds: idsOf(word) }),
      ),
    configs: [...pairs]
      .filter(([key]) => key.includes("."))
      .map(([key, value]) => makeCreatableTopicConfig({ name: key, value })),
  });
  const request = makeCreateTopicsRequest({ topics: [row], timeoutMs: TIMEOUT_MS });
  const { topics } = await cluster.send(CreateTopicsApi, 7, request);
  const answer = topics.map((topic) =>
    topic.errorCode === 0
      ? `0 partitions=${topic.numPartitions} factor=${topic.replicationFactor}`
      : outcome(topic.errorCode, topic.errorMessage),
  );
  await cluster.settle();
  return answer;
}

async function grow(
  cluster: StoryCluster,
  name: string,
  [count = "", ...assignments]: readonly string[],
): Promise<readonly string[]> {
  const row = makeCreatePartitionsTopic({
    name,
    count: Number(count),
    assignments:
      assignments.length === 0
        ? null
        : assignments.map((word) => makeCreatePartitionsAssignment({ brokerIds: idsOf(word) })),
  });
  const request = makeCreatePartitionsRequest({ topics: [row], timeoutMs: TIMEOUT_MS });
  const { results } = await cluster.send(CreatePartitionsApi, 3, request);
  await cluster.settle();
  return results.map(({ errorCode, errorMessage }) => outcome(errorCode, errorMessage));
}

const TOPIC_RESOURCE = 2;
const BROKER_RESOURCE = 4;

/** Sets values of a topic, or with the name `brokers` of all brokers. */
async function set(
  cluster: StoryCluster,
  name: string,
  words: readonly string[],
): Promise<readonly string[]> {
  const isBrokers = name === "brokers";
  const resource = makeAlterConfigsResource({
    resourceType: isBrokers ? BROKER_RESOURCE : TOPIC_RESOURCE,
    resourceName: isBrokers ? "" : name,
    configs: pairsOf(words).map(([key, value]) => makeAlterableConfig({ name: key, value })),
  });
  const request = makeIncrementalAlterConfigsRequest({ resources: [resource] });
  const { responses } = await cluster.send(IncrementalAlterConfigsApi, 1, request);
  await cluster.settle();
  return responses.map(({ errorCode, errorMessage }) => outcome(errorCode, errorMessage));
}

async function reassign(
  cluster: StoryCluster,
  what: string,
  [replicas, isFixed]: readonly string[],
): Promise<readonly string[]> {
  const [name, index] = splitOnce(what, "-");
  const row = makeReassignablePartition({
    partitionIndex: Number(index),
    replicas: replicas === undefined ? null : idsOf(replicas),
  });
  const request = makeAlterPartitionReassignmentsRequest({
    topics: [makeReassignableTopic({ name, partitions: [row] })],
    timeoutMs: TIMEOUT_MS,
    allowReplicationFactorChange: isFixed === undefined,
  });
  const answer = await cluster.send(AlterPartitionReassignmentsApi, 1, request);
  await cluster.settle();
  return answer.responses.flatMap(({ partitions }) =>
    partitions.map(({ errorCode, errorMessage }) => outcome(errorCode, errorMessage)),
  );
}

async function list(cluster: StoryCluster): Promise<readonly string[]> {
  const request = makeListPartitionReassignmentsRequest({ topics: null, timeoutMs: TIMEOUT_MS });
  const { topics } = await cluster.send(ListPartitionReassignmentsApi, 0, request);
  const lines = topics.flatMap(({ name, partitions }) =>
    partitions.map(
      ({ partitionIndex, replicas, addingReplicas, removingReplicas }) =>
        `${name}-${partitionIndex} replicas=${replicas.join(",")} adding=${addingReplicas.join(",")} removing=${removingReplicas.join(",")}`,
    ),
  );
  return lines.sort();
}

async function elect(
  cluster: StoryCluster,
  kind: string,
  [what]: readonly string[],
): Promise<readonly string[]> {
  const [name, index] = splitOnce(what ?? "", "-");
  const topicPartitions =
    what === undefined ? null : [makeTopicPartitions({ topic: name, partitions: [Number(index)] })];
  const request = makeElectLeadersRequest({
    electionType: kind === "preferred" ? 0 : 1,
    topicPartitions,
    timeoutMs: TIMEOUT_MS,
  });
  const answer = await cluster.send(ElectLeadersApi, 2, request);
  await cluster.settle();
  const lines = answer.replicaElectionResults.flatMap(({ topic, partitionResult }) =>
    partitionResult.map(
      ({ partitionId, errorCode, errorMessage }) =>
        `${topic}-${partitionId} ${outcome(errorCode, errorMessage)}`,
    ),
  );
  return lines.sort();
}

async function show(cluster: StoryCluster, name: string): Promise<readonly string[]> {
  const request = makeDescribeTopicPartitionsRequest({
    topics: [makeTopicRequest({ name })],
    responsePartitionLimit: 1000,
    cursor: null,
  });
  const { topics } = await cluster.send(DescribeTopicPartitionsApi, 0, request);
  const ids = (list: readonly number[] | null): string =>
    [...(list ?? [])].sort((left, right) => left - right).join(",");
  return topics.flatMap(({ errorCode, partitions }) => [
    ...(errorCode === 0 ? [] : [`error ${errorCode}`]),
    ...partitions.map(
      (row) =>
        `${row.partitionIndex} leader=${row.leaderId} epoch=${row.leaderEpoch} replicas=${row.replicaNodes.join(",")} ` +
        `isr=${ids(row.isrNodes)} elr=${ids(row.eligibleLeaderReplicas)} last=${ids(row.lastKnownElr)} ` +
        `offline=${ids(row.offlineReplicas)}${row.errorCode === 0 ? "" : ` error=${row.errorCode}`}`,
    ),
  ]);
}

async function brokers(cluster: StoryCluster): Promise<readonly string[]> {
  const request = makeDescribeClusterRequest({ endpointType: 1, includeFencedBrokers: true });
  const answer = await cluster.send(DescribeClusterApi, 2, request);
  return answer.brokers
    .map(({ brokerId, rack, isFenced }) => `${brokerId} rack=${rack}${isFenced ? " fenced" : ""}`)
    .sort();
}
