/** A member of a group from its first join to its last leave, with every mistake on the way. */
import { DeleteGroupsApi, makeDeleteGroupsRequest } from "#protocol/generated/delete-groups.ts";
import {
  DescribeGroupsApi,
  makeDescribeGroupsRequest,
} from "#protocol/generated/describe-groups.ts";
import { HeartbeatApi, makeHeartbeatRequest } from "#protocol/generated/heartbeat.ts";
import { JoinGroupApi } from "#protocol/generated/join-group.ts";
import { LeaveGroupApi, makeLeaveGroupRequest } from "#protocol/generated/leave-group.ts";
import { ListGroupsApi, makeListGroupsRequest } from "#protocol/generated/list-groups.ts";
import { makeOffsetCommitRequest, OffsetCommitApi } from "#protocol/generated/offset-commit.ts";
import { makeOffsetDeleteRequest, OffsetDeleteApi } from "#protocol/generated/offset-delete.ts";
import {
  makeOffsetFetchRequest,
  makeOffsetFetchRequestGroup,
  makeOffsetFetchRequestTopic,
  makeOffsetFetchRequestTopics,
  OffsetFetchApi,
} from "#protocol/generated/offset-fetch.ts";
import { makeSyncGroupRequest, SyncGroupApi } from "#protocol/generated/sync-group.ts";
import { commitRequest, joinRequest, subscription, utf8, type Scenarios } from "./scene.ts";

