/**
 * ListOffsets (key 2): the offset for a timestamp, or for one of the special timestamps below zero.
 *
 * - v1: one offset and its timestamp. v2: isolation level, throttle time. v3: as v2.
 * - v4: leader epoch (KIP-320). v5: OFFSET_NOT_AVAILABLE. v6: flexible.
 * - v7: -3, the record with the largest timestamp (KIP-734).
 * - v8: -4, the earliest offset on local disk (KIP-405). v9: -5, the last one in tiered storage (KIP-1005).
 * - v10: timeout (KIP-1075). v11: -6, the earliest one waiting for tiered storage (KIP-1023).
 *
 * The record for a timestamp is inside a batch, which may have to be inflated. A request may do a moment's worth of that on the event
 * loop; the partitions beyond are looked up on a native thread, one after the other, while the connection's later requests wait.
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
import {
  LOOKUP_COLUMNS,
  LOOKUP_NOT_INLINE,
  type LogPort,
  ReadIsolation,
} from "#replica/log-port.ts";
import { NOT_HERE, type PartitionDirectory } from "#replica/partition-directory.ts";
import type { ReplicaManager } from "#replica/replica-manager.ts";
import type { ApiHandler, RequestContext } from "../handler.ts";

const FIRST_VERSION_WITH_LEADER_EPOCH = 4;
const FIRST_VERSION_WITH_OFFSET_NOT_AVAILABLE = 5;
/** Replica id of a consumer that asks any replica. */
const DEBUGGING_CONSUMER = -2;
const LATEST_TIERED = -5;
const EARLIEST_PENDING_UPLOAD = -6;
/** First version that understands a special timestamp, by the timestamp's negation. */
const FIRST_VERSION_OF_SPECIAL: readonly number[] = [0, 1, 1, 7, 8, 9, 11];

/** What the handler works with. */
export interface ListOffsetsDependencies {
  readonly directory: PartitionDirectory;
  readonly log: Pick<LogPort, "offsetForTimestamp">;
  readonly replicas: Pick<ReplicaManager, "lookUpLater">;
}

/** Batches that one request may have walked on the event loop, inflated. */
const INLINE_BYTES = 1 << 20;
/** Columns of a lookup. */
const OFFSET = 0;
const TIMESTAMP = 1;
const LEADER_EPOCH = 2;
const WALKED_BYTES = 3;

/** A lookup that is too large for the event loop. */
interface LateLookup {
  readonly handle: number;
  readonly timestamp: number;
  readonly isolation: number;
  readonly leaderEpoch: number;
  /** Filled in when the outcome is there. */
  readonly response: ListOffsetsPartitionResponse;
}

/** The answer to one request as it comes about. */
interface ListOffsetsWork {
  readonly request: ListOffsetsRequest;
  readonly apiVersion: number;
  /** A node of the cluster asks, as a replica. */
  readonly isReplica: boolean;
  inlineBytes: number;
  readonly late: LateLookup[];
}

/** Serves ListOffsets. */
export function createListOffsetsHandler(
  dependencies: ListOffsetsDependencies,
): ApiHandler<ListOffsetsRequest, ListOffsetsResponse> {
  const out = new Float64Array(LOOKUP_COLUMNS);
  return {
    api: ListOffsetsApi,
    minVersion: 1,
    maxVersion: 11,
    handle: (
      request: ListOffsetsRequest,
      context: RequestContext,
    ): ListOffsetsResponse | Promise<ListOffsetsResponse> => {
      const { apiVersion } = context;
      const isReplica =
        request.replicaId >= 0 && context.connection.peerNodeId === request.replicaId;
      const work: ListOffsetsWork = {
        request,
        apiVersion,
        isReplica,
        inlineBytes: INLINE_BYTES,
        late: [],
      };
      const response: ListOffsetsResponse = {
        throttleTimeMs: 0,
        topics: mergedTopics(request.topics).map((topic) => ({
          name: topic.name,
          partitions: answerTopic(dependencies, topic, work, out),
        })),
      };
      if (work.late.length === 0) return response;
      return finishLate(dependencies, work).then(() => response);
    },
  };
}

/** Does what is too large for the event loop. One at a time: a request with many partitions takes no more of the queue than one. */
async function finishLate(
  { replicas }: ListOffsetsDependencies,
  { late, apiVersion }: ListOffsetsWork,
): Promise<void> {
  for (const { handle, timestamp, isolation, leaderEpoch, response } of late) {
    await new Promise<void>((resolve) => {
      replicas.lookUpLater(handle, timestamp, isolation, leaderEpoch, (errorCode, columns) => {
        response.errorCode = codeFor(errorCode, apiVersion);
        if (errorCode === ErrorCode.NONE) fillIn(response, columns, apiVersion);
        resolve();
      });
    });
  }
}

/** Clients of old versions know another code for a leader that is new. */
function codeFor(errorCode: number, apiVersion: number): number {
  return errorCode === ErrorCode.OFFSET_NOT_AVAILABLE &&
    apiVersion < FIRST_VERSION_WITH_OFFSET_NOT_AVAILABLE
    ? ErrorCode.LEADER_NOT_AVAILABLE
    : errorCode;
}

/** Writes a lookup that was answered into its response. */
function fillIn(
  response: ListOffsetsPartitionResponse,
  columns: Float64Array,
  apiVersion: number,
): void {
  response.offset = columns[OFFSET] as number;
  response.timestamp = columns[TIMESTAMP] as number;
  if (apiVersion >= FIRST_VERSION_WITH_LEADER_EPOCH)
    response.leaderEpoch = columns[LEADER_EPOCH] as number;
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
  work: ListOffsetsWork,
  out: Float64Array,
): ListOffsetsPartitionResponse[] {
  const { request, apiVersion, isReplica } = work;
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
    if (entry.handle === NOT_HERE) {
      return unanswered(partitionIndex, ErrorCode.NOT_LEADER_OR_FOLLOWER);
    }
    // Whoever debugs is told where the log of this replica ends, as a replica is.
    const isDebugging = request.replicaId === DEBUGGING_CONSUMER;
    const isolation =
      (isReplica || isDebugging ? ReadIsolation.LOG_END : request.isolationLevel) +
      (isDebugging ? 0 : ReadIsolation.LEADER_ONLY);
    const { handle } = entry;
    const lookupError = log.offsetForTimestamp(
      handle,
      lookup,
      isolation,
      currentLeaderEpoch,
      work.inlineBytes,
      out,
    );
    work.inlineBytes -= out[WALKED_BYTES] as number;
    const response = unanswered(partitionIndex, codeFor(lookupError, apiVersion));
    if (lookupError === ErrorCode.NONE) fillIn(response, out, apiVersion);
    else if (lookupError === LOOKUP_NOT_INLINE) {
      work.late.push({
        handle,
        timestamp: lookup,
        isolation,
        leaderEpoch: currentLeaderEpoch,
        response,
      });
    }
    return response;
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
