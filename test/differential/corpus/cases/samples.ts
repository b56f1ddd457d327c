/**
 * A sound request of every served API, harmless wherever it is sent: it asks about what does not exist, or only validates. The
 * damage of `every-api.ts` is done to these.
 */
import { AlterConfigsApi, makeAlterConfigsRequest } from "#protocol/generated/alter-configs.ts";
import { ApiVersionsApi, makeApiVersionsRequest } from "#protocol/generated/api-versions.ts";
import {
  CreatePartitionsApi,
  makeCreatePartitionsRequest,
} from "#protocol/generated/create-partitions.ts";
import {
  CreateTopicsApi,
  makeCreatableTopic,
  makeCreateTopicsRequest,
} from "#protocol/generated/create-topics.ts";
import { DeleteGroupsApi, makeDeleteGroupsRequest } from "#protocol/generated/delete-groups.ts";
import { DeleteRecordsApi, makeDeleteRecordsRequest } from "#protocol/generated/delete-records.ts";
import {
  DeleteTopicsApi,
  makeDeleteTopicsRequest,
  makeDeleteTopicState,
} from "#protocol/generated/delete-topics.ts";
import {
  DescribeClusterApi,
  makeDescribeClusterRequest,
} from "#protocol/generated/describe-cluster.ts";
import {
  DescribeConfigsApi,
  makeDescribeConfigsRequest,
} from "#protocol/generated/describe-configs.ts";
import {
  DescribeGroupsApi,
  makeDescribeGroupsRequest,
} from "#protocol/generated/describe-groups.ts";
import {
  DescribeLogDirsApi,
  makeDescribeLogDirsRequest,
} from "#protocol/generated/describe-log-dirs.ts";
import {
  DescribeTopicPartitionsApi,
  makeDescribeTopicPartitionsRequest,
} from "#protocol/generated/describe-topic-partitions.ts";
import {
  FetchApi,
  makeFetchPartition,
  makeFetchRequest,
  makeFetchTopic,
  makeForgottenTopic,
} from "#protocol/generated/fetch.ts";
import {
  FindCoordinatorApi,
  makeFindCoordinatorRequest,
} from "#protocol/generated/find-coordinator.ts";
import { HeartbeatApi, makeHeartbeatRequest } from "#protocol/generated/heartbeat.ts";
import {
  IncrementalAlterConfigsApi,
  makeIncrementalAlterConfigsRequest,
} from "#protocol/generated/incremental-alter-configs.ts";
import {
  InitProducerIdApi,
  makeInitProducerIdRequest,
} from "#protocol/generated/init-producer-id.ts";
import { JoinGroupApi, makeJoinGroupRequest } from "#protocol/generated/join-group.ts";
import { LeaveGroupApi, makeLeaveGroupRequest } from "#protocol/generated/leave-group.ts";
import { ListGroupsApi, makeListGroupsRequest } from "#protocol/generated/list-groups.ts";
import {
  ListOffsetsApi,
  makeListOffsetsPartition,
  makeListOffsetsRequest,
} from "#protocol/generated/list-offsets.ts";
import {
  makeMetadataRequest,
  makeMetadataRequestTopic,
  MetadataApi,
} from "#protocol/generated/metadata.ts";
import {
  makeOffsetCommitRequest,
  makeOffsetCommitRequestPartition,
  makeOffsetCommitRequestTopic,
  OffsetCommitApi,
} from "#protocol/generated/offset-commit.ts";
import { makeOffsetDeleteRequest, OffsetDeleteApi } from "#protocol/generated/offset-delete.ts";
import {
  makeOffsetFetchRequest,
  makeOffsetFetchRequestGroup,
  makeOffsetFetchRequestTopic,
  makeOffsetFetchRequestTopics,
  OffsetFetchApi,
} from "#protocol/generated/offset-fetch.ts";
import {
  makeOffsetForLeaderEpochRequest,
  OffsetForLeaderEpochApi,
} from "#protocol/generated/offset-for-leader-epoch.ts";
import {
  makeProduceRequest,
  makeTopicProduceData,
  ProduceApi,
} from "#protocol/generated/produce.ts";
import { makeSyncGroupRequest, SyncGroupApi } from "#protocol/generated/sync-group.ts";
import { repeat, utf8 } from "../bytes.ts";
import { ADMIN_SAMPLES } from "./admin-samples.ts";
import { type Sample, sample } from "./sample.ts";

