/**
 * Sizes and offsets of the partitions, bounded: each partition while there are few, sums by topic always, and what is beyond
 * the bound of topics together. The walk gives way to other work every few hundred partitions, so that a scrape of ten thousand
 * keeps no client waiting for longer than a moment.
 */
import type { PartitionDirectory } from "#replica/partition-directory.ts";
import { STATE_COLUMNS, StateColumn } from "#replica/log-port.ts";

/** Partitions asked in one go: about a third of a millisecond. */
const WALK_STEP = 500;

/** One partition. */
export interface PartitionSample {
  readonly topic: string;
  readonly partition: number;
  readonly logStartOffset: number;
  readonly logEndOffset: number;
  readonly sizeBytes: number;
  readonly segmentCount: number;
}

/** Sums over the partitions of a topic. */
export interface TopicSample {
  partitionCount: number;
  sizeBytes: number;
  segmentCount: number;
}

/** All partitions of this broker. */
export interface PartitionStatistics {
  readonly topicCount: number;
  readonly partitionCount: number;
  readonly sizeBytes: number;
  /** Empty when there are more partitions than the bound. */
  readonly partitions: readonly PartitionSample[];
  /** By topic; what is beyond the bound under the empty name. */
  readonly topics: ReadonlyMap<string, TopicSample>;
}

/** What is asked, and how much of it may be told. */
export interface PartitionWalk {
  readonly directory: PartitionDirectory;
  readonly log: { partitionState(handle: number, out: Float64Array): number };
  readonly partitionsMax: number;
  readonly topicsMax: number;
  /** Settles when other work had its turn. */
  giveWay(): Promise<void>;
}

/** Asks every partition for its state. Partitions that go away meanwhile are left out. */
export async function walkPartitions(walk: PartitionWalk): Promise<PartitionStatistics> {
  const { directory, log, partitionsMax, topicsMax } = walk;
  const entries = [...directory.topics()];
  const known = entries.reduce((count, { partitions }) => count + partitions.length, 0);
  const partitions: PartitionSample[] = [];
  const topics = new Map<string, TopicSample>();
  const out = new Float64Array(STATE_COLUMNS);
  let partitionCount = 0;
  let sizeBytes = 0;
  let sinceRest = 0;
  for (const { name, partitions: listed } of entries) {
    const label = topics.size < topicsMax ? name : "";
    let topic = topics.get(label);
    if (topic === undefined) {
      topic = { partitionCount: 0, sizeBytes: 0, segmentCount: 0 };
      topics.set(label, topic);
    }
    for (const entry of listed) {
      if (entry === undefined || log.partitionState(entry.handle, out) !== 0) continue;
      const size = out[StateColumn.SIZE_BYTES] as number;
      const segmentCount = out[StateColumn.SEGMENT_COUNT] as number;
      partitionCount++;
      sizeBytes += size;
      topic.partitionCount++;
      topic.sizeBytes += size;
      topic.segmentCount += segmentCount;
      if (known <= partitionsMax) {
        partitions.push({
          topic: name,
          partition: entry.index,
          logStartOffset: out[StateColumn.LOG_START_OFFSET] as number,
          logEndOffset: out[StateColumn.LOG_END_OFFSET] as number,
          sizeBytes: size,
          segmentCount,
        });
      }
      if (++sinceRest >= WALK_STEP) {
        sinceRest = 0;
        await walk.giveWay();
      }
    }
  }
  return { topicCount: entries.length, partitionCount, sizeBytes, partitions, topics };
}
