/**
 * What `/metrics` and the command line tell of replication: counted here when asked, from what the parts know anyway. Names and meaning
 * are those of Kafka's `kafka.server:type=ReplicaManager`, `ReplicaFetcherManager` and `FetcherLagMetrics`.
 */
import type { FollowerPartition } from "./follower-partition.ts";
import type { IsrCounters, IsrManager } from "./isr-manager.ts";
import type { FetcherCounters } from "./replica-fetcher.ts";

/** How far one followed partition is. */
export interface FollowerLag {
  readonly topic: string;
  readonly partition: number;
  readonly leaderId: number;
  /** Offsets missing up to the leader's high watermark; null before the first answer. */
  readonly lag: number | null;
}

/** See the head of the file. */
export interface FollowingStatistics {
  readonly leaderCount: number;
  readonly followerCount: number;
  /** Led here with fewer in the ISR than replicas, not counting those a reassignment adds. */
  readonly underReplicatedCount: number;
  readonly underMinIsrCount: number;
  readonly atMinIsrCount: number;
  /** Replicas that should be here and cannot be used. */
  readonly offlineReplicaCount: number;
  /** Followed partitions that ended on an error of their own log (`FailedPartitionsCount`). */
  readonly failedPartitionCount: number;
  readonly isr: IsrCounters;
  readonly fetchers: FetcherCounters;
  readonly maxLag: number;
  /** The largest lags first, bounded. */
  readonly lags: readonly FollowerLag[];
}

/** What is counted. */
export interface FollowingSources {
  readonly isr: IsrManager;
  readonly fetchers: {
    readonly counters: FetcherCounters;
    partitions(): Iterable<FollowerPartition>;
  };
  readonly missingCount: number;
  /** Lags listed one by one. */
  readonly lagsMax: number;
}

/** Counts. */
export function followingStatistics(sources: FollowingSources): FollowingStatistics {
  let leaderCount = 0;
  let underReplicatedCount = 0;
  let underMinIsrCount = 0;
  let atMinIsrCount = 0;
  for (const { replicas, addingReplicas, isr, minIsr } of sources.isr.standings()) {
    leaderCount += 1;
    if (isr.length < replicas.length - addingReplicas.length) underReplicatedCount += 1;
    if (isr.length < minIsr) underMinIsrCount += 1;
    else if (isr.length === minIsr) atMinIsrCount += 1;
  }
  let followerCount = 0;
  let failedPartitionCount = 0;
  let maxLag = 0;
  const lags: FollowerLag[] = [];
  for (const { assignment, phase, lag } of sources.fetchers.partitions()) {
    followerCount += 1;
    if (phase === "failed") failedPartitionCount += 1;
    maxLag = Math.max(maxLag, lag ?? 0);
    const { topic, partition, leaderId } = assignment;
    lags.push({ topic, partition, leaderId, lag });
  }
  lags.sort((one, other) => (other.lag ?? 0) - (one.lag ?? 0));
  return {
    leaderCount,
    followerCount,
    underReplicatedCount,
    underMinIsrCount,
    atMinIsrCount,
    offlineReplicaCount: sources.missingCount + failedPartitionCount,
    failedPartitionCount,
    isr: { ...sources.isr.counters },
    fetchers: { ...sources.fetchers.counters },
    maxLag,
    lags: lags.slice(0, sources.lagsMax),
  };
}
