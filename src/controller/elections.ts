/**
 * Decisions on who leads a partition, when an administrator asks for an election.
 *
 * @see KIP-460
 */
import { ErrorCode } from "#common/error-code.ts";
import type { ClusterImage, PartitionImage, TopicImage } from "#metadata/cluster-image.ts";
import {
  makeElectLeadersResponse,
  makePartitionResult,
  makeReplicaElectionResult,
} from "#protocol/generated/elect-leaders.ts";
import type {
  ElectLeadersRequest,
  ElectLeadersResponse,
  PartitionResult,
} from "#protocol/generated/elect-leaders.ts";
import type { MetadataRecord } from "#protocol/generated/records/metadata-record-table.ts";
import { makePartitionChangeRecord } from "#protocol/generated/records/partition-change-record.ts";
import { EXCESSIVE_BATCH, MAX_RECORDS_PER_REQUEST } from "./decision.ts";
import type { Decision, DecisionInput, Refusal } from "./decision.ts";

/** Kinds of elections. */
export const ElectionType = { PREFERRED: 0, UNCLEAN: 1 } as const;

/** Decides ElectLeaders. Null partitions stand for all; of those, what needs no election is left out of the answer. */
export function decideElectLeaders(
  request: ElectLeadersRequest,
  { image }: DecisionInput,
): Decision<ElectLeadersResponse> {
  const { electionType, topicPartitions } = request;
  if (electionType !== ElectionType.PREFERRED && electionType !== ElectionType.UNCLEAN) {
    const errorMessage = `Unknown election type ${electionType}`;
    const refusal = { errorCode: ErrorCode.INVALID_REQUEST, errorMessage };
    return { response: refuseElectLeaders(request, refusal), records: [] };
  }
  const records: MetadataRecord[] = [];
  /** The record goes into `records`; a partition that is named twice is decided on what it is before both. */
  const elect = (name: string, partitionId: number): PartitionResult => {
    const topic = image.topicsByName.get(name);
    const elected = electLeader(image, topic, name, partitionId, electionType);
    if ("errorCode" in elected) return makePartitionResult({ partitionId, ...elected });
    records.push(elected);
    return makePartitionResult({ partitionId, errorCode: ErrorCode.NONE, errorMessage: null });
  };
  const replicaElectionResults =
    topicPartitions === null
      ? [...image.topicsByName.values()].map(({ name, partitions }) =>
          makeReplicaElectionResult({
            topic: name,
            partitionResult: partitions
              .map(({ partitionId }) => elect(name, partitionId))
              .filter(({ errorCode }) => errorCode !== ErrorCode.ELECTION_NOT_NEEDED),
          }),
        )
      : topicPartitions.map(({ topic, partitions }) =>
          makeReplicaElectionResult({
            topic,
            partitionResult: partitions.map((partitionId) => elect(topic, partitionId)),
          }),
        );
  return records.length > MAX_RECORDS_PER_REQUEST
    ? { response: refuseElectLeaders(request, EXCESSIVE_BATCH), records: [] }
    : { response: makeElectLeadersResponse({ replicaElectionResults }), records };
}

/** Answers every partition of a request the same way, and the request itself. */
export function refuseElectLeaders(
  { topicPartitions }: ElectLeadersRequest,
  { errorCode, errorMessage }: Refusal,
): ElectLeadersResponse {
  return makeElectLeadersResponse({
    errorCode,
    replicaElectionResults: (topicPartitions ?? []).map(({ topic, partitions }) =>
      makeReplicaElectionResult({
        topic,
        partitionResult: partitions.map((partitionId) =>
          makePartitionResult({ partitionId, errorCode, errorMessage }),
        ),
      }),
    ),
  });
}

function electLeader(
  image: ClusterImage,
  topic: TopicImage | undefined,
  name: string,
  partitionId: number,
  electionType: number,
): MetadataRecord | Refusal {
  const partition = topic?.partitions[partitionId];
  if (topic === undefined || partition === undefined) {
    const what = topic === undefined ? `topic as ${name}` : `partition as ${name}-${partitionId}`;
    return {
      errorCode: ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
      errorMessage: `No such ${what}`,
    };
  }
  const isPreferred = electionType === ElectionType.PREFERRED;
  if (isPreferred ? partition.leader === partition.replicas[0] : partition.leader !== -1) {
    return {
      errorCode: ErrorCode.ELECTION_NOT_NEEDED,
      errorMessage: "Leader election not needed for topic partition.",
    };
  }
  const leader = isPreferred ? preferredLeader(image, partition) : anyLeader(image, partition);
  if (leader === null) {
    return isPreferred
      ? {
          errorCode: ErrorCode.PREFERRED_LEADER_NOT_AVAILABLE,
          errorMessage: "The preferred leader was not available.",
        }
      : {
          errorCode: ErrorCode.ELIGIBLE_LEADERS_NOT_AVAILABLE,
          errorMessage: "Eligible topic partition leaders are not available.",
        };
  }
  const isClean = partition.isr.includes(leader);
  const record = makePartitionChangeRecord({
    partitionId,
    topicId: topic.id,
    leader,
    // Who was not in sync leads alone.
    isr: isClean ? null : [leader],
  });
  return { kind: "PartitionChangeRecord", record };
}

/** True for a broker that is registered and serves. */
export function isLive(image: ClusterImage, id: number): boolean {
  return image.brokers.get(id)?.isFenced === false;
}

function preferredLeader(image: ClusterImage, { replicas, isr }: PartitionImage): number | null {
  const [first] = replicas;
  return first !== undefined && isr.includes(first) && isLive(image, first) ? first : null;
}

/** A live replica: one in sync before one that is not. */
function anyLeader(image: ClusterImage, { replicas, isr }: PartitionImage): number | null {
  const live = replicas.filter((id) => isLive(image, id));
  return live.find((id) => isr.includes(id)) ?? live[0] ?? null;
}
