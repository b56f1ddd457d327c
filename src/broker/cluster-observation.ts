/** Counts the cluster's metadata for a scrape; see `src/metrics/cluster-statistics.ts`. */
import type { BrokerConfig } from "#config/broker-config.ts";
import type { ClusterDelta } from "#metadata/cluster-delta.ts";
import {
  type ClusterImage,
  configValues,
  EMPTY_IMAGE,
  ResourceType,
} from "#metadata/cluster-image.ts";
import type { MetadataPublisher } from "#metadata/metadata-loader.ts";
import type { ClusterStatistics } from "#metrics/cluster-statistics.ts";
import { type DescribedMember, MEMBER_STATES } from "#protocol/describe-members.ts";

const MIN_ISR = "min.insync.replicas";

/** Where the counts come from. */
export interface ClusterCounts {
  readonly nodeId: number;
  readonly image: ClusterImage;
  /** The configuration in force. */
  readonly config: Pick<BrokerConfig, "text">;
  readonly isActiveController: boolean | null;
  readonly controllerId: number;
  readonly members: readonly DescribedMember[] | null;
  readonly elections: ClusterStatistics["elections"];
}

/** Counts elections as their records are published; those of a log that is read at the start are history. */
export class ElectionCounter implements MetadataPublisher {
  uncleanCount = 0;
  eligibleCount = 0;

  onMetadataUpdate({ base, elections }: ClusterDelta): void {
    if (base === EMPTY_IMAGE) return;
    this.uncleanCount += elections.uncleanCount;
    this.eligibleCount += elections.eligibleCount;
  }
}

/** The counts now. Walks all partitions once. */
export function countCluster(counts: ClusterCounts): ClusterStatistics {
  const { nodeId, image, config, isActiveController, controllerId, members, elections } = counts;
  let partitionCount = 0;
  let offlineCount = 0;
  let imbalancedCount = 0;
  let reassigningCount = 0;
  const led = { count: 0, underReplicatedCount: 0, underMinIsrCount: 0, atMinIsrCount: 0 };
  for (const { name, partitions } of image.topicsById.values()) {
    const ofTopic = configValues(image, ResourceType.TOPIC, name).get(MIN_ISR);
    const minIsr = Number(ofTopic ?? config.text(MIN_ISR));
    for (const { leader, replicas, isr, addingReplicas, removingReplicas } of partitions) {
      partitionCount += 1;
      if (leader < 0) offlineCount += 1;
      // As in Kafka: one without a leader is not where it should be either.
      if (leader !== replicas[0]) imbalancedCount += 1;
      if (addingReplicas.length > 0 || removingReplicas.length > 0) reassigningCount += 1;
      if (leader !== nodeId) continue;
      led.count += 1;
      if (isr.length < replicas.length - addingReplicas.length) led.underReplicatedCount += 1;
      const needed = Math.min(minIsr, replicas.length);
      if (isr.length < needed) led.underMinIsrCount += 1;
      if (isr.length === needed) led.atMinIsrCount += 1;
    }
  }
  const brokers = new Map([
    ["active", 0],
    ["fenced", 0],
    ["controlled_shutdown", 0],
  ]);
  for (const { isFenced, isInControlledShutdown } of image.brokers.values()) {
    const state = isFenced ? "fenced" : isInControlledShutdown ? "controlled_shutdown" : "active";
    brokers.set(state, (brokers.get(state) ?? 0) + 1);
  }
  return {
    isActiveController,
    controllerId,
    brokers,
    topicCount: image.topicsById.size,
    partitionCount,
    offlineCount,
    imbalancedCount,
    reassigningCount,
    elections: { uncleanCount: elections.uncleanCount, eligibleCount: elections.eligibleCount },
    led,
    members:
      members === null
        ? null
        : new Map(
            MEMBER_STATES.map((state) => [
              state,
              members.filter((member) => member.state === state).length,
            ]),
          ),
  };
}
