/** DescribeQuorum and DescribeProducers, and what DescribeCluster and DescribeLogDirs say at each version. */
import {
  DescribeClusterApi,
  makeDescribeClusterRequest,
} from "#protocol/generated/describe-cluster.ts";
import {
  DescribeLogDirsApi,
  makeDescribeLogDirsRequest,
} from "#protocol/generated/describe-log-dirs.ts";
import {
  DescribeProducersApi,
  makeDescribeProducersRequest,
} from "#protocol/generated/describe-producers.ts";
import {
  DescribeQuorumApi,
  makeDescribeQuorumRequest,
} from "#protocol/generated/describe-quorum.ts";
import {
  makeProduceRequest,
  makeTopicProduceData,
  ProduceApi,
} from "#protocol/generated/produce.ts";
import { encodeRecordBatch } from "#protocol/records/record-batch.ts";
import { ask, utf8 } from "../bytes.ts";
import { type Case, one, type Place, several, type Turn } from "../case.ts";

const MISSING = "corpus-missing";

type Rows = readonly (readonly [topic: string, partitions: readonly number[]])[];

function quorum(rows: Rows, version: number): Turn {
  const topics = rows.map(([topicName, partitions]) => ({
    topicName,
    partitions: partitions.map((partitionIndex) => ({ partitionIndex })),
  }));
  return ask(DescribeQuorumApi, version, makeDescribeQuorumRequest({ topics }));
}

const asked = (label: string, rows: (place: Place) => Rows): Case[] =>
  [0, 1, 2].map((version) =>
    one(`quorum/${label} v${version}`, (place) => quorum(rows(place), version)),
  );

function producers(rows: Rows): Turn {
  const topics = rows.map(([name, partitions]) => ({ name, partitionIndexes: [...partitions] }));
  return ask(DescribeProducersApi, 0, makeDescribeProducersRequest({ topics }));
}

/** A batch of two records of a producer that nobody was given the id of. */
function produce(
  topic: string,
  producerId: bigint,
  producerEpoch: number,
  baseSequence: number,
): Turn {
  const value = utf8("value");
  const records = encodeRecordBatch({
    records: [
      { key: value, value },
      { key: value, value },
    ],
    timestamp: 1_700_000_000_000,
    producerId,
    producerEpoch,
    baseSequence,
  });
  return ask(
    ProduceApi,
    9,
    makeProduceRequest({
      acks: -1,
      timeoutMs: 5000,
      topicData: [makeTopicProduceData({ name: topic, partitionData: [{ index: 0, records }] })],
    }),
  );
}

/** All of them. */
export const INSPECTION_CASES: readonly Case[] = [
  ...asked("of the metadata", () => [["__cluster_metadata", [0]]]),
  ...asked("of another topic", ({ topic }) => [[topic, [0]]]),
  ...asked("of an unknown topic", () => [[MISSING, [0]]]),
  ...asked("of an empty name", () => [["", [0]]]),
  ...asked("of partition 1", () => [["__cluster_metadata", [1]]]),
  ...asked("of partition -1", () => [["__cluster_metadata", [-1]]]),
  ...asked("of no partitions", () => [["__cluster_metadata", []]]),
  ...asked("of nothing", () => []),
  ...asked("of a partition twice", () => [["__cluster_metadata", [0, 0]]]),
  ...asked("of two topics", ({ topic }) => [
    ["__cluster_metadata", [0]],
    [topic, [0]],
  ]),

  one("producers/none", ({ topic }) => producers([[topic, [0, 1]]])),
  one("producers/unknown topic", producers([[MISSING, [0]]])),
  one("producers/unknown partition", ({ topic }) => producers([[topic, [9, -1]]])),
  one("producers/empty name", producers([["", [0]]])),
  one("producers/illegal name", producers([["a/b", [0]]])),
  one("producers/__cluster_metadata", producers([["__cluster_metadata", [0]]])),
  one("producers/nothing", producers([])),
  one("producers/no partitions", ({ topic }) => producers([[topic, []]])),
  one("producers/partition twice", ({ topic }) => producers([[topic, [0, 0]]])),
  one("producers/topic twice", ({ topic }) =>
    producers([
      [topic, [0]],
      [topic, [1]],
    ]),
  ),
  several(
    "producers/one that wrote",
    [
      ({ topic }) => produce(topic, 987_654_321n, 0, 0),
      ({ topic }) => producers([[topic, [0]]]),
      ({ topic }) => produce(topic, 987_654_321n, 0, 2),
      ({ topic }) => producers([[topic, [0]]]),
      ({ topic }) => produce(topic, 987_654_321n, 3, 0),
      ({ topic }) => producers([[topic, [0]]]),
      ({ topic }) => produce(topic, 987_654_322n, 1, 100),
      ({ topic }) => producers([[topic, [0]]]),
    ],
    {
      own: { partitions: 1, configs: { "message.timestamp.after.max.ms": "9223372036854775807" } },
    },
  ),
  several(
    "producers/one whose sequence wraps",
    [
      ({ topic }) => produce(topic, 987_654_323n, 0, 2147483647),
      ({ topic }) => producers([[topic, [0]]]),
    ],
    { own: {} },
  ),

  ...[0, 1, 2].flatMap((version) => [
    one(
      `cluster/DescribeCluster v${version}`,
      ask(DescribeClusterApi, version, makeDescribeClusterRequest({ endpointType: 1 })),
    ),
    one(
      `cluster/DescribeCluster with operations v${version}`,
      ask(
        DescribeClusterApi,
        version,
        makeDescribeClusterRequest({
          endpointType: 1,
          includeClusterAuthorizedOperations: true,
          includeFencedBrokers: version >= 2,
        }),
      ),
    ),
  ]),
  ...[1, 2, 3, 4, 5].map((version) =>
    one(`cluster/DescribeLogDirs v${version}`, ({ topic }) =>
      ask(
        DescribeLogDirsApi,
        version,
        makeDescribeLogDirsRequest({ topics: [{ topic, partitions: [0, 1] }] }),
      ),
    ),
  ),
];
