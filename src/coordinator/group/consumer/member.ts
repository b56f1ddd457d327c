/**
 * A member of a consumer group: an immutable value. Two records make it, what the member says of itself (`consumer-member`) and what
 * it holds (`consumer-current`); each of them makes a new value.
 *
 * ```
 *                       target differs, something to give back          given back
 *   STABLE ───────────────────────────────────▶ UNREVOKED_PARTITIONS ────────────▶ STABLE or UNRELEASED_PARTITIONS
 *     │  target differs, something is still with another member
 *     └──────────────────────────────────────▶ UNRELEASED_PARTITIONS ──── others let go ───▶ STABLE
 * ```
 */
import type {
  ConsumerGroupCurrentMemberAssignmentValue,
  TopicPartitions,
} from "#protocol/generated/records/consumer-group-current-member-assignment.ts";
import type { ConsumerGroupMemberMetadataValue } from "#protocol/generated/records/consumer-group-member-metadata.ts";
import type { TopicId } from "./assignor/assignor.ts";

/** States of a member, by the numbers that are stored. */
export const MemberState = {
  /** Has what the target of its epoch says. */
  STABLE: 0,
  /** Was told to give partitions back and has not confirmed it. */
  UNREVOKED_PARTITIONS: 1,
  /** Waits for partitions that other members still hold. */
  UNRELEASED_PARTITIONS: 2,
  /** Written by a newer coordinator. */
  UNKNOWN: 127,
} as const;

/** Epochs with a meaning of their own. */
export const MemberEpoch = {
  JOIN: 0,
  LEAVE: -1,
  /** A static member that will be back. */
  LEAVE_STATIC: -2,
} as const;

/** Partitions by topic, each with the epoch in which the member was assigned it (KIP-1251). No topic is without partitions. */
export type Holdings = ReadonlyMap<TopicId, ReadonlyMap<number, number>>;

/** What a member that speaks the classic protocol said when it joined. */
export interface ClassicTraits {
  readonly sessionTimeoutMs: number;
  readonly supportedProtocols: readonly { readonly name: string; readonly metadata: Uint8Array }[];
}

/** See the head of the file. */
export interface ConsumerMember {
  readonly memberId: string;
  readonly instanceId: string | null;
  readonly rackId: string | null;
  readonly clientId: string;
  readonly clientHost: string;
  /** Sorted, each name once. */
  readonly subscribedTopicNames: readonly string[];
  /** Empty: none. */
  readonly subscribedTopicRegex: string;
  /** -1: not known. */
  readonly rebalanceTimeoutMs: number;
  readonly serverAssignor: string | null;
  /** `null` for members of the consumer protocol. */
  readonly classic: ClassicTraits | null;
  readonly memberEpoch: number;
  readonly previousMemberEpoch: number;
  /** See {@link MemberState}. */
  readonly state: number;
  readonly assigned: Holdings;
  /** What it was told to give back. */
  readonly pendingRevocation: Holdings;
}

const NOTHING: Holdings = new Map();

/** A member of which nothing is known but its id. */
export function newMember(memberId: string): ConsumerMember {
  return {
    memberId,
    instanceId: null,
    rackId: null,
    clientId: "",
    clientHost: "",
    subscribedTopicNames: [],
    subscribedTopicRegex: "",
    rebalanceTimeoutMs: -1,
    serverAssignor: null,
    classic: null,
    memberEpoch: MemberEpoch.JOIN,
    previousMemberEpoch: -1,
    state: MemberState.STABLE,
    assigned: NOTHING,
    pendingRevocation: NOTHING,
  };
}

/** True when nothing is left to do for the member to have what the target of `epoch` says. */
export function isReconciledTo(member: ConsumerMember, epoch: number): boolean {
  return member.state === MemberState.STABLE && member.memberEpoch === epoch;
}

/** Names in the order they are stored in, each once. */
export function sortedNames(names: Iterable<string>): string[] {
  return [...new Set(names)].sort();
}

// ---- what a member says

/** The record of what a member says of itself. */
export function memberValue(member: ConsumerMember): ConsumerGroupMemberMetadataValue {
  const { classic } = member;
  return {
    instanceId: member.instanceId,
    rackId: member.rackId,
    clientId: member.clientId,
    clientHost: member.clientHost,
    subscribedTopicNames: [...member.subscribedTopicNames],
    subscribedTopicRegex: member.subscribedTopicRegex,
    rebalanceTimeoutMs: member.rebalanceTimeoutMs,
    serverAssignor: member.serverAssignor,
    classicMemberMetadata:
      classic === null
        ? null
        : {
            sessionTimeoutMs: classic.sessionTimeoutMs,
            supportedProtocols: [...classic.supportedProtocols],
          },
  };
}

/** The member as its record says. */
export function withMemberValue(
  member: ConsumerMember,
  value: ConsumerGroupMemberMetadataValue,
): ConsumerMember {
  return {
    ...member,
    instanceId: value.instanceId,
    rackId: value.rackId,
    clientId: value.clientId,
    clientHost: value.clientHost,
    subscribedTopicNames: sortedNames(value.subscribedTopicNames),
    subscribedTopicRegex: value.subscribedTopicRegex ?? "",
    rebalanceTimeoutMs: value.rebalanceTimeoutMs,
    serverAssignor: value.serverAssignor,
    classic: value.classicMemberMetadata,
  };
}

