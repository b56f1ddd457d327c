/** What a node of a cluster counts of replication, as an exposition; meanings are those of Kafka's metrics that docs/operations.md names. */
import type { FollowingStatistics } from "#replica/following/following-statistics.ts";
import type { ExpositionWriter } from "./exposition.ts";

/** @param sentBytes - bytes of record batches put into answers to followers. */
export function writeReplication(
  writer: ExpositionWriter,
  statistics: FollowingStatistics,
  sentBytes: number,
): void {
  const { isr, fetchers } = statistics;
  writer
    .gauge("sluice_follower_partitions", "Partitions that this broker follows.")
    .sample(statistics.followerCount);
  writer
    .gauge("sluice_offline_replicas", "Replicas that should be here and cannot be used.")
    .sample(statistics.offlineReplicaCount);
  writer
    .gauge(
      "sluice_follower_failed_partitions",
      "Partitions that are not followed any more, after an error of the own log.",
    )
    .sample(statistics.failedPartitionCount);
  writer
    .gauge(
      "sluice_follower_max_lag_records",
      "Most offsets that a followed partition is behind its leader's high watermark.",
    )
    .sample(statistics.maxLag);
  writer
    .counter(
      "sluice_isr_changes_total",
      "Changes of in-sync replicas of partitions led here: shrink, expand, or failed.",
    )
    .sample(isr.shrinkCount, { kind: "shrink" })
    .sample(isr.expandCount, { kind: "expand" })
    .sample(isr.failedUpdateCount, { kind: "failed" });
  writer
    .counter(
      "sluice_replication_received_bytes_total",
      "Bytes of record batches that followers here appended.",
    )
    .sample(fetchers.byteCount);
  writer
    .counter(
      "sluice_replication_sent_bytes_total",
      "Bytes of record batches put into answers to followers.",
    )
    .sample(sentBytes);
  writer
    .counter("sluice_follower_requests_total", "Requests to leaders.")
    .sample(fetchers.requestCount);
  writer
    .counter("sluice_follower_request_failures_total", "Of them, those without a usable answer.")
    .sample(fetchers.failureCount);
}
