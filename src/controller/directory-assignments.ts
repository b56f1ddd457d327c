/**
 * AssignReplicasToDirs: a broker tells in which of its log directories replicas are, where the controller could not know: they have moved, or
 * were wanted elsewhere than they were placed. A replica in a directory that does not work is in sync with nothing and leads nothing.
 *
 * - v0.
 *
 * @see KIP-858
 */
import { ErrorCode } from "#common/error-code.ts";
import {
  makeAssignReplicasToDirsResponse,
  makeAssignReplicasToDirsResponseDirectoryData,
  makeAssignReplicasToDirsResponsePartitionData,
  makeAssignReplicasToDirsResponseTopicData,
} from "#protocol/generated/assign-replicas-to-dirs.ts";
import type {
  AssignReplicasToDirsRequest,
  AssignReplicasToDirsResponse,
} from "#protocol/generated/assign-replicas-to-dirs.ts";
import type { MetadataRecord } from "#protocol/generated/records/metadata-record-table.ts";
import { isDirectoryOnline } from "./broker-state.ts";
import type { Decision, DecisionInput } from "./decision.ts";
import { partitionChangeEntries } from "./partition-change.ts";
import { changeEach, type PartitionOfTopic, RuleBook } from "./partition-rules.ts";
import { Plan } from "./plan.ts";

/** Decides AssignReplicasToDirs, each partition by itself. */
export function decideDirectoryAssignments(
  { brokerId, brokerEpoch, directories }: AssignReplicasToDirsRequest,
  input: DecisionInput,
): Decision<AssignReplicasToDirsResponse> {
  const { image } = input;
  const broker = image.brokers.get(brokerId);
  if (broker?.epoch !== brokerEpoch) {
    const errorCode = ErrorCode.STALE_BROKER_EPOCH;
    return { response: refuseDirectoryAssignments(errorCode), records: [] };
  }
  const plan = new Plan(input);
  const records: MetadataRecord[] = [];
  const offline = new Map<string, readonly [topicId: string, partition: number]>();
  const rules = new RuleBook(input);
  // Of a replica that is named twice the last directory counts.
  const last = new Map<string, MetadataRecord[]>();
  const answers = directories.map(({ id, topics }) =>
    makeAssignReplicasToDirsResponseDirectoryData({
      id,
      topics: topics.map(({ topicId, partitions }) => {
        const topic = image.topicsById.get(topicId);
        return makeAssignReplicasToDirsResponseTopicData({
          topicId,
          partitions: partitions.map(({ partitionIndex }) => {
            const partition = topic?.partitions[partitionIndex];
            const errorCode =
              topic === undefined
                ? ErrorCode.UNKNOWN_TOPIC_ID
                : partition === undefined
                  ? ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
                  : partition.replicas.includes(brokerId)
                    ? ErrorCode.NONE
                    : ErrorCode.NOT_LEADER_OR_FOLLOWER;
            if (errorCode === ErrorCode.NONE && topic !== undefined && partition !== undefined) {
              const goal = { directories: new Map([[brokerId, id]]) };
              const key = `${topicId}:${partitionIndex}`;
              last.set(key, partitionChangeEntries(topicId, partition, goal, rules.of(topic)));
              offline.delete(key);
              if (!isDirectoryOnline(broker, id)) offline.set(key, [topicId, partitionIndex]);
            }
            return makeAssignReplicasToDirsResponsePartitionData({ partitionIndex, errorCode });
          }),
        });
      }),
    }),
  );
  for (const entries of last.values()) records.push(...entries);
  plan.add(records);
  const concerned: PartitionOfTopic[] = [];
  for (const [topicId, index] of offline.values()) {
    const topic = plan.input.image.topicsById.get(topicId);
    const partition = topic?.partitions[index];
    if (topic !== undefined && partition !== undefined) concerned.push({ topic, partition });
  }
  const rulesAfter = new RuleBook(plan.input, { removed: brokerId });
  plan.add(
    changeEach(concerned, rulesAfter, ({ isr }) => ({ isr: isr.filter((id) => id !== brokerId) })),
  );
  return {
    response: makeAssignReplicasToDirsResponse({ directories: answers }),
    records: plan.records,
  };
}

/** Answers the request as a whole. */
export function refuseDirectoryAssignments(errorCode: number): AssignReplicasToDirsResponse {
  return makeAssignReplicasToDirsResponse({ errorCode });
}
