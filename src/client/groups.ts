/**
 * Groups from the operator's side: listed at every broker, described and deleted at their coordinator. A group id names one group of
 * either protocol: it is asked for as a next-generation one first, then as a classic one, and told in one shape.
 */
import { ErrorCode } from "#common/error-code.ts";
import {
  ConsumerGroupDescribeApi,
  type Assignment,
  makeConsumerGroupDescribeRequest,
} from "#protocol/generated/consumer-group-describe.ts";
import { DeleteGroupsApi, makeDeleteGroupsRequest } from "#protocol/generated/delete-groups.ts";
import {
  DescribeGroupsApi,
  makeDescribeGroupsRequest,
} from "#protocol/generated/describe-groups.ts";
import { ListGroupsApi, makeListGroupsRequest } from "#protocol/generated/list-groups.ts";
import { decodeConsumerAssignment, decodeConsumerSubscription } from "#protocol/records/framing.ts";
import type { Address } from "./address.ts";
import { ClientError, refused } from "./client-error.ts";
import type { Cluster } from "./cluster.ts";
import type { Connection } from "./connection.ts";
import { retrying } from "./retry.ts";

/** A group as a list tells it; state and type are empty where the broker is too old to tell them. */
export interface GroupListing {
  readonly groupId: string;
  readonly state: string;
  readonly type: string;
  readonly protocolType: string;
  /** Node id of the broker that told it, its coordinator. */
  readonly coordinator: number;
}

/** Which groups to list; empty lists mean all. */
export interface GroupFilter {
  readonly states: readonly string[];
  readonly types: readonly string[];
}

/** Partitions by topic. */
export type TopicPartitionSets = ReadonlyMap<string, readonly number[]>;

/** A member of a group. */
export interface MemberDescription {
  readonly memberId: string;
  readonly instanceId: string | null;
  readonly clientId: string;
  readonly host: string;
  readonly rackId: string | null;
  /** Of the protocol the member speaks; in a consumer group some may still speak the classic one. */
  readonly protocol: "classic" | "consumer";
  /** Null in a classic group. */
  readonly memberEpoch: number | null;
  readonly subscribedTopics: readonly string[];
  readonly subscribedRegex: string | null;
  /** What it reads now. */
  readonly assignment: TopicPartitionSets;
  /** What it is to read in the end; null in a classic group. */
  readonly target: TopicPartitionSets | null;
}

/** A group and its members. */
export interface GroupDescription {
  readonly groupId: string;
  readonly type: "classic" | "consumer";
  readonly state: string;
  /** `consumer`, `connect` and so on; empty for a group that only holds offsets. */
  readonly protocolType: string;
  /** Name of the assignor, empty while there is none. */
  readonly assignor: string;
  readonly coordinator: Address & { readonly nodeId: number };
  /** Null in a classic group. */
  readonly groupEpoch: number | null;
  /** Null in a classic group. */
  readonly targetEpoch: number | null;
  readonly members: readonly MemberDescription[];
}

const LIST_STATES_VERSION = 4;
const LIST_TYPES_VERSION = 5;
/** The type of a member of a next-generation group that still speaks the classic protocol. */
const CLASSIC_MEMBER_TYPE = 0;
const CONSUMER_PROTOCOL = "consumer";

/** The groups of all brokers, sorted by id. */
export async function listGroups(
  cluster: Cluster,
  filter: GroupFilter = { states: [], types: [] },
): Promise<readonly GroupListing[]> {
  const lists = await Promise.all(
    [...cluster.metadata.brokers.keys()].map((nodeId) =>
      retrying(() => listGroupsOf(cluster, nodeId, filter), cluster.retryTimeoutMs),
    ),
  );
  return lists.flat().sort((a, b) => (a.groupId < b.groupId ? -1 : 1));
}

async function listGroupsOf(
  cluster: Cluster,
  nodeId: number,
  { states, types }: GroupFilter,
): Promise<readonly GroupListing[]> {
  const connection = await cluster.node(nodeId);
  const version = connection.versionOf(ListGroupsApi) ?? 0;
  const needed =
    types.length > 0 ? LIST_TYPES_VERSION : states.length > 0 ? LIST_STATES_VERSION : 0;
  if (version < needed)
    throw new ClientError("UNSUPPORTED", `broker ${nodeId} cannot filter groups: it is too old`);
  const answer = await connection.send(
    ListGroupsApi,
    makeListGroupsRequest({ statesFilter: [...states], typesFilter: [...types] }),
  );
  if (answer.errorCode !== 0) throw refused(`groups of broker ${nodeId}`, answer.errorCode);
  return answer.groups.map(({ groupId, groupState, groupType, protocolType }) => ({
    groupId,
    state: groupState,
    type: groupType,
    protocolType,
    coordinator: nodeId,
  }));
}

/**
 * Runs a request against a group's coordinator, finding it anew while it moves or loads.
 *
 * @throws ClientError after the cluster's retry time.
 */
export function atCoordinator<T>(
  cluster: Cluster,
  groupId: string,
  attempt: (
    connection: Connection,
    coordinator: Address & { readonly nodeId: number },
  ) => Promise<T>,
): Promise<T> {
  return retrying(async () => {
    const coordinator = await cluster.coordinatorOf(groupId);
    return attempt(await cluster.connectionTo(coordinator), coordinator);
  }, cluster.retryTimeoutMs);
}

