/**
 * DescribeTopicPartitions (key 75): partitions of topics in pages, in the order of topic names (KIP-966).
 *
 * - v0: flexible from the start. An empty list asks for all topics; the cursor of an answer goes into the next request.
 */
import { ErrorCode } from "#common/error-code.ts";
import { topicNameError } from "#controller/topic-name.ts";
import { isInternalTopic } from "#metadata/cluster-image.ts";
import type { ClusterImage, TopicImage } from "#metadata/cluster-image.ts";
import {
  DescribeTopicPartitionsApi,
  makeDescribeTopicPartitionsResponse,
  makeDescribeTopicPartitionsResponsePartition,
  makeDescribeTopicPartitionsResponseTopic,
} from "#protocol/generated/describe-topic-partitions.ts";
import type {
  DescribeTopicPartitionsRequest,
  DescribeTopicPartitionsResponse,
  DescribeTopicPartitionsResponseCursor,
  DescribeTopicPartitionsResponseTopic,
} from "#protocol/generated/describe-topic-partitions.ts";
import { ALL_TOPIC_OPERATIONS, NO_AUTHORIZED_OPERATIONS, viewPartition } from "../cluster-view.ts";
import type { ApiHandler, RequestContext } from "../handler.ts";

/** What the handler works with. */
export interface DescribeTopicPartitionsDependencies {
  image(): ClusterImage;
  /** Whether a log directory of this broker works; absent means that all do. */
  readonly isDirectoryOnline?: (directoryId: string) => boolean;
  /** Most partitions of one answer: `max.request.partition.size.limit`. */
  partitionLimit(): number;
}

/** Serves DescribeTopicPartitions. */
export function createDescribeTopicPartitionsHandler(
  dependencies: DescribeTopicPartitionsDependencies,
): ApiHandler<DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse> {
  return {
    api: DescribeTopicPartitionsApi,
    minVersion: 0,
    maxVersion: 0,
    handle: (request, context) => handle(dependencies, request, context),
  };
}

function handle(
  dependencies: DescribeTopicPartitionsDependencies,
  request: DescribeTopicPartitionsRequest,
  context: RequestContext,
): DescribeTopicPartitionsResponse {
  const image = dependencies.image();
  const { cursor } = request;
  const asksForAll = request.topics.length === 0;
  const from = cursor?.topicName ?? "";
  const wanted = asksForAll
    ? [...image.topicsByName.keys()]
    : request.topics.map(({ name }) => name);
  const names = [...new Set(wanted)].filter((name) => name >= from).sort(byCodeUnits);
  if (
    cursor !== null &&
    (cursor.partitionIndex < 0 || (!asksForAll && names[0] !== cursor.topicName))
  ) {
    return refuse(request, ErrorCode.INVALID_REQUEST);
  }
  let remaining = Math.max(
    1,
    Math.min(dependencies.partitionLimit(), request.responsePartitionLimit),
  );
  const topics: DescribeTopicPartitionsResponseTopic[] = [];
  let nextCursor: DescribeTopicPartitionsResponseCursor | null = null;
  for (const name of names) {
    if (remaining === 0) {
      nextCursor = { topicName: name, partitionIndex: 0 };
      break;
    }
    const topic = image.topicsByName.get(name);
    if (topic === undefined) {
      topics.push(absentTopic(name));
      continue;
    }
    const first = cursor?.topicName === name ? cursor.partitionIndex : 0;
    const end = Math.min(topic.partitions.length, first + remaining);
    topics.push(describeTopic(dependencies, image, topic, context, first, end));
    remaining -= Math.max(0, end - first);
    if (end < topic.partitions.length && end >= first) {
      nextCursor = { topicName: name, partitionIndex: end };
      break;
    }
  }
  return makeDescribeTopicPartitionsResponse({ topics, nextCursor });
}

function byCodeUnits(left: string, right: string): number {
  return left < right ? -1 : left > right ? 1 : 0;
}

function refuse(
  request: DescribeTopicPartitionsRequest,
  errorCode: number,
): DescribeTopicPartitionsResponse {
  const topics = request.topics.map(({ name }) =>
    makeDescribeTopicPartitionsResponseTopic({
      errorCode,
      name,
      topicAuthorizedOperations: NO_AUTHORIZED_OPERATIONS,
    }),
  );
  return makeDescribeTopicPartitionsResponse({ topics });
}

function absentTopic(name: string): DescribeTopicPartitionsResponseTopic {
  const isInvalid = topicNameError(name) !== null;
  return makeDescribeTopicPartitionsResponseTopic({
    errorCode: isInvalid ? ErrorCode.INVALID_TOPIC_EXCEPTION : ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
    name,
    isInternal: isInternalTopic(name),
    topicAuthorizedOperations: ALL_TOPIC_OPERATIONS,
  });
}

function describeTopic(
  { isDirectoryOnline }: DescribeTopicPartitionsDependencies,
  image: ClusterImage,
  topic: TopicImage,
  { connection }: RequestContext,
  first: number,
  end: number,
): DescribeTopicPartitionsResponseTopic {
  const options = { hidesUnavailable: false, tellsListenerNotFound: true, isDirectoryOnline };
  return makeDescribeTopicPartitionsResponseTopic({
    errorCode: ErrorCode.NONE,
    name: topic.name,
    topicId: topic.id,
    isInternal: isInternalTopic(topic.name),
    partitions: topic.partitions.slice(first, end).map((partition) =>
      makeDescribeTopicPartitionsResponsePartition({
        ...viewPartition(image, partition, connection, options),
        // That nobody leads is told by the leader's id alone.
        errorCode: ErrorCode.NONE,
        eligibleLeaderReplicas: [...partition.eligibleLeaderReplicas],
        lastKnownElr: [...partition.lastKnownElr],
      }),
    ),
    topicAuthorizedOperations: ALL_TOPIC_OPERATIONS,
  });
}
