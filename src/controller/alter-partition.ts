/**
 * AlterPartition: the leader of a partition asks for another in-sync set. It is a compare-and-swap on leader and partition epoch, so
 * that a leader that was replaced changes nothing, and nobody enters the ISR who is fenced, leaving or in another life than the
 * leader saw (KIP-841, KIP-903).
 *
 * - v2: topics by id, INELIGIBLE_REPLICA, NEW_LEADER_ELECTED. v3: broker epochs of the new in-sync set. Kafka 4 serves no older one.
 *
 * @see KIP-497, KIP-704 (leader recovery state)
 */
import { ErrorCode } from "#common/error-code.ts";
import { NO_LEADER_CHANGE, partitionAfter } from "#metadata/cluster-delta.ts";
import type { ClusterImage, PartitionImage, TopicImage } from "#metadata/cluster-image.ts";
import {
  makeAlterPartitionResponse,
  makeAlterPartitionResponsePartitionData,
  makeAlterPartitionResponseTopicData,
} from "#protocol/generated/alter-partition.ts";
import type {
  AlterPartitionRequest,
  AlterPartitionRequestPartitionData,
  AlterPartitionResponse,
  AlterPartitionResponsePartitionData,
  BrokerState,
} from "#protocol/generated/alter-partition.ts";
import type { MetadataRecord } from "#protocol/generated/records/metadata-record-table.ts";
import { isActive } from "./broker-state.ts";
import type { Decision, DecisionInput } from "./decision.ts";
import { changePartition, LeaderRecoveryState } from "./partition-change.ts";
import { RuleBook } from "./partition-rules.ts";

const FIRST_VERSION_WITH_EPOCHS = 3;
const ANY_EPOCH = -1;

/** Decides AlterPartition of a version, each partition by itself. */
export function decideAlterPartition(
  request: AlterPartitionRequest,
  version: number,
  input: DecisionInput,
): Decision<AlterPartitionResponse> {
  const { image } = input;
  if (image.brokers.get(request.brokerId)?.epoch !== request.brokerEpoch) {
    return { response: refuseAlterPartition(ErrorCode.STALE_BROKER_EPOCH), records: [] };
  }
  const records: MetadataRecord[] = [];
  const rules = new RuleBook(input);
  const seen = new Set<string>();
  const topics = request.topics.map(({ topicId, partitions }) => {
    const topic = image.topicsById.get(topicId);
    return makeAlterPartitionResponseTopicData({
      topicId,
      partitions: partitions.map((row) => {
        const { partitionIndex } = row;
        const refused = (errorCode: number): AlterPartitionResponsePartitionData =>
          makeAlterPartitionResponsePartitionData({ partitionIndex, errorCode });
        if (topic === undefined) return refused(ErrorCode.UNKNOWN_TOPIC_ID);
        // A second row would be decided on what the first one has just changed.
        const key = `${topicId}:${partitionIndex}`;
        if (seen.has(key)) return refused(ErrorCode.INVALID_REQUEST);
        seen.add(key);
        const altered = alter(request.brokerId, topic, row, version, image, rules);
        if (typeof altered === "number") return refused(altered);
        for (const entry of altered.records) records.push(entry);
        return altered.answer;
      }),
    });
  });
  return { response: makeAlterPartitionResponse({ topics }), records };
}

/** Answers the request as a whole. */
export function refuseAlterPartition(errorCode: number): AlterPartitionResponse {
  return makeAlterPartitionResponse({ errorCode });
}

interface Altered {
  readonly answer: AlterPartitionResponsePartitionData;
  readonly records: readonly MetadataRecord[];
}

