/**
 * What `sluice cluster status` knows: pure, from what brokers told. Whatever nobody told is null.
 *
 * The lag of a replica is how many records it is behind its leader's log at about the time of asking: on a busy cluster a healthy follower
 * is a few behind. Out of sync is only who is not in the ISR.
 */
import type { BrokerDescription, QuorumDescription } from "#client/cluster-info.ts";
import type { TopicMetadata } from "#client/cluster.ts";
import type { Reassignment } from "#client/reassignments.ts";
import type { ReplicaEnds } from "#client/replica-ends.ts";
import type { DescribeMembersResponse, MemberState } from "#protocol/describe-members.ts";

/** What brokers told. */
export interface StatusInputs {
  readonly clusterId: string | null;
  readonly brokers: readonly BrokerDescription[];
  readonly quorum: QuorumDescription | null;
  readonly topics: readonly TopicMetadata[];
  readonly reassignments: readonly Reassignment[] | null;
  readonly ends: ReadonlyMap<number, ReplicaEnds | null>;
  readonly members: DescribeMembersResponse | null;
  /** Brokers that get no new replicas: all their log directories are cordoned. */
  readonly cordoned: ReadonlySet<number>;
}

/** What a node is for. */
export type NodeRole = "broker" | "voter" | "observer" | "controller";

/** One node. */
export interface NodeStatus {
  readonly id: number;
  /** `controller`: the active one. */
  readonly roles: readonly NodeRole[];
  /** Of its broker, as the controller sees it; null for a node without one. */
  readonly state: "running" | "fenced" | null;
  /** It gets no replicas of new topics: all its log directories are cordoned, as a drain does it. */
  readonly isCordoned: boolean;
  /** As the node that was asked hears it; `asked` is that node itself. Null where nobody listens. */
  readonly swim: MemberState | "asked" | "unknown" | null;
  readonly host: string | null;
  readonly port: number | null;
  readonly rack: string | null;
  readonly leaderCount: number;
  readonly replicaCount: number;
  /** Replicas that are not in the ISR. */
  readonly outOfSyncCount: number;
  /** Records that its slowest replica is behind its leader; null when one of them could not be asked. */
  readonly maxLag: number | null;
  /** Entries of the metadata that it is behind the quorum's leader. */
  readonly metadataLag: number | null;
}

/** A partition that somebody should know of. */
export interface PartitionStatus {
  readonly topic: string;
  readonly partition: number;
  /** -1 without one. */
  readonly leader: number;
  readonly replicas: readonly number[];
  readonly isr: readonly number[];
  readonly adding: readonly number[];
  readonly removing: readonly number[];
  /** Records behind the leader, by node; without those that could not be asked. */
  readonly lags: Readonly<Record<string, number>>;
  readonly isOffline: boolean;
  readonly isUnderReplicated: boolean;
}

/** See the head of the file. */
export interface ClusterStatus {
  readonly clusterId: string | null;
  readonly controllerId: number | null;
  readonly controllerEpoch: number | null;
  /** The node whose failure detector is shown. */
  readonly askedId: number | null;
  readonly nodes: readonly NodeStatus[];
  readonly topicCount: number;
  readonly partitionCount: number;
  readonly underReplicatedCount: number;
  readonly offlineCount: number;
  readonly reassigningCount: number;
  /** Those that are offline, under-replicated or being moved, the worst first. */
  readonly partitions: readonly PartitionStatus[];
}

/** Makes the report. */
export function assessCluster(inputs: StatusInputs): ClusterStatus {
  const { clusterId, brokers, quorum, topics, members } = inputs;
  const partitions = topics.flatMap((topic) => partitionsOf(topic, inputs));
  const controllerId = quorum !== null && quorum.leaderId >= 0 ? quorum.leaderId : null;
  const ids = new Set([
    ...brokers.map(({ id }) => id),
    ...(quorum?.replicas.map(({ id }) => id) ?? []),
  ]);
  const concerned = partitions.filter(
    ({ isOffline, isUnderReplicated, adding, removing }) =>
      isOffline || isUnderReplicated || adding.length > 0 || removing.length > 0,
  );
  return {
    clusterId,
    controllerId,
    controllerEpoch: controllerId === null ? null : (quorum?.leaderEpoch ?? null),
    askedId: members?.nodeId ?? null,
    nodes: [...ids].sort((a, b) => a - b).map((id) => nodeStatus(id, inputs, partitions)),
    topicCount: topics.length,
    partitionCount: partitions.length,
    underReplicatedCount: partitions.filter(({ isUnderReplicated }) => isUnderReplicated).length,
    offlineCount: partitions.filter(({ isOffline }) => isOffline).length,
    reassigningCount: concerned.filter(
      ({ adding, removing }) => adding.length > 0 || removing.length > 0,
    ).length,
    partitions: concerned.toSorted((a, b) => badness(b) - badness(a)),
  };
}

