/**
 * Groups of the consumer protocol (KIP-848): how members come, share, go, and what is refused; members of both protocols in one group.
 *
 * The target of a group is computed once a second at most, so a conversation waits before whatever asks for the next one.
 */
import { ZERO_UUID } from "#common/uuid.ts";
import {
  ConsumerGroupDescribeApi,
  makeConsumerGroupDescribeRequest,
} from "#protocol/generated/consumer-group-describe.ts";
import {
  ConsumerGroupHeartbeatApi,
  type ConsumerGroupHeartbeatRequest,
  type ConsumerGroupHeartbeatResponse,
  makeConsumerGroupHeartbeatRequest,
} from "#protocol/generated/consumer-group-heartbeat.ts";
import { DeleteGroupsApi, makeDeleteGroupsRequest } from "#protocol/generated/delete-groups.ts";
import {
  DescribeGroupsApi,
  makeDescribeGroupsRequest,
} from "#protocol/generated/describe-groups.ts";
import { HeartbeatApi, makeHeartbeatRequest } from "#protocol/generated/heartbeat.ts";
import { JoinGroupApi } from "#protocol/generated/join-group.ts";
import {
  LeaveGroupApi,
  makeLeaveGroupRequest,
  makeMemberIdentity,
} from "#protocol/generated/leave-group.ts";
import { ListGroupsApi, makeListGroupsRequest } from "#protocol/generated/list-groups.ts";
import { OffsetCommitApi } from "#protocol/generated/offset-commit.ts";
import {
  makeOffsetDeleteRequest,
  makeOffsetDeleteRequestPartition,
  makeOffsetDeleteRequestTopic,
  OffsetDeleteApi,
} from "#protocol/generated/offset-delete.ts";
import {
  makeOffsetFetchRequest,
  makeOffsetFetchRequestGroup,
  makeOffsetFetchRequestTopics,
  OffsetFetchApi,
  type OffsetFetchRequestGroup,
} from "#protocol/generated/offset-fetch.ts";
import { makeSyncGroupRequest, SyncGroupApi } from "#protocol/generated/sync-group.ts";
import { commitRequest, joinRequest, type Scenarios, type Scene, subscription } from "./scene.ts";

/** A little more than the shortest time between two targets. */
const NEXT_TARGET_MS = 1_200;

type Beat = Partial<ConsumerGroupHeartbeatRequest>;

const ascending = (one: number, other: number): number => one - other;

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Sends a heartbeat and notes its answer; topics and partitions are sorted, their order means nothing. */
async function beat(
  scene: Scene,
  label: string,
  init: Beat,
  version = 1,
): Promise<ConsumerGroupHeartbeatResponse> {
  const request = makeConsumerGroupHeartbeatRequest({ groupId: scene.group, ...init });
  const answer = await (await scene.main).send(ConsumerGroupHeartbeatApi, version, request);
  for (const topic of answer.assignment?.topicPartitions ?? []) topic.partitions.sort(ascending);
  scene.note(label, answer);
  return answer;
}

/** A first heartbeat. */
function joining(scene: Scene, memberId: string, init: Beat = {}): Beat {
  return {
    memberId,
    memberEpoch: 0,
    rebalanceTimeoutMs: 30_000,
    subscribedTopicNames: [scene.target.topic],
    topicPartitions: [],
    ...init,
  };
}

function owning(scene: Scene, ...partitions: number[]): Beat {
  const { topicId } = scene.target;
  return { topicPartitions: partitions.length === 0 ? [] : [{ topicId, partitions }] };
}

async function describe(scene: Scene, label: string, groupId = scene.group): Promise<void> {
  const request = makeConsumerGroupDescribeRequest({
    groupIds: [groupId],
    includeAuthorizedOperations: true,
  });
  const answer = await (await scene.main).send(ConsumerGroupDescribeApi, 1, request);
  for (const { members } of answer.groups) {
    members.sort((one, other) => (one.memberId < other.memberId ? -1 : 1));
    for (const { assignment, targetAssignment } of members) {
      for (const { partitions } of [
        ...assignment.topicPartitions,
        ...targetAssignment.topicPartitions,
      ])
        partitions.sort(ascending);
    }
  }
  scene.note(label, answer);
}

