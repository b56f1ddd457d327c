/** Requests about groups, as the cases of several files write them: sound unless something is said otherwise. */
import { HeartbeatApi, makeHeartbeatRequest } from "#protocol/generated/heartbeat.ts";
import {
  JoinGroupApi,
  type JoinGroupRequest,
  makeJoinGroupRequest,
} from "#protocol/generated/join-group.ts";
import { LeaveGroupApi, makeLeaveGroupRequest } from "#protocol/generated/leave-group.ts";
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
  makeOffsetFetchRequestTopic,
  makeOffsetFetchRequestTopics,
  OffsetFetchApi,
} from "#protocol/generated/offset-fetch.ts";
import {
  makeSyncGroupRequest,
  SyncGroupApi,
  type SyncGroupRequest,
} from "#protocol/generated/sync-group.ts";
import { ask, concat, int16, int32, utf8 } from "../bytes.ts";
import type { Place, Reply, Turn } from "../case.ts";

/** Subscription of the consumer protocol, v0. */
export function subscription(...topics: readonly string[]): Uint8Array {
  const names = topics.flatMap((topic) => [int16(utf8(topic).length), utf8(topic)]);
  return concat(int16(0), int32(topics.length), ...names, int32(-1));
}

/** Who a member is, as its JoinGroup was answered. */
export interface Member {
  readonly memberId: string;
  readonly generationId: number;
  readonly groupInstanceId: string | null;
}

/** Nobody in particular. */
export const NOBODY: Member = { memberId: "nobody", generationId: 1, groupInstanceId: null };

/** JoinGroup of a consumer of the case's topic. */
export function joining(
  { group, topic }: Place,
  version: number,
  init: Partial<JoinGroupRequest> = {},
): Turn {
  return ask(
    JoinGroupApi,
    version,
    makeJoinGroupRequest({
      groupId: group,
      sessionTimeoutMs: 10_000,
      rebalanceTimeoutMs: 10_000,
      protocolType: "consumer",
      protocols: [{ name: "range", metadata: subscription(topic) }],
      ...init,
    }),
  );
}

/** Joins in as many round trips as it takes, as the only member. */
export function* joinAlone(
  place: Place,
  version: number,
  init: Partial<JoinGroupRequest> = {},
): Generator<Turn, Member, readonly Reply[]> {
  let [reply] = yield joining(place, version, init);
  if (reply?.message?.["errorCode"] === 79) {
    [reply] = yield joining(place, version, { ...init, memberId: idIn(reply) });
  }
  const generationId = Number(reply?.message?.["generationId"] ?? -1);
  return { memberId: idIn(reply), generationId, groupInstanceId: init.groupInstanceId ?? null };
}

/** Joins and takes the whole assignment: the group is stable then. */
export function* joinAndSync(
  place: Place,
  version: number,
  init: Partial<JoinGroupRequest> = {},
): Generator<Turn, Member, readonly Reply[]> {
  const member = yield* joinAlone(place, version, init);
  const protocolType = init.protocolType ?? "consumer";
  yield syncing(place, Math.min(version, 5), member, { protocolType });
  return member;
}

/** The member id in a JoinGroup answer. */
export function idIn(reply: Reply | undefined): string {
  const memberId = reply?.message?.["memberId"];
  return typeof memberId === "string" ? memberId : "";
}

/** SyncGroup of a leader that gives itself everything. */
export function syncing(
  { group }: Place,
  version: number,
  member: Member,
  init: Partial<SyncGroupRequest> = {},
): Turn {
  return ask(
    SyncGroupApi,
    version,
    makeSyncGroupRequest({
      groupId: group,
      ...instanceFrom(3, version, member),
      memberId: member.memberId,
      generationId: member.generationId,
      protocolType: version >= 5 ? "consumer" : null,
      protocolName: version >= 5 ? "range" : null,
      assignments: [{ memberId: member.memberId, assignment: utf8("everything") }],
      ...(version >= 5 ? init : { ...init, protocolType: null, protocolName: null }),
    }),
  );
}

/** Heartbeat of a member. */
export function beating({ group }: Place, version: number, member: Member): Turn {
  const { memberId, generationId } = member;
  const request = { groupId: group, memberId, generationId, ...instanceFrom(3, version, member) };
  return ask(HeartbeatApi, version, makeHeartbeatRequest(request));
}

/** LeaveGroup of a member. */
export function leaving({ group }: Place, version: number, ...members: readonly Member[]): Turn {
  const [first] = members;
  const rows = members.map(({ memberId, groupInstanceId }) => ({
    memberId,
    groupInstanceId,
    reason: null,
  }));
  return ask(
    LeaveGroupApi,
    version,
    version >= 3
      ? makeLeaveGroupRequest({ groupId: group, members: rows })
      : makeLeaveGroupRequest({ groupId: group, memberId: first?.memberId ?? "" }),
  );
}

/** OffsetCommit of rows of the case's topic; of no member unless one is given. */
export function committing(
  { group, topic, topicId }: Place,
  version: number,
  rows: readonly Partial<OffsetCommitRequestPartition>[],
  member: Member | null = null,
  init: Partial<OffsetCommitRequest> = {},
): Turn {
  const named = version >= 10 ? { topicId } : { name: topic };
  const partitions = rows.map((row) =>
    makeOffsetCommitRequestPartition({ committedMetadata: "", ...row }),
  );
  const as =
    member === null
      ? {}
      : {
          memberId: member.memberId,
          generationIdOrMemberEpoch: member.generationId,
          ...instanceFrom(7, version, member),
        };
  return ask(
    OffsetCommitApi,
    version,
    makeOffsetCommitRequest({
      groupId: group,
      ...as,
      topics: [makeOffsetCommitRequestTopic({ ...named, partitions })],
      ...init,
    }),
  );
}

/** OffsetFetch of partitions of the case's topic, or of everything. */
export function fetching(
  { group, topic, topicId }: Place,
  version: number,
  partitionIndexes: readonly number[] | null,
  options: {
    readonly requireStable?: boolean;
    readonly memberId?: string;
    readonly memberEpoch?: number;
    readonly topicId?: string;
    readonly name?: string;
  } = {},
): Turn {
  const { requireStable = false, memberId = null, memberEpoch = -1 } = options;
  const name = options.name ?? topic;
  if (version < 8) {
    const topics =
      partitionIndexes === null
        ? null
        : [makeOffsetFetchRequestTopic({ name, partitionIndexes: [...partitionIndexes] })];
    const stable = version >= 7 ? { requireStable } : {};
    return ask(
      OffsetFetchApi,
      version,
      makeOffsetFetchRequest({ groupId: group, topics, ...stable }),
    );
  }
  const named = version >= 10 ? { topicId: options.topicId ?? topicId } : { name };
  const topics =
    partitionIndexes === null
      ? null
      : [makeOffsetFetchRequestTopics({ ...named, partitionIndexes: [...partitionIndexes] })];
  const as = version >= 9 ? { memberId, memberEpoch } : {};
  const groups = [makeOffsetFetchRequestGroup({ groupId: group, topics, ...as })];
  return ask(OffsetFetchApi, version, makeOffsetFetchRequest({ groups, requireStable }));
}

function instanceFrom(
  first: number,
  version: number,
  { groupInstanceId }: Member,
): { groupInstanceId?: string | null } {
  return version >= first ? { groupInstanceId } : {};
}