/** A topic that nobody makes. */
const MISSING = "corpus-missing";
/** An id that no topic has. */
const MISSING_ID = "AAAAAAAAAAAAAAAAAAAABg";
const GARBAGE = repeat(7, 70);

/** All served APIs. */
export const SAMPLES: readonly Sample[] = [
  sample(ProduceApi, 3, 13, (version) =>
    makeProduceRequest({
      transactionalId: null,
      acks: 1,
      timeoutMs: 1000,
      topicData: [
        makeTopicProduceData({
          ...(version >= 13 ? { topicId: MISSING_ID } : { name: "a/missing" }),
          partitionData: [{ index: 0, records: GARBAGE }],
        }),
      ],
    }),
  ),
  sample(FetchApi, 4, 18, (version, { topic, topicId }) =>
    makeFetchRequest({
      maxWaitMs: 0,
      maxBytes: 1 << 20,
      sessionEpoch: -1,
      topics: [
        makeFetchTopic({
          ...(version >= 13 ? { topicId } : { topic }),
          partitions: [makeFetchPartition({ partition: 1, partitionMaxBytes: 1 << 20 })],
        }),
      ],
      ...(version >= 7 && {
        forgottenTopicsData: [
          makeForgottenTopic({
            ...(version >= 13 ? { topicId } : { topic }),
            partitions: [0],
          }),
        ],
      }),
    }),
  ),
  sample(ListOffsetsApi, 1, 11, (version, { topic }) =>
    makeListOffsetsRequest({
      replicaId: -1,
      timeoutMs: version >= 10 ? 1000 : 0,
      topics: [{ name: topic, partitions: [makeListOffsetsPartition({ timestamp: -1 })] }],
    }),
  ),
  sample(MetadataApi, 0, 13, (version, { topic }) =>
    makeMetadataRequest({
      topics: [makeMetadataRequestTopic({ name: topic })],
      allowAutoTopicCreation: version < 4,
    }),
  ),
  sample(OffsetCommitApi, 2, 10, (version, { topic, topicId, group }) =>
    makeOffsetCommitRequest({
      groupId: group,
      generationIdOrMemberEpoch: 3,
      memberId: "nobody",
      topics: [
        makeOffsetCommitRequestTopic({
          ...(version >= 10 ? { topicId } : { name: topic }),
          partitions: [makeOffsetCommitRequestPartition({ committedMetadata: "m" })],
        }),
      ],
    }),
  ),
  sample(OffsetFetchApi, 1, 10, (version, { topic, topicId, group }) =>
    makeOffsetFetchRequest(
      version < 8
        ? {
            groupId: group,
            topics: [makeOffsetFetchRequestTopic({ name: topic, partitionIndexes: [0] })],
          }
        : {
            groups: [
              makeOffsetFetchRequestGroup({
                groupId: group,
                topics: [
                  makeOffsetFetchRequestTopics({
                    ...(version >= 10 ? { topicId } : { name: topic }),
                    partitionIndexes: [0],
                  }),
                ],
              }),
            ],
          },
    ),
  ),
  sample(FindCoordinatorApi, 0, 6, (version, { group }) =>
    makeFindCoordinatorRequest(version < 4 ? { key: group } : { coordinatorKeys: [group] }),
  ),
  sample(JoinGroupApi, 0, 9, (_version, { group }) =>
    makeJoinGroupRequest({
      groupId: group,
      sessionTimeoutMs: 10_000,
      rebalanceTimeoutMs: 10_000,
      memberId: "nobody",
      protocolType: "consumer",
      protocols: [{ name: "range", metadata: utf8("meta") }],
    }),
  ),
  sample(HeartbeatApi, 0, 4, (_version, { group }) =>
    makeHeartbeatRequest({ groupId: group, generationId: 1, memberId: "nobody" }),
  ),
  sample(LeaveGroupApi, 0, 5, (version, { group }) =>
    makeLeaveGroupRequest({
      groupId: group,
      ...(version < 3
        ? { memberId: "nobody" }
        : { members: [{ memberId: "nobody", groupInstanceId: null, reason: null }] }),
    }),
  ),
  sample(SyncGroupApi, 0, 5, (version, { group }) =>
    makeSyncGroupRequest({
      groupId: group,
      generationId: 1,
      memberId: "nobody",
      ...(version >= 5 && { protocolType: "consumer", protocolName: "range" }),
      assignments: [{ memberId: "nobody", assignment: utf8("mine") }],
    }),
  ),
  sample(DescribeGroupsApi, 0, 6, (_version, { group }) =>
    makeDescribeGroupsRequest({ groups: [group] }),
  ),
  sample(ListGroupsApi, 0, 5, (version) =>
    makeListGroupsRequest({
      ...(version >= 4 && { statesFilter: ["Dead"] }),
      ...(version >= 5 && { typesFilter: ["classic"] }),
    }),
  ),
  sample(ApiVersionsApi, 0, 4, (version) =>
    makeApiVersionsRequest(
      version >= 3 ? { clientSoftwareName: "corpus", clientSoftwareVersion: "1.0" } : {},
    ),
  ),
  sample(CreateTopicsApi, 2, 7, () =>
    makeCreateTopicsRequest({
      topics: [
        makeCreatableTopic({
          name: "a/b",
          numPartitions: -1,
          replicationFactor: -1,
          assignments: [{ partitionIndex: 0, brokerIds: [1] }],
          configs: [{ name: "retention.ms", value: "1000" }],
        }),
      ],
      timeoutMs: 1000,
      validateOnly: true,
    }),
  ),
  sample(DeleteTopicsApi, 1, 6, (version) =>
    makeDeleteTopicsRequest({
      timeoutMs: 1000,
      ...(version >= 6
        ? { topics: [makeDeleteTopicState({ name: MISSING })] }
        : { topicNames: [MISSING] }),
    }),
  ),
  sample(DeleteRecordsApi, 0, 2, () =>
    makeDeleteRecordsRequest({
      timeoutMs: 1000,
      topics: [{ name: MISSING, partitions: [{ partitionIndex: 0, offset: 0 }] }],
    }),
  ),
  sample(InitProducerIdApi, 0, 5, () =>
    makeInitProducerIdRequest({ transactionalId: null, transactionTimeoutMs: 1000 }),
  ),
  sample(OffsetForLeaderEpochApi, 2, 4, (version, { topic }) =>
    makeOffsetForLeaderEpochRequest({
      replicaId: version >= 3 ? -1 : -2,
      topics: [{ topic, partitions: [{ partition: 0, currentLeaderEpoch: -1, leaderEpoch: 0 }] }],
    }),
  ),
  sample(DescribeConfigsApi, 1, 4, (_version, { topic }) =>
    makeDescribeConfigsRequest({
      resources: [
        { resourceType: 2, resourceName: topic, configurationKeys: ["retention.ms", "no.such"] },
      ],
    }),
  ),
  sample(AlterConfigsApi, 0, 2, () =>
    makeAlterConfigsRequest({
      resources: [
        {
          resourceType: 2,
          resourceName: MISSING,
          configs: [{ name: "retention.ms", value: "1000" }],
        },
      ],
      validateOnly: true,
    }),
  ),
  sample(DescribeLogDirsApi, 1, 5, (_version, { topic }) =>
    makeDescribeLogDirsRequest({ topics: [{ topic, partitions: [0] }] }),
  ),
  sample(CreatePartitionsApi, 0, 3, () =>
    makeCreatePartitionsRequest({
      topics: [{ name: MISSING, count: 3, assignments: [{ brokerIds: [1] }] }],
      timeoutMs: 1000,
      validateOnly: true,
    }),
  ),
  sample(DeleteGroupsApi, 0, 3, (_version, { group }) =>
    makeDeleteGroupsRequest({ groupsNames: [group] }),
  ),
  sample(IncrementalAlterConfigsApi, 0, 1, () =>
    makeIncrementalAlterConfigsRequest({
      resources: [
        {
          resourceType: 2,
          resourceName: MISSING,
          configs: [{ name: "retention.ms", configOperation: 0, value: "1000" }],
        },
      ],
      validateOnly: true,
    }),
  ),
  sample(OffsetDeleteApi, 0, 0, (_version, { group }) =>
    makeOffsetDeleteRequest({
      groupId: group,
      topics: [{ name: MISSING, partitions: [{ partitionIndex: 0 }] }],
    }),
  ),
  sample(DescribeClusterApi, 0, 2, () => makeDescribeClusterRequest()),
  sample(DescribeTopicPartitionsApi, 0, 0, (_version, { topic }) =>
    makeDescribeTopicPartitionsRequest({
      topics: [{ name: topic }],
      cursor: { topicName: topic, partitionIndex: 0 },
    }),
  ),
  ...ADMIN_SAMPLES,
];
