/**
 * DescribeProducers (key 61): producers that a partition remembers, and their open transactions (KIP-664).
 *
 * - v0: flexible from the start.
 */
import { ErrorCode } from "#common/error-code.ts";
import { topicNameError } from "#controller/topic-name.ts";
import { LogError, type LogStore } from "#log/log.ts";
import {
  DescribeProducersApi,
  makePartitionResponse,
  makeProducerState,
} from "#protocol/generated/describe-producers.ts";
import type {
  DescribeProducersRequest,
  DescribeProducersResponse,
  PartitionResponse,
} from "#protocol/generated/describe-producers.ts";
import type { PartitionDirectory, TopicEntry } from "#replica/partition-directory.ts";
import type { ApiHandler } from "../handler.ts";

/** What the handler works with. */
export interface DescribeProducersDependencies {
  readonly directory: Pick<PartitionDirectory, "topicByName">;
  readonly log: Pick<LogStore, "describeProducers">;
}

/** Serves DescribeProducers. */
export function createDescribeProducersHandler({
  directory,
  log,
}: DescribeProducersDependencies): ApiHandler<DescribeProducersRequest, DescribeProducersResponse> {
  return {
    api: DescribeProducersApi,
    minVersion: 0,
    maxVersion: 0,
    handle: ({ topics }) => ({
      throttleTimeMs: 0,
      topics: topics.map(({ name, partitionIndexes }) => {
        const topic = directory.topicByName(name);
        return {
          name,
          partitions: partitionIndexes.map((index) => describe(log, name, topic, index)),
        };
      }),
    }),
  };
}

function describe(
  log: DescribeProducersDependencies["log"],
  name: string,
  topic: TopicEntry | undefined,
  partitionIndex: number,
): PartitionResponse {
  const refused = (errorCode: number, errorMessage: string | null): PartitionResponse =>
    makePartitionResponse({ partitionIndex, errorCode, errorMessage });
  if (topic === undefined) {
    const invalid = topicNameError(name);
    return invalid === null
      ? refused(
          ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
          "This server does not host this topic-partition.",
        )
      : refused(ErrorCode.INVALID_TOPIC_EXCEPTION, invalid);
  }
  const entry = topic.partitions[partitionIndex];
  if (entry === undefined) return refused(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, null);
  try {
    const activeProducers = log
      .describeProducers(entry.handle)
      .map(({ producerId, ...state }) =>
        makeProducerState({ producerId: BigInt(producerId), ...state }),
      );
    return makePartitionResponse({ partitionIndex, errorCode: ErrorCode.NONE, activeProducers });
  } catch (error) {
    // Deleted between the look at the directory and the look at the log, or out of order.
    if (!(error instanceof LogError)) throw error;
    return refused(ErrorCode.NOT_LEADER_OR_FOLLOWER, error.message);
  }
}