/** True when two members say the same of themselves. */
export function saysTheSame(one: ConsumerMember, other: ConsumerMember): boolean {
  return (
    one.instanceId === other.instanceId &&
    one.rackId === other.rackId &&
    one.clientId === other.clientId &&
    one.clientHost === other.clientHost &&
    one.subscribedTopicRegex === other.subscribedTopicRegex &&
    one.rebalanceTimeoutMs === other.rebalanceTimeoutMs &&
    one.serverAssignor === other.serverAssignor &&
    hasSameNames(one, other) &&
    areEqualTraits(one.classic, other.classic)
  );
}

/** True when two members subscribe to the same names. */
export function hasSameNames(one: ConsumerMember, other: ConsumerMember): boolean {
  const left = one.subscribedTopicNames;
  const right = other.subscribedTopicNames;
  return (
    left === right || (left.length === right.length && left.every((name, i) => name === right[i]))
  );
}

function areEqualTraits(one: ClassicTraits | null, other: ClassicTraits | null): boolean {
  if (one === null || other === null) return one === other;
  const { supportedProtocols: left } = one;
  const { supportedProtocols: right } = other;
  return (
    one.sessionTimeoutMs === other.sessionTimeoutMs &&
    left.length === right.length &&
    left.every((protocol, index) => {
      const offered = right[index];
      return (
        offered !== undefined &&
        offered.name === protocol.name &&
        areEqualBytes(offered.metadata, protocol.metadata)
      );
    })
  );
}

function areEqualBytes(one: Uint8Array, other: Uint8Array): boolean {
  return one.length === other.length && one.every((byte, index) => byte === other[index]);
}

// ---- what a member holds

/** The record of what a member holds. */
export function currentValue(member: ConsumerMember): ConsumerGroupCurrentMemberAssignmentValue {
  return {
    memberEpoch: member.memberEpoch,
    previousMemberEpoch: member.previousMemberEpoch,
    state: member.state,
    assignedPartitions: storedHoldings(member.assigned),
    partitionsPendingRevocation: storedHoldings(member.pendingRevocation),
  };
}

/** The member as its record says; `null` is the tombstone that comes before its end. */
export function withCurrentValue(
  member: ConsumerMember,
  value: ConsumerGroupCurrentMemberAssignmentValue | null,
): ConsumerMember {
  if (value === null) {
    const epoch = MemberEpoch.LEAVE;
    const gone = { memberEpoch: epoch, previousMemberEpoch: epoch };
    return { ...member, ...gone, assigned: NOTHING, pendingRevocation: NOTHING };
  }
  const { memberEpoch, previousMemberEpoch, state } = value;
  const known: readonly number[] = Object.values(MemberState);
  return {
    ...member,
    memberEpoch,
    previousMemberEpoch,
    state: known.includes(state) ? state : MemberState.UNKNOWN,
    assigned: holdings(value.assignedPartitions, memberEpoch),
    pendingRevocation: holdings(value.partitionsPendingRevocation, memberEpoch),
  };
}

/** True when two members hold the same in the same epochs. */
export function holdsTheSame(one: ConsumerMember, other: ConsumerMember): boolean {
  return (
    one.memberEpoch === other.memberEpoch &&
    one.previousMemberEpoch === other.previousMemberEpoch &&
    one.state === other.state &&
    areEqualHoldings(one.assigned, other.assigned) &&
    areEqualHoldings(one.pendingRevocation, other.pendingRevocation)
  );
}

/** True when both have the same partitions in the same epochs. */
export function areEqualHoldings(one: Holdings, other: Holdings): boolean {
  if (one === other) return true;
  if (one.size !== other.size) return false;
  for (const [topicId, partitions] of one) {
    const others = other.get(topicId);
    if (others === undefined || others.size !== partitions.size) return false;
    for (const [partition, epoch] of partitions) {
      if (others.get(partition) !== epoch) return false;
    }
  }
  return true;
}

/** Partitions as in a heartbeat, ascending. */
export function partitionLists(
  held: ReadonlyMap<TopicId, { keys(): Iterator<number> & Iterable<number> }>,
): { topicId: TopicId; partitions: number[] }[] {
  return Array.from(held, ([topicId, partitions]) => ({
    topicId,
    partitions: [...partitions.keys()].sort((left, right) => left - right),
  }));
}

function storedHoldings(held: Holdings): TopicPartitions[] {
  return Array.from(held, ([topicId, epochs]) => {
    const rows = [...epochs].sort(([left], [right]) => left - right);
    return {
      topicId,
      partitions: rows.map(([partition]) => partition),
      assignmentEpochs: rows.map(([, epoch]) => epoch),
    };
  });
}

/** Records of coordinators before 4.2 have no epochs: the member's own stands for them. */
function holdings(stored: readonly TopicPartitions[], memberEpoch: number): Holdings {
  const held = new Map<TopicId, ReadonlyMap<number, number>>();
  for (const { topicId, partitions, assignmentEpochs } of stored) {
    const epochs = assignmentEpochs?.length === partitions.length ? assignmentEpochs : null;
    const byPartition = new Map<number, number>();
    partitions.forEach((partition, index) => {
      byPartition.set(partition, epochs?.[index] ?? Math.max(memberEpoch, 0));
    });
    if (byPartition.size > 0) held.set(topicId, byPartition);
  }
  return held;
}
