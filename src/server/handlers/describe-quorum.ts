/**
 * DescribeQuorum (key 55): who keeps the cluster's metadata, and how far each of them is (KIP-595).
 *
 * - v0: flexible from the start. v1: times of the last fetch and of being caught up (KIP-836). v2: directory ids, addresses of the
 *   voters, error messages (KIP-853).
 *
 * A node by itself is the whole quorum: its leader, and caught up with itself at any time. Its voters are fixed, so the directory has no id;
 * its address is the broker's own, since there is no listener of controllers to reach.
 */
import { ErrorCode } from "#common/error-code.ts";
import type { Clock } from "#common/time.ts";
import { ZERO_UUID } from "#common/uuid.ts";
import type { ClusterImage } from "#metadata/cluster-image.ts";
import {
  DescribeQuorumApi,
  makeDescribeQuorumResponse,
  makeDescribeQuorumResponsePartitionData,
  makeDescribeQuorumResponseTopicData,
  makeListener,
  makeNode,
  makeReplicaState,
} from "#protocol/generated/describe-quorum.ts";
import type {
  DescribeQuorumRequest,
  DescribeQuorumResponse,
} from "#protocol/generated/describe-quorum.ts";
import type { ApiHandler, RequestContext } from "../handler.ts";

const METADATA_TOPIC = "__cluster_metadata";
const METADATA_PARTITION = 0;
const FIRST_VERSION_WITH_NODES = 2;

/** A member of the quorum as its leader sees it. */
export interface QuorumReplicaView {
  readonly id: number;
  /** Null when it is not known (any more). */
  readonly directoryId: string | null;
  readonly endOffset: number;
  /** Wall clock, ms; -1 for never. */
  readonly lastFetchMs: number;
  readonly lastCaughtUpMs: number;
}

/** A quorum of several nodes, as its leader sees it. */
export interface QuorumView {
  readonly leaderId: number;
  readonly leaderEpoch: number;
  readonly highWatermark: number;
  readonly voters: readonly QuorumReplicaView[];
  readonly observers: readonly QuorumReplicaView[];
  /** Where voters are reached. */
  readonly nodes: readonly {
    readonly nodeId: number;
    readonly listener: string;
    readonly host: string;
    readonly port: number;
  }[];
}

/** What the handler works with. */
export interface DescribeQuorumDependencies {
  /** On a node of a cluster: null while it does not lead. Absent on a node by itself. */
  readonly quorum?: () => QuorumView | null;
  readonly nodeId: number;
  readonly clock: Pick<Clock, "nowMs">;
  readonly image: () => ClusterImage;
}

/** Serves DescribeQuorum. */
export function createDescribeQuorumHandler(
  dependencies: DescribeQuorumDependencies,
): ApiHandler<DescribeQuorumRequest, DescribeQuorumResponse> {
  return {
    api: DescribeQuorumApi,
    minVersion: 0,
    maxVersion: 2,
    handle: (request, context) => {
      if (!asksForMetadata(request)) return refuse(request);
      if (dependencies.quorum === undefined) return describe(dependencies, context);
      const view = dependencies.quorum();
      return view === null ? notLeader(request) : describeView(view, context);
    },
  };
}

/** True for a request of the metadata's one partition, and nothing else. */
function asksForMetadata({ topics }: DescribeQuorumRequest): boolean {
  const [topic] = topics;
  return (
    topics.length === 1 &&
    topic?.topicName === METADATA_TOPIC &&
    topic.partitions.length === 1 &&
    topic.partitions[0]?.partitionIndex === METADATA_PARTITION
  );
}

function refuse({ topics }: DescribeQuorumRequest): DescribeQuorumResponse {
  return makeDescribeQuorumResponse({
    topics: topics.map(({ topicName, partitions }) =>
      makeDescribeQuorumResponseTopicData({
        topicName,
        partitions: partitions.map(({ partitionIndex }) =>
          makeDescribeQuorumResponsePartitionData({
            partitionIndex,
            errorCode: ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
            errorMessage: "This server does not host this topic-partition.",
          }),
        ),
      }),
    ),
  });
}

function describe(
  { nodeId, clock, image }: DescribeQuorumDependencies,
  { apiVersion, connection }: RequestContext,
): DescribeQuorumResponse {
  const { offset, epoch, brokers } = image();
  const nowMs = clock.nowMs();
  const endOffset = offset + 1;
  const leader = makeReplicaState({
    replicaId: nodeId,
    replicaDirectoryId: ZERO_UUID,
    logEndOffset: endOffset,
    lastFetchTimestamp: nowMs,
    lastCaughtUpTimestamp: nowMs,
  });
  const partition = makeDescribeQuorumResponsePartitionData({
    partitionIndex: METADATA_PARTITION,
    leaderId: nodeId,
    leaderEpoch: epoch,
    highWatermark: endOffset,
    currentVoters: [leader],
  });
  const listeners = (brokers.get(nodeId)?.endpoints ?? []).map(({ name, host, port }) =>
    makeListener({
      name,
      host: host === "" ? connection.localHost : host,
      port: port === 0 ? connection.localPort : port,
    }),
  );
  return makeDescribeQuorumResponse({
    topics: [
      makeDescribeQuorumResponseTopicData({ topicName: METADATA_TOPIC, partitions: [partition] }),
    ],
    nodes: apiVersion >= FIRST_VERSION_WITH_NODES ? [makeNode({ nodeId, listeners })] : [],
  });
}

/** Only the leader knows how far the others are. */
function notLeader({ topics }: DescribeQuorumRequest): DescribeQuorumResponse {
  return makeDescribeQuorumResponse({
    topics: topics.map(({ topicName, partitions }) =>
      makeDescribeQuorumResponseTopicData({
        topicName,
        partitions: partitions.map(({ partitionIndex }) =>
          makeDescribeQuorumResponsePartitionData({
            partitionIndex,
            errorCode: ErrorCode.NOT_LEADER_OR_FOLLOWER,
            errorMessage: "Another node leads the quorum.",
          }),
        ),
      }),
    ),
  });
}

function describeView(view: QuorumView, { apiVersion }: RequestContext): DescribeQuorumResponse {
  const tellsDirectories = apiVersion >= FIRST_VERSION_WITH_NODES;
  const states = (members: readonly QuorumReplicaView[]): ReturnType<typeof makeReplicaState>[] =>
    members.map(({ id, directoryId, endOffset, lastFetchMs, lastCaughtUpMs }) =>
      makeReplicaState({
        replicaId: id,
        replicaDirectoryId: tellsDirectories ? (directoryId ?? ZERO_UUID) : ZERO_UUID,
        logEndOffset: endOffset,
        lastFetchTimestamp: lastFetchMs,
        lastCaughtUpTimestamp: lastCaughtUpMs,
      }),
    );
  const partition = makeDescribeQuorumResponsePartitionData({
    partitionIndex: METADATA_PARTITION,
    leaderId: view.leaderId,
    leaderEpoch: view.leaderEpoch,
    highWatermark: view.highWatermark,
    currentVoters: states(view.voters),
    observers: states(view.observers),
  });
  const nodes = view.nodes.map(({ nodeId, listener, host, port }) =>
    makeNode({ nodeId, listeners: [makeListener({ name: listener, host, port })] }),
  );
  return makeDescribeQuorumResponse({
    topics: [
      makeDescribeQuorumResponseTopicData({ topicName: METADATA_TOPIC, partitions: [partition] }),
    ],
    nodes: tellsDirectories ? nodes : [],
  });
}
