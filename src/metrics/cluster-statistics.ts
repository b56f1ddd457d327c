/** The cluster's metadata, counted, and what it says of this broker; with the meaning of Kafka's metrics of controller and replica manager. */
import type { ExpositionWriter } from "./exposition.ts";

/** Counts at a moment. */
export interface ClusterStatistics {
  /** Whether this node decides; null on a node that is no controller. */
  readonly isActiveController: boolean | null;
  /** Node id of the active controller, -1 when none is known. */
  readonly controllerId: number;
  /** Registered brokers by state: `active`, `fenced`, `controlled_shutdown`. */
  readonly brokers: ReadonlyMap<string, number>;
  readonly topicCount: number;
  readonly partitionCount: number;
  /** Partitions without a leader. */
  readonly offlineCount: number;
  /** Partitions that another than the preferred replica leads. */
  readonly imbalancedCount: number;
  readonly reassigningCount: number;
  /** Since the start of the process: winners that may lack records, and winners that were not in sync but had all of them (KIP-966). */
  readonly elections: { readonly uncleanCount: number; readonly eligibleCount: number };
  /** Partitions that this broker leads. */
  readonly led: {
    readonly count: number;
    /** Not all replicas are in sync; those on their way in a reassignment do not count. */
    readonly underReplicatedCount: number;
    /** Fewer replicas are in sync than `min.insync.replicas`: acks=all is refused. */
    readonly underMinIsrCount: number;
    /** Just as many. */
    readonly atMinIsrCount: number;
  };
  /** Other nodes by what the failure detector (SWIM) hears; null where none runs. */
  readonly members: ReadonlyMap<string, number> | null;
}

/** Writes them. */
export function writeCluster(writer: ExpositionWriter, statistics: ClusterStatistics): void {
  const { isActiveController, controllerId, brokers, led, members } = statistics;
  if (isActiveController !== null) {
    writer
      .gauge("sluice_controller_active", "1 on the controller that decides, 0 on the others.")
      .sample(isActiveController ? 1 : 0);
  }
  writer
    .gauge("sluice_controller_id", "Node id of the active controller; -1 while none is known.")
    .sample(controllerId);
  writer.gauge("sluice_cluster_brokers", "Registered brokers, by state.");
  for (const [state, count] of brokers) writer.sample(count, { state });
  const gauge = (name: string, help: string, value: number): void =>
    void writer.gauge(`sluice_${name}`, help).sample(value);
  gauge("cluster_topics", "Topics of the cluster.", statistics.topicCount);
  gauge("cluster_partitions", "Partitions of the cluster.", statistics.partitionCount);
  gauge("cluster_offline_partitions", "Partitions without a leader.", statistics.offlineCount);
  gauge(
    "cluster_preferred_imbalance_partitions",
    "Partitions that another than the preferred replica leads.",
    statistics.imbalancedCount,
  );
  gauge(
    "cluster_reassigning_partitions",
    "Partitions whose replicas are on their way.",
    statistics.reassigningCount,
  );
  writer
    .counter(
      "sluice_unclean_leader_elections_total",
      "Elections of a leader that was not in sync and may lack records.",
    )
    .sample(statistics.elections.uncleanCount);
  writer
    .counter(
      "sluice_eligible_leader_elections_total",
      "Elections of a leader that was not in sync but known to lack nothing.",
    )
    .sample(statistics.elections.eligibleCount);
  gauge("leader_partitions", "Partitions that this broker leads.", led.count);
  gauge(
    "under_replicated_partitions",
    "Of those: not all replicas are in sync.",
    led.underReplicatedCount,
  );
  gauge(
    "under_min_isr_partitions",
    "Of those: fewer are in sync than min.insync.replicas asks for.",
    led.underMinIsrCount,
  );
  gauge(
    "at_min_isr_partitions",
    "Of those: just as many are in sync as min.insync.replicas asks for.",
    led.atMinIsrCount,
  );
  if (members === null) return;
  writer.gauge("sluice_swim_members", "Other nodes, by what the failure detector hears of them.");
  for (const [state, count] of members) writer.sample(count, { state });
}
