/**
 * Everything the broker counts, as an exposition. One row of writing for each metric, in the order in which the operator's page
 * (docs/operations.md) explains them; a test compares the two.
 *
 * Names follow Prometheus's conventions: base units, `_total` for what only grows. Event loops are added up, except where it matters
 * which one is late. The number of series is bounded by the number of APIs, error codes and states, and by two keys for
 * partitions and topics.
 */
import { addLatency, type LatencySnapshot } from "#common/latency-histogram.ts";
import { errorInfo } from "#common/error-code.ts";
import type { GroupStatistics } from "#coordinator/group/messages.ts";
import type { DirectoryHealth, ScrubStatus, StoreStatistics } from "#log/log.ts";
import { API_VERSIONS } from "#protocol/generated/api-table.ts";
import type { FollowingStatistics } from "#replica/following/following-statistics.ts";
import type { TopicTraffic } from "#replica/partition-directory.ts";
import type { ClientTelemetryStatistics } from "#server/client-telemetry.ts";
import type { ApiSnapshot } from "#server/request-statistics.ts";
import type { TransportStatistics } from "#transport/ports.ts";
import { type ClusterStatistics, writeCluster } from "./cluster-statistics.ts";
import { ExpositionWriter, type ExpositionFormat } from "./exposition.ts";
import type { PartitionStatistics } from "./partition-statistics.ts";
import { type ProcessStatistics, writeProcess } from "./process-statistics.ts";
import { writeReplication } from "./replication-metrics.ts";
import type { ThreadSnapshot } from "./thread-snapshot.ts";

export { walkPartitions } from "./partition-statistics.ts";
export { readProcessStatistics } from "./process-statistics.ts";

/** The broker at a moment; parts that are not there yet (it is still recovering) are null. */
export interface BrokerSnapshot {
  readonly version: string;
  readonly runtimeVersion: string;
  readonly nodeId: number;
  readonly clusterId: string | null;
  /** When the process began to start the broker, ms since 1970. */
  readonly startedMs: number;
  readonly isReady: boolean;
  readonly isDegraded: boolean;
  /** By name: "main", "1", "2", … */
  readonly threads: ReadonlyMap<string, ThreadSnapshot>;
  /** Event loops that did not answer in time. */
  readonly missingThreadCount: number;
  readonly process: ProcessStatistics;
  readonly store: {
    readonly statistics: StoreStatistics;
    readonly health: readonly DirectoryHealth[];
    readonly recoverySeconds: number;
    readonly wasClean: boolean;
    readonly scrub: ScrubStatus | null;
    /** Whether a log directory takes no new partitions (KIP-1066). */
    readonly isCordoned: (path: string) => boolean;
  } | null;
  readonly partitions: PartitionStatistics | null;
  readonly cluster: ClusterStatistics | null;
  readonly groups: GroupStatistics | null;
  readonly clientTelemetry: ClientTelemetryStatistics | null;
  /** Null on a node that is alone. */
  readonly following: FollowingStatistics | null;
  /** What was refused of those who are not of the cluster, by reason. */
  readonly refusals: ReadonlyMap<string, number>;
}

/** The exposition of a snapshot. */
export function renderMetrics(snapshot: BrokerSnapshot, format: ExpositionFormat): string {
  const writer = new ExpositionWriter(format);
  writeBroker(writer, snapshot);
  const threads = [...snapshot.threads.values()];
  writeRequests(writer, threads);
  writeTraffic(writer, threads);
  writeConnections(writer, threads);
  writeRefusals(writer, snapshot.refusals, threads);
  writeWaiting(writer, threads);
  if (snapshot.cluster !== null) writeCluster(writer, snapshot.cluster);
  if (snapshot.following !== null) {
    const sentBytes = sum(threads, ({ replicationSentBytes }) => replicationSentBytes);
    writeReplication(writer, snapshot.following, sentBytes);
  }
  if (snapshot.groups !== null) writeGroups(writer, snapshot.groups);
  if (snapshot.clientTelemetry !== null) writeClientTelemetry(writer, snapshot.clientTelemetry);
  if (snapshot.partitions !== null) writePartitions(writer, snapshot.partitions);
  if (snapshot.store !== null) {
    writeStore(writer, snapshot.store);
    writeIntegrity(writer, snapshot.store);
    writeLater(writer, snapshot.store.statistics);
  }
  writeLoops(writer, snapshot.threads);
  writeProcess(writer, snapshot.process);
  return writer.toString();
}

