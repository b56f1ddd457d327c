/**
 * DescribeProducers (key 61): producers that a partition remembers, and their open transactions (KIP-664).
 *
 * - v0: flexible from the start.
 *
 * A request may name a partition often, and a partition may remember many producers: of one answer's length there is a bound.
 */
import { ErrorCode } from "#common/error-code.ts";
import { topicNameError } from "#controller/topic-name.ts";
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

/** Producers that one answer tells of; the partitions beyond are refused. */
const PRODUCERS_MAX = 1_000_000;

/** A producer that a partition remembers. */
export interface RememberedProducer {
  /** As text: it may exceed 2^53. */
  readonly producerId: string;
  readonly producerEpoch: number;
  readonly lastSequence: number;
  readonly lastTimestamp: number;
  readonly coordinatorEpoch: number;
  /** First offset of its open transaction, -1 for none. */
  readonly currentTxnStartOffset: number;
}

/** What the handler works with. */
export interface DescribeProducersDependencies {
  readonly directory: Pick<PartitionDirectory, "topicByName">;
  /** Producers of a partition by its handle; null where it is gone, or out of order. */
  readonly producersOf: (handle: number) => readonly RememberedProducer[] | null;
}

/** Serves DescribeProducers. */
export function createDescribeProducersHandler({
  directory,
  producersOf,
}: DescribeProducersDependencies): ApiHandler<DescribeProducersRequest, DescribeProducersResponse> {
  return {
    api: DescribeProducersApi,
    minVersion: 0,
    maxVersion: 0,
    handle: ({ topics }) => {
      let count = 0;
      const bounded = (partition: PartitionResponse): PartitionResponse => {
        count += partition.activeProducers.length;
        if (count <= PRODUCERS_MAX) return partition;
        count -= partition.activeProducers.length;
        return makePartitionResponse({
          partitionIndex: partition.partitionIndex,
          errorCode: ErrorCode.POLICY_VIOLATION,
          errorMessage: `An answer tells of ${PRODUCERS_MAX} producers at most.`,
        });
      };
      return {
        throttleTimeMs: 0,
        topics: topics.map(({ name, partitionIndexes }) => {
          const topic = directory.topicByName(name);
          const known = new Map<number, PartitionResponse>();
          const described = (index: number): PartitionResponse => {
            const partition = known.get(index) ?? describe(producersOf, name, topic, index);
            known.set(index, partition);
            return bounded(partition);
          };
          return { name, partitions: partitionIndexes.map(described) };
        }),
      };
    },
  };
}

function describe(
  producersOf: DescribeProducersDependencies["producersOf"],
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
  const producers = producersOf(entry.handle);
  // Deleted between the look at the directory and the look at the log, for instance.
  if (producers === null) return refused(ErrorCode.NOT_LEADER_OR_FOLLOWER, null);
  return makePartitionResponse({
    partitionIndex,
    errorCode: ErrorCode.NONE,
    activeProducers: producers.map(({ producerId, ...state }) =>
      makeProducerState({ producerId: BigInt(producerId), ...state }),
    ),
  });
}
