/** What the coordinator and its handlers ask the cluster's metadata. All answers between two changes of `version` agree. */
export interface TopicLookup {
  nameOf(topicId: string): string | undefined;
  idOf(name: string): string | undefined;
  partitionCount(name: string): number | undefined;
  /** All topics. */
  names(): Iterable<string>;
  /** Racks of the brokers that hold replicas of the partition, one for each replica whose rack is known. */
  racks(name: string, partition: number): readonly string[];
  /** Offset of the metadata these answers come from. */
  version(): number;
  /** Version since which topics, their partitions and racks are as they are. */
  topicsVersion(): number;
  /** Version in which a topic was created last. */
  creationVersion(): number;
}
