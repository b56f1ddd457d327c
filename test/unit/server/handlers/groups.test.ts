/** The group handlers at every version they serve, through the codecs and with request bytes taken away after each call. */
import { describe, expect, test } from "bun:test";
import { ErrorCode } from "#common/error-code.ts";
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
import { JoinGroupApi, makeJoinGroupRequest } from "#protocol/generated/join-group.ts";
import { LeaveGroupApi, makeLeaveGroupRequest } from "#protocol/generated/leave-group.ts";
import { ListGroupsApi, makeListGroupsRequest } from "#protocol/generated/list-groups.ts";
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
import { makeSyncGroupRequest, SyncGroupApi } from "#protocol/generated/sync-group.ts";
import { MemoryGroups } from "../../../support/memory-groups.ts";

const NO_DELAY = { config: { groupInitialRebalanceDelayMs: 0 } };
const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);
const versions = (from: number, to: number): number[] =>
  Array.from({ length: to - from + 1 }, (_, index) => from + index);

describe("group handlers", () => {
  for (const version of versions(0, 9)) {
    test(`JoinGroup v${version}, then Sync, Heartbeat and Leave, go through`, async () => {
      const groups = await MemoryGroups.start(NO_DELAY);
      const request = makeJoinGroupRequest({
        groupId: "g",
        sessionTimeoutMs: 6_000,
        ...(version >= 1 ? { rebalanceTimeoutMs: 6_000 } : {}),
        protocolType: "connect",
        protocols: [{ name: "eager", metadata: utf8("me") }],
      });
      const first = await groups.send(JoinGroupApi, version, request);
      expect(first.errorCode).toBe(version >= 4 ? ErrorCode.MEMBER_ID_REQUIRED : ErrorCode.NONE);
      const { memberId } = first;
      const joined =
        version >= 4 ? await groups.send(JoinGroupApi, version, { ...request, memberId }) : first;
      expect(joined).toMatchObject({
        errorCode: ErrorCode.NONE,
        generationId: 1,
        protocolName: "eager",
        leader: memberId,
        members: [{ memberId, metadata: utf8("me") }],
      });
      const member = { groupId: "g", memberId, generationId: 1 };
      const syncVersion = Math.min(version, 5);
      const protocol = syncVersion >= 5 ? { protocolType: "connect", protocolName: "eager" } : {};
      const assignments = [{ memberId, assignment: utf8("work") }];
      const sync = makeSyncGroupRequest({ ...member, ...protocol, assignments });
      const synced = await groups.send(SyncGroupApi, syncVersion, sync);
      expect(synced).toMatchObject({ errorCode: ErrorCode.NONE, assignment: utf8("work") });
      const beat = makeHeartbeatRequest(member);
      const heartbeat = await groups.send(HeartbeatApi, Math.min(version, 4), beat);
      expect(heartbeat.errorCode).toBe(ErrorCode.NONE);
      const leaveVersion = Math.min(version, 5);
      const leave = makeLeaveGroupRequest(
        leaveVersion < 3
          ? { groupId: "g", memberId }
          : { groupId: "g", members: [{ memberId, groupInstanceId: null, reason: null }] },
      );
      const left = await groups.send(LeaveGroupApi, leaveVersion, leave);
      expect(left.errorCode).toBe(ErrorCode.NONE);
      expect(groups.coordinator.describeGroup("g")).toMatchObject({ groupState: "Empty" });
    });
  }

  for (const version of versions(0, 10)) {
    test(`OffsetCommit v${version} and OffsetFetch v${version} store and return an offset`, async () => {
      const groups = await MemoryGroups.start();
      const name = version >= 10 ? "" : groups.topic;
      const topicId = version >= 10 ? { topicId: groups.topicId } : {};
      const row = makeOffsetCommitRequestPartition({
        partitionIndex: 1,
        committedOffset: 42,
        committedMetadata: "m",
      });
      const topic = makeOffsetCommitRequestTopic({ name, ...topicId, partitions: [row] });
      const commit = makeOffsetCommitRequest({ groupId: "g", topics: [topic] });
      const committed = await groups.send(OffsetCommitApi, version, commit);
      expect(committed.topics).toMatchObject([
        { partitions: [{ partitionIndex: 1, errorCode: 0 }] },
      ]);
      const one = makeOffsetFetchRequestTopic({ name, partitionIndexes: [1] });
      const many = makeOffsetFetchRequestTopics({ name, ...topicId, partitionIndexes: [1] });
      const request =
        version < 8
          ? makeOffsetFetchRequest({ groupId: "g", topics: [one] })
          : makeOffsetFetchRequest({
              groups: [makeOffsetFetchRequestGroup({ groupId: "g", topics: [many] })],
            });
      const fetched = await groups.send(OffsetFetchApi, version, request);
      const topics = version < 8 ? fetched.topics : fetched.groups[0]?.topics;
      expect(topics).toMatchObject([
        { partitions: [{ partitionIndex: 1, committedOffset: 42, metadata: "m", errorCode: 0 }] },
      ]);
    });
  }

  test("an unknown topic id answers UNKNOWN_TOPIC_ID beside rows that are fine", async () => {
    const groups = await MemoryGroups.start();
    const row = makeOffsetCommitRequestPartition({ partitionIndex: 0, committedOffset: 1 });
    const outside = makeOffsetCommitRequestPartition({ partitionIndex: 9, committedOffset: 1 });
    const unknownId = "AAAAAAAAAAAAAAAAAAAABg";
    const topics = [
      makeOffsetCommitRequestTopic({ topicId: unknownId, partitions: [row] }),
      makeOffsetCommitRequestTopic({ topicId: groups.topicId, partitions: [row, outside] }),
    ];
    const commit = makeOffsetCommitRequest({ groupId: "g", topics });
    const answer = await groups.send(OffsetCommitApi, 10, commit);
    const codes = answer.topics.map((one) => [one.topicId, one.partitions.map((p) => p.errorCode)]);
    expect(Object.fromEntries(codes)).toEqual({
      [unknownId]: [ErrorCode.UNKNOWN_TOPIC_ID],
      [groups.topicId]: [ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, ErrorCode.NONE],
    });
  });

  test("the administration APIs answer at every version", async () => {
    const groups = await MemoryGroups.start();
    await groups.send(
      OffsetCommitApi,
      9,
      makeOffsetCommitRequest({
        groupId: "g",
        topics: [
          makeOffsetCommitRequestTopic({
            name: groups.topic,
            partitions: [
              makeOffsetCommitRequestPartition({ partitionIndex: 0, committedOffset: 1 }),
            ],
          }),
        ],
      }),
    );
    for (const version of versions(0, 5)) {
      const { groups: listed } = await groups.send(ListGroupsApi, version, makeListGroupsRequest());
      expect(listed.map((one) => one.groupId)).toEqual(["g"]);
    }
    for (const version of versions(0, 6)) {
      const request = makeDescribeGroupsRequest({ groups: ["g", "none"] });
      const { groups: described } = await groups.send(DescribeGroupsApi, version, request);
      expect(described.map((one) => [one.groupState, one.errorCode])).toEqual([
        ["Empty", ErrorCode.NONE],
        ["Dead", version < 6 ? ErrorCode.NONE : ErrorCode.GROUP_ID_NOT_FOUND],
      ]);
    }
    for (const version of versions(0, 6)) {
      const request = makeFindCoordinatorRequest(
        version < 4 ? { key: "g" } : { coordinatorKeys: ["g"] },
      );
      const found = await groups.send(FindCoordinatorApi, version, request);
      const one = version < 4 ? found : found.coordinators[0];
      expect(one).toMatchObject({ errorCode: 0, nodeId: 1, host: "127.0.0.1", port: 9092 });
    }
    const partitions = [{ partitionIndex: 0 }];
    const unbind = makeOffsetDeleteRequest({
      groupId: "g",
      topics: [{ name: groups.topic, partitions }],
    });
    const unbound = await groups.send(OffsetDeleteApi, 0, unbind);
    expect(unbound.topics).toEqual([
      { name: groups.topic, partitions: [{ partitionIndex: 0, errorCode: ErrorCode.NONE }] },
    ]);
    for (const version of versions(0, 3)) {
      const request = makeDeleteGroupsRequest({ groupsNames: ["g"] });
      const { results } = await groups.send(DeleteGroupsApi, version, request);
      expect(results[0]?.errorCode).toBe(
        version === 0 ? ErrorCode.NONE : ErrorCode.GROUP_ID_NOT_FOUND,
      );
    }
  });

  test("the first FindCoordinator makes the internal topic", async () => {
    const groups = MemoryGroups.startBare({ config: { offsetsTopicNumPartitions: 2 } });
    const request = makeFindCoordinatorRequest({ coordinatorKeys: ["g"] });
    const both = await Promise.all([
      groups.send(FindCoordinatorApi, 4, request),
      groups.send(FindCoordinatorApi, 4, request),
    ]);
    const codes = both.flatMap((found) => found.coordinators.map((one) => one.errorCode));
    expect(codes).toEqual([ErrorCode.NONE, ErrorCode.NONE]);
    expect(groups.coordinator.listGroups()).toEqual({ errorCode: ErrorCode.NONE, groups: [] });
  });

  test("transactional ids and share keys have no coordinator", async () => {
    const groups = await MemoryGroups.start();
    const codes = await Promise.all(
      [1, 2, 9].map(async (keyType) => {
        const request = makeFindCoordinatorRequest({ keyType, coordinatorKeys: ["x"] });
        return (await groups.send(FindCoordinatorApi, 6, request)).coordinators[0]?.errorCode;
      }),
    );
    const { UNSUPPORTED_VERSION, INVALID_REQUEST } = ErrorCode;
    expect(codes).toEqual([UNSUPPORTED_VERSION, INVALID_REQUEST, INVALID_REQUEST]);
  });

  test("a share key is refused without words, as by Kafka", async () => {
    const groups = await MemoryGroups.start();
    const request = makeFindCoordinatorRequest({ keyType: 2, coordinatorKeys: ["x"] });
    const { coordinators } = await groups.send(FindCoordinatorApi, 6, request);
    expect(coordinators[0]?.errorMessage).toBe("");
  });
});