function writeBroker(writer: ExpositionWriter, snapshot: BrokerSnapshot): void {
  const { version, runtimeVersion, nodeId, clusterId } = snapshot;
  writer
    .gauge("sluice_build_info", "Version of the broker and of its runtime; always 1.")
    .sample(1, {
      version,
      bun: runtimeVersion,
      node_id: nodeId,
      cluster_id: clusterId ?? "",
    });
  writer
    .gauge("process_start_time_seconds", "When the broker was started, in seconds since 1970.")
    .sample(snapshot.startedMs / 1000);
  writer
    .gauge("sluice_ready", "1 while requests are served, else 0.")
    .sample(snapshot.isReady ? 1 : 0);
  writer
    .gauge("sluice_degraded", "1 while /health gives a reason for concern, else 0.")
    .sample(snapshot.isDegraded ? 1 : 0);
  writer
    .gauge(
      "sluice_scrape_missing_threads",
      "Broker threads that did not answer this scrape in time.",
    )
    .sample(snapshot.missingThreadCount);
}

function apiName(apiKey: number): string {
  return API_VERSIONS.get(apiKey)?.name ?? String(apiKey);
}

function writeRequests(writer: ExpositionWriter, threads: readonly ThreadSnapshot[]): void {
  const byKey = new Map<number, ApiSnapshot[]>();
  for (const { requests } of threads) {
    for (const api of requests.apis) {
      const known = byKey.get(api.apiKey);
      if (known === undefined) byKey.set(api.apiKey, [api]);
      else known.push(api);
    }
  }
  const apis = [...byKey].sort(([a], [b]) => a - b);
  writer.counter("sluice_requests_total", "Requests that were read, by API and version.");
  for (const [apiKey, parts] of apis) {
    for (const [version, count] of summed(parts.map(({ versions }) => versions)))
      writer.sample(count, { api: apiName(apiKey), version });
  }
  writer.counter(
    "sluice_request_errors_total",
    "Error codes in responses, by API; one response may hold several.",
  );
  for (const [apiKey, parts] of apis) {
    for (const [code, count] of summed(parts.map(({ errors }) => errors)))
      writer.sample(count, { api: apiName(apiKey), error: errorInfo(code).name });
  }
  const eachApi = (value: (api: ApiSnapshot) => number): void => {
    for (const [apiKey, parts] of apis) writer.sample(sum(parts, value), { api: apiName(apiKey) });
  };
  writer.counter("sluice_request_bytes_total", "Bytes of requests, size prefix included.");
  eachApi((api) => api.requestBytes);
  writer.counter(
    "sluice_response_bytes_total",
    "Bytes of responses, size prefix and records included.",
  );
  eachApi((api) => api.replyBytes);
  const eachLatency = (value: (api: ApiSnapshot) => LatencySnapshot | null): void => {
    for (const [apiKey, parts] of apis) {
      const latency = parts.map(value).reduce(addLatency, null);
      if (latency !== null) writer.latency(latency, { api: apiName(apiKey) });
    }
  };
  writer.histogram(
    "sluice_request_duration_seconds",
    "From the complete request to its response being handed to the connection.",
  );
  eachLatency((api) => api.total);
  writer.histogram(
    "sluice_request_local_seconds",
    "Of it, time on the event loop: for Produce decoding, appending and answering, for Fetch without the wait for data.",
  );
  eachLatency((api) => api.local);
  writer.histogram(
    "sluice_request_wait_seconds",
    "Of it, waiting: Produce for its flush, Fetch for data, JoinGroup for the group. Only requests that waited.",
  );
  eachLatency((api) => api.wait);
  writer.counter(
    "sluice_requests_unreadable_total",
    "Frames that are no request we serve; their connections were closed.",
  );
  for (const [reason, count] of summed(threads.map(({ requests }) => requests.unreadable)))
    writer.sample(count, { reason: reason.replaceAll("-", "_") });
  writer
    .counter(
      "sluice_requests_failed_total",
      "Requests whose connection was closed instead of an answer: our fault, or acks=0 with an error.",
    )
    .sample(sum(threads, ({ requests }) => requests.failedCount));
}

function writeTraffic(writer: ExpositionWriter, threads: readonly ThreadSnapshot[]): void {
  const metrics: readonly (readonly [string, string, keyof TopicTraffic])[] = [
    ["produced_records_total", "Records appended by producers", "producedRecords"],
    ["produced_bytes_total", "Bytes of record batches appended by producers", "producedBytes"],
    ["produce_refused_total", "Batches of producers that the log refused", "failedProduces"],
    [
      "fetched_bytes_total",
      "Bytes of record batches put into answers to consumers",
      "fetchedBytes",
    ],
  ];
  for (const [name, help, field] of metrics) {
    writer
      .counter(`sluice_${name}`, `${help}, all topics.`)
      .sample(sum(threads, ({ traffic }) => traffic[field]));
  }
  for (const [name, help, field] of metrics) {
    writer.counter(
      `sluice_topic_${name}`,
      `${help}, by topic; topics beyond sluice.metrics.topics.max under an empty name.`,
    );
    const byTopic = summed(
      threads.map(({ trafficByTopic }) =>
        trafficByTopic.map(([topic, traffic]): [string, number] => [topic, traffic[field]]),
      ),
    );
    for (const [topic, value] of byTopic)
      if (topic !== "" || value > 0) writer.sample(value, { topic });
  }
}

