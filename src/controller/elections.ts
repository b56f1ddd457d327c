/**
 * Decisions on who leads a partition, when an administrator asks for an election or time passes.
 *
 * @see KIP-460
 */
import { ErrorCode } from "#common/error-code.ts";
import type { TopicImage } from "#metadata/cluster-image.ts";
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
import { EXCESSIVE_BATCH, MAX_RECORDS_PER_REQUEST } from "./decision.ts";
import type { Decision, DecisionInput, Refusal } from "./decision.ts";
import { changePartition, NO_LEADER, partitionChangeEntries } from "./partition-change.ts";
import { partitionsWhere, RuleBook } from "./partition-rules.ts";
import type { PartitionOfTopic } from "./partition-rules.ts";

/** Kinds of elections. */
export const ElectionType = { PREFERRED: 0, UNCLEAN: 1 } as const;

/** Decides ElectLeaders. Null partitions stand for all; of those, what needs no election is left out of the answer. */
export function decideElectLeaders(
  request: ElectLeadersRequest,
  input: DecisionInput,
): Decision<ElectLeadersResponse> {
  const { image } = input;
  const { electionType, topicPartitions } = request;
  if (electionType !== ElectionType.PREFERRED && electionType !== ElectionType.UNCLEAN) {
    const errorMessage = `Unknown election type ${electionType}`;
    const refusal = { errorCode: ErrorCode.INVALID_REQUEST, errorMessage };
    return { response: refuseElectLeaders(request, refusal), records: [] };
  }
  const records: MetadataRecord[] = [];
  const rules = new RuleBook(input);
  /** The record goes into `records`; a partition that is named twice is decided on what it is before both. */
  const elect = (name: string, partitionId: number): PartitionResult => {
    const topic = image.topicsByName.get(name);
    const elected = electLeader(rules, topic, name, partitionId, electionType);
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
  rules: RuleBook,
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
  if (isPreferred ? partition.leader === partition.replicas[0] : partition.leader !== NO_LEADER) {
    return {
      errorCode: ErrorCode.ELECTION_NOT_NEEDED,
      errorMessage: "Leader election not needed for topic partition.",
    };
  }
  const election = isPreferred ? "preferred" : "unclean";
  const topicRules = rules.of(topic);
  const change = changePartition(topic.id, partition, { election }, topicRules);
  // On a node that is alone nothing but the wish itself is fulfilled: the others that the image knows are not there.
  const isOther = topicRules.isAlone && isPreferred && change?.leader !== partition.replicas[0];
  if (change !== null && !isOther) return { kind: "PartitionChangeRecord", record: change };
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

/** Elections that one round of balancing makes at most; what is left waits for the next round. */
export const MAX_ELECTIONS_PER_ROUND = 1_000;

/**
 * Gives leadership back to preferred replicas that are in sync again.
 *
 * @returns at most `MAX_ELECTIONS_PER_ROUND` records.
 */
export function balanceLeaders(input: DecisionInput): MetadataRecord[] {
  const imbalanced = partitionsWhere(input.image, ({ leader, replicas }) => leader !== replicas[0]);
  return electEach(imbalanced, "preferred", new RuleBook(input));
}

/**
 * Gives partitions without a leader one that may have lost records, where their topics allow that.
 *
 * @returns at most `MAX_ELECTIONS_PER_ROUND` records.
 */
export function electUncleanLeaders(input: DecisionInput): MetadataRecord[] {
  const rules = new RuleBook(input);
  const leaderless = partitionsWhere(input.image, ({ leader }) => leader === NO_LEADER);
  const allowed = [...leaderless].filter(({ topic }) => rules.of(topic).allowsUnclean);
  return electEach(allowed, "unclean", rules);
}

function electEach(
  partitions: Iterable<PartitionOfTopic>,
  election: "preferred" | "unclean",
  rules: RuleBook,
): MetadataRecord[] {
  const records: MetadataRecord[] = [];
  for (const { topic, partition } of partitions) {
    if (records.length >= MAX_ELECTIONS_PER_ROUND) break;
    for (const entry of partitionChangeEntries(
      topic.id,
      partition,
      { election },
      rules.of(topic),
    )) {
      records.push(entry);
    }
  }
  return records;
}
