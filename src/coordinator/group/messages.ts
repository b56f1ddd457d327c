/**
 * Requests and responses of the group APIs as the state machine sees them. They have the field names of the protocol, so
 * the generated messages fit as they are, but none of its versions: what differs between versions is settled by the handlers
 * and arrives here as plain facts (`isMemberIdRequired`, `canSkipAssignment`).
 */

import type { CommittedRow } from "./records.ts";

/** One protocol a member could use, with its opaque subscription. */
export interface JoinProtocol {
  readonly name: string;
  readonly metadata: Uint8Array;
}

/** Who asks, apart from what the request says. */
export interface GroupCaller {
  readonly clientId: string;
  /** Address of the client in Kafka's form: `/127.0.0.1`. */
  readonly clientHost: string;
}

export interface JoinInput {
  readonly groupId: string;
  readonly sessionTimeoutMs: number;
  /** The session timeout before v1, which has no other. */
  readonly rebalanceTimeoutMs: number;
  readonly memberId: string;
  readonly groupInstanceId: string | null;
  readonly protocolType: string;
  readonly protocols: readonly JoinProtocol[];
  /** v4+: a dynamic member without id is given one and must come back with it (KIP-394). */
  readonly isMemberIdRequired: boolean;
  /** v9+: a returning static leader is told to skip the assignment (KIP-814). */
  readonly canSkipAssignment: boolean;
  readonly caller: GroupCaller;
  /** Fresh random part for a member id, should one be needed. */
  readonly freshId: string;
  /** Under which number the driver parked this request. */
  readonly waiter: number;
}

export interface JoinedMember {
  readonly memberId: string;
  readonly groupInstanceId: string | null;
  readonly metadata: Uint8Array;
}

export interface JoinOutput {
  readonly api: "join";
  readonly errorCode: number;
  readonly generationId: number;
  readonly protocolType: string | null;
  readonly protocolName: string | null;
  readonly leader: string;
  readonly skipAssignment: boolean;
  readonly memberId: string;
  readonly members: readonly JoinedMember[];
}

export interface SyncInput {
  readonly groupId: string;
  readonly generationId: number;
  readonly memberId: string;
  readonly groupInstanceId: string | null;
  readonly protocolType: string | null;
  readonly protocolName: string | null;
  readonly assignments: readonly { readonly memberId: string; readonly assignment: Uint8Array }[];
  readonly waiter: number;
}

export interface SyncOutput {
  readonly api: "sync";
  readonly errorCode: number;
  readonly protocolType: string | null;
  readonly protocolName: string | null;
  readonly assignment: Uint8Array;
}

/** Answers of requests that are parked inside a group. */
export type ParkedOutput = JoinOutput | SyncOutput;

export interface HeartbeatInput {
  readonly groupId: string;
  readonly generationId: number;
  readonly memberId: string;
  readonly groupInstanceId: string | null;
}

export interface LeaveInput {
  readonly groupId: string;
  readonly members: readonly {
    readonly memberId: string;
    readonly groupInstanceId: string | null;
  }[];
}

export interface LeaveOutput {
  readonly errorCode: number;
  readonly members: readonly {
    readonly memberId: string;
    readonly groupInstanceId: string | null;
    readonly errorCode: number;
  }[];
}

export interface ConsumerHeartbeatInput {
  readonly groupId: string;
  /** Empty: v0 clients are given one. */
  readonly memberId: string;
  /** 0: join; -1: leave; -2: leave for a moment, as a static member. */
  readonly memberEpoch: number;
  readonly instanceId: string | null;
  readonly rackId: string | null;
  /** -1 and `null`: as before. */
  readonly rebalanceTimeoutMs: number;
  readonly subscribedTopicNames: readonly string[] | null;
  readonly subscribedTopicRegex: string | null;
  readonly serverAssignor: string | null;
  /** What the member holds; `null`: as before. */
  readonly topicPartitions:
    readonly { readonly topicId: string; readonly partitions: readonly number[] }[] | null;
  /** v1+: members choose their ids. */
  readonly isMemberIdRequired: boolean;
  readonly caller: GroupCaller;
  /** Fresh id for a member that brings none. */
  readonly freshId: string;
}

export interface ConsumerHeartbeatOutput {
  readonly errorCode: number;
  readonly errorMessage: string | null;
  readonly memberId: string | null;
  readonly memberEpoch: number;
  readonly heartbeatIntervalMs: number;
  /** `null`: as before. */
  readonly assignment: {
    readonly topicPartitions: readonly {
      readonly topicId: string;
      readonly partitions: readonly number[];
    }[];
  } | null;
}

