/**
 * DeleteRecords (key 21): moves the log start offset of partitions up (KIP-107). Offset -1 stands for the high watermark.
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
import type { ApiHandler } from "../handler.ts";

/** What the handler works with. */
export interface DeleteRecordsDependencies {
  readonly directory: PartitionDirectory;
  readonly log: Pick<LogPort, "deleteRecords">;
  isInternalTopic(name: string): boolean;
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
    handle: (request: DeleteRecordsRequest): DeleteRecordsResponse => ({
      throttleTimeMs: 0,
      topics: [...partitionsByTopic(request)].map(([name, byIndex]) => {
        const topic = dependencies.directory.topicByName(name);
        const isInternal = topic !== undefined && dependencies.isInternalTopic(name);
        return {
          name,
          partitions: [...byIndex.values()].map((partition) =>
            isInternal
              ? refused(partition.partitionIndex, ErrorCode.INVALID_TOPIC_EXCEPTION)
              : deleteRecords(dependencies.log, topic, partition, out),
          ),
        };
      }),
    }),
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
  log: Pick<LogPort, "deleteRecords">,
  topic: TopicEntry | undefined,
  { partitionIndex, offset }: DeleteRecordsPartition,
  out: Float64Array,
): DeleteRecordsPartitionResult {
  const entry = topic?.partitions[partitionIndex];
  if (entry === undefined) return refused(partitionIndex, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION);
  if (offset < -1) return refused(partitionIndex, ErrorCode.OFFSET_OUT_OF_RANGE);
  const errorCode = log.deleteRecords(entry.handle, offset, out);
  return errorCode === ErrorCode.NONE
    ? { partitionIndex, lowWatermark: out[0] as number, errorCode }
    : refused(partitionIndex, errorCode);
}

function refused(partitionIndex: number, errorCode: number): DeleteRecordsPartitionResult {
  return { partitionIndex, lowWatermark: -1, errorCode };
}
