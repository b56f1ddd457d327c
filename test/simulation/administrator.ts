/** What somebody asks of a simulated cluster while it works: another leader, other replicas, another voter. Refusals are answers too. */
import { ErrorCode } from "#common/error-code.ts";
import { OFFSETS_TOPIC } from "#coordinator/group/group-coordinator.ts";
import {
  makeAlterPartitionReassignmentsRequest,
  makeReassignablePartition,
  makeReassignableTopic,
} from "#protocol/generated/alter-partition-reassignments.ts";
import {
  makeCreatableTopic,
  makeCreatableTopicConfig,
  makeCreateTopicsRequest,
} from "#protocol/generated/create-topics.ts";
import { makeElectLeadersRequest, makeTopicPartitions } from "#protocol/generated/elect-leaders.ts";
import { QuorumError } from "#quorum/quorum.ts";
import type { Plan } from "./faults.ts";
import { TOPIC } from "./names.ts";
import type { SimulatedNode } from "./simulated-node.ts";
import type { World } from "./world.ts";

const TIMEOUT_MS = 1000;
/** With fewer voters than this one outage too many ends the quorum until it is over. */
const VOTERS_MIN = 2;

/** Makes the topic, and the one for committed offsets where there is a group; a refusal ends the run. */
export async function createTopics({ controller }: SimulatedNode, plan: Plan): Promise<void> {
  const { partitionCount, replicationFactor, minIsr, allowsUnclean, switchedOff } = plan;
  const { memberCount } = plan;
  const isUnclean = allowsUnclean || switchedOff.includes("clean-elections");
  const configs = [
    ["min.insync.replicas", String(minIsr)],
    ["unclean.leader.election.enable", String(isUnclean)],
  ] as const;
  const names = memberCount === 0 ? [TOPIC] : [TOPIC, OFFSETS_TOPIC];
  const answer = await controller?.createTopics(
    makeCreateTopicsRequest({
      topics: names.map((topic) =>
        makeCreatableTopic({
          name: topic,
          numPartitions: topic === TOPIC ? partitionCount : 1,
          replicationFactor,
          configs: configs.map(([name, value]) => makeCreatableTopicConfig({ name, value })),
        }),
      ),
      timeoutMs: 10_000,
    }),
  );
  for (const { name, errorCode, errorMessage } of answer?.topics ?? [])
    if (errorCode !== ErrorCode.NONE) throw new Error(`no ${name}: ${errorCode} ${errorMessage}`);
}

/** Asks for the preferred leader of a partition. */
export async function electPreferred(
  { controller }: SimulatedNode,
  partition: number,
): Promise<void> {
  await controller?.electLeaders(
    makeElectLeadersRequest({
      electionType: 0,
      topicPartitions: [makeTopicPartitions({ topic: TOPIC, partitions: [partition] })],
      timeoutMs: TIMEOUT_MS,
    }),
  );
}

/** Moves a partition to other replicas; null takes back the move under way. */
export async function reassign(
  { controller }: SimulatedNode,
  world: World,
  partition: number,
  replicas: readonly number[] | null,
): Promise<void> {
  const row = makeReassignablePartition({
    partitionIndex: partition,
    replicas: replicas === null ? null : [...replicas],
  });
  const answer = await controller?.alterReassignments(
    makeAlterPartitionReassignmentsRequest({
      timeoutMs: TIMEOUT_MS,
      topics: [makeReassignableTopic({ name: TOPIC, partitions: [row] })],
    }),
  );
  const code = answer?.responses[0]?.partitions[0]?.errorCode ?? answer?.errorCode;
  world.trace(`reassigning ${partition} to ${replicas?.join() ?? "what was"}: ${code}`);
}

/** Gives a node a vote, or takes the one it has. */
export async function changeVote(
  { quorum }: SimulatedNode,
  world: World,
  node: number,
): Promise<void> {
  if (quorum === null) return;
  const { voters } = quorum.status();
  try {
    if (!voters.includes(node)) {
      await quorum.addVoter(node);
      world.count("voter added");
    } else if (voters.length > VOTERS_MIN) {
      await quorum.removeMember(node, "as-learner");
      world.count("voter removed");
    }
    world.trace(`node ${node} ${voters.includes(node) ? "loses its" : "gets a"} vote`);
  } catch (error) {
    if (!(error instanceof QuorumError)) throw error;
    world.trace(`the vote of ${node} stays as it is: ${error.code}`);
  }
}