/** A consumer group as ConsumerGroupDescribe shows it. */
export interface DescribedConsumerGroup {
  readonly errorCode: number;
  readonly errorMessage: string | null;
  readonly groupId: string;
  readonly groupState: string;
  readonly groupEpoch: number;
  readonly assignmentEpoch: number;
  readonly assignorName: string;
  readonly members: readonly DescribedConsumerMember[];
}

export interface DescribedConsumerMember {
  readonly memberId: string;
  readonly instanceId: string | null;
  readonly rackId: string | null;
  readonly memberEpoch: number;
  readonly clientId: string;
  readonly clientHost: string;
  readonly subscribedTopicNames: readonly string[];
  readonly subscribedTopicRegex: string | null;
  readonly assignment: DescribedAssignment;
  readonly targetAssignment: DescribedAssignment;
  /** 0: classic, 1: consumer. */
  readonly memberType: number;
}

export interface DescribedAssignment {
  readonly topicPartitions: readonly {
    readonly topicId: string;
    readonly topicName: string;
    readonly partitions: readonly number[];
  }[];
}

export interface CommitInput {
  readonly groupId: string;
  /** -1 with an empty member id: a client that manages its own partitions. */
  readonly generationIdOrMemberEpoch: number;
  readonly memberId: string;
  readonly groupInstanceId: string | null;
  /** v2–v4 only; -1: the broker's retention. */
  readonly retentionTimeMs: number;
  /** v9+: an unknown group with a generation is GROUP_ID_NOT_FOUND instead of ILLEGAL_GENERATION, and members of the consumer protocol may commit. */
  readonly isUnknownGroupNamed: boolean;
  readonly topics: readonly {
    readonly name: string;
    readonly topicId: string;
    readonly partitions: readonly CommittedRow[];
  }[];
}

export interface CommitOutput {
  readonly errorCode: number;
  /** In request order; empty when `errorCode` is set: then it holds for every row. They belong to the caller. */
  readonly topics: CommittedTopic[];
}

/** What became of the rows of one topic. */
export interface CommittedTopic {
  name: string;
  topicId: string;
  partitions: { partitionIndex: number; errorCode: number }[];
}

export interface FetchOffsetsInput {
  readonly groupId: string;
  /** v9+: who asks, and in which epoch; `null` and -1: an administrator, or an older client. */
  readonly memberId: string | null;
  readonly memberEpoch: number;
  /** `null`: everything the group has committed. */
  readonly topics:
    | readonly {
        readonly name: string;
        readonly topicId: string;
        readonly partitionIndexes: readonly number[];
      }[]
    | null;
}

export interface FetchedOffset {
  readonly partitionIndex: number;
  readonly committedOffset: number;
  readonly committedLeaderEpoch: number;
  readonly metadata: string;
  readonly errorCode: number;
}

export interface FetchOffsetsOutput {
  readonly groupId: string;
  readonly errorCode: number;
  readonly topics: readonly {
    readonly name: string;
    readonly topicId: string;
    readonly partitions: readonly FetchedOffset[];
  }[];
}

export interface DeleteOffsetsInput {
  readonly groupId: string;
  readonly topics: readonly {
    readonly name: string;
    readonly partitions: readonly { readonly partitionIndex: number }[];
  }[];
}

export interface DeleteOffsetsOutput {
  readonly errorCode: number;
  readonly topics: readonly {
    readonly name: string;
    readonly partitions: readonly { readonly partitionIndex: number; readonly errorCode: number }[];
  }[];
}

export interface DescribedGroup {
  readonly errorCode: number;
  /** Why not, in Kafka's words; only clients since v6 are told. */
  readonly errorMessage: string | null;
  readonly groupId: string;
  readonly groupState: string;
  readonly protocolType: string;
  readonly protocolData: string;
  readonly members: readonly {
    readonly memberId: string;
    readonly groupInstanceId: string | null;
    readonly clientId: string;
    readonly clientHost: string;
    readonly memberMetadata: Uint8Array;
    readonly memberAssignment: Uint8Array;
  }[];
}

export interface ListedGroup {
  readonly groupId: string;
  readonly protocolType: string;
  readonly groupState: string;
  readonly groupType: string;
}

/** What a coordinator counts. */
export interface GroupStatistics {
  readonly groupsByState: ReadonlyMap<string, number>;
  readonly memberCount: number;
  /** Offsets of partitions committed since the start. */
  readonly committedOffsetsCount: number;
}
