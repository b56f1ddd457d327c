/**
 * OffsetCommit (key 8): a group stores how far it has read.
 *
 * - v0: no generation, no member. v1: generation, member, commit timestamp. Kafka 4 dropped both; they are served like a
 *   commit of a client that assigns its own partitions (v0) or of a member (v1).
 * - v2: retention time instead of the timestamp. v3: throttle time. v4: as v3. v5: retention is the broker's alone (KIP-211).
 * - v6: leader epoch (KIP-320). v7: group instance id (KIP-345). v8: flexible. v9: GROUP_ID_NOT_FOUND (KIP-848).
 * - v10: topics by id, no longer by name; unknown ids answer UNKNOWN_TOPIC_ID.
 */
import { ErrorCode } from "#common/error-code.ts";
import { whenKnown } from "#common/maybe-promise.ts";
import { ZERO_UUID } from "#common/uuid.ts";
import type { GroupCoordinator, TopicLookup } from "#coordinator/group/group-coordinator.ts";
import {
  makeOffsetCommitResponseTopic,
  OffsetCommitApi,
  type OffsetCommitRequest,
  type OffsetCommitRequestPartition,
  type OffsetCommitRequestTopic,
  type OffsetCommitResponse,
  type OffsetCommitResponseTopic,
} from "#protocol/generated/offset-commit.ts";
import type { ApiHandler } from "../handler.ts";

const FIRST_VERSION_NAMING_UNKNOWN_GROUPS = 9;
const FIRST_VERSION_WITH_TOPIC_IDS = 10;

/** Serves OffsetCommit. */
export function createOffsetCommitHandler(deps: {
  readonly groups: GroupCoordinator;
  readonly topics: TopicLookup;
}): ApiHandler<OffsetCommitRequest, OffsetCommitResponse> {
  return {
    api: OffsetCommitApi,
    minVersion: 0,
    maxVersion: 10,
    isFrameReleased: true,
    handle(request, context) {
      const version = context.apiVersion;
      const answers: OffsetCommitResponseTopic[] = [];
      const known = request.topics.filter((topic) => {
        const isById = version >= FIRST_VERSION_WITH_TOPIC_IDS;
        const name = isById ? deps.topics.nameOf(topic.topicId) : topic.name;
        if (name === undefined) {
          answers.push(refuse(topic, "", ErrorCode.UNKNOWN_TOPIC_ID));
          return false;
        }
        topic.name = name;
        if (!isById) topic.topicId = deps.topics.idOf(name) ?? ZERO_UUID;
        const outside = takeOutside(topic, deps.topics.partitionCount(name) ?? 0);
        if (outside !== null)
          answers.push(refuse(outside, name, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION));
        return topic.partitions.length > 0;
      });
      if (known.length === 0) return { throttleTimeMs: 0, topics: answers };
      const { groupId, memberId, groupInstanceId, retentionTimeMs } = request;
      const output = deps.groups.commitOffsets({
        groupId,
        generationIdOrMemberEpoch: request.generationIdOrMemberEpoch,
        memberId,
        groupInstanceId,
        retentionTimeMs,
        topics: known,
        isUnknownGroupNamed: version >= FIRST_VERSION_NAMING_UNKNOWN_GROUPS,
      });
      return whenKnown(output, ({ errorCode, topics }) => {
        const committed =
          errorCode === ErrorCode.NONE
            ? topics
            : known.map((topic) => refuse(topic, topic.name, errorCode));
        const isMerged = answers.length > 0 || committed.length > 1;
        return { throttleTimeMs: 0, topics: isMerged ? merge(answers, committed) : committed };
      });
    },
  };
}

/** Takes the rows out of a topic whose partition it has not; null: there are none. */
function takeOutside(
  topic: OffsetCommitRequestTopic,
  partitionCount: number,
): OffsetCommitRequestTopic | null {
  const isInside = ({ partitionIndex: p }: OffsetCommitRequestPartition): boolean =>
    p >= 0 && p < partitionCount;
  if (topic.partitions.every(isInside)) return null;
  const partitions = topic.partitions.filter((row) => !isInside(row));
  topic.partitions = topic.partitions.filter(isInside);
  return { ...topic, partitions };
}

function refuse(
  topic: OffsetCommitRequestTopic,
  name: string,
  errorCode: number,
): OffsetCommitResponseTopic {
  return makeOffsetCommitResponseTopic({
    name,
    topicId: topic.topicId,
    partitions: topic.partitions.map(({ partitionIndex }) => ({ partitionIndex, errorCode })),
  });
}

/** One entry for each topic, even if some of its partitions are known and others are not. */
function merge(
  refused: OffsetCommitResponseTopic[],
  committed: OffsetCommitResponseTopic[],
): OffsetCommitResponseTopic[] {
  const byName = new Map<string, OffsetCommitResponseTopic>();
  const merged: OffsetCommitResponseTopic[] = [];
  for (const topic of [...refused, ...committed]) {
    const known = topic.name === "" ? undefined : byName.get(topic.name);
    if (known === undefined) {
      byName.set(topic.name, topic);
      merged.push(topic);
    } else {
      known.partitions = [...known.partitions, ...topic.partitions];
    }
  }
  return merged;
}
