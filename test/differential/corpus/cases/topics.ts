/** CreateTopics, DeleteTopics, CreatePartitions, Metadata and DescribeTopicPartitions: names, counts, assignments, configs. */
import {
  CreatePartitionsApi,
  makeCreatePartitionsRequest,
  makeCreatePartitionsTopic,
  type CreatePartitionsTopic,
} from "#protocol/generated/create-partitions.ts";
import {
  type CreatableTopic,
  CreateTopicsApi,
  makeCreatableTopic,
  makeCreateTopicsRequest,
} from "#protocol/generated/create-topics.ts";
import {
  DeleteTopicsApi,
  type DeleteTopicState,
  makeDeleteTopicsRequest,
  makeDeleteTopicState,
} from "#protocol/generated/delete-topics.ts";
import {
  DescribeTopicPartitionsApi,
  type DescribeTopicPartitionsRequest,
  makeDescribeTopicPartitionsRequest,
} from "#protocol/generated/describe-topic-partitions.ts";
import {
  makeMetadataRequest,
  makeMetadataRequestTopic,
  MetadataApi,
  type MetadataRequestTopic,
} from "#protocol/generated/metadata.ts";
import { ask } from "../bytes.ts";
import { type Case, type CaseOptions, one, type Place, several, type Turn } from "../case.ts";

type Topics = (place: Place) => Partial<CreatableTopic>[];

const creation =
  (topics: Topics, version = 7, validateOnly = false, timeoutMs = 5000) =>
  (place: Place): Turn =>
    ask(
      CreateTopicsApi,
      version,
      makeCreateTopicsRequest({
        topics: topics(place).map((topic) =>
          makeCreatableTopic({ numPartitions: 1, replicationFactor: 1, ...topic }),
        ),
        timeoutMs,
        validateOnly,
      }),
    );

const create = (label: string, topics: Topics, version = 7, validateOnly = true): Case =>
  one(`topics/create ${label}`, creation(topics, version, validateOnly));

/** A name of the case's own that is no topic yet. */
const fresh = ({ group }: Place): string => `${group}-new`;

const named = (label: string, name: string): Case => create(`name ${label}`, () => [{ name }]);

const configured = (label: string, configs: readonly (readonly [string, string | null])[]): Case =>
  create(`config ${label}`, (place) => [
    { name: fresh(place), configs: configs.map(([name, value]) => ({ name, value })) },
  ]);

const assigned = (
  label: string,
  assignments: readonly (readonly [number, readonly number[]])[],
  init: Partial<CreatableTopic> = {},
): Case =>
  create(`assignment ${label}`, (place) => [
    {
      name: fresh(place),
      numPartitions: -1,
      replicationFactor: -1,
      assignments: assignments.map(([partitionIndex, brokerIds]) => ({
        partitionIndex,
        brokerIds: [...brokerIds],
      })),
      ...init,
    },
  ]);

