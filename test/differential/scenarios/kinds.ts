/** Groups of other kinds: without members, with a static one, with two. */
import { DeleteGroupsApi, makeDeleteGroupsRequest } from "#protocol/generated/delete-groups.ts";
import {
  DescribeGroupsApi,
  makeDescribeGroupsRequest,
} from "#protocol/generated/describe-groups.ts";
import { HeartbeatApi, makeHeartbeatRequest } from "#protocol/generated/heartbeat.ts";
import { JoinGroupApi } from "#protocol/generated/join-group.ts";
import { LeaveGroupApi, makeLeaveGroupRequest } from "#protocol/generated/leave-group.ts";
import { ListGroupsApi, makeListGroupsRequest } from "#protocol/generated/list-groups.ts";
import { OffsetCommitApi } from "#protocol/generated/offset-commit.ts";
import { makeOffsetDeleteRequest, OffsetDeleteApi } from "#protocol/generated/offset-delete.ts";
import { makeOffsetFetchRequest, OffsetFetchApi } from "#protocol/generated/offset-fetch.ts";
import { makeSyncGroupRequest, SyncGroupApi } from "#protocol/generated/sync-group.ts";
import { commitRequest, joinRequest, utf8, type Scenarios } from "./scene.ts";

/** By name. */
export const KIND_SCENARIOS: Scenarios = {
  async "simple-group"(scene) {
    const { group: groupId, target } = scene;
    const { topic } = target;
    await scene.ask("commit", OffsetCommitApi, 9, commitRequest(groupId, topic, [[0, 7, "x"]]));
    await scene.ask(
      "describe",
      DescribeGroupsApi,
      6,
      makeDescribeGroupsRequest({ groups: [groupId] }),
    );
    await scene.ask(
      "commit as member",
      OffsetCommitApi,
      9,
      commitRequest(groupId, topic, [[0, 8, ""]], { generationIdOrMemberEpoch: 0, memberId: "x" }),
    );
    await scene.ask(
      "commit generation 0",
      OffsetCommitApi,
      9,
      commitRequest(groupId, topic, [[0, 8, ""]], { generationIdOrMemberEpoch: 0 }),
    );
    await scene.ask("heartbeat", HeartbeatApi, 4, makeHeartbeatRequest({ groupId, memberId: "x" }));
    await scene.ask(
      "leave",
      LeaveGroupApi,
      5,
      makeLeaveGroupRequest({
        groupId,
        members: [{ memberId: "x", groupInstanceId: null, reason: null }],
      }),
    );
    await scene.ask("fetch", OffsetFetchApi, 7, makeOffsetFetchRequest({ groupId, topics: null }));
    const answer = await (await scene.main).send(ListGroupsApi, 5, makeListGroupsRequest({}));
    scene.note(
      "list",
      answer.groups.filter((one) => one.groupId === groupId),
    );
    const partitions = [{ partitionIndex: 0 }, { partitionIndex: 1 }];
    await scene.ask(
      "offset delete",
      OffsetDeleteApi,
      0,
      makeOffsetDeleteRequest({ groupId, topics: [{ name: topic, partitions }] }),
    );
    await scene.ask(
      "describe without offsets",
      DescribeGroupsApi,
      6,
      makeDescribeGroupsRequest({ groups: [groupId] }),
    );
    await scene
      .ask(
        "commit too much",
        OffsetCommitApi,
        9,
        commitRequest(
          groupId,
          topic,
          Array.from({ length: 20_000 }, (_, row) => [0, row, ""] as const),
        ),
      )
      .then((whole) => {
        scene.notes.pop();
        const codes = new Set(
          whole?.topics.flatMap((one) => one.partitions.map((row) => row.errorCode)),
        );
        scene.note("commit too much", [...codes]);
      });
    await scene.ask(
      "fetch after too much",
      OffsetFetchApi,
      7,
      makeOffsetFetchRequest({ groupId, topics: null }),
    );
    await scene.ask(
      "commit with retention",
      OffsetCommitApi,
      3,
      commitRequest(groupId, topic, [[0, 9, "r"]], { retentionTimeMs: 60_000 }),
    );
    await scene.ask(
      "delete",
      DeleteGroupsApi,
      3,
      makeDeleteGroupsRequest({ groupsNames: [groupId] }),
    );
    await scene.ask(
      "fetch deleted",
      OffsetFetchApi,
      7,
      makeOffsetFetchRequest({ groupId, topics: null }),
    );
  },

  async "static-member"(scene) {
    const { group: groupId, target } = scene;
    const { topic } = target;
    const identity = { groupInstanceId: "i1" };
    const consumer = { protocolType: "consumer", protocolName: "range" };
    const joined = await scene.ask("join", JoinGroupApi, 9, joinRequest(groupId, identity));
    const memberId = joined?.memberId ?? "";
    const member = { groupId, memberId, generationId: joined?.generationId ?? -1, ...identity };
    const assignments = [{ memberId, assignment: utf8("all") }];
    await scene.ask(
      "sync",
      SyncGroupApi,
      5,
      makeSyncGroupRequest({ ...member, ...consumer, assignments }),
    );
    await scene.ask(
      "join wrong member",
      JoinGroupApi,
      9,
      joinRequest(groupId, { ...identity, memberId: "x" }),
    );
    await scene.ask(
      "join unknown instance",
      JoinGroupApi,
      9,
      joinRequest(groupId, { groupInstanceId: "i2", memberId }),
    );
    await scene.ask(
      "heartbeat fenced",
      HeartbeatApi,
      4,
      makeHeartbeatRequest({ ...member, memberId: "x" }),
    );
    const back = await scene.ask("back v9", JoinGroupApi, 9, joinRequest(groupId, identity));
    scene.note("new id", back?.memberId !== memberId);
    const again = { ...member, memberId: back?.memberId ?? "" };
    await scene.ask("old heartbeat", HeartbeatApi, 4, makeHeartbeatRequest(member));
    await scene.ask("old sync", SyncGroupApi, 5, makeSyncGroupRequest({ ...member, ...consumer }));
    await scene.ask(
      "old commit",
      OffsetCommitApi,
      9,
      commitRequest(groupId, topic, [[0, 1, ""]], {
        ...identity,
        memberId,
        generationIdOrMemberEpoch: 1,
      }),
    );
    await scene.ask("sync back", SyncGroupApi, 5, makeSyncGroupRequest({ ...again, ...consumer }));
    const older = await scene.ask("back v5", JoinGroupApi, 5, joinRequest(groupId, identity));
    scene.note("leader is the id before", older?.leader === again.memberId);
    await scene.ask(
      "describe",
      DescribeGroupsApi,
      6,
      makeDescribeGroupsRequest({ groups: [groupId] }),
    );
    await scene.ask(
      "old leave",
      LeaveGroupApi,
      5,
      makeLeaveGroupRequest({ groupId, members: [{ memberId, ...identity, reason: null }] }),
    );
    await scene.ask(
      "leave by instance",
      LeaveGroupApi,
      5,
      makeLeaveGroupRequest({
        groupId,
        members: [
          { memberId: "", ...identity, reason: null },
          { memberId: "", groupInstanceId: "i9", reason: null },
        ],
      }),
    );
    await scene.ask(
      "describe empty",
      DescribeGroupsApi,
      6,
      makeDescribeGroupsRequest({ groups: [groupId] }),
    );
  },

  async "two-members"(scene) {
    const { group: groupId } = scene;
    const one = await scene.target.connect();
    const two = await scene.target.connect();
    const offers = (...names: string[]): { name: string; metadata: Uint8Array }[] =>
      names.map((name) => ({ name, metadata: utf8(name) }));
    const connect = { protocolType: "connect" };
    const first = await scene.join(one, { ...connect, protocols: offers("range", "sticky") });
    scene.note("first", first);
    const sync = { groupId, protocolType: "connect", protocolName: "range" };
    const firstMember = { groupId, memberId: first.memberId, generationId: first.generationId };
    await one.send(SyncGroupApi, 5, makeSyncGroupRequest({ ...sync, ...firstMember }));
    const secondJoins = scene.join(two, { ...connect, protocols: offers("sticky", "range") });
    for (;;) {
      const beat = await one.send(HeartbeatApi, 4, makeHeartbeatRequest(firstMember));
      if (beat.errorCode !== 0) {
        scene.note("first is called back", beat);
        break;
      }
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    scene.note(
      "sync while preparing",
      await one.send(SyncGroupApi, 5, makeSyncGroupRequest({ ...sync, ...firstMember })),
    );
    scene.note(
      "describe preparing",
      await one.send(DescribeGroupsApi, 6, makeDescribeGroupsRequest({ groups: [groupId] })),
    );
    const rejoin = joinRequest(groupId, {
      ...connect,
      protocols: offers("range", "sticky"),
      memberId: first.memberId,
    });
    const [firstAgain, second] = await Promise.all([
      one.send(JoinGroupApi, 9, rejoin),
      secondJoins,
    ]);
    scene.note("draw goes to", firstAgain.protocolName);
    scene.note("leader stays", firstAgain.leader === first.memberId);
    scene.note("leader sees", firstAgain.members.length);
    scene.note("follower sees", second.members.length);
    scene.note("generation", [firstAgain.generationId, second.generationId]);
    const secondMember = { groupId, memberId: second.memberId, generationId: second.generationId };
    const protocolName = second.protocolName;
    const secondSyncs = two.send(
      SyncGroupApi,
      5,
      makeSyncGroupRequest({ ...sync, protocolName, ...secondMember }),
    );
    const assignments = [
      { memberId: second.memberId, assignment: utf8("for two") },
      { memberId: first.memberId, assignment: utf8("for one") },
    ];
    const leader = { ...firstMember, generationId: firstAgain.generationId };
    scene.note(
      "leader syncs",
      await one.send(
        SyncGroupApi,
        5,
        makeSyncGroupRequest({ ...sync, protocolName, ...leader, assignments }),
      ),
    );
    scene.note("follower syncs", await secondSyncs);
    const left = makeLeaveGroupRequest({
      groupId,
      members: [{ memberId: first.memberId, groupInstanceId: null, reason: null }],
    });
    scene.note("leader leaves", await one.send(LeaveGroupApi, 5, left));
    scene.note(
      "follower is called back",
      await two.send(HeartbeatApi, 4, makeHeartbeatRequest(secondMember)),
    );
    const alone = joinRequest(groupId, {
      ...connect,
      protocols: offers("sticky", "range"),
      memberId: second.memberId,
    });
    const after = await two.send(JoinGroupApi, 9, alone);
    scene.note("alone", after);
    const stale = { groupId, memberId: second.memberId, generationId: second.generationId };
    scene.note("old generation", await two.send(HeartbeatApi, 4, makeHeartbeatRequest(stale)));
  },
};
