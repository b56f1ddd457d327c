/** Log directories of brokers, and what partitions take in them: DescribeLogDirs, asked of every broker. */
import {
  DescribeLogDirsApi,
  makeDescribableLogDirTopic,
  makeDescribeLogDirsRequest,
} from "#protocol/generated/describe-log-dirs.ts";
import { errorInfo } from "#common/error-code.ts";
import type { Cluster, TopicMetadata } from "./cluster.ts";

/** One replica in a directory. */
export interface ReplicaSize {
  readonly topic: string;
  readonly partition: number;
  readonly bytes: number;
  /** It is on its way into this directory. */
  readonly isFuture: boolean;
}

/** A log directory of a broker. */
export interface LogDirectory {
  readonly broker: number;
  readonly path: string;
  /** Kafka's name of what is wrong with it; null when nothing is. */
  readonly error: string | null;
  /** Of the file system; null where the broker does not tell. */
  readonly totalBytes: number | null;
  readonly usableBytes: number | null;
  /** It takes no new partitions (KIP-1066); false of a broker that does not tell. */
  readonly isCordoned: boolean;
  readonly replicas: readonly ReplicaSize[];
}

/**
 * The directories of all brokers with the replicas of the topics given, or of all. Brokers that do not answer are left out: sizes are
 * told where they can be had.
 */
export async function describeLogDirs(
  cluster: Cluster,
  topics: readonly TopicMetadata[] | null,
): Promise<readonly LogDirectory[]> {
  const request = makeDescribeLogDirsRequest({
    topics:
      topics?.map(({ name, partitions }) =>
        makeDescribableLogDirTopic({
          topic: name,
          partitions: partitions.map(({ partition }) => partition),
        }),
      ) ?? null,
  });
  const answers = await Promise.all(
    [...cluster.metadata.brokers.keys()].map(async (broker) => {
      const answer = await cluster
        .node(broker)
        .then((connection) => connection.send(DescribeLogDirsApi, request))
        .catch(() => null);
      return (answer?.results ?? []).map((directory) => ({
        broker,
        path: directory.logDir,
        error: directory.errorCode === 0 ? null : errorInfo(directory.errorCode).name,
        totalBytes: known(directory.totalBytes),
        usableBytes: known(directory.usableBytes),
        isCordoned: directory.isCordoned,
        replicas: directory.topics.flatMap(({ name, partitions }) =>
          partitions.map(({ partitionIndex, partitionSize, isFutureKey }) => ({
            topic: name,
            partition: partitionIndex,
            bytes: partitionSize,
            isFuture: isFutureKey,
          })),
        ),
      }));
    }),
  );
  return answers.flat();
}

function known(bytes: number): number | null {
  return bytes < 0 ? null : bytes;
}

/**
 * Bytes on disk of partitions, largest replica of each; of the topics given, or of all.
 *
 * @returns by topic, then by partition.
 */
export async function describeSizes(
  cluster: Cluster,
  topics: readonly TopicMetadata[] | null,
): Promise<ReadonlyMap<string, ReadonlyMap<number, number>>> {
  const sizes = new Map<string, Map<number, number>>();
  for (const { replicas } of await describeLogDirs(cluster, topics)) {
    for (const { topic, partition, bytes, isFuture } of replicas) {
      if (isFuture) continue;
      const ofTopic = sizes.get(topic) ?? new Map<number, number>();
      sizes.set(topic, ofTopic);
      ofTopic.set(partition, Math.max(bytes, ofTopic.get(partition) ?? 0));
    }
  }
  return sizes;
}