const CREATE_CASES: readonly Case[] = [
  ...(
    [
      ["empty", ""],
      [".", "."],
      ["..", ".."],
      ["of three dots", "..."],
      ["of 250 letters", "a".repeat(250)],
      ["of 249 letters", "corpus-".padEnd(249, "a")],
      ["with a slash", "a/b"],
      ["with a space", "a b"],
      ["with a colon", "a:b"],
      ["with a zero byte", "a\0b"],
      ["with a line break", "a\n"],
      ["not ASCII", "tópico"],
      ["an emoji", "😀"],
      ["with a byte order mark", "\uFEFFa"],
      ["of 32,000 letters", "a".repeat(32_000)],
      ["__consumer_offsets", "__consumer_offsets"],
      ["__transaction_state", "__transaction_state"],
      ["__cluster_metadata", "__cluster_metadata"],
      ["__share_group_state", "__share_group_state"],
      ["-", "-"],
      ["_", "_"],
    ] as const
  ).map(([label, name]) => named(label, name)),
  several("topics/create names that collide", [
    creation((place) => [{ name: `${fresh(place)}.x` }]),
    creation((place) => [{ name: `${fresh(place)}_x` }]),
  ]),
  create("names that collide in one request", (place) => [
    { name: `${fresh(place)}.x` },
    { name: `${fresh(place)}_x` },
  ]),
  create("one topic twice", (place) => [{ name: fresh(place) }, { name: fresh(place) }]),
  create("one topic twice, one of them bad", (place) => [
    { name: fresh(place) },
    { name: fresh(place), numPartitions: 0 },
    { name: `${fresh(place)}-2` },
  ]),
  create("one that exists", ({ topic }) => [{ name: topic }]),
  create("one that exists with a bad config", ({ topic }) => [
    { name: topic, configs: [{ name: "no.such", value: "1" }] },
  ]),
  create("none", () => []),
  ...[0, -1, -2, 10_001, 0x7fffffff, -0x80000000].map((numPartitions) =>
    create(`with ${numPartitions} partitions`, (place) => [{ name: fresh(place), numPartitions }]),
  ),
  ...[0, -1, -2, 2, 3, 32767].map((replicationFactor) =>
    create(`with replication factor ${replicationFactor}`, (place) => [
      { name: fresh(place), replicationFactor },
    ]),
  ),
  create(
    "defaults before v4",
    (place) => [{ name: fresh(place), numPartitions: -1, replicationFactor: -1 }],
    3,
  ),
  ...[2, 3, 4, 5, 6].map((version) =>
    create(`v${version}`, (place) => [{ name: fresh(place) }], version),
  ),
  ...[2, 4, 5, 6, 7].map((version) =>
    create(`v${version} for real`, (place) => [{ name: fresh(place) }], version, false),
  ),
  one(
    "topics/create with timeout 0",
    creation((place) => [{ name: fresh(place) }], 7, true, 0),
  ),
  one(
    "topics/create with timeout -1",
    creation((place) => [{ name: fresh(place) }], 7, true, -1),
  ),
  configured("unknown", [["no.such.config", "1"]]),
  configured("empty name", [["", "1"]]),
  configured("null value", [["retention.ms", null]]),
  configured("empty value", [["retention.ms", ""]]),
  configured("not a number", [["retention.ms", "soon"]]),
  configured("too large", [["retention.ms", "9223372036854775808"]]),
  configured("too small", [["segment.bytes", "1"]]),
  configured("fraction over 1", [["min.cleanable.dirty.ratio", "2"]]),
  configured("bad policy", [["cleanup.policy", "burn"]]),
  configured("both policies", [["cleanup.policy", "compact,delete"]]),
  configured("empty policy", [["cleanup.policy", ""]]),
  configured("bad compression", [["compression.type", "rar"]]),
  configured("bad boolean", [["preallocate", "maybe"]]),
  configured("boolean in capitals", [["preallocate", "TRUE"]]),
  configured("with spaces", [["retention.ms", " 1000 "]]),
  configured("twice", [
    ["retention.ms", "1000"],
    ["retention.ms", "2000"],
  ]),
  configured("of a broker", [["log.retention.hours", "1"]]),
  configured("max.message.bytes -1", [["max.message.bytes", "-1"]]),
  configured("min.insync.replicas 0", [["min.insync.replicas", "0"]]),
  configured("local retention over retention", [
    ["retention.ms", "1000"],
    ["local.retention.ms", "2000"],
  ]),
  configured("timestamp type", [["message.timestamp.type", "Never"]]),
  assigned("sound", [[0, [1]]]),
  assigned("unknown broker", [[0, [99]]]),
  assigned("negative broker", [[0, [-1]]]),
  assigned("same broker twice", [[0, [1, 1]]]),
  assigned("no brokers", [[0, []]]),
  assigned("gap", [
    [0, [1]],
    [2, [1]],
  ]),
  assigned("not from 0", [[1, [1]]]),
  assigned("partition twice", [
    [0, [1]],
    [0, [1]],
  ]),
  assigned("negative partition", [[-1, [1]]]),
  assigned("uneven", [
    [0, [1]],
    [1, [1, 2]],
  ]),
  assigned("beside a count", [[0, [1]]], { numPartitions: 1 }),
  assigned("beside a factor", [[0, [1]]], { replicationFactor: 1 }),
];

// ---- delete

const deletion = (
  label: string,
  topics: (place: Place) => Partial<DeleteTopicState>[],
  options: CaseOptions = {},
): Case =>
  one(
    `topics/delete ${label}`,
    (place) =>
      ask(
        DeleteTopicsApi,
        6,
        makeDeleteTopicsRequest({
          timeoutMs: 5000,
          topics: topics(place).map((topic) => makeDeleteTopicState(topic)),
        }),
      ),
    options,
  );