function writeConnections(writer: ExpositionWriter, threads: readonly ThreadSnapshot[]): void {
  const total = (field: keyof TransportStatistics): number =>
    sum(threads, ({ transport }) => transport?.[field] ?? 0);
  writer.gauge("sluice_connections_open", "Client connections now.").sample(total("openCount"));
  writer
    .counter("sluice_connections_accepted_total", "Connections accepted.")
    .sample(total("acceptedCount"));
  const address = total("refusedAddressCount");
  const descriptors = total("refusedDescriptorsCount");
  const rate = total("refusedRateCount");
  writer
    .counter(
      "sluice_connections_refused_total",
      "Connections refused at once, by the limit they met.",
    )
    .sample(total("refusedCount") - address - descriptors - rate, { reason: "max_connections" })
    .sample(address, { reason: "max_connections_per_ip" })
    .sample(rate, { reason: "creation_rate" })
    .sample(descriptors, { reason: "descriptors" });
  writer
    .counter("sluice_connections_closed_total", "Connections that the broker closed by itself.")
    .sample(total("closedIdleCount"), { reason: "idle" })
    .sample(total("closedFrameDeadlineCount"), { reason: "frame_deadline" })
    .sample(total("closedBadFrameCount"), { reason: "bad_frame" })
    .sample(total("closedSendDeadlineCount"), { reason: "send_deadline" })
    .sample(total("closedMemoryCount"), { reason: "memory" });
  writer
    .counter("sluice_network_received_bytes_total", "Bytes read from client connections.")
    .sample(total("receivedBytes"));
  writer
    .counter("sluice_socket_writes_total", "Writes of replies to sockets.")
    .sample(total("writesCount"));
  writer
    .counter("sluice_file_sends_total", "Replies whose records went from files to sockets.")
    .sample(total("slicedSendsCount"));
  writer
    .counter("sluice_fast_lane_requests_total", "Requests that the fast lane answered.")
    .sample(total("laneFramesCount"));
}

function writeWaiting(writer: ExpositionWriter, threads: readonly ThreadSnapshot[]): void {
  writer
    .gauge(
      "sluice_request_buffer_bytes",
      "Memory of request buffers: lent to requests under way, or kept.",
    )
    .sample(
      sum(threads, ({ bufferUsedBytes }) => bufferUsedBytes),
      { state: "used" },
    )
    .sample(
      sum(threads, ({ bufferIdleBytes }) => bufferIdleBytes),
      { state: "idle" },
    );
  writer
    .gauge("sluice_unsent_response_bytes", "Responses that wait in memory until clients take them.")
    .sample(sum(threads, ({ unsentBytes }) => unsentBytes));
  writer
    .gauge("sluice_purgatory_requests", "Requests that wait: Fetch for data, Produce for a flush.")
    .sample(
      sum(threads, ({ delayedFetchCount }) => delayedFetchCount),
      { api: "Fetch" },
    )
    .sample(
      sum(threads, ({ delayedProduceCount }) => delayedProduceCount),
      { api: "Produce" },
    );
  writer
    .gauge("sluice_fetch_sessions", "Incremental fetch sessions.")
    .sample(sum(threads, ({ fetchSessionCount }) => fetchSessionCount));
}

function writeClientTelemetry(
  writer: ExpositionWriter,
  statistics: ClientTelemetryStatistics,
): void {
  writer
    .gauge("sluice_client_telemetry_instances", "Clients that asked for or pushed metrics lately.")
    .sample(statistics.instanceCount);
  writer
    .counter(
      "sluice_client_telemetry_subscription_requests_total",
      "Clients' questions which metrics to push.",
    )
    .sample(statistics.subscriptionRequestCount);
  writer.counter("sluice_client_telemetry_pushes_total", "Pushes of metrics, by result.");
  for (const [result, count] of statistics.pushesByResult) writer.sample(count, { result });
  writer
    .counter("sluice_client_telemetry_received_bytes_total", "Bytes of accepted pushes.")
    .sample(statistics.receivedBytes);
  writer
    .counter("sluice_client_telemetry_metrics_total", "Metrics in accepted pushes.")
    .sample(statistics.metricCount);
}

