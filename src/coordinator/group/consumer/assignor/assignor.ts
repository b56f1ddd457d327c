/**
 * What a server-side assignor is (KIP-848): a pure function from the members of a consumer group and what they were promised last to
 * the next target assignment. It holds no state between calls, so the target of a group follows from its records alone.
 */

/** Topic ids in the text form of `#common/uuid.ts`. */
export type TopicId = string;

/** One member as an assignor sees it. */
export interface AssignorMember {
  readonly memberId: string;
  /** Group instance id of a static member; `null` for a dynamic one. */
  readonly instanceId: string | null;
  readonly rackId: string | null;
  /** Topics that exist and that the member wants, by name and by pattern. */
  readonly subscribedTopicIds: ReadonlySet<TopicId>;
  /** The member's target assignment so far: what it should keep if it can. Never empty sets. */
  readonly assigned: ReadonlyMap<TopicId, ReadonlySet<number>>;
}

/** The cluster as an assignor sees it. */
export interface AssignorTopics {
  /** Number of partitions, or -1 for a topic that does not exist. */
  partitionCount(topicId: TopicId): number;
  /** Racks of the brokers that hold replicas of the partition; empty where unknown. */
  racks(topicId: TopicId, partition: number): ReadonlySet<string>;
}

/**
 * A target assignment by member and topic. Every member of the group has an entry, each partition is with one member at most, partitions
 * of a topic ascend and are never an empty list.
 */
export type TargetAssignment = ReadonlyMap<string, ReadonlyMap<TopicId, readonly number[]>>;

/** Divides the partitions of the topics that members subscribe to among them. */
export interface Assignor {
  /** As members ask for it and `group.consumer.assignors` lists it. */
  readonly name: string;
  /**
   * @param members - by member id; not kept and not changed.
   * @returns a new target. Topics that nobody wants, and topics that do not exist, are with nobody.
   */
  assign(members: ReadonlyMap<string, AssignorMember>, topics: AssignorTopics): TargetAssignment;
}