const deletionByName = (label: string, version: number, ...topicNames: string[]): Case =>
  one(
    `topics/delete ${label} v${version}`,
    ask(
      DeleteTopicsApi,
      version,
      makeDeleteTopicsRequest({
        timeoutMs: 5000,
        topicNames,
      }),
    ),
  );

const MISSING_ID = "AAAAAAAAAAAAAAAAAAAABg";

const DELETE_CASES: readonly Case[] = [
  deletion("none", () => []),
  deletion("unknown name", () => [{ name: "corpus-missing" }]),
  deletion("unknown id", () => [{ topicId: MISSING_ID }]),
  deletion("neither name nor id", () => [{ name: null }]),
  deletion("name and id", ({ topic, topicId }) => [{ name: topic, topicId }]),
  deletion("empty name", () => [{ name: "" }]),
  deletion("illegal name", () => [{ name: "a/b" }]),
  deletion("unknown name twice", () => [{ name: "corpus-missing" }, { name: "corpus-missing" }]),
  deletion("unknown id twice", () => [{ topicId: MISSING_ID }, { topicId: MISSING_ID }]),
  deletion("name twice", ({ topic }) => [{ name: topic }, { name: topic }], { own: {} }),
  deletion("by id", ({ topicId }) => [{ topicId }], { own: {} }),
  deletion("by name", ({ topic }) => [{ name: topic }], { own: {} }),
  deletion("by name and by id", ({ topic, topicId }) => [{ name: topic }, { topicId }], {
    own: {},
  }),
  deletion("__cluster_metadata", () => [{ name: "__cluster_metadata" }]),
  deletion("one of two", ({ topic }) => [{ name: topic }, { name: "corpus-missing" }], {
    own: {},
  }),
  ...[1, 3, 4, 5].flatMap((version) => [
    deletionByName("unknown", version, "corpus-missing"),
    deletionByName("empty name", version, ""),
    deletionByName("twice", version, "corpus-missing", "corpus-missing"),
  ]),
];

// ---- partitions

const growth = (
  label: string,
  topics: (place: Place) => Partial<CreatePartitionsTopic>[],
  validateOnly = true,
  options: CaseOptions = {},
): Case =>
  one(
    `topics/grow ${label}`,
    (place) =>
      ask(
        CreatePartitionsApi,
        3,
        makeCreatePartitionsRequest({
          topics: topics(place).map((topic) =>
            makeCreatePartitionsTopic({ assignments: null, ...topic }),
          ),
          timeoutMs: 5000,
          validateOnly,
        }),
      ),
    options,
  );

const GROW_CASES: readonly Case[] = [
  growth("none", () => []),
  growth("unknown topic", () => [{ name: "corpus-missing", count: 3 }]),
  growth("illegal topic", () => [{ name: "a/b", count: 3 }]),
  growth("empty topic", () => [{ name: "", count: 3 }]),
  ...[0, -1, 1, 2, 10_003, 0x7fffffff].map((count) =>
    growth(`to ${count}`, ({ topic }) => [{ name: topic, count }]),
  ),
  growth("twice", ({ topic }) => [
    { name: topic, count: 3 },
    { name: topic, count: 4 },
  ]),
  growth("twice and another", ({ topic }) => [
    { name: topic, count: 3 },
    { name: topic, count: 3 },
    { name: "corpus-missing", count: 3 },
  ]),
  growth("with an assignment", ({ topic }) => [
    { name: topic, count: 3, assignments: [{ brokerIds: [1] }] },
  ]),
  growth("with no assignment", ({ topic }) => [{ name: topic, count: 3, assignments: [] }]),
  growth("with too many assignments", ({ topic }) => [
    { name: topic, count: 3, assignments: [{ brokerIds: [1] }, { brokerIds: [1] }] },
  ]),
  growth("with an unknown broker", ({ topic }) => [
    { name: topic, count: 3, assignments: [{ brokerIds: [99] }] },
  ]),
  growth("with a broker twice", ({ topic }) => [
    { name: topic, count: 3, assignments: [{ brokerIds: [1, 1] }] },
  ]),
  growth("with an empty assignment", ({ topic }) => [
    { name: topic, count: 3, assignments: [{ brokerIds: [] }] },
  ]),
  growth("for real", ({ topic }) => [{ name: topic, count: 3 }], false, { own: {} }),
  growth("__cluster_metadata", () => [{ name: "__cluster_metadata", count: 3 }]),
];

