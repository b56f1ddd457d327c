/**
 * Conversations about groups, told to any broker. Each scenario notes what it was answered; the notes of two brokers must be
 * equal. What differs by nature (random ids, the run's own names, addresses) is replaced before it is noted.
 */
import { ZERO_UUID } from "#common/uuid.ts";
import type { ApiMessages } from "#protocol/api.ts";
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
  type JoinGroupResponse,
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
} from "#protocol/generated/offset-commit.ts";
import { makeOffsetDeleteRequest, OffsetDeleteApi } from "#protocol/generated/offset-delete.ts";
import {
  makeOffsetFetchRequest,
  makeOffsetFetchRequestGroup,
  makeOffsetFetchRequestTopic,
  makeOffsetFetchRequestTopics,
  OffsetFetchApi,
} from "#protocol/generated/offset-fetch.ts";
import { makeSyncGroupRequest, SyncGroupApi } from "#protocol/generated/sync-group.ts";

/** Something that answers requests, one connection of it. */
export interface Speaker {
  send<Req, Res>(api: ApiMessages<Req, Res>, version: number, request: Req): Promise<Res>;
}

/** A broker under test. */
export interface Target {
  /** A connection of its own: parked requests block theirs. */
  connect(): Promise<Speaker>;
  /** A topic with two partitions, ready for use, and its id. */
  readonly topic: string;
  readonly topicId: string;
}

/** What a scenario works with. */
export class Scene {
  readonly notes: string[] = [];
  readonly target: Target;
  /** Group id of this scenario, unique to the run. */
  readonly group: string;
  readonly #run: string;
  #main: Promise<Speaker> | null = null;

  constructor(target: Target, name: string, run: string) {
    this.target = target;
    this.#run = run;
    this.group = `${name}-${run}`;
  }

  /** The scenario's main connection. */
  get main(): Promise<Speaker> {
    this.#main ??= this.target.connect();
    return this.#main;
  }

  /** Notes an answer under a label; equal answers of two brokers become equal lines. */
  note(label: string, answer: unknown): void {
    const text = JSON.stringify(answer, (key, value: unknown) => {
      if (value instanceof Uint8Array) return Buffer.from(value).toString("latin1");
      if (key === "throttleTimeMs") return undefined;
      // Kafka answers by coordinator partition; the order means nothing.
      if (Array.isArray(value) && key === "groups") return value.toSorted(byGroupId);
      return value;
    });
    const plain = text
      .replaceAll(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, "<uuid>")
      .replaceAll(this.target.topic, "<topic>")
      .replaceAll(this.target.topicId, "<topic-id>")
      .replaceAll(this.#run, "<run>");
    this.notes.push(`${label}: ${plain}`);
  }

  /** Sends on the main connection and notes the answer, or that there was none. */
  async ask<Req, Res>(
    label: string,
    api: ApiMessages<Req, Res>,
    version: number,
    request: Req,
  ): Promise<Res | null> {
    try {
      const answer = await (await this.main).send(api, version, request);
      this.note(label, answer);
      return answer;
    } catch (error) {
      this.note(label, `no answer: ${error instanceof Error ? error.message : String(error)}`);
      this.#main = null;
      return null;
    }
  }

  /** Joins through both round trips; does not note anything. */
  async join(
    speaker: Speaker,
    init: Partial<JoinGroupRequest>,
    version = 9,
  ): Promise<JoinGroupResponse> {
    const request = joinRequest(this.group, init);
    const first = await speaker.send(JoinGroupApi, version, request);
    if (first.errorCode !== 79) return first;
    return speaker.send(JoinGroupApi, version, { ...request, memberId: first.memberId });
  }
}

function byGroupId(one: { groupId: string }, other: { groupId: string }): number {
  return one.groupId < other.groupId ? -1 : Number(one.groupId > other.groupId);
}

const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);

/** Subscription of the consumer protocol, v0, to one topic. */
export function subscription(topic: string): Uint8Array {
  const name = utf8(topic);
  return new Uint8Array([0, 0, 0, 0, 0, 1, 0, name.length, ...name, 255, 255, 255, 255]);
}

export function joinRequest(groupId: string, init: Partial<JoinGroupRequest>): JoinGroupRequest {
  return makeJoinGroupRequest({
    groupId,
    sessionTimeoutMs: 10_000,
    rebalanceTimeoutMs: 10_000,
    protocolType: "consumer",
    protocols: [{ name: "range", metadata: subscription("some-topic") }],
    ...init,
  });
}

function commitRequest(
  groupId: string,
  topic: string,
  rows: readonly (readonly [partition: number, offset: number, metadata: string | null])[],
  init: Partial<OffsetCommitRequest> = {},
  topicId: string = ZERO_UUID,
): OffsetCommitRequest {
  const partitions = rows.map(([partitionIndex, committedOffset, committedMetadata]) =>
    makeOffsetCommitRequestPartition({
      partitionIndex,
      committedOffset,
      committedMetadata,
    }),
  );
  const topics = [makeOffsetCommitRequestTopic({ name: topic, topicId, partitions })];
  return makeOffsetCommitRequest({ groupId, topics, ...init });
}

interface Located {
  host: string;
  port: number;
  nodeId: number;
  errorCode: number;
  errorMessage: string | null;
}

type Scenario = (scene: Scene) => Promise<void>;

/** All scenarios by name. */
export const SCENARIOS: Readonly<Record<string, Scenario>> = {
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