/**
 * One group with its members.
 *
 * @throws ClientError REFUSED with GROUP_ID_NOT_FOUND when there is none.
 */
export function describeGroup(cluster: Cluster, groupId: string): Promise<GroupDescription> {
  return atCoordinator(cluster, groupId, async (connection, coordinator) => {
    const isNextServed = connection.versionOf(ConsumerGroupDescribeApi) !== null;
    const next = isNextServed ? await describeConsumerGroup(connection, groupId) : null;
    const described = next ?? (await describeClassicGroup(connection, groupId));
    return { ...described, groupId, coordinator };
  });
}

type Described = Omit<GroupDescription, "groupId" | "coordinator">;

/** Null when the group is none of the next generation. */
async function describeConsumerGroup(
  connection: Connection,
  groupId: string,
): Promise<Described | null> {
  const answer = await connection.send(
    ConsumerGroupDescribeApi,
    makeConsumerGroupDescribeRequest({ groupIds: [groupId] }),
  );
  const group = answer.groups[0];
  if (
    group === undefined ||
    group.errorCode === ErrorCode.GROUP_ID_NOT_FOUND ||
    group.errorCode === ErrorCode.UNSUPPORTED_VERSION
  )
    return null;
  if (group.errorCode !== 0)
    throw refused(`group '${groupId}'`, group.errorCode, group.errorMessage);
  return {
    type: "consumer",
    state: group.groupState,
    protocolType: CONSUMER_PROTOCOL,
    assignor: group.assignorName,
    groupEpoch: group.groupEpoch,
    targetEpoch: group.assignmentEpoch,
    members: group.members.map((member) => ({
      memberId: member.memberId,
      instanceId: member.instanceId,
      clientId: member.clientId,
      host: withoutSlash(member.clientHost),
      rackId: member.rackId,
      protocol: member.memberType === CLASSIC_MEMBER_TYPE ? "classic" : "consumer",
      memberEpoch: member.memberEpoch,
      subscribedTopics: member.subscribedTopicNames,
      subscribedRegex: member.subscribedTopicRegex === "" ? null : member.subscribedTopicRegex,
      assignment: toPartitionSets(member.assignment),
      target: toPartitionSets(member.targetAssignment),
    })),
  };
}

function toPartitionSets({ topicPartitions }: Assignment): TopicPartitionSets {
  return new Map(topicPartitions.map(({ topicName, partitions }) => [topicName, partitions]));
}

async function describeClassicGroup(connection: Connection, groupId: string): Promise<Described> {
  const answer = await connection.send(
    DescribeGroupsApi,
    makeDescribeGroupsRequest({ groups: [groupId] }),
  );
  const group = answer.groups[0];
  // Before version 6 a group that does not exist is told as a dead one.
  const errorCode =
    group === undefined || (group.errorCode === 0 && group.groupState === "Dead")
      ? ErrorCode.GROUP_ID_NOT_FOUND
      : group.errorCode;
  if (group === undefined || errorCode !== 0)
    throw refused(`group '${groupId}'`, errorCode, group?.errorMessage ?? null);
  return {
    type: "classic",
    state: group.groupState,
    protocolType: group.protocolType,
    assignor: group.protocolData,
    groupEpoch: null,
    targetEpoch: null,
    members: group.members.map((member) => {
      const isConsumer = group.protocolType === CONSUMER_PROTOCOL;
      return {
        memberId: member.memberId,
        instanceId: member.groupInstanceId,
        clientId: member.clientId,
        host: withoutSlash(member.clientHost),
        rackId: null,
        protocol: "classic",
        memberEpoch: null,
        subscribedTopics: isConsumer ? subscribedTopics(member.memberMetadata) : [],
        subscribedRegex: null,
        assignment: isConsumer ? assignedPartitions(member.memberAssignment) : new Map(),
        target: null,
      };
    }),
  };
}

/** Java prints an address with the name in front of a slash, and there is none. */
function withoutSlash(host: string): string {
  return host.startsWith("/") ? host.slice(1) : host;
}

/** What cannot be read is none: another client's member is shown all the same. */
function subscribedTopics(metadata: Uint8Array): readonly string[] {
  if (metadata.length === 0) return [];
  const decoded = decodeConsumerSubscription(metadata);
  return decoded.kind === "record" ? decoded.record.topics : [];
}

function assignedPartitions(assignment: Uint8Array): TopicPartitionSets {
  if (assignment.length === 0) return new Map();
  const decoded = decodeConsumerAssignment(assignment);
  return decoded.kind === "record"
    ? new Map(decoded.record.assignedPartitions.map(({ topic, partitions }) => [topic, partitions]))
    : new Map();
}

/**
 * Deletes a group and its committed offsets.
 *
 * @throws ClientError REFUSED, among others with NON_EMPTY_GROUP and GROUP_ID_NOT_FOUND.
 */
export function deleteGroup(cluster: Cluster, groupId: string): Promise<void> {
  return atCoordinator(cluster, groupId, async (connection) => {
    const answer = await connection.send(
      DeleteGroupsApi,
      makeDeleteGroupsRequest({ groupsNames: [groupId] }),
    );
    const row = answer.results[0];
    if (row === undefined || row.errorCode !== 0)
      throw refused(`group '${groupId}'`, row?.errorCode ?? -1, row?.errorMessage ?? null);
  });
}