function writeGroups(writer: ExpositionWriter, groups: GroupStatistics): void {
  writer.gauge("sluice_groups", "Consumer groups, by state.");
  for (const [state, count] of groups.groupsByState) writer.sample(count, { state });
  writer.gauge("sluice_group_members", "Members of all groups.").sample(groups.memberCount);
  writer
    .counter("sluice_offset_commits_total", "Offsets of partitions committed by groups.")
    .sample(groups.committedOffsetsCount);
}

function writePartitions(writer: ExpositionWriter, statistics: PartitionStatistics): void {
  const { topicCount, partitionCount, sizeBytes, partitions, topics } = statistics;
  writer.gauge("sluice_topics", "Topics with partitions here.").sample(topicCount);
  writer.gauge("sluice_partitions", "Partitions here.").sample(partitionCount);
  writer.gauge("sluice_log_bytes", "Bytes of all segments.").sample(sizeBytes);
  writer.gauge("sluice_topic_partitions", "Partitions, by topic.");
  for (const [topic, sample] of topics) writer.sample(sample.partitionCount, { topic });
  writer.gauge("sluice_topic_log_bytes", "Bytes of segments, by topic.");
  for (const [topic, sample] of topics) writer.sample(sample.sizeBytes, { topic });
  writer.gauge("sluice_topic_log_segments", "Segments, by topic.");
  for (const [topic, sample] of topics) writer.sample(sample.segmentCount, { topic });
  const each = (name: string, help: string, field: keyof (typeof partitions)[number]): void => {
    writer.gauge(
      name,
      `${help}, by partition; left out with more partitions than sluice.metrics.partitions.max.`,
    );
    for (const sample of partitions) {
      const { topic, partition } = sample;
      writer.sample(Number(sample[field]), { topic, partition });
    }
  };
  each("sluice_partition_log_start_offset", "Offset of the first record", "logStartOffset");
  each("sluice_partition_log_end_offset", "Offset of the next record", "logEndOffset");
  each("sluice_partition_log_bytes", "Bytes of segments", "sizeBytes");
  each("sluice_partition_log_segments", "Segments", "segmentCount");
}

function writeStore(
  writer: ExpositionWriter,
  {
    statistics,
    health,
    recoverySeconds,
    wasClean,
    isCordoned,
  }: NonNullable<BrokerSnapshot["store"]>,
): void {
  const { flush, directories, contention } = statistics;
  writer.counter(
    "sluice_lock_contentions_total",
    "Times a thread had to wait for a lock on the path of produce or fetch, by lock.",
  );
  for (const [lock, count] of Object.entries(contention)) writer.sample(count, { lock });
  writer
    .histogram("sluice_log_flush_duration_seconds", "Flushes of segment files to disk (fsync).")
    .latency({ counts: Float64Array.from(flush.counts), sumMs: flush.sumUs / 1000 });
  writer
    .counter(
      "sluice_log_flush_failures_total",
      "Flushes that failed; each takes its directory out of use.",
    )
    .sample(flush.failedCount);
  writer.gauge("sluice_log_open_files", "Segment files open now.").sample(statistics.openFileCount);
  writer
    .gauge("sluice_log_quarantined_partitions", "Damaged partitions that are set aside.")
    .sample(statistics.quarantinedCount);
  writer.gauge("sluice_log_directory_up", "1 while the log directory is in use, 0 once it failed.");
  for (const { path, error } of directories) writer.sample(error === null ? 1 : 0, { path });
  writer.gauge(
    "sluice_log_directory_free_bytes",
    "Bytes free in the file system of the log directory.",
  );
  for (const { path, usableBytes } of directories)
    if (usableBytes >= 0) writer.sample(usableBytes, { path });
  writer.gauge("sluice_log_directory_total_bytes", "Size of the file system of the log directory.");
  for (const { path, totalBytes } of directories)
    if (totalBytes >= 0) writer.sample(totalBytes, { path });
  writer.gauge(
    "sluice_log_directory_reserve_bytes",
    "Bytes that ordinary partitions leave free (sluice.disk.reserve.bytes).",
  );
  for (const { path, reserveBytes } of health) writer.sample(reserveBytes, { path });
  writer.gauge(
    "sluice_log_directory_full",
    "1 while appends are refused for want of room, else 0.",
  );
  for (const { path, isShort } of health) writer.sample(isShort ? 1 : 0, { path });
  writer.gauge(
    "sluice_log_directory_cordoned",
    "1 while the log directory takes no new partitions (cordoned.log.dirs), else 0.",
  );
  for (const { path } of health) writer.sample(isCordoned(path) ? 1 : 0, { path });
  writer.counter("sluice_log_refused_appends_total", "Appends refused for want of room.");
  for (const { path, refusedCount } of health) writer.sample(refusedCount, { path });
  writer
    .gauge(
      "sluice_recovery_duration_seconds",
      "Time the last start took to open and recover the logs.",
    )
    .sample(recoverySeconds);
  writer
    .gauge(
      "sluice_recovery_was_clean",
      "1 when the logs had been closed in order before the last start.",
    )
    .sample(wasClean ? 1 : 0);
}

