/**
 * OffsetDelete (key 47): removes committed offsets of topics that nobody in the group reads (KIP-496).
 *
 * - v0.
 */
import { ErrorCode } from "#common/error-code.ts";
import type { GroupCoordinator, TopicLookup } from "#coordinator/group/group-coordinator.ts";
import {
  makeOffsetDeleteResponse,
  OffsetDeleteApi,
  type OffsetDeleteRequest,
  type OffsetDeleteResponse,
  type OffsetDeleteResponseTopic,
} from "#protocol/generated/offset-delete.ts";
import type { ApiHandler } from "../handler.ts";

/** Serves OffsetDelete. */
export function createOffsetDeleteHandler(deps: {
  readonly groups: GroupCoordinator;
  readonly topics: TopicLookup;
}): ApiHandler<OffsetDeleteRequest, OffsetDeleteResponse> {
  return {
    api: OffsetDeleteApi,
    minVersion: 0,
    maxVersion: 0,
    isFrameReleased: true,
    async handle(request) {
      const answers = new Map<string, OffsetDeleteResponseTopic>();
      const answer = (name: string, partitionIndex: number, errorCode: number): void => {
        const topic = answers.get(name) ?? { name, partitions: [] };
        topic.partitions.push({ partitionIndex, errorCode });
        answers.set(name, topic);
      };
      const known = request.topics.flatMap(({ name, partitions }) => {
        const count = deps.topics.partitionCount(name) ?? 0;
        const inRange = partitions.filter(({ partitionIndex }) => {
          const isKnown = partitionIndex >= 0 && partitionIndex < count;
          if (!isKnown) answer(name, partitionIndex, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION);
          return isKnown;
        });
        return inRange.length === 0 ? [] : [{ name, partitions: inRange }];
      });
      // The group is looked at even if nothing is left to delete: an unknown one is an error.
      const { groupId } = request;
      const output = await deps.groups.deleteOffsets({ groupId, topics: known });
      if (output.errorCode !== ErrorCode.NONE) {
        return makeOffsetDeleteResponse({ errorCode: output.errorCode });
      }
      for (const { name, partitions } of output.topics) {
        for (const row of partitions) answer(name, row.partitionIndex, row.errorCode);
      }
      return makeOffsetDeleteResponse({ topics: [...answers.values()] });
    },
  };
}