/** By name. */
export const MEMBER_SCENARIOS: Scenarios = {
  async "life-of-a-member"(scene) {
    const { group: groupId, target } = scene;
    const { topic } = target;
    const protocols = [{ name: "range", metadata: subscription(topic) }];
    const first = await scene.ask("join", JoinGroupApi, 9, joinRequest(groupId, { protocols }));
    const memberId = first?.memberId ?? "";
    await scene.ask(
      "describe pending",
      DescribeGroupsApi,
      6,
      makeDescribeGroupsRequest({ groups: [groupId] }),
    );
    const joined = await scene.ask(
      "join again",
      JoinGroupApi,
      9,
      joinRequest(groupId, { protocols, memberId }),
    );
    const generationId = joined?.generationId ?? -1;
    const member = { groupId, generationId, memberId };
    const consumer = { protocolType: "consumer", protocolName: "range" };
    await scene.ask(
      "describe completing",
      DescribeGroupsApi,
      6,
      makeDescribeGroupsRequest({ groups: [groupId] }),
    );
    await scene.ask("heartbeat completing", HeartbeatApi, 4, makeHeartbeatRequest(member));
    const asMember = { generationIdOrMemberEpoch: generationId, memberId };
    await scene.ask(
      "commit completing",
      OffsetCommitApi,
      9,
      commitRequest(groupId, topic, [[0, 5, "m"]], asMember),
    );
    await scene.ask(
      "join completing",
      JoinGroupApi,
      9,
      joinRequest(groupId, { protocols, memberId }),
    );
    await scene.ask(
      "sync wrong generation",
      SyncGroupApi,
      5,
      makeSyncGroupRequest({ ...member, ...consumer, generationId: 99 }),
    );
    await scene.ask(
      "sync wrong member",
      SyncGroupApi,
      5,
      makeSyncGroupRequest({ ...member, ...consumer, memberId: "x" }),
    );
    await scene.ask(
      "sync wrong type",
      SyncGroupApi,
      5,
      makeSyncGroupRequest({ ...member, ...consumer, protocolType: "connect" }),
    );
    await scene.ask(
      "sync wrong name",
      SyncGroupApi,
      5,
      makeSyncGroupRequest({ ...member, ...consumer, protocolName: "sticky" }),
    );
    await scene.ask(
      "sync wrong instance",
      SyncGroupApi,
      5,
      makeSyncGroupRequest({ ...member, ...consumer, groupInstanceId: "i" }),
    );
    const assignments = [
      { memberId, assignment: utf8("mine") },
      { memberId: "stranger", assignment: utf8("his") },
    ];
    await scene.ask(
      "sync",
      SyncGroupApi,
      5,
      makeSyncGroupRequest({ ...member, ...consumer, assignments }),
    );
    await scene.ask("sync again v2", SyncGroupApi, 2, makeSyncGroupRequest(member));
    for (const version of [0, 3, 6]) {
      await scene.ask(
        `describe v${version}`,
        DescribeGroupsApi,
        version,
        makeDescribeGroupsRequest({ groups: [groupId], includeAuthorizedOperations: version >= 3 }),
      );
    }
    await scene.ask("heartbeat", HeartbeatApi, 4, makeHeartbeatRequest(member));
    await scene.ask("heartbeat v0", HeartbeatApi, 0, makeHeartbeatRequest(member));
    await scene.ask(
      "heartbeat wrong generation",
      HeartbeatApi,
      4,
      makeHeartbeatRequest({ ...member, generationId: 99 }),
    );
    await scene.ask(
      "heartbeat wrong member",
      HeartbeatApi,
      4,
      makeHeartbeatRequest({ ...member, memberId: "x" }),
    );
    await scene.ask(
      "heartbeat wrong instance",
      HeartbeatApi,
      4,
      makeHeartbeatRequest({ ...member, groupInstanceId: "i" }),
    );
    const rows = [
      [0, 5, "m"],
      [1, 6, null],
      [7, 1, ""],
    ] as const;
    for (const version of [2, 5, 9]) {
      await scene.ask(
        `commit v${version}`,
        OffsetCommitApi,
        version,
        commitRequest(groupId, topic, rows, asMember),
      );
    }
    await scene.ask(
      "commit v10",
      OffsetCommitApi,
      10,
      commitRequest(groupId, "", rows, asMember, target.topicId),
    );
    await scene.ask(
      "commit v10 unknown id",
      OffsetCommitApi,
      10,
      commitRequest(groupId, "", rows, asMember, "AAAAAAAAAAAAAAAAAAAABg"),
    );
    await scene.ask(
      "commit v10 no id",
      OffsetCommitApi,
      10,
      commitRequest(groupId, "", rows, asMember),
    );
    await scene.ask(
      "commit unknown topic",
      OffsetCommitApi,
      9,
      commitRequest(groupId, "no-such-topic", rows, asMember),
    );
    await scene.ask(
      "commit wrong generation",
      OffsetCommitApi,
      9,
      commitRequest(groupId, topic, rows, { ...asMember, generationIdOrMemberEpoch: 99 }),
    );
    await scene.ask(
      "commit wrong member",
      OffsetCommitApi,
      9,
      commitRequest(groupId, topic, rows, { ...asMember, memberId: "x" }),
    );
    await scene.ask(
      "commit without member",
      OffsetCommitApi,
      9,
      commitRequest(groupId, topic, rows, {}),
    );
    await scene.ask(
      "commit member without generation",
      OffsetCommitApi,
      9,
      commitRequest(groupId, topic, rows, { memberId }),
    );
    await scene.ask(
      "commit wrong instance",
      OffsetCommitApi,
      9,
      commitRequest(groupId, topic, rows, { ...asMember, groupInstanceId: "i" }),
    );
    await scene.ask(
      "commit odd rows",
      OffsetCommitApi,
      9,
      commitRequest(
        groupId,
        topic,
        [
          [0, -7, "é".repeat(4096)],
          [1, 9, "m".repeat(4097)],
          [-1, 0, ""],
          [0, 8, "last"],
        ],
        asMember,
      ),
    );
    await scene.ask(
      "commit nothing",
      OffsetCommitApi,
      9,
      makeOffsetCommitRequest({ groupId, ...asMember }),
    );
    await scene.ask(
      "commit no partitions",
      OffsetCommitApi,
      9,
      commitRequest(groupId, topic, [], asMember),
    );
    for (const version of [1, 2, 5, 7]) {
      await scene.ask(
        `fetch v${version}`,
        OffsetFetchApi,
        version,
        makeOffsetFetchRequest({
          groupId,
          topics: [
            makeOffsetFetchRequestTopic({ name: topic, partitionIndexes: [0, 1, 9] }),
            makeOffsetFetchRequestTopic({ name: "no-such-topic", partitionIndexes: [0] }),
          ],
        }),
      );
    }
    await scene.ask(
      "fetch v7 none",
      OffsetFetchApi,
      7,
      makeOffsetFetchRequest({ groupId, topics: [] }),
    );
    const topics = [makeOffsetFetchRequestTopics({ name: topic, partitionIndexes: [1, 0, 1] })];
    const groups = [
      makeOffsetFetchRequestGroup({ groupId, topics }),
      makeOffsetFetchRequestGroup({ groupId: "other", topics }),
    ];
    await scene.ask("fetch v8", OffsetFetchApi, 8, makeOffsetFetchRequest({ groups }));
    await scene.ask(
      "fetch v9 stable",
      OffsetFetchApi,
      9,
      makeOffsetFetchRequest({ groups, requireStable: true }),
    );
    const epochs = [
      makeOffsetFetchRequestGroup({ groupId, topics, memberId: "x", memberEpoch: 99 }),
    ];
    await scene.ask(
      "fetch v9 member",
      OffsetFetchApi,
      9,
      makeOffsetFetchRequest({ groups: epochs }),
    );
    const byId = [
      makeOffsetFetchRequestTopics({ topicId: target.topicId, partitionIndexes: [0, 5] }),
      makeOffsetFetchRequestTopics({ topicId: "AAAAAAAAAAAAAAAAAAAABg", partitionIndexes: [0] }),
    ];
    await scene.ask(
      "fetch v10",
      OffsetFetchApi,
      10,
      makeOffsetFetchRequest({ groups: [makeOffsetFetchRequestGroup({ groupId, topics: byId })] }),
    );
    await scene.ask(
      "delete",
      DeleteGroupsApi,
      3,
      makeDeleteGroupsRequest({ groupsNames: [groupId, groupId] }),
    );
    const partitions = [{ partitionIndex: 0 }];
    await scene.ask(
      "offset delete",
      OffsetDeleteApi,
      0,
      makeOffsetDeleteRequest({ groupId, topics: [{ name: topic, partitions }] }),
    );
    await scene.ask(
      "join other protocol",
      JoinGroupApi,
      9,
      joinRequest(groupId, { protocols: [{ name: "sticky", metadata: utf8("") }] }),
    );
    await scene.ask(
      "join other type",
      JoinGroupApi,
      9,
      joinRequest(groupId, { protocolType: "connect" }),
    );
    await scene.ask(
      "rejoin other protocol",
      JoinGroupApi,
      9,
      joinRequest(groupId, { memberId, protocols: [{ name: "sticky", metadata: utf8("") }] }),
    );
    const listed = async (
      label: string,
      statesFilter: string[],
      typesFilter: string[],
      version = 5,
    ): Promise<void> => {
      const answer = await (
        await scene.main
      ).send(ListGroupsApi, version, makeListGroupsRequest({ statesFilter, typesFilter }));
      scene.note(label, {
        ...answer,
        groups: answer.groups.filter((one) => one.groupId === groupId),
      });
    };
    await listed("list", [], []);
    await listed("list v0", [], [], 0);
    await listed("list v4", ["Stable", "Foo"], [], 4);
    await listed("list stable", ["sTaBLe"], ["Classic"]);
    await listed("list empty", ["Empty"], []);
    await listed("list nonsense", ["nonsense"], []);
    await listed("list consumer", [], ["consumer"]);
    await listed("list nonsense type", [], ["nonsense"]);
    const members = [
      { memberId, groupInstanceId: null, reason: "bye" },
      { memberId: "x", groupInstanceId: null, reason: null },
      { memberId: "", groupInstanceId: null, reason: null },
    ];
    await scene.ask("leave", LeaveGroupApi, 5, makeLeaveGroupRequest({ groupId, members }));
    await scene.ask(
      "describe empty",
      DescribeGroupsApi,
      6,
      makeDescribeGroupsRequest({ groups: [groupId] }),
    );
    await scene.ask("heartbeat gone", HeartbeatApi, 4, makeHeartbeatRequest(member));
    await scene.ask(
      "commit gone",
      OffsetCommitApi,
      9,
      commitRequest(groupId, topic, rows, asMember),
    );
    await scene.ask(
      "commit by hand",
      OffsetCommitApi,
      9,
      commitRequest(groupId, topic, [[0, 42, "hand"]], {}),
    );
    await scene.ask(
      "commit by hand with member",
      OffsetCommitApi,
      9,
      commitRequest(groupId, topic, [[0, 43, "hand"]], { memberId: "x" }),
    );
    await scene.ask(
      "offset delete empty",
      OffsetDeleteApi,
      0,
      makeOffsetDeleteRequest({ groupId, topics: [{ name: topic, partitions }] }),
    );
    await scene.ask(
      "fetch all",
      OffsetFetchApi,
      7,
      makeOffsetFetchRequest({ groupId, topics: null }),
    );
    await scene.ask(
      "fetch all v10",
      OffsetFetchApi,
      10,
      makeOffsetFetchRequest({ groups: [makeOffsetFetchRequestGroup({ groupId, topics: null })] }),
    );
    await scene.ask(
      "delete empty",
      DeleteGroupsApi,
      2,
      makeDeleteGroupsRequest({ groupsNames: [groupId] }),
    );
    await scene.ask(
      "describe gone",
      DescribeGroupsApi,
      5,
      makeDescribeGroupsRequest({ groups: [groupId] }),
    );
    await scene.ask(
      "fetch gone",
      OffsetFetchApi,
      7,
      makeOffsetFetchRequest({ groupId, topics: null }),
    );
  },
};
