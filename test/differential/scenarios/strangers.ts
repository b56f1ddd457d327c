/** Groups that do not exist and members that are refused. */
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
import { JoinGroupApi, type JoinGroupRequest } from "#protocol/generated/join-group.ts";
import { LeaveGroupApi, makeLeaveGroupRequest } from "#protocol/generated/leave-group.ts";
import { OffsetCommitApi } from "#protocol/generated/offset-commit.ts";
import { makeOffsetDeleteRequest, OffsetDeleteApi } from "#protocol/generated/offset-delete.ts";
import {
  makeOffsetFetchRequest,
  makeOffsetFetchRequestTopic,
  OffsetFetchApi,
} from "#protocol/generated/offset-fetch.ts";
import { makeSyncGroupRequest, SyncGroupApi } from "#protocol/generated/sync-group.ts";
import { commitRequest, joinRequest, type Scenarios } from "./scene.ts";

interface Located {
  host: string;
  port: number;
  nodeId: number;
  errorCode: number;
  errorMessage: string | null;
}

/** By name. */
export const STRANGER_SCENARIOS: Scenarios = {
  async "find-coordinator"(scene) {
    const clean = (one: Located): object => ({
      ...one,
      host: one.host === "" ? "" : "<host>",
      port: one.port === -1 ? -1 : 1,
      nodeId: one.nodeId === -1 ? -1 : 1,
      // The wording of an error is ours; that there is one must agree.
      errorMessage: one.errorCode === 0 ? one.errorMessage : one.errorMessage !== "",
    });
    for (let version = 0; version <= 6; version++) {
      for (const keyType of version === 0 ? [0] : [0, 9]) {
        const request = makeFindCoordinatorRequest(
          version < 4
            ? { key: scene.group, keyType }
            : { coordinatorKeys: [scene.group, "", scene.group], keyType },
        );
        try {
          const speaker = await scene.target.connect();
          const answer = await speaker.send(FindCoordinatorApi, version, request);
          const coordinators = answer.coordinators.map(clean);
          scene.note(`v${version} type ${keyType}`, { ...clean(answer), coordinators });
        } catch (error) {
          scene.note(`v${version} type ${keyType}`, String(error));
        }
      }
    }
  },

  async "unknown-group"(scene) {
    const { group: groupId } = scene;
    const member = { groupId, generationId: 1, memberId: "nobody" };
    await scene.ask("heartbeat", HeartbeatApi, 4, makeHeartbeatRequest(member));
    await scene.ask(
      "heartbeat empty group",
      HeartbeatApi,
      4,
      makeHeartbeatRequest({ ...member, groupId: "" }),
    );
    const protocol = { protocolType: "consumer", protocolName: "range" };
    await scene.ask("sync", SyncGroupApi, 5, makeSyncGroupRequest({ ...member, ...protocol }));
    await scene.ask("sync without protocol", SyncGroupApi, 5, makeSyncGroupRequest(member));
    await scene.ask(
      "sync empty group",
      SyncGroupApi,
      5,
      makeSyncGroupRequest({ ...member, ...protocol, groupId: "" }),
    );
    await scene.ask("sync v0", SyncGroupApi, 0, makeSyncGroupRequest(member));
    for (const version of [0, 2]) {
      await scene.ask(
        `leave v${version}`,
        LeaveGroupApi,
        version,
        makeLeaveGroupRequest({ groupId, memberId: "nobody" }),
      );
    }
    const members = [
      { memberId: "nobody", groupInstanceId: null, reason: null },
      { memberId: "", groupInstanceId: "i", reason: null },
    ];
    await scene.ask("leave", LeaveGroupApi, 5, makeLeaveGroupRequest({ groupId, members }));
    await scene.ask(
      "leave empty group",
      LeaveGroupApi,
      5,
      makeLeaveGroupRequest({ groupId: "", members }),
    );
    await scene.ask(
      "leave nobody",
      LeaveGroupApi,
      5,
      makeLeaveGroupRequest({ groupId, members: [] }),
    );
    await scene.ask("join", JoinGroupApi, 9, joinRequest(groupId, { memberId: "nobody" }));
    const groups = [groupId, ""];
    for (const version of [0, 5, 6]) {
      await scene.ask(
        `describe v${version}`,
        DescribeGroupsApi,
        version,
        makeDescribeGroupsRequest({ groups }),
      );
    }
    await scene.ask(
      "describe operations",
      DescribeGroupsApi,
      6,
      makeDescribeGroupsRequest({ groups, includeAuthorizedOperations: true }),
    );
    for (const version of [0, 2, 3]) {
      const groupsNames = [groupId];
      await scene.ask(
        `delete v${version}`,
        DeleteGroupsApi,
        version,
        makeDeleteGroupsRequest({ groupsNames }),
      );
    }
    await scene.ask(
      "delete empty",
      DeleteGroupsApi,
      3,
      makeDeleteGroupsRequest({ groupsNames: [""] }),
    );
    await scene.ask(
      "delete none",
      DeleteGroupsApi,
      3,
      makeDeleteGroupsRequest({ groupsNames: [] }),
    );
    const { topic } = scene.target;
    const partitions = [{ partitionIndex: 0 }, { partitionIndex: 7 }];
    const topics = [
      { name: topic, partitions },
      { name: "no-such-topic", partitions },
    ];
    await scene.ask(
      "offset delete",
      OffsetDeleteApi,
      0,
      makeOffsetDeleteRequest({ groupId, topics }),
    );
    await scene.ask(
      "offset delete empty group",
      OffsetDeleteApi,
      0,
      makeOffsetDeleteRequest({ groupId: "", topics }),
    );
    await scene.ask(
      "offset delete unknown",
      OffsetDeleteApi,
      0,
      makeOffsetDeleteRequest({ groupId, topics: [{ name: "no-such-topic", partitions }] }),
    );
    await scene.ask(
      "offset delete nothing",
      OffsetDeleteApi,
      0,
      makeOffsetDeleteRequest({ groupId, topics: [] }),
    );
    for (const version of [2, 8, 9]) {
      const request = commitRequest(groupId, topic, [[0, 5, ""]], {
        generationIdOrMemberEpoch: 3,
        memberId: "nobody",
      });
      await scene.ask(`commit v${version}`, OffsetCommitApi, version, request);
    }
    await scene.ask(
      "fetch v1",
      OffsetFetchApi,
      1,
      makeOffsetFetchRequest({
        groupId,
        topics: [makeOffsetFetchRequestTopic({ name: topic, partitionIndexes: [0, 9] })],
      }),
    );
    await scene.ask(
      "fetch v7 all",
      OffsetFetchApi,
      7,
      makeOffsetFetchRequest({ groupId, topics: null, requireStable: true }),
    );
  },

  async "join-refused"(scene) {
    const { group: groupId } = scene;
    const ask = (label: string, init: Partial<JoinGroupRequest>, version = 9): Promise<unknown> =>
      scene.ask(label, JoinGroupApi, version, joinRequest(groupId, init));
    await ask("empty group", { groupId: "" });
    await ask("short session", { sessionTimeoutMs: 5_999 });
    await ask("long session", { sessionTimeoutMs: 1_800_001 });
    await ask("negative session", { sessionTimeoutMs: -1 });
    await ask("no protocol type", { protocolType: "" });
    await ask("no protocols", { protocols: [] });
    await ask("no protocols v0", { protocols: [] }, 0);
    await ask("no protocols v6", { protocols: [] }, 6);
    await ask("empty instance", { groupInstanceId: "" });
    await ask("long instance", { groupInstanceId: "i".repeat(250) });
    await ask("bad instance", { groupInstanceId: "a/b" });
    await ask("dots instance", { groupInstanceId: ".." });
    await ask("member id required v4", {}, 4);
    await ask("member id required v9", {});
    await ask("unknown member", { memberId: "nobody" });
    await scene.ask(
      "describe",
      DescribeGroupsApi,
      6,
      makeDescribeGroupsRequest({ groups: [groupId] }),
    );
  },
};
