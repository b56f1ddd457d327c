/**
 * DescribeLogDirs (key 35): directories, the space they have, and the size of the partitions in them.
 *
 * - v1. v2: flexible. v3: error of the whole answer. v4: total and usable bytes (KIP-827). v5: cordoned (KIP-1066).
 *
 * Null topics ask for all partitions; partitions that are not there are passed over.
 */
import { ErrorCode } from "#common/error-code.ts";
import {
  DescribeLogDirsApi,
  makeDescribeLogDirsPartition,
  makeDescribeLogDirsResponse,
  makeDescribeLogDirsResult,
} from "#protocol/generated/describe-log-dirs.ts";
import type {
  DescribeLogDirsRequest,
  DescribeLogDirsResponse,
  DescribeLogDirsResult,
  DescribeLogDirsTopic,
} from "#protocol/generated/describe-log-dirs.ts";
import type { ApiHandler } from "../handler.ts";

/** A partition in a log directory. */
export interface LogDirPartition {
  readonly topic: string;
  readonly partition: number;
  readonly sizeBytes: number;
  /** Records that a future replica lacks of the current one; 0 for a current one. */
  readonly offsetLag: number;
  /** It is on its way into the directory, from another one of this broker (KIP-113). */
  readonly isFuture: boolean;
}

/** A log directory. */
export interface LogDirDescription {
  readonly directoryId?: string;
  readonly path: string;
  /** Size of its file system and what is free of it; -1 when unknown. */
  readonly totalBytes: number;
  readonly usableBytes: number;
  /** Why the directory is out of use, or null. */
  readonly error: string | null;
  readonly partitions: readonly LogDirPartition[];
}

/** Knows the log directories of this node. */
export interface LogDirsDescriber {
  describe(): readonly LogDirDescription[] | Promise<readonly LogDirDescription[]>;
}

/** What the handler works with. */
export interface DescribeLogDirsDependencies {
  readonly logDirs: LogDirsDescriber;
  /** Ids of the directories that take no new partitions. */
  readonly cordoned: () => readonly string[];
}

/** Serves DescribeLogDirs. */
export function createDescribeLogDirsHandler({
  logDirs,
  cordoned,
}: DescribeLogDirsDependencies): ApiHandler<DescribeLogDirsRequest, DescribeLogDirsResponse> {
  return {
    api: DescribeLogDirsApi,
    minVersion: 1,
    maxVersion: 5,
    async handle(request, { apiVersion }) {
      const directories = await logDirs.describe();
      const isWanted = wantedPartitions(request);
      const cordonedIds = cordoned();
      return makeDescribeLogDirsResponse({
        results: directories.map((directory) => {
          const result = describe(directory, isWanted, apiVersion);
          if (apiVersion >= 5)
            result.isCordoned = cordonedIds.includes(directory.directoryId ?? "");
          return result;
        }),
      });
    },
  };
}

function wantedPartitions({
  topics,
}: DescribeLogDirsRequest): (partition: LogDirPartition) => boolean {
  if (topics === null) return () => true;
  const wanted = new Map<string, Set<number>>();
  for (const { topic, partitions } of topics) {
    const known = wanted.get(topic) ?? new Set();
    for (const partition of partitions) known.add(partition);
    wanted.set(topic, known);
  }
  return ({ topic, partition }) => wanted.get(topic)?.has(partition) === true;
}

function describe(
  directory: LogDirDescription,
  isWanted: (partition: LogDirPartition) => boolean,
  version: number,
): DescribeLogDirsResult {
  const result = makeDescribeLogDirsResult({
    logDir: directory.path,
    totalBytes: -1,
    usableBytes: -1,
  });
  if (directory.error !== null) {
    result.errorCode = ErrorCode.KAFKA_STORAGE_ERROR;
    return result;
  }
  if (version >= 4) {
    result.totalBytes = directory.totalBytes;
    result.usableBytes = directory.usableBytes;
  }
  const topics = new Map<string, DescribeLogDirsTopic>();
  for (const partition of directory.partitions) {
    if (!isWanted(partition)) continue;
    const topic = topics.get(partition.topic) ?? { name: partition.topic, partitions: [] };
    topics.set(partition.topic, topic);
    topic.partitions.push(
      makeDescribeLogDirsPartition({
        partitionIndex: partition.partition,
        partitionSize: partition.sizeBytes,
        offsetLag: partition.offsetLag,
        isFutureKey: partition.isFuture,
      }),
    );
  }
  result.topics = [...topics.values()];
  return result;
}