// ---- metadata

const looked = (
  label: string,
  version: number,
  topics: (place: Place) => Partial<MetadataRequestTopic>[] | null,
): Case =>
  one(`topics/metadata ${label} v${version}`, (place) =>
    ask(
      MetadataApi,
      version,
      makeMetadataRequest({
        topics: topics(place)?.map((topic) => makeMetadataRequestTopic(topic)) ?? null,
        allowAutoTopicCreation: version < 4,
      }),
    ),
  );

const pages = (
  label: string,
  request: (place: Place) => Partial<DescribeTopicPartitionsRequest>,
): Case =>
  one(`topics/describe ${label}`, (place) =>
    ask(DescribeTopicPartitionsApi, 0, makeDescribeTopicPartitionsRequest(request(place))),
  );

const METADATA_CASES: readonly Case[] = [
  ...[0, 1, 4, 7, 8, 9, 11, 12, 13].flatMap((version) => [
    looked("of one", version, ({ topic }) => [{ name: topic }]),
    looked("of one twice", version, ({ topic }) => [{ name: topic }, { name: topic }]),
    looked("of an illegal name", version, () => [{ name: "a/b" }]),
    looked("of an empty name", version, () => [{ name: "" }]),
    ...(version >= 1 ? [looked("of none", version, () => [])] : []),
    ...(version >= 4
      ? [looked("of a missing one", version, () => [{ name: "corpus-missing" }])]
      : []),
  ]),
  ...[10, 11, 12, 13].flatMap((version) => [
    looked("of null", version, () => [{ name: version >= 10 && version < 12 ? "" : null }]),
  ]),
  ...[12, 13].flatMap((version) => [
    looked("by id", version, ({ topicId }) => [{ name: null, topicId }]),
    looked("by a missing id", version, () => [{ name: null, topicId: MISSING_ID }]),
    looked("by id twice", version, ({ topicId }) => [
      { name: null, topicId },
      { name: null, topicId },
    ]),
    looked("by id and another's name", version, ({ topicId }) => [{ name: "x", topicId }]),
    looked("by id, and by name", version, ({ topicId, topic }) => [
      { name: null, topicId },
      { name: topic },
    ]),
  ]),
  looked("of 5,000 missing ones", 12, () =>
    Array.from({ length: 5000 }, (_, index) => ({ name: `corpus-missing-${index}` })),
  ),
  looked("of a name of 30,000 letters", 12, () => [{ name: "a".repeat(30_000) }]),
  looked("of a lone surrogate", 12, () => [{ name: "\uD800" }]),
  pages("one", ({ topic }) => ({ topics: [{ name: topic }] })),
  pages("missing", () => ({ topics: [{ name: "corpus-missing" }] })),
  pages("empty name", () => ({ topics: [{ name: "" }] })),
  pages("illegal name", () => ({ topics: [{ name: "a/b" }] })),
  pages("twice", ({ topic }) => ({ topics: [{ name: topic }, { name: topic }] })),
  ...[0, -1, 1, 2].map((responsePartitionLimit) =>
    pages(`limit ${responsePartitionLimit}`, ({ topic }) => ({
      topics: [{ name: topic }],
      responsePartitionLimit,
    })),
  ),
  ...[-1, 1, 2, 99].map((partitionIndex) =>
    pages(`cursor at ${partitionIndex}`, ({ topic }) => ({
      topics: [{ name: topic }],
      cursor: { topicName: topic, partitionIndex },
    })),
  ),
  pages("cursor at a topic not asked for", ({ topic }) => ({
    topics: [{ name: topic }],
    cursor: { topicName: "zzz", partitionIndex: 0 },
  })),
  pages("cursor at an earlier topic", ({ topic }) => ({
    topics: [{ name: topic }],
    cursor: { topicName: "aaa", partitionIndex: 0 },
  })),
];

/** All of them. */
export const TOPIC_CASES: readonly Case[] = [
  ...CREATE_CASES,
  ...DELETE_CASES,
  ...GROW_CASES,
  ...METADATA_CASES,
];