function writeIntegrity(
  writer: ExpositionWriter,
  { statistics, scrub }: NonNullable<BrokerSnapshot["store"]>,
): void {
  const { damagedCount, damaged } = statistics;
  writer
    .gauge("sluice_log_damaged_partitions", "Partitions some of whose records cannot be read now.")
    .sample(damagedCount);
  writer.gauge(
    "sluice_log_damaged_ranges",
    "Ranges of offsets that cannot be read, by partition; of 100 damaged partitions at most.",
  );
  for (const { topic, partition, rangeCount } of damaged)
    writer.sample(rangeCount, { topic, partition });
  writer.gauge(
    "sluice_log_unreadable_segments",
    "Segments that the disk did not give when last checked, by partition; of 100 damaged partitions at most.",
  );
  for (const { topic, partition, unreadableCount } of damaged)
    writer.sample(unreadableCount, { topic, partition });
  if (scrub === null) return;
  writer
    .counter(
      "sluice_log_findings_total",
      "Damage found by recovery, readers and the background check; each is logged.",
    )
    .sample(scrub.findingCount);
  writer
    .gauge("sluice_scrub_enabled", "1 when the background check of the logs runs, else 0.")
    .sample(scrub.isEnabled ? 1 : 0);
  writer
    .counter("sluice_scrub_bytes_total", "Bytes of segments that the background check read.")
    .sample(scrub.bytes);
  writer
    .counter("sluice_scrub_passes_total", "Passes of the background check over all logs.")
    .sample(scrub.passes);
  if (scrub.lastPassEndedMs < 0) return;
  writer
    .gauge(
      "sluice_scrub_last_pass_timestamp_seconds",
      "When the last pass ended, in seconds since 1970; missing before the first.",
    )
    .sample(scrub.lastPassEndedMs / 1000);
}

function writeLater(writer: ExpositionWriter, { later }: StoreStatistics): void {
  writer
    .gauge(
      "sluice_inflate_queue_jobs",
      "Appends and lookups by time that inflate much and wait for a thread.",
    )
    .sample(later.waitingCount);
  writer
    .gauge("sluice_inflate_queue_bytes", "Bytes of batches that wait there or are worked on.")
    .sample(later.waitingBytes);
  writer
    .counter("sluice_inflate_jobs_total", "Appends and lookups that were done there.")
    .sample(later.doneCount);
  writer
    .counter(
      "sluice_inflate_refused_total",
      "Appends and lookups that were refused because too much waited; clients try again.",
    )
    .sample(later.refusedCount);
}

function writeRefusals(
  writer: ExpositionWriter,
  refusals: ReadonlyMap<string, number>,
  threads: readonly ThreadSnapshot[],
): void {
  writer.counter(
    "sluice_cluster_refused_total",
    "What only nodes of the cluster may send, refused because no node sent it.",
  );
  const replicaFetches = sum(threads, ({ refusedReplicaFetchCount }) => refusedReplicaFetchCount);
  writer.sample(replicaFetches, { reason: "replica-fetch" });
  for (const [reason, count] of refusals) writer.sample(count, { reason });
}

function writeLoops(writer: ExpositionWriter, threads: ReadonlyMap<string, ThreadSnapshot>): void {
  writer.histogram(
    "sluice_event_loop_delay_seconds",
    "How late an event loop is, looked at ten times a second.",
  );
  for (const [thread, { loopDelay }] of threads)
    if (loopDelay !== null) writer.latency(loopDelay, { thread });
}

function sum<T>(items: readonly T[], value: (item: T) => number): number {
  let total = 0;
  for (const item of items) total += value(item);
  return total;
}

/** Adds up lists of pairs by their first element, keeping the order of the first mention. */
function summed<K>(lists: readonly (readonly (readonly [K, number])[])[]): Map<K, number> {
  const total = new Map<K, number>();
  for (const list of lists)
    for (const [key, count] of list) total.set(key, (total.get(key) ?? 0) + count);
  return total;
}