function badness({ isOffline, isUnderReplicated }: PartitionStatus): number {
  return isOffline ? 2 : isUnderReplicated ? 1 : 0;
}

function partitionsOf(
  { name, partitions }: TopicMetadata,
  { reassignments, ends, brokers }: StatusInputs,
): PartitionStatus[] {
  const serving = new Set(brokers.filter(({ isFenced }) => !isFenced).map(({ id }) => id));
  const ofTopic = new Map(
    reassignments?.filter(({ topic }) => topic === name).map((each) => [each.partition, each]),
  );
  return partitions.map(({ partition, leader, replicas, isr }) => {
    const moving = ofTopic.get(partition);
    const end = (id: number): number | null => ends.get(id)?.get(name)?.get(partition) ?? null;
    const leaderEnd = end(leader);
    const lags: Record<string, number> = {};
    for (const id of replicas) {
      const own = end(id);
      if (id !== leader && own !== null && leaderEnd !== null)
        lags[String(id)] = Math.max(0, leaderEnd - own);
    }
    const { adding = [], removing = [] } = moving ?? {};
    // Those on their way are not missed yet, as in Kafka.
    const owed = replicas.filter((id) => !adding.includes(id));
    return {
      topic: name,
      partition,
      leader,
      replicas,
      isr,
      adding,
      removing,
      lags,
      isOffline: leader < 0 || !serving.has(leader),
      isUnderReplicated: owed.some((id) => !isr.includes(id)),
    };
  });
}

function nodeStatus(
  id: number,
  { brokers, quorum, members, ends, cordoned }: StatusInputs,
  partitions: readonly PartitionStatus[],
): NodeStatus {
  const broker = brokers.find((each) => each.id === id);
  const member = quorum?.replicas.find((each) => each.id === id);
  const held = partitions.filter(({ replicas }) => replicas.includes(id));
  const followed = held.filter(({ leader }) => leader !== id && leader >= 0);
  const lags = followed.map(({ lags: each }) => each[String(id)] ?? null);
  const quorumEnd = Math.max(
    0,
    ...(quorum?.replicas.map(({ logEndOffset }) => logEndOffset) ?? []),
  );
  const isKnown = (lag: number | null): lag is number => lag !== null;
  return {
    id,
    roles: [
      ...(broker === undefined ? [] : (["broker"] as const)),
      ...(member === undefined
        ? []
        : member.role === "leader"
          ? (["voter", "controller"] as const)
          : [member.role]),
    ],
    state: broker === undefined ? null : broker.isFenced ? "fenced" : "running",
    isCordoned: cordoned.has(id),
    swim: swimOf(id, members),
    host: broker?.host ?? null,
    port: broker?.port ?? null,
    rack: broker?.rack ?? null,
    leaderCount: held.filter(({ leader }) => leader === id).length,
    replicaCount: held.length,
    outOfSyncCount: held.filter(({ isr }) => !isr.includes(id)).length,
    maxLag:
      ends.get(id) === null || !lags.every(isKnown) ? null : Math.max(0, ...lags.filter(isKnown)),
    metadataLag: member === undefined ? null : quorumEnd - member.logEndOffset,
  };
}

function swimOf(id: number, members: DescribeMembersResponse | null): NodeStatus["swim"] {
  if (members === null || !members.isWatching) return null;
  if (members.nodeId === id) return "asked";
  return members.members.find(({ nodeId }) => nodeId === id)?.state ?? "unknown";
}