/** One partition: what it becomes, or an error code. */
function alter(
  brokerId: number,
  topic: TopicImage,
  row: AlterPartitionRequestPartitionData,
  version: number,
  image: ClusterImage,
  rules: RuleBook,
): Altered | number {
  const before = topic.partitions[row.partitionIndex];
  if (before === undefined) return ErrorCode.UNKNOWN_TOPIC_OR_PARTITION;
  const isrWithEpochs =
    version >= FIRST_VERSION_WITH_EPOCHS
      ? row.newIsrWithEpochs
      : row.newIsr.map((id) => ({ brokerId: id, brokerEpoch: ANY_EPOCH }));
  const isr = isrWithEpochs.map((state) => state.brokerId);
  const error =
    epochError(brokerId, row, before) ??
    isrError(isr, row, before) ??
    (isrWithEpochs.every((state) => isEligible(state, image))
      ? null
      : ErrorCode.INELIGIBLE_REPLICA);
  if (error !== null) return error;
  const topicRules = rules.of(topic);
  const change = changePartition(
    topic.id,
    before,
    {
      isr,
      leaderRecoveryState: row.leaderRecoveryState,
      election: topicRules.allowsUnclean ? "unclean" : "online",
    },
    topicRules,
  );
  const records: MetadataRecord[] =
    change === null ? [] : [{ kind: "PartitionChangeRecord", record: change }];
  const after = change === null ? before : partitionAfter(before, change);
  // The change may have ended a reassignment that takes the leader away: it is made all the same, and the leader is told.
  const isElsewhere =
    change !== null && change.leader !== NO_LEADER_CHANGE && change.leader !== brokerId;
  const answer = isElsewhere
    ? makeAlterPartitionResponsePartitionData({
        partitionIndex: row.partitionIndex,
        errorCode: ErrorCode.NEW_LEADER_ELECTED,
      })
    : makeAlterPartitionResponsePartitionData({
        partitionIndex: row.partitionIndex,
        leaderId: after.leader,
        leaderEpoch: after.leaderEpoch,
        isr: [...after.isr],
        leaderRecoveryState: after.leaderRecoveryState,
        partitionEpoch: after.partitionEpoch,
      });
  return { answer, records };
}

/** Whether the request comes from the leader and knows the newest state. A newer one than this node has is another controller's. */
function epochError(
  brokerId: number,
  { leaderEpoch, partitionEpoch }: AlterPartitionRequestPartitionData,
  before: PartitionImage,
): number | null {
  if (leaderEpoch > before.leaderEpoch || partitionEpoch > before.partitionEpoch) {
    return ErrorCode.NOT_CONTROLLER;
  }
  if (leaderEpoch < before.leaderEpoch) return ErrorCode.FENCED_LEADER_EPOCH;
  if (brokerId !== before.leader) return ErrorCode.INVALID_REQUEST;
  return partitionEpoch < before.partitionEpoch ? ErrorCode.INVALID_UPDATE_VERSION : null;
}

/** Whether the new set is one: replicas, each once, the leader among them, and alone while it recovers. */
function isrError(
  isr: readonly number[],
  { leaderRecoveryState }: AlterPartitionRequestPartitionData,
  before: PartitionImage,
): number | null {
  const isValid =
    isr.length > 0 &&
    new Set(isr).size === isr.length &&
    isr.every((id) => before.replicas.includes(id)) &&
    isr.includes(before.leader);
  if (!isValid) return ErrorCode.INVALID_REQUEST;
  const { RECOVERED, RECOVERING } = LeaderRecoveryState;
  if (leaderRecoveryState !== RECOVERED && leaderRecoveryState !== RECOVERING) {
    return ErrorCode.INVALID_REQUEST;
  }
  if (leaderRecoveryState === RECOVERED) return null;
  return isr.length > 1 || before.leaderRecoveryState === RECOVERED
    ? ErrorCode.INVALID_REQUEST
    : null;
}

function isEligible({ brokerId, brokerEpoch }: BrokerState, { brokers }: ClusterImage): boolean {
  const broker = brokers.get(brokerId);
  if (broker === undefined || !isActive(broker)) return false;
  return brokerEpoch === ANY_EPOCH || brokerEpoch === broker.epoch;
}
