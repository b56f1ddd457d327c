/** Groups: ids that are empty or too long, members that are nobody, floods of rows. What a group does in its life is in `scenarios/`. */
import { DeleteGroupsApi, makeDeleteGroupsRequest } from "#protocol/generated/delete-groups.ts";
import {
  DescribeGroupsApi,
  makeDescribeGroupsRequest,
} from "#protocol/generated/describe-groups.ts";
import {
  FindCoordinatorApi,
  makeFindCoordinatorRequest,
} from "#protocol/generated/find-coordinator.ts";
import { HeartbeatApi, makeHeartbeatRequest } from "#protocol/generated/heartbeat.ts";
import {
  JoinGroupApi,
  type JoinGroupRequest,
  makeJoinGroupRequest,
} from "#protocol/generated/join-group.ts";
import { LeaveGroupApi, makeLeaveGroupRequest } from "#protocol/generated/leave-group.ts";
import { ListGroupsApi, makeListGroupsRequest } from "#protocol/generated/list-groups.ts";
import {
  makeOffsetCommitRequest,
  makeOffsetCommitRequestPartition,
  makeOffsetCommitRequestTopic,
  OffsetCommitApi,
  type OffsetCommitRequest,
  type OffsetCommitRequestPartition,
} from "#protocol/generated/offset-commit.ts";
import {
  makeOffsetFetchRequest,
  makeOffsetFetchRequestGroup,
  makeOffsetFetchRequestTopics,
  OffsetFetchApi,
} from "#protocol/generated/offset-fetch.ts";
import { makeSyncGroupRequest, SyncGroupApi } from "#protocol/generated/sync-group.ts";
import { ask, utf8 } from "../bytes.ts";
import { type Case, one, type Place } from "../case.ts";

const join = (label: string, init: Partial<JoinGroupRequest>, version = 9): Case =>
  one(`groups/join ${label}`, ({ group }) =>
    ask(
      JoinGroupApi,
      version,
      makeJoinGroupRequest({
        groupId: group,
        sessionTimeoutMs: 10_000,
        rebalanceTimeoutMs: 1000,
        memberId: "nobody",
        protocolType: "consumer",
        protocols: [{ name: "range", metadata: utf8("m") }],
        ...init,
      }),
    ),
  );

const commit = (
  label: string,
  rows: (place: Place) => Partial<OffsetCommitRequestPartition>[],
  init: Partial<OffsetCommitRequest> & { readonly name?: string } = {},
): Case => {
  const { name, ...rest } = init;
  return one(`groups/commit ${label}`, (place) =>
    ask(
      OffsetCommitApi,
      9,
      makeOffsetCommitRequest({
        groupId: place.group,
        topics: [
          makeOffsetCommitRequestTopic({
            name: name ?? place.topic,
            partitions: rows(place).map((row) =>
              makeOffsetCommitRequestPartition({ committedMetadata: "", ...row }),
            ),
          }),
        ],
        ...rest,
      }),
    ),
  );
};

