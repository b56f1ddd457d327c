/**
 * ListOffsets (key 2): the offset for a timestamp, or for one of the special timestamps below zero.
 *
 * - v1: one offset and its timestamp. v2: isolation level, throttle time. v3: as v2.
 * - v4: leader epoch (KIP-320). v5: OFFSET_NOT_AVAILABLE. v6: flexible.
 * - v7: -3, the record with the largest timestamp (KIP-734).
 * - v8: -4, the earliest offset on local disk (KIP-405). v9: -5, the last one in tiered storage (KIP-1005).
 * - v10: timeout (KIP-1075). v11: -6, the earliest one waiting for tiered storage (KIP-1023).
 */
import { ErrorCode } from "#common/error-code.ts";
import {
  ListOffsetsApi,
  type ListOffsetsPartition,
  type ListOffsetsPartitionResponse,
  type ListOffsetsRequest,
  type ListOffsetsResponse,
  type ListOffsetsTopic,
} from "#protocol/generated/list-offsets.ts";
import type { LogPort } from "#replica/log-port.ts";
import type { PartitionDirectory } from "#replica/partition-directory.ts";
import type { ApiHandler, RequestContext } from "../handler.ts";

const FIRST_VERSION_WITH_LEADER_EPOCH = 4;
const LATEST_TIERED = -5;
const EARLIEST_PENDING_UPLOAD = -6;
/** First version that understands a special timestamp, by the timestamp's negation. */
const FIRST_VERSION_OF_SPECIAL: readonly number[] = [0, 1, 1, 7, 8, 9, 11];

/** What the handler works with. */
export interface ListOffsetsDependencies {
  readonly directory: PartitionDirectory;
  readonly log: Pick<LogPort, "offsetForTimestamp">;
}

/** Serves ListOffsets. */
export function createListOffsetsHandler(
  dependencies: ListOffsetsDependencies,
): ApiHandler<ListOffsetsRequest, ListOffsetsResponse> {
  const out = new Float64Array(3);
  return {
    api: ListOffsetsApi,
    minVersion: 1,
    maxVersion: 11,
    handle: (request: ListOffsetsRequest, context: RequestContext): ListOffsetsResponse => ({
      throttleTimeMs: 0,
      topics: mergedTopics(request.topics).map((topic) => ({
        name: topic.name,
        partitions: answerTopic(dependencies, topic, request, context.apiVersion, out),
      })),
    }),
  };
}

/** Topics with partitions, each once: Kafka groups its answer by topic. */
function mergedTopics(topics: readonly ListOffsetsTopic[]): readonly ListOffsetsTopic[] {
  const byName = new Map<string, ListOffsetsTopic>();
  for (const topic of topics) {
    if (topic.partitions.length === 0) continue;
    const known = byName.get(topic.name);
    if (known === undefined) byName.set(topic.name, topic);
    else
      byName.set(topic.name, { ...known, partitions: [...known.partitions, ...topic.partitions] });
  }
  return byName.size === topics.length ? topics : [...byName.values()];
}

function answerTopic(
  { directory, log }: ListOffsetsDependencies,
  { name, partitions }: ListOffsetsTopic,
  request: ListOffsetsRequest,
  apiVersion: number,
  out: Float64Array,
): ListOffsetsPartitionResponse[] {
  const topic = directory.topicByName(name);
  const byIndex = new Map<number, ListOffsetsPartition>();
  const repeated = new Set<number>();
  for (const partition of partitions) {
    if (byIndex.has(partition.partitionIndex)) repeated.add(partition.partitionIndex);
    byIndex.set(partition.partitionIndex, partition);
  }
  return [...byIndex.values()].map((partition) => {
    const { partitionIndex, timestamp, currentLeaderEpoch } = partition;
    const errorCode = repeated.has(partitionIndex)
      ? ErrorCode.INVALID_REQUEST
      : checkRequest(timestamp, request.isolationLevel, apiVersion);
    if (errorCode !== ErrorCode.NONE) return unanswered(partitionIndex, errorCode);
    const entry = topic?.partitions[partitionIndex];
    if (entry === undefined) {
      return unanswered(partitionIndex, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION);
    }
    if (currentLeaderEpoch < -1) {
      return unanswered(partitionIndex, ErrorCode.FENCED_LEADER_EPOCH);
    }
    // Nothing is ever uploaded, so nothing is pending either: both answer "no such offset".
    const lookup = timestamp === EARLIEST_PENDING_UPLOAD ? LATEST_TIERED : timestamp;
    const isolation = request.replicaId >= 0 ? 0 : request.isolationLevel;
    const lookupError = log.offsetForTimestamp(
      entry.handle,
      lookup,
      isolation,
      currentLeaderEpoch,
      out,
    );
    if (lookupError !== ErrorCode.NONE) return unanswered(partitionIndex, lookupError);
    return {
      partitionIndex,
      errorCode: ErrorCode.NONE,
      oldStyleOffsets: [],
      offset: out[0] as number,
      timestamp: out[1] as number,
      leaderEpoch: apiVersion >= FIRST_VERSION_WITH_LEADER_EPOCH ? (out[2] as number) : -1,
    };
  });
}

function checkRequest(timestamp: number, isolation: number, apiVersion: number): number {
  if (timestamp < 0) {
    const firstVersion = FIRST_VERSION_OF_SPECIAL[-timestamp];
    if (firstVersion === undefined || apiVersion < firstVersion) {
      return ErrorCode.UNSUPPORTED_VERSION;
    }
  }
  return isolation === 0 || isolation === 1 ? ErrorCode.NONE : ErrorCode.UNKNOWN_SERVER_ERROR;
}

function unanswered(partitionIndex: number, errorCode: number): ListOffsetsPartitionResponse {
  return {
    partitionIndex,
    errorCode,
    oldStyleOffsets: [],
    timestamp: -1,
    offset: -1,
    leaderEpoch: -1,
  };
}