async function list(scene: Scene, label: string, typesFilter: string[] = []): Promise<void> {
  const request = makeListGroupsRequest({ typesFilter });
  const answer = await (await scene.main).send(ListGroupsApi, 5, request);
  answer.groups = answer.groups.filter(({ groupId }) => groupId === scene.group);
  scene.note(label, answer);
}

function fetchRequest(scene: Scene, init: Partial<OffsetFetchRequestGroup>) {
  const topics = [
    makeOffsetFetchRequestTopics({ name: scene.target.topic, partitionIndexes: [0, 1] }),
  ];
  return makeOffsetFetchRequest({
    groups: [makeOffsetFetchRequestGroup({ groupId: scene.group, topics, ...init })],
  });
}

export const CONSUMER_GROUP_SCENARIOS: Scenarios = {
  async "consumer-refusals"(scene) {
    const { topic } = scene.target;
    await beat(scene, "no group id", joining(scene, "m", { groupId: "" }));
    await beat(scene, "blank group id", joining(scene, "m", { groupId: " " }));
    await beat(scene, "no member id v1", joining(scene, ""));
    await beat(scene, "blank instance", joining(scene, "m", { instanceId: "" }));
    await beat(scene, "blank rack", joining(scene, "m", { rackId: "" }));
    await beat(scene, "no rebalance timeout", joining(scene, "m", { rebalanceTimeoutMs: -1 }));
    await beat(scene, "no partitions", joining(scene, "m", { topicPartitions: null }));
    await beat(scene, "owns at join", { ...joining(scene, "m"), ...owning(scene, 0) });
    await beat(scene, "no subscription", joining(scene, "m", { subscribedTopicNames: null }));
    await beat(scene, "unknown assignor", joining(scene, "m", { serverAssignor: "best" }));
    await beat(scene, "epoch -3", joining(scene, "m", { memberEpoch: -3 }));
    await beat(scene, "epoch -2 without instance", joining(scene, "m", { memberEpoch: -2 }));
    await beat(scene, "leaves nothing", joining(scene, "m", { memberEpoch: -1 }));
    await beat(scene, "static leaves nothing", { memberId: "m", memberEpoch: -2, instanceId: "i" });
    await beat(scene, "beats nothing", joining(scene, "m", { memberEpoch: 3 }));
    const pattern = { subscribedTopicNames: null, subscribedTopicRegex: "a(" };
    await beat(scene, "bad pattern", joining(scene, "m", pattern));
    await list(scene, "no group came to be");
    await beat(scene, "joins", joining(scene, "m"));
    await beat(scene, "another unknown", joining(scene, "n", { memberEpoch: 2 }));
    await beat(scene, "unknown leaves", { memberId: "n", memberEpoch: -1 });
    await beat(scene, "unknown instance leaves", {
      memberId: "n",
      memberEpoch: -1,
      instanceId: "i",
    });
    await beat(scene, "unknown instance beats", {
      memberId: "m",
      memberEpoch: 2,
      instanceId: "i",
    });
    await beat(scene, "greater epoch", { memberId: "m", memberEpoch: 9 });
    await beat(scene, "smaller epoch", { memberId: "m", memberEpoch: 1 });
    await beat(scene, "bad pattern later", { memberId: "m", memberEpoch: 2, ...pattern });
    await beat(scene, "still there", { memberId: "m", memberEpoch: 2 });
    await pause(NEXT_TARGET_MS);
    await beat(scene, "topic that is not", {
      memberId: "m",
      memberEpoch: 2,
      subscribedTopicNames: [`${topic}-not`],
    });
    await describe(scene, "describe");
  },

  async "consumer-life"(scene) {
    await beat(scene, "a joins", joining(scene, "a"));
    await describe(scene, "alone");
    await beat(scene, "a says what it has", {
      memberId: "a",
      memberEpoch: 2,
      ...owning(scene, 0, 1),
    });
    await pause(NEXT_TARGET_MS);
    await beat(scene, "b joins", joining(scene, "b"));
    await list(scene, "listed");
    await list(scene, "listed as consumer", ["consumer"]);
    await list(scene, "listed as classic", ["classic"]);
    await describe(scene, "reconciling");
    await beat(scene, "a is told to give back", { memberId: "a", memberEpoch: 2 });
    await beat(scene, "a holds on", { memberId: "a", memberEpoch: 2 });
    await beat(scene, "a still has all", { memberId: "a", memberEpoch: 2, ...owning(scene, 0, 1) });
    await describe(scene, "unrevoked");
    await beat(scene, "b waits", { memberId: "b", memberEpoch: 3 });
    await beat(scene, "a gives back", { memberId: "a", memberEpoch: 2, ...owning(scene, 0) });
    await beat(scene, "a's answer was lost", {
      memberId: "a",
      memberEpoch: 2,
      ...owning(scene, 0),
    });
    await beat(scene, "b gets it", { memberId: "b", memberEpoch: 3 });
    await beat(scene, "nothing new", { memberId: "b", memberEpoch: 3 });
    await beat(scene, "full", { ...joining(scene, "b", { memberEpoch: 3 }), ...owning(scene, 1) });
    await describe(scene, "stable");
    await beat(scene, "b joins anew", joining(scene, "b"));
    await describe(scene, "b is back");
    await beat(scene, "b leaves", { memberId: "b", memberEpoch: -1 });
    await pause(NEXT_TARGET_MS);
    await beat(scene, "a takes over", { memberId: "a", memberEpoch: 3 });
    await pause(NEXT_TARGET_MS);
    await beat(scene, "a asks for range", {
      memberId: "a",
      memberEpoch: 4,
      serverAssignor: "range",
    });
    await beat(scene, "a has range", { memberId: "a", memberEpoch: 5 });
    await describe(scene, "range");
    await pause(NEXT_TARGET_MS);
    await beat(scene, "a reads nothing", {
      memberId: "a",
      memberEpoch: 5,
      subscribedTopicNames: [],
      ...owning(scene, 0, 1),
    });
    await beat(scene, "a gave all back", { memberId: "a", memberEpoch: 5, ...owning(scene) });
    await describe(scene, "nothing");
    await beat(scene, "a leaves", { memberId: "a", memberEpoch: -1 });
    await describe(scene, "empty");
    await list(scene, "empty, listed");
    await beat(scene, "a is back", joining(scene, "a"));
    await describe(scene, "back");
  },

  async "consumer-static"(scene) {
    const instance = { instanceId: "i" };
    await beat(scene, "joins", joining(scene, "a", instance));
    await beat(scene, "second of the instance", joining(scene, "b", instance));
    await beat(scene, "same id again", joining(scene, "a", instance));
    await beat(scene, "stranger beats", { memberId: "b", memberEpoch: 2, ...instance });
    await beat(scene, "stranger leaves", { memberId: "b", memberEpoch: -1, ...instance });
    await beat(scene, "goes for now", { memberId: "a", memberEpoch: -2, ...instance });
    await describe(scene, "away");
    await beat(scene, "beats while away", { memberId: "a", memberEpoch: 2, ...instance });
    await beat(scene, "returns as b", joining(scene, "b", instance));
    await describe(scene, "returned");
    await beat(scene, "old id", { memberId: "a", memberEpoch: 2, ...instance });
    await beat(scene, "old id without instance", { memberId: "a", memberEpoch: 2 });
    await beat(scene, "b leaves without its instance", { memberId: "b", memberEpoch: -1 });
    await describe(scene, "gone");
  },

  async "consumer-ids"(scene) {
    const request = makeConsumerGroupHeartbeatRequest({
      groupId: scene.group,
      ...joining(scene, ""),
    });
    const speaker = await scene.main;
    const answer = await speaker.send(ConsumerGroupHeartbeatApi, 0, request);
    scene.note("v0 is given an id", { ...answer, memberId: answer.memberId?.length });
    const memberId = answer.memberId ?? "";
    const again = await speaker.send(
      ConsumerGroupHeartbeatApi,
      0,
      makeConsumerGroupHeartbeatRequest({ groupId: scene.group, memberId, memberEpoch: 2 }),
    );
    scene.note("v0 beats", { ...again, memberId: again.memberId === memberId });
    await describe(scene, "unknown group", `${scene.group}-not`);
    await describe(scene, "no group id", "");
    await scene.ask(
      "as a classic group v5",
      DescribeGroupsApi,
      5,
      makeDescribeGroupsRequest({ groups: [scene.group] }),
    );
    await scene.ask(
      "as a classic group v6",
      DescribeGroupsApi,
      6,
      makeDescribeGroupsRequest({ groups: [scene.group] }),
    );
  },

  async "consumer-offsets"(scene) {
    const { topic, topicId } = scene.target;
    const commit = (label: string, init: object, version = 9): Promise<unknown> =>
      scene.ask(
        label,
        OffsetCommitApi,
        version,
        commitRequest(scene.group, topic, [[0, 5, "m"]], init, topicId),
      );
    const fetch = (label: string, init: Partial<OffsetFetchRequestGroup>): Promise<unknown> =>
      scene.ask(label, OffsetFetchApi, 9, fetchRequest(scene, init));
    await commit("no group", { memberId: "a", generationIdOrMemberEpoch: 2 });
    await beat(scene, "joins", joining(scene, "a"));
    await commit("by nobody", {});
    await commit("by a stranger", { memberId: "b", generationIdOrMemberEpoch: 2 });
    await commit("in an older version", { memberId: "a", generationIdOrMemberEpoch: 2 }, 8);
    await commit("in its epoch", { memberId: "a", generationIdOrMemberEpoch: 2 });
    await commit("in its epoch v10", { memberId: "a", generationIdOrMemberEpoch: 2 }, 10);
    await commit("in an older epoch", { memberId: "a", generationIdOrMemberEpoch: 1 });
    await commit("in a newer epoch", { memberId: "a", generationIdOrMemberEpoch: 3 });
    await fetch("by nobody", {});
    await fetch("in its epoch", { memberId: "a", memberEpoch: 2 });
    await fetch("in another epoch", { memberId: "a", memberEpoch: 1 });
    await fetch("by a stranger", { memberId: "b", memberEpoch: 2 });
    await fetch("all topics", { memberId: "a", memberEpoch: 1, topics: null });
    await pause(NEXT_TARGET_MS);
    await beat(scene, "another joins", joining(scene, "b"));
    await beat(scene, "the epoch moves", { memberId: "a", memberEpoch: 2, ...owning(scene, 0, 1) });
    await beat(scene, "gives back", { memberId: "a", memberEpoch: 2, ...owning(scene, 0) });
    await commit("in the epoch before", { memberId: "a", generationIdOrMemberEpoch: 2 });
    const partitions = [makeOffsetDeleteRequestPartition({ partitionIndex: 0 })];
    const topics = [makeOffsetDeleteRequestTopic({ name: topic, partitions })];
    const removal = makeOffsetDeleteRequest({ groupId: scene.group, topics });
    await scene.ask("delete what is read", OffsetDeleteApi, 0, removal);
    const deletion = makeDeleteGroupsRequest({ groupsNames: [scene.group] });
    await scene.ask("delete the group", DeleteGroupsApi, 2, deletion);
    await beat(scene, "a leaves", { memberId: "a", memberEpoch: -1 });
    await beat(scene, "b leaves", { memberId: "b", memberEpoch: -1 });
    await commit("by nobody, when nobody is there", {});
    await scene.ask("delete what nobody reads", OffsetDeleteApi, 0, removal);
    await scene.ask("delete the empty group", DeleteGroupsApi, 2, deletion);
    await describe(scene, "deleted");
    await list(scene, "not listed");
  },

  async "consumer-patterns"(scene) {
    const { topic } = scene.target;
    const pattern = { subscribedTopicNames: null, subscribedTopicRegex: `${topic}.*` };
    await beat(scene, "joins", joining(scene, "a", pattern));
    await pause(NEXT_TARGET_MS);
    await beat(scene, "gets what matched", { memberId: "a", memberEpoch: 1 });
    await describe(scene, "matched");
    await pause(NEXT_TARGET_MS);
    await beat(scene, "names instead", {
      memberId: "a",
      memberEpoch: 2,
      subscribedTopicNames: [topic],
      subscribedTopicRegex: "",
    });
    await beat(scene, "by name", { memberId: "a", memberEpoch: 3, ...owning(scene, 0, 1) });
    await describe(scene, "named");
  },

  async "consumer-mixed"(scene) {
    const { topic } = scene.target;
    const classic = await scene.target.connect();
    const protocols = [{ name: "range", metadata: subscription(topic) }];
    await beat(scene, "a joins", joining(scene, "a"));
    await pause(NEXT_TARGET_MS);
    const odd = joinRequest(scene.group, { protocolType: "connect", protocols });
    scene.note("another type", await classic.send(JoinGroupApi, 9, odd));
    const none = joinRequest(scene.group, {
      protocols: [{ name: "range", metadata: new Uint8Array([9]) }],
      memberId: "x",
    });
    scene.note("malformed", await classic.send(JoinGroupApi, 9, none));
    const first = await classic.send(JoinGroupApi, 9, joinRequest(scene.group, { protocols }));
    scene.note("is given an id", { ...first, memberId: first.memberId === "" });
    const request = joinRequest(scene.group, { protocols, memberId: "c" });
    const joined = await classic.send(JoinGroupApi, 9, request);
    scene.note("joins", joined);
    const sync = (generationId: number): Promise<unknown> =>
      classic.send(
        SyncGroupApi,
        5,
        makeSyncGroupRequest({ groupId: scene.group, memberId: "c", generationId }),
      );
    const heartbeat = (generationId: number, memberId = "c"): Promise<unknown> =>
      classic.send(
        HeartbeatApi,
        4,
        makeHeartbeatRequest({ groupId: scene.group, memberId, generationId }),
      );
    scene.note("syncs", await sync(3));
    scene.note("syncs in another generation", await sync(2));
    scene.note("beats", await heartbeat(3));
    scene.note("beats in another generation", await heartbeat(2));
    scene.note("consumer member beats like a classic one", await heartbeat(2, "a"));
    await describe(scene, "mixed");
    await beat(scene, "a is told", { memberId: "a", memberEpoch: 2, ...owning(scene, 0, 1) });
    await beat(scene, "a gives back", { memberId: "a", memberEpoch: 2, ...owning(scene, 0) });
    scene.note("is called back", await heartbeat(3));
    scene.note("joins again", await classic.send(JoinGroupApi, 9, request));
    scene.note("syncs again", await sync(3));
    scene.note("beats again", await heartbeat(3));
    await describe(scene, "both");
    await list(scene, "a consumer group");
    await beat(scene, "a leaves", { memberId: "a", memberEpoch: -1 });
    await list(scene, "a classic group");
    const members = [scene.group];
    await scene.ask(
      "described",
      DescribeGroupsApi,
      6,
      makeDescribeGroupsRequest({ groups: members }),
    );
    scene.note("is called back once more", await heartbeat(3));
    const last = await classic.send(JoinGroupApi, 9, request);
    scene.note("leads", last);
    await beat(scene, "a joins a classic group", joining(scene, "a"));
    await list(scene, "a consumer group again");
    scene.note(
      "leaves",
      await classic.send(
        LeaveGroupApi,
        5,
        makeLeaveGroupRequest({
          groupId: scene.group,
          members: [
            makeMemberIdentity({ memberId: "c" }),
            makeMemberIdentity({ memberId: "nobody" }),
            makeMemberIdentity({ memberId: "", groupInstanceId: "nobody" }),
          ],
        }),
      ),
    );
    await describe(scene, "alone");
  },

  async "consumer-empty-conversions"(scene) {
    const { topic, topicId } = scene.target;
    const rows = commitRequest(scene.group, topic, [[0, 5, "m"]], {}, topicId);
    await scene.ask("offsets make a group", OffsetCommitApi, 9, rows);
    await list(scene, "classic");
    await beat(scene, "a joins", joining(scene, "a"));
    await list(scene, "consumer");
    await beat(scene, "a leaves", { memberId: "a", memberEpoch: -1 });
    await scene.ask("offsets are kept", OffsetFetchApi, 9, fetchRequest(scene, {}));
    const classic = await scene.target.connect();
    const protocols = [{ name: "range", metadata: subscription(topic) }];
    const known = joinRequest(scene.group, { protocols, memberId: "stranger" });
    scene.note("unknown member", await classic.send(JoinGroupApi, 9, known));
    await list(scene, "still consumer");
    await beat(scene, "topic", { ...joining(scene, "a"), subscribedTopicNames: [ZERO_UUID] });
    await beat(scene, "a leaves again", { memberId: "a", memberEpoch: -1 });
    const first = await classic.send(JoinGroupApi, 9, joinRequest(scene.group, { protocols }));
    scene.note("is given an id", { ...first, memberId: first.memberId === "" });
    await list(scene, "classic again");
  },
};