/** All of them. */
export const GROUP_CASES: readonly Case[] = [
  join("empty group", { groupId: "" }),
  join("group of 32,000 letters", { groupId: "g".repeat(32_000) }),
  join("group with a zero byte", { groupId: "corpus-\0" }),
  ...[0, 1, 5999, 1_800_001, -1, 0x7fffffff].map((sessionTimeoutMs) =>
    join(`session timeout ${sessionTimeoutMs}`, { sessionTimeoutMs }),
  ),
  join("unknown member", {}),
  join("member of 32,000 letters", { memberId: "m".repeat(32_000) }),
  join("no protocols", { protocols: [], memberId: "" }),
  join("empty protocol type", { protocolType: "", memberId: "" }),
  join("protocol type of 32,000 letters", { protocolType: "p".repeat(32_000) }),
  join("empty instance", { groupInstanceId: "" }),
  join("instance of 250 letters", { groupInstanceId: "i".repeat(250) }),
  join("instance with a slash", { groupInstanceId: "a/b" }),
  join("instance of two dots", { groupInstanceId: ".." }),
  join("unknown instance", { groupInstanceId: "i" }),
  join("reason of 32,000 letters", { reason: "r".repeat(32_000) }),
  join("protocol twice", {
    memberId: "",
    protocols: [
      { name: "range", metadata: utf8("m") },
      { name: "range", metadata: utf8("n") },
    ],
  }),
  join("10,000 protocols", {
    memberId: "nobody",
    protocols: Array.from({ length: 10_000 }, (_, index) => ({
      name: `p${index}`,
      metadata: utf8(""),
    })),
  }),
  commit("sound", () => [{ partitionIndex: 0, committedOffset: 5 }]),
  commit("empty group", () => [{ partitionIndex: 0, committedOffset: 5 }], { groupId: "" }),
  commit("as nobody", () => [{}], { memberId: "nobody", generationIdOrMemberEpoch: 3 }),
  commit("generation 0 without a member", () => [{}], { generationIdOrMemberEpoch: 0 }),
  ...[-1, -7, Number.MAX_SAFE_INTEGER, -Number.MAX_SAFE_INTEGER].map((committedOffset) =>
    commit(`offset ${committedOffset}`, () => [{ committedOffset }]),
  ),
  ...[-2, 99].map((committedLeaderEpoch) =>
    commit(`leader epoch ${committedLeaderEpoch}`, () => [{ committedLeaderEpoch }]),
  ),
  commit("metadata of 4096 letters", () => [{ committedMetadata: "m".repeat(4096) }]),
  commit("metadata of 4097 letters", () => [{ committedMetadata: "m".repeat(4097) }]),
  commit("null metadata", () => [{ committedMetadata: null }]),
  commit("unknown partition", () => [{ partitionIndex: 9 }]),
  commit("negative partition", () => [{ partitionIndex: -1 }]),
  commit("unknown topic", () => [{}], { name: "corpus-missing" }),
  commit("empty topic", () => [{}], { name: "" }),
  commit("no rows", () => []),
  commit("no topics", () => [], { topics: [] }),
  commit("partition twice", () => [{ committedOffset: 1 }, { committedOffset: 2 }]),
  commit("20,000 rows of one partition", () =>
    Array.from({ length: 20_000 }, (_, row) => ({ committedOffset: row })),
  ),
  commit("20,000 unknown partitions", () =>
    Array.from({ length: 20_000 }, (_, row) => ({ partitionIndex: row + 10 })),
  ),
  commit("2 MiB of metadata", () =>
    Array.from({ length: 512 }, (_, row) => ({
      partitionIndex: row % 2,
      committedMetadata: "m".repeat(4096),
    })),
  ),
  one("groups/fetch all of nobody", ({ group }) =>
    ask(
      OffsetFetchApi,
      9,
      makeOffsetFetchRequest({
        groups: [makeOffsetFetchRequestGroup({ groupId: group, topics: null })],
      }),
    ),
  ),
  one("groups/fetch no groups", ask(OffsetFetchApi, 9, makeOffsetFetchRequest())),
  one("groups/fetch group twice", ({ group, topic }) => {
    const each = makeOffsetFetchRequestGroup({
      groupId: group,
      topics: [makeOffsetFetchRequestTopics({ name: topic, partitionIndexes: [0] })],
    });
    return ask(OffsetFetchApi, 9, makeOffsetFetchRequest({ groups: [each, each] }));
  }),
  one(
    "groups/fetch empty group",
    ask(
      OffsetFetchApi,
      9,
      makeOffsetFetchRequest({
        groups: [makeOffsetFetchRequestGroup({ groupId: "", topics: null })],
      }),
    ),
  ),
  one("groups/fetch partition twice", ({ group, topic }) =>
    ask(
      OffsetFetchApi,
      9,
      makeOffsetFetchRequest({
        groups: [
          makeOffsetFetchRequestGroup({
            groupId: group,
            topics: [
              makeOffsetFetchRequestTopics({ name: topic, partitionIndexes: [0, 0, -1, 9] }),
            ],
          }),
        ],
      }),
    ),
  ),
  one("groups/fetch as a member", ({ group }) =>
    ask(
      OffsetFetchApi,
      9,
      makeOffsetFetchRequest({
        groups: [
          makeOffsetFetchRequestGroup({
            groupId: group,
            topics: null,
            memberId: "x",
            memberEpoch: 9,
          }),
        ],
      }),
    ),
  ),
  one("groups/fetch 20,000 partitions", ({ group, topic }) =>
    ask(
      OffsetFetchApi,
      9,
      makeOffsetFetchRequest({
        groups: [
          makeOffsetFetchRequestGroup({
            groupId: group,
            topics: [
              makeOffsetFetchRequestTopics({
                name: topic,
                partitionIndexes: Array.from({ length: 20_000 }, (_, index) => index),
              }),
            ],
          }),
        ],
      }),
    ),
  ),
  ...["", "g".repeat(32_000)].flatMap((groupId) => {
    const label = groupId === "" ? "empty group" : "group of 32,000 letters";
    return [
      one(
        `groups/heartbeat ${label}`,
        ask(HeartbeatApi, 4, makeHeartbeatRequest({ groupId, memberId: "x" })),
      ),
      one(
        `groups/sync ${label}`,
        ask(
          SyncGroupApi,
          5,
          makeSyncGroupRequest({
            groupId,
            memberId: "x",
            protocolType: "consumer",
            protocolName: "range",
          }),
        ),
      ),
      one(
        `groups/leave ${label}`,
        ask(
          LeaveGroupApi,
          5,
          makeLeaveGroupRequest({
            groupId,
            members: [{ memberId: "x", groupInstanceId: null, reason: null }],
          }),
        ),
      ),
      one(
        `groups/describe ${label}`,
        ask(DescribeGroupsApi, 6, makeDescribeGroupsRequest({ groups: [groupId] })),
      ),
      one(
        `groups/delete ${label}`,
        ask(DeleteGroupsApi, 3, makeDeleteGroupsRequest({ groupsNames: [groupId] })),
      ),
      one(
        `groups/find ${label}`,
        ask(FindCoordinatorApi, 4, makeFindCoordinatorRequest({ coordinatorKeys: [groupId] })),
      ),
    ];
  }),
  one("groups/sync with no protocol", ({ group }) =>
    ask(SyncGroupApi, 5, makeSyncGroupRequest({ groupId: group, memberId: "x" })),
  ),
  one("groups/leave nobody", ({ group }) =>
    ask(LeaveGroupApi, 5, makeLeaveGroupRequest({ groupId: group })),
  ),
  one("groups/leave 10,000 members", ({ group }) =>
    ask(
      LeaveGroupApi,
      5,
      makeLeaveGroupRequest({
        groupId: group,
        members: Array.from({ length: 10_000 }, (_, index) => ({
          memberId: `m${index}`,
          groupInstanceId: null,
          reason: null,
        })),
      }),
    ),
  ),
  one("groups/describe twice", ({ group }) =>
    ask(DescribeGroupsApi, 6, makeDescribeGroupsRequest({ groups: [group, group] })),
  ),
  one("groups/delete twice", ({ group }) =>
    ask(DeleteGroupsApi, 3, makeDeleteGroupsRequest({ groupsNames: [group, group] })),
  ),
  one("groups/find none", ask(FindCoordinatorApi, 4, makeFindCoordinatorRequest())),
  ...[1, 2, 3, 9, -1].map((keyType) =>
    one(`groups/find type ${keyType}`, ({ group }) =>
      ask(FindCoordinatorApi, 6, makeFindCoordinatorRequest({ keyType, coordinatorKeys: [group] })),
    ),
  ),
  one("groups/find 10,000", ({ group }) =>
    ask(
      FindCoordinatorApi,
      4,
      makeFindCoordinatorRequest({
        coordinatorKeys: Array.from({ length: 10_000 }, (_, index) => `${group}-${index}`),
      }),
    ),
  ),
  one(
    "groups/list unknown state",
    ask(ListGroupsApi, 5, makeListGroupsRequest({ statesFilter: ["Nonsense", ""] })),
  ),
  one(
    "groups/list unknown type",
    ask(ListGroupsApi, 5, makeListGroupsRequest({ typesFilter: ["nonsense"] })),
  ),
];
