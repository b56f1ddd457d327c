/**
 * DeleteRecords (key 21): moves the log start offset of partitions up (KIP-107). Offset -1 stands for the high watermark.
 * The answer waits until every replica that lives has done the same.
 *
 * - v0, v1. v2: flexible.
 */
import { ErrorCode } from "#common/error-code.ts";
import {
  DeleteRecordsApi,
  type DeleteRecordsPartition,
  type DeleteRecordsPartitionResult,
  type DeleteRecordsRequest,
  type DeleteRecordsResponse,
} from "#protocol/generated/delete-records.ts";
import type { LogPort } from "#replica/log-port.ts";
import type { PartitionDirectory, TopicEntry } from "#replica/partition-directory.ts";
import type { PendingDeletion, ReplicaManager } from "#replica/replica-manager.ts";
import type { ApiHandler } from "../handler.ts";

/** What the handler works with. */
export interface DeleteRecordsDependencies {
  readonly directory: PartitionDirectory;
  readonly log: Pick<LogPort, "deleteRecords">;
  readonly replicas: Pick<ReplicaManager, "lowWatermark" | "awaitDeleted">;
  isInternalTopic(name: string): boolean;
}

/** A deletion that this broker made and other replicas have yet to make, with its answer. */
interface Waiting {
  readonly deletion: PendingDeletion;
  readonly result: DeleteRecordsPartitionResult;
}

/** Serves DeleteRecords. */
export function createDeleteRecordsHandler(
  dependencies: DeleteRecordsDependencies,
): ApiHandler<DeleteRecordsRequest, DeleteRecordsResponse> {
  const out = new Float64Array(1);
  return {
    api: DeleteRecordsApi,
    minVersion: 0,
    maxVersion: 2,
    handle: (
      request: DeleteRecordsRequest,
    ): DeleteRecordsResponse | Promise<DeleteRecordsResponse> => {
      const { directory, replicas } = dependencies;
      const waiting: Waiting[] = [];
      const response: DeleteRecordsResponse = {
        throttleTimeMs: 0,
        topics: [...partitionsByTopic(request)].map(([name, byIndex]) => {
          const topic = directory.topicByName(name);
          const isInternal = topic !== undefined && dependencies.isInternalTopic(name);
          return {
            name,
            partitions: [...byIndex.values()].map((partition) =>
              isInternal
                ? refused(partition.partitionIndex, ErrorCode.INVALID_TOPIC_EXCEPTION)
                : deleteRecords(dependencies, topic, partition, out, waiting),
            ),
          };
        }),
      };
      if (waiting.length === 0) return response;
      const deletions = waiting.map(({ deletion }) => deletion);
      return replicas.awaitDeleted(deletions, request.timeoutMs).then(() => {
        for (const { deletion, result } of waiting) {
          result.errorCode = deletion.errorCode;
          if (deletion.errorCode === ErrorCode.NONE) {
            result.lowWatermark = replicas.lowWatermark(deletion.handle);
          }
        }
        return response;
      });
    },
  };
}

/** Each topic and each partition once: of a partition named several times the last one counts. */
function partitionsByTopic(
  request: DeleteRecordsRequest,
): Map<string, Map<number, DeleteRecordsPartition>> {
  const byTopic = new Map<string, Map<number, DeleteRecordsPartition>>();
  for (const { name, partitions } of request.topics) {
    if (partitions.length === 0) continue;
    let byIndex = byTopic.get(name);
    if (byIndex === undefined) {
      byIndex = new Map();
      byTopic.set(name, byIndex);
    }
    for (const partition of partitions) byIndex.set(partition.partitionIndex, partition);
  }
  return byTopic;
}

function deleteRecords(
  { log, replicas }: DeleteRecordsDependencies,
  topic: TopicEntry | undefined,
  { partitionIndex, offset }: DeleteRecordsPartition,
  out: Float64Array,
  waiting: Waiting[],
): DeleteRecordsPartitionResult {
  const entry = topic?.partitions[partitionIndex];
  if (entry === undefined) return refused(partitionIndex, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION);
  if (offset < -1) return refused(partitionIndex, ErrorCode.OFFSET_OUT_OF_RANGE);
  const { handle, otherLeader } = entry;
  if (otherLeader !== null) return refused(partitionIndex, ErrorCode.NOT_LEADER_OR_FOLLOWER);
  const errorCode = log.deleteRecords(handle, offset, out);
  if (errorCode !== ErrorCode.NONE) return refused(partitionIndex, errorCode);
  const startOffset = out[0] as number;
  const result = { partitionIndex, lowWatermark: startOffset, errorCode };
  if (replicas.lowWatermark(handle) < startOffset) {
    result.lowWatermark = -1;
    waiting.push({ deletion: { handle, offset: startOffset, errorCode: 0 }, result });
  }
  return result;
}

function refused(partitionIndex: number, errorCode: number): DeleteRecordsPartitionResult {
  return { partitionIndex, lowWatermark: -1, errorCode };
}
