/**
 * OffsetForLeaderEpoch (key 23): where the records of a leader epoch end, so that a consumer notices a truncation
 * (KIP-320).
 *
 * - v2: current leader epoch. v3: replica id. v4: flexible.
 */
import { ErrorCode } from "#common/error-code.ts";
import {
  type EpochEndOffset,
  OffsetForLeaderEpochApi,
  type OffsetForLeaderEpochRequest,
  type OffsetForLeaderEpochResponse,
  type OffsetForLeaderPartition,
} from "#protocol/generated/offset-for-leader-epoch.ts";
import type { LogPort } from "#replica/log-port.ts";
import type { PartitionDirectory, TopicEntry } from "#replica/partition-directory.ts";
import type { ApiHandler } from "../handler.ts";

/** What the handler works with. */
export interface OffsetForLeaderEpochDependencies {
  readonly directory: PartitionDirectory;
  readonly log: Pick<LogPort, "endOffsetForEpoch">;
}

/** Serves OffsetForLeaderEpoch. */
export function createOffsetForLeaderEpochHandler(
  dependencies: OffsetForLeaderEpochDependencies,
): ApiHandler<OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse> {
  const out = new Float64Array(2);
  return {
    api: OffsetForLeaderEpochApi,
    minVersion: 2,
    maxVersion: 4,
    handle: (request: OffsetForLeaderEpochRequest): OffsetForLeaderEpochResponse => ({
      throttleTimeMs: 0,
      topics: request.topics.map(({ topic, partitions }) => {
        const entry = dependencies.directory.topicByName(topic);
        return {
          topic,
          partitions: partitions.map((partition) =>
            answer(dependencies.log, entry, partition, out),
          ),
        };
      }),
    }),
  };
}

function answer(
  log: Pick<LogPort, "endOffsetForEpoch">,
  topic: TopicEntry | undefined,
  { partition, currentLeaderEpoch, leaderEpoch }: OffsetForLeaderPartition,
  out: Float64Array,
): EpochEndOffset {
  const entry = topic?.partitions[partition];
  const errorCode =
    entry === undefined
      ? ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
      : currentLeaderEpoch < -1
        ? ErrorCode.FENCED_LEADER_EPOCH
        : entry.otherLeader !== null
          ? ErrorCode.NOT_LEADER_OR_FOLLOWER
          : log.endOffsetForEpoch(entry.handle, currentLeaderEpoch, leaderEpoch, out);
  return errorCode === ErrorCode.NONE
    ? {
        errorCode,
        partition,
        leaderEpoch: out[0] as number,
        endOffset: out[1] as number,
      }
    : { errorCode, partition, leaderEpoch: -1, endOffset: -1 };
}
