/**
 * AlterReplicaLogDirs (key 34): replicas of this broker move to other log directories of it (KIP-113).
 *
 * - v1. v2: flexible.
 *
 * The answer comes when the move has begun; DescribeLogDirs shows how far it is. A replica that is not there yet is made in that directory
 * later, and answered with the error that it is not there.
 */
import { ErrorCode } from "#common/error-code.ts";
import {
  AlterReplicaLogDirsApi,
  makeAlterReplicaLogDirsResponse,
} from "#protocol/generated/alter-replica-log-dirs.ts";
import type {
  AlterReplicaLogDirsRequest,
  AlterReplicaLogDirsResponse,
} from "#protocol/generated/alter-replica-log-dirs.ts";
import type { ApiHandler } from "../handler.ts";

/** What `.<32 digits>-future` adds to the name of a replica's directory. */
const FUTURE_SUFFIX_LENGTH = 40;
const NAME_LENGTH_MAX = 255;

/** Moves replicas between the log directories of this node. */
export interface ReplicaMover {
  /**
   * Begins to move a replica into the directory of this path, as it stands in `log.dirs` made absolute.
   *
   * @returns an error code: LOG_DIR_NOT_FOUND, KAFKA_STORAGE_ERROR (the directory or the replica is out of use), UNKNOWN_TOPIC_OR_PARTITION,
   * REPLICA_NOT_AVAILABLE (it is on other brokers).
   */
  move(topic: string, partition: number, path: string): number;
}

/** What the handler works with. */
export interface AlterReplicaLogDirsDependencies {
  readonly mover: ReplicaMover;
}

/** Serves AlterReplicaLogDirs. */
export function createAlterReplicaLogDirsHandler({
  mover,
}: AlterReplicaLogDirsDependencies): ApiHandler<
  AlterReplicaLogDirsRequest,
  AlterReplicaLogDirsResponse
> {
  return {
    api: AlterReplicaLogDirsApi,
    minVersion: 1,
    maxVersion: 2,
    handle({ dirs }) {
      // As in Kafka: of several directories for a replica the last one counts, and it is answered once.
      const wanted = new Map<string, Map<number, string>>();
      for (const { path, topics } of dirs) {
        for (const { name, partitions } of topics) {
          const rows = wanted.get(name) ?? new Map<number, string>();
          for (const partition of partitions) rows.set(partition, path);
          if (rows.size > 0) wanted.set(name, rows);
        }
      }
      return makeAlterReplicaLogDirsResponse({
        results: [...wanted].map(([topicName, rows]) => ({
          topicName,
          partitions: [...rows].map(([partitionIndex, path]) => ({
            partitionIndex,
            errorCode: isTooLong(topicName, partitionIndex)
              ? ErrorCode.INVALID_TOPIC_EXCEPTION
              : mover.move(topicName, partitionIndex, path),
          })),
        })),
      });
    },
  };
}

function isTooLong(topic: string, partition: number): boolean {
  return `${topic}-${partition}`.length + FUTURE_SUFFIX_LENGTH > NAME_LENGTH_MAX;
}
