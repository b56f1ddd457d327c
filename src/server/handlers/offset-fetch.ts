/**
 * OffsetFetch (key 9): what groups have committed. Never committed is offset -1 without an error.
 *
 * - v0: dropped by Kafka 4 (it read from ZooKeeper there); served like v1. v1: the group's stored offsets.
 * - v2: null topics: all of the group's; error of the group. v3: throttle time. v4: as v3. v5: leader epoch (KIP-320).
 * - v6: flexible. v7: requireStable (KIP-447): waits for commits under way. v8: many groups at once (KIP-709).
 * - v9: member id and epoch (KIP-848); classic groups ignore them.
 * - v10: topics by id, no longer by name; unknown ids answer UNKNOWN_TOPIC_ID.
 */
import { ErrorCode } from "#common/error-code.ts";
import type { GroupCoordinator, TopicLookup } from "#coordinator/group/group-coordinator.ts";
import type { FetchedOffset, FetchOffsetsOutput } from "#coordinator/group/messages.ts";
import {
  makeOffsetFetchResponse,
  makeOffsetFetchResponseGroup,
  makeOffsetFetchResponseTopic,
  makeOffsetFetchResponseTopics,
  OffsetFetchApi,
  type OffsetFetchRequest,
  type OffsetFetchRequestGroup,
  type OffsetFetchRequestTopics,
  type OffsetFetchResponse,
  type OffsetFetchResponseGroup,
  type OffsetFetchResponseTopics,
} from "#protocol/generated/offset-fetch.ts";
import { ZERO_UUID } from "#common/uuid.ts";
import type { ApiHandler } from "../handler.ts";

const FIRST_VERSION_WITH_GROUP_ERROR = 2;
const FIRST_BATCHED_VERSION = 8;
const FIRST_VERSION_WITH_TOPIC_IDS = 10;

/** Before v9 nobody says who asks. */
const NO_MEMBER = { memberId: null, memberEpoch: -1 };

/** Serves OffsetFetch. */
export function createOffsetFetchHandler(deps: {
  readonly groups: GroupCoordinator;
  readonly topics: TopicLookup;
}): ApiHandler<OffsetFetchRequest, OffsetFetchResponse> {
  return {
    api: OffsetFetchApi,
    minVersion: 0,
    maxVersion: 10,
    isFrameReleased: true,
    async handle(request, context) {
      const version = context.apiVersion;
      if (version < FIRST_BATCHED_VERSION) return fetchOne(deps.groups, request, version);
      const isById = version >= FIRST_VERSION_WITH_TOPIC_IDS;
      const groups = await Promise.all(
        request.groups.map((group) =>
          isById
            ? fetchById(deps.groups, deps.topics, group, request.requireStable)
            : fetchByName(deps.groups, group, request.requireStable),
        ),
      );
      return makeOffsetFetchResponse({ groups });
    },
  };
}

async function fetchOne(
  groups: GroupCoordinator,
  request: OffsetFetchRequest,
  version: number,
): Promise<OffsetFetchResponse> {
  const { groupId, requireStable } = request;
  const asked = request.topics?.map((topic) => ({ ...topic, topicId: ZERO_UUID })) ?? null;
  const output = await groups.fetchOffsets({ ...NO_MEMBER, groupId, topics: asked }, requireStable);
  const { errorCode } = output;
  if (errorCode === ErrorCode.NONE || version >= FIRST_VERSION_WITH_GROUP_ERROR) {
    const topics = output.topics.map(({ name, partitions }) =>
      makeOffsetFetchResponseTopic({ name, partitions: [...partitions] }),
    );
    return makeOffsetFetchResponse({ errorCode, topics });
  }
  // The first version has no place for the group's error but its partitions.
  const topics = (asked ?? []).map(({ name, partitionIndexes }) =>
    makeOffsetFetchResponseTopic({ name, partitions: failedRows(partitionIndexes, errorCode) }),
  );
  return makeOffsetFetchResponse({ topics });
}

async function fetchByName(
  groups: GroupCoordinator,
  group: OffsetFetchRequestGroup,
  requireStable: boolean,
): Promise<OffsetFetchResponseGroup> {
  return response(await groups.fetchOffsets(group, requireStable));
}

async function fetchById(
  groups: GroupCoordinator,
  lookup: TopicLookup,
  group: OffsetFetchRequestGroup,
  requireStable: boolean,
): Promise<OffsetFetchResponseGroup> {
  if (group.topics === null) {
    const output = await groups.fetchOffsets(group, requireStable);
    // Topics that are gone have no id to be named by.
    const topics = output.topics.flatMap((topic) => {
      const topicId = lookup.idOf(topic.name);
      return topicId === undefined ? [] : [{ ...topic, topicId }];
    });
    return response({ ...output, topics });
  }
  const unknown: OffsetFetchResponseTopics[] = [];
  const known: OffsetFetchRequestTopics[] = [];
  for (const topic of group.topics) {
    const name = lookup.nameOf(topic.topicId);
    if (name !== undefined) {
      known.push({ ...topic, name });
      continue;
    }
    const partitions = failedRows(topic.partitionIndexes, ErrorCode.UNKNOWN_TOPIC_ID);
    unknown.push(makeOffsetFetchResponseTopics({ topicId: topic.topicId, partitions }));
  }
  const output = await groups.fetchOffsets({ ...group, topics: known }, requireStable);
  const answer = response(output);
  if (output.errorCode === ErrorCode.NONE) answer.topics = [...answer.topics, ...unknown];
  return answer;
}

function response(output: FetchOffsetsOutput): OffsetFetchResponseGroup {
  const { groupId, errorCode } = output;
  const topics = output.topics.map(({ name, topicId, partitions }) =>
    makeOffsetFetchResponseTopics({ name, topicId, partitions: [...partitions] }),
  );
  return makeOffsetFetchResponseGroup({ groupId, errorCode, topics });
}

function failedRows(partitionIndexes: readonly number[], errorCode: number): FetchedOffset[] {
  return partitionIndexes.map((partitionIndex) => ({
    partitionIndex,
    committedOffset: -1,
    committedLeaderEpoch: -1,
    metadata: "",
    errorCode,
  }));
}
