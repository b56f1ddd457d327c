/**
 * Decisions on moving replicas to other brokers. A reassignment that needs a replica to catch up is begun, by writing what is added
 * and removed, and ends when the ISR holds what was added; one that needs none is done at once.
 *
 * @see KIP-455, KIP-860 (no change of the replication factor)
 */
import { ErrorCode } from "#common/error-code.ts";
import { ZERO_UUID } from "#common/uuid.ts";
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
import { makePartitionChangeRecord } from "#protocol/generated/records/partition-change-record.ts";
import type { PartitionChangeRecord } from "#protocol/generated/records/partition-change-record.ts";
import { EXCESSIVE_BATCH, MAX_RECORDS_PER_REQUEST } from "./decision.ts";
import type { Decision, DecisionInput, Refusal } from "./decision.ts";
import { isLive } from "./elections.ts";
import { checkManualReplicas, DirectoryChooser } from "./placement.ts";

const NO_REFUSAL: Refusal = { errorCode: ErrorCode.NONE, errorMessage: null };

/** True while replicas of a partition are on their way. */
export function isReassigning({ addingReplicas, removingReplicas }: PartitionImage): boolean {
  return addingReplicas.length > 0 || removingReplicas.length > 0;
}

/** Decides AlterPartitionReassignments, each partition by itself. */
export function decideReassignments(
  request: AlterPartitionReassignmentsRequest,
  { image }: DecisionInput,
): Decision<AlterPartitionReassignmentsResponse> {
  const records: MetadataRecord[] = [];
  const directories = new DirectoryChooser(image);
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
        const change =
          row.replicas === null
            ? cancel(image, partition, `${name}:${partitionIndex}`)
            : begin(image, partition, row, allowReplicationFactorChange, directories);
        if (change !== null && "errorCode" in change) return refused(change);
        if (change !== null) {
          const record = makePartitionChangeRecord({
            partitionId: partitionIndex,
            topicId: topic.id,
            ...change,
          });
          records.push({ kind: "PartitionChangeRecord", record });
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

type Change = Partial<PartitionChangeRecord>;

/** Back to the replicas from before. */
function cancel(image: ClusterImage, partition: PartitionImage, label: string): Change | Refusal {
  if (!isReassigning(partition)) {
    return { errorCode: ErrorCode.NO_REASSIGNMENT_IN_PROGRESS, errorMessage: null };
  }
  const { addingReplicas, replicas, isr } = partition;
  const remaining = isr.filter((id) => !addingReplicas.includes(id));
  if (remaining.length === 0) {
    return {
      errorCode: ErrorCode.INVALID_REPLICA_ASSIGNMENT,
      errorMessage: `Unable to revert partition assignment for ${label} because it would require an unclean leader election.`,
    };
  }
  const target = replicas.filter((id) => !addingReplicas.includes(id));
  return settle(image, partition, target, remaining, () => ZERO_UUID);
}

function begin(
  image: ClusterImage,
  partition: PartitionImage,
  { replicas }: ReassignablePartition,
  allowsOtherFactor: boolean,
  directories: DirectoryChooser,
): Change | Refusal | null {
  const target = replicas ?? [];
  const error = checkManualReplicas(image, target);
  if (error !== null) {
    return { errorCode: ErrorCode.INVALID_REPLICA_ASSIGNMENT, errorMessage: error };
  }
  // What was on its way before counts neither as there nor as gone.
  const settled = partition.replicas.filter((id) => !partition.addingReplicas.includes(id));
  if (!allowsOtherFactor && target.length !== settled.length) {
    return {
      errorCode: ErrorCode.INVALID_REPLICATION_FACTOR,
      errorMessage: `The replication factor is changed from ${settled.length} to ${target.length}`,
    };
  }
  const choose = (id: number): string => directories.choose(id);
  const adding = target.filter((id) => !partition.isr.includes(id) && !settled.includes(id));
  const removing = partition.replicas.filter((id) => !target.includes(id));
  const isr = partition.isr.filter((id) => target.includes(id));
  // Whoever keeps the partition must be there to serve it.
  if (adding.length === 0 && isr.some((id) => isLive(image, id))) {
    const isSame =
      !isReassigning(partition) &&
      target.length === partition.replicas.length &&
      target.every((id, index) => id === partition.replicas[index]);
    return isSame ? null : settle(image, partition, target, isr, choose);
  }
  const all = [...target, ...removing];
  return {
    replicas: all,
    directories: all.map((id) => directoryOf(partition, id) ?? choose(id)),
    addingReplicas: adding,
    removingReplicas: removing,
  };
}

/** `target` and nothing on its way; another leader only where the old one is not among them. */
function settle(
  image: ClusterImage,
  partition: PartitionImage,
  target: readonly number[],
  isr: readonly number[],
  choose: (id: number) => string,
): Change {
  const leader = isr.find((id) => isLive(image, id)) ?? -1;
  return {
    replicas: [...target],
    isr: [...isr],
    directories: target.map((id) => directoryOf(partition, id) ?? choose(id)),
    addingReplicas: [],
    removingReplicas: [],
    ...(isr.includes(partition.leader) ? {} : { leader }),
  };
}

function directoryOf({ replicas, directories }: PartitionImage, id: number): string | undefined {
  const index = replicas.indexOf(id);
  return index === -1 ? undefined : directories[index];
}
