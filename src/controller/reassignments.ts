/**
 * Decisions on moving replicas to other brokers. A reassignment that needs a replica to catch up is begun, by writing what is added
 * and removed, and ends when the ISR holds what was added; one that needs none is done at once.
 *
 * @see KIP-455, KIP-860 (no change of the replication factor)
 */
import { ErrorCode } from "#common/error-code.ts";
import type { ClusterImage, PartitionImage, TopicImage } from "#metadata/cluster-image.ts";
import {
  makeAlterPartitionReassignmentsResponse,
  makeReassignablePartitionResponse,
  makeReassignableTopicResponse,
} from "#protocol/generated/alter-partition-reassignments.ts";
import type {
  AlterPartitionReassignmentsRequest,
  AlterPartitionReassignmentsResponse,
  ReassignablePartition,
} from "#protocol/generated/alter-partition-reassignments.ts";
import type { MetadataRecord } from "#protocol/generated/records/metadata-record-table.ts";
import { EXCESSIVE_BATCH, MAX_RECORDS_PER_REQUEST } from "./decision.ts";
import type { Decision, DecisionInput, Refusal } from "./decision.ts";
import { partitionChangeEntries } from "./partition-change.ts";
import type { PartitionGoal } from "./partition-change.ts";
import { RuleBook } from "./partition-rules.ts";
import type { TopicRules } from "./partition-rules.ts";
import { checkManualReplicas } from "./placement.ts";

const NO_REFUSAL: Refusal = { errorCode: ErrorCode.NONE, errorMessage: null };

/** True while replicas of a partition are on their way. */
export function isReassigning({ addingReplicas, removingReplicas }: PartitionImage): boolean {
  return addingReplicas.length > 0 || removingReplicas.length > 0;
}

/** Decides AlterPartitionReassignments, each partition by itself. */
export function decideReassignments(
  request: AlterPartitionReassignmentsRequest,
  input: DecisionInput,
): Decision<AlterPartitionReassignmentsResponse> {
  const { image } = input;
  const records: MetadataRecord[] = [];
  const rules = new RuleBook(input);
  const { allowReplicationFactorChange } = request;
  const responses = request.topics.map(({ name, partitions }) => {
    const topic = image.topicsByName.get(name);
    return makeReassignableTopicResponse({
      name,
      partitions: partitions.map((row) => {
        const { partitionIndex } = row;
        const refused = (refusal: Refusal): ReturnType<typeof makeReassignablePartitionResponse> =>
          makeReassignablePartitionResponse({ partitionIndex, ...refusal });
        const partition = topic?.partitions[partitionIndex];
        if (topic === undefined || partition === undefined) {
          return refused(unknown(name, topic, partitionIndex));
        }
        const topicRules = rules.of(topic);
        const goal =
          row.replicas === null
            ? cancel(partition, topicRules, `${name}:${partitionIndex}`)
            : begin(image, partition, row, allowReplicationFactorChange);
        if ("errorCode" in goal) return refused(goal);
        for (const entry of partitionChangeEntries(topic.id, partition, goal, topicRules)) {
          records.push(entry);
        }
        return refused(NO_REFUSAL);
      }),
    });
  });
  const response = makeAlterPartitionReassignmentsResponse({
    allowReplicationFactorChange,
    // Kafka's own: nothing to do is answered with the default of the message.
    errorMessage: request.topics.length === 0 ? "" : null,
    responses,
  });
  return records.length > MAX_RECORDS_PER_REQUEST
    ? { response: refuseReassignments(request, EXCESSIVE_BATCH), records: [] }
    : { response, records };
}

/** Answers every partition of a request the same way, and the request itself. */
export function refuseReassignments(
  { topics, allowReplicationFactorChange }: AlterPartitionReassignmentsRequest,
  refusal: Refusal,
): AlterPartitionReassignmentsResponse {
  return makeAlterPartitionReassignmentsResponse({
    allowReplicationFactorChange,
    ...refusal,
    responses: topics.map(({ name, partitions }) =>
      makeReassignableTopicResponse({
        name,
        partitions: partitions.map(({ partitionIndex }) =>
          makeReassignablePartitionResponse({ partitionIndex, ...refusal }),
        ),
      }),
    ),
  });
}

function unknown(name: string, topic: TopicImage | undefined, partitionIndex: number): Refusal {
  const errorMessage =
    topic === undefined
      ? `Unable to find a topic named ${name}.`
      : `Unable to find partition ${name}:${partitionIndex}.`;
  return { errorCode: ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, errorMessage };
}

/** Back to the replicas from before. What was added leaves, what was to be removed stays. */
function cancel(
  partition: PartitionImage,
  { allowsUnclean }: TopicRules,
  label: string,
): PartitionGoal | Refusal {
  if (!isReassigning(partition)) {
    return { errorCode: ErrorCode.NO_REASSIGNMENT_IN_PROGRESS, errorMessage: null };
  }
  const { addingReplicas } = partition;
  const stays = (id: number): boolean => !addingReplicas.includes(id);
  const replicas = partition.replicas.filter(stays);
  const isr = partition.isr.filter(stays);
  const election = allowsUnclean ? "unclean" : "online";
  const goal: PartitionGoal = { replicas, adding: [], removing: [], election };
  if (isr.length > 0) return { ...goal, isr };
  const [first] = replicas;
  if (!allowsUnclean || first === undefined) {
    return {
      errorCode: ErrorCode.INVALID_REPLICA_ASSIGNMENT,
      errorMessage: `Unable to revert partition assignment for ${label} because it would require an unclean leader election.`,
    };
  }
  return { ...goal, isr: [first] };
}

function begin(
  image: ClusterImage,
  partition: PartitionImage,
  { replicas }: ReassignablePartition,
  allowsOtherFactor: boolean,
): PartitionGoal | Refusal {
  const target = replicas ?? [];
  const error = checkManualReplicas(image, target);
  if (error !== null) {
    return { errorCode: ErrorCode.INVALID_REPLICA_ASSIGNMENT, errorMessage: error };
  }
  // What is on its way does not count as there, nor as new when it is wanted again.
  const { addingReplicas } = partition;
  const settled = partition.replicas.filter((id) => !addingReplicas.includes(id));
  if (!allowsOtherFactor && target.length !== settled.length) {
    return {
      errorCode: ErrorCode.INVALID_REPLICATION_FACTOR,
      errorMessage: `The replication factor is changed from ${settled.length} to ${target.length}`,
    };
  }
  const removing = difference(partition.replicas, target);
  return {
    replicas: [...target, ...removing],
    adding: difference(target, settled),
    removing,
  };
}

/** What is in the first list only, by rising id. */
function difference(ids: readonly number[], others: readonly number[]): number[] {
  return ids.filter((id) => !others.includes(id)).sort((left, right) => left - right);
}
