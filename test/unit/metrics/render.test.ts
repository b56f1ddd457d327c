/** A whole exposition: bounds with ten thousand partitions, every metric explained on the operator's page, promtool's verdict. */
import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { LATENCY_BUCKETS, LatencyHistograms } from "../../../src/common/latency-histogram.ts";
import { walkPartitions } from "../../../src/metrics/partition-statistics.ts";
import { type BrokerSnapshot, renderMetrics } from "../../../src/metrics/render.ts";
import type { ThreadSnapshot } from "../../../src/metrics/thread-snapshot.ts";
import { PartitionDirectory } from "../../../src/replica/partition-directory.ts";
import { RequestStatistics } from "../../../src/server/request-statistics.ts";

function directoryOf(topicCount: number, partitionCount: number): PartitionDirectory {
  const directory = new PartitionDirectory(10);
  for (let topic = 0; topic < topicCount; topic++) {
    directory.apply({
      kind: "topic",
      name: `t${topic}`,
      topicId: `id${topic}`,
      partitions: Array.from({ length: partitionCount }, (_, index) => ({
        index,
        handle: topic * partitionCount + index,
        leaderEpoch: 0,
      })),
    });
  }
  return directory;
}

/** Every partition has start offset 1, end offset 5, 100 bytes and 2 segments. */
const log = {
  partitionState(_handle: number, out: Float64Array): number {
    out.set([1, 5, 5, 5, 5, 100, 0, 2]);
    return 0;
  },
};

function threadOf(directory: PartitionDirectory): ThreadSnapshot {
  const requests = new RequestStatistics();
  for (let apiKey = 0; apiKey < 40; apiKey++) {
    requests.begin(apiKey, 3, 96);
    requests.reply(apiKey, 50);
    requests.answeredAfterWait(apiKey, 5, 3);
  }
  requests.answeredAtOnce(0, 1);
  requests.response(12, { errorCode: 25 });
  requests.unreadable("version");
  const loop = new LatencyHistograms(1);
  loop.record(0, 1);
  return {
    requests: requests.snapshot(),
    transport: {
      acceptedCount: 5,
      refusedCount: 3,
      refusedAddressCount: 1,
      refusedDescriptorsCount: 0,
      refusedRateCount: 0,
      openCount: 2,
      framesCount: 40,
      receivedBytes: 4000,
      writesCount: 40,
      laneFramesCount: 7,
      slicedSendsCount: 1,
      laneWaitingCount: 0,
      closedIdleCount: 1,
      closedFrameDeadlineCount: 0,
      closedBadFrameCount: 0,
      closedSendDeadlineCount: 0,
      closedMemoryCount: 0,
    },
    bufferUsedBytes: 10,
    bufferIdleBytes: 20,
    unsentBytes: 30,
    delayedFetchCount: 1,
    delayedProduceCount: 2,
    fetchSessionCount: 3,
    refusedReplicaFetchCount: 1,
    replicationSentBytes: 5_000,
    traffic: { producedRecords: 7, producedBytes: 70, failedProduces: 1, fetchedBytes: 700 },
    trafficByTopic: [...directory.traffic()].map(([topic, traffic]) => [topic, { ...traffic }]),
    loopDelay: loop.snapshot(0),
  };
}

async function snapshotOf(
  directory: PartitionDirectory,
  bounds: { readonly partitionsMax: number; readonly topicsMax: number },
): Promise<BrokerSnapshot & { readonly restCount: number }> {
  let restCount = 0;
  const partitions = await walkPartitions({
    directory,
    log,
    ...bounds,
    giveWay: () => {
      restCount++;
      return Promise.resolve();
    },
  });
  return {
    version: "1.2.3",
    runtimeVersion: "4.5.6",
    nodeId: 1,
    clusterId: "cluster",
    startedMs: 1_700_000_000_000,
    isReady: true,
    isDegraded: false,
    threads: new Map([
      ["main", threadOf(directory)],
      ["1", threadOf(directory)],
    ]),
    missingThreadCount: 0,
    process: { cpuSeconds: 1, residentBytes: 2, openDescriptors: 3, maxDescriptors: 4 },
    store: {
      statistics: {
        openFileCount: 9,
        flush: { counts: Array(LATENCY_BUCKETS).fill(1), sumUs: 5_000_000, failedCount: 0 },
        quarantinedCount: 0,
        quarantined: [],
        damagedCount: 1,
        damaged: [
          {
            topic: "t0",
            partition: 3,
            rangeCount: 2,
            firstOffset: 7,
            lastOffset: 20,
            unreadableCount: 1,
          },
        ],
        later: { waitingCount: 3, waitingBytes: 4000, doneCount: 5, refusedCount: 6 },
        contention: { append: 1, read: 2, syncQueue: 3, partitions: 4, plans: 5, wakes: 6 },
        directories: [
          { path: "/data", error: null, totalBytes: 100, usableBytes: 50 },
          { path: "/broken", error: "EIO", totalBytes: -1, usableBytes: -1 },
        ],
      },
      health: [
        {
          path: "/data",
          directoryId: "id",
          error: null,
          freeBytes: 50,
          reserveBytes: 60,
          isShort: true,
          refusedCount: 7,
        },
      ],
      recoverySeconds: 0.5,
      isCordoned: (path) => path === "/data",
      wasClean: true,
      scrub: {
        isEnabled: true,
        passes: 2,
        bytes: 1234,
        currentPartition: "t0-3",
        lastPassEndedMs: 1_700_000_001_000,
        findingCount: 8,
        findings: [],
      },
    },
    partitions,
    cluster: {
      isActiveController: true,
      controllerId: 1,
      brokers: new Map([["active", 2] as const, ["fenced", 1] as const]),
      topicCount: 3,
      partitionCount: 12,
      offlineCount: 1,
      imbalancedCount: 2,
      reassigningCount: 4,
      elections: { uncleanCount: 0, eligibleCount: 0 },
      led: { count: 5, underReplicatedCount: 3, underMinIsrCount: 1, atMinIsrCount: 2 },
      members: new Map([["alive", 2]]),
    },
    following: {
      leaderCount: 3,
      followerCount: 4,
      underReplicatedCount: 1,
      underMinIsrCount: 0,
      atMinIsrCount: 1,
      offlineReplicaCount: 0,
      failedPartitionCount: 0,
      isr: { shrinkCount: 5, expandCount: 6, failedUpdateCount: 7 },
      fetchers: { requestCount: 8, failureCount: 9, abandonedCount: 0, byteCount: 10 },
      maxLag: 11,
      lags: [],
    },
    refusals: new Map([["no-hello", 2]]),
    clientTelemetry: {
      instanceCount: 2,
      subscriptionRequestCount: 5,
      pushesByResult: new Map([["accepted", 3] as const, ["throttled", 1] as const]),
      receivedBytes: 900,
      metricCount: 70,
    },
    groups: {
      groupsByState: new Map([["Stable", 2]]),
      memberCount: 4,
      committedOffsetsCount: 6,
    },
    restCount,
  };
}

const few = { partitionsMax: 100, topicsMax: 100 };
const samplesOf = (text: string): string[] =>
  text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));

test("threads are added up, topics and partitions told apart", async () => {
  const text = renderMetrics(await snapshotOf(directoryOf(2, 2), few), "text");
  const samples = new Set(samplesOf(text));
  for (const line of [
    'sluice_requests_total{api="Produce",version="3"} 2',
    'sluice_request_errors_total{api="Heartbeat",error="UNKNOWN_MEMBER_ID"} 2',
    'sluice_request_bytes_total{api="Fetch"} 200',
    'sluice_request_duration_seconds_count{api="Produce"} 4',
    'sluice_request_duration_seconds_sum{api="Produce"} 0.012',
    'sluice_request_local_seconds_sum{api="Produce"} 0.006',
    'sluice_request_wait_seconds_count{api="Produce"} 2',
    'sluice_requests_unreadable_total{reason="version"} 2',
    "sluice_produced_records_total 14",
    'sluice_connections_refused_total{reason="max_connections"} 4',
    'sluice_connections_refused_total{reason="max_connections_per_ip"} 2',
    'sluice_purgatory_requests{api="Produce"} 4',
    'sluice_groups{state="Stable"} 2',
    "sluice_partitions 4",
    "sluice_log_bytes 400",
    'sluice_topic_log_segments{topic="t1"} 4',
    'sluice_partition_log_end_offset{topic="t0",partition="1"} 5',
    'sluice_log_directory_up{path="/broken"} 0',
    'sluice_log_directory_free_bytes{path="/data"} 50',
    'sluice_log_directory_full{path="/data"} 1',
    'sluice_log_directory_cordoned{path="/data"} 1',
    'sluice_log_refused_appends_total{path="/data"} 7',
    'sluice_event_loop_delay_seconds_count{thread="1"} 1',
    "sluice_log_damaged_partitions 1",
    'sluice_log_damaged_ranges{topic="t0",partition="3"} 2',
    'sluice_log_unreadable_segments{topic="t0",partition="3"} 1',
    "sluice_log_findings_total 8",
    "sluice_scrub_bytes_total 1234",
    "sluice_scrub_last_pass_timestamp_seconds 1700000001",
    "sluice_inflate_queue_bytes 4000",
    "sluice_inflate_refused_total 6",
  ]) {
    expect(samples).toContain(line);
  }
});

test("a broker that is still recovering tells what there is", async () => {
  const whole = await snapshotOf(directoryOf(1, 1), few);
  const text = renderMetrics(
    {
      ...whole,
      isReady: false,
      threads: new Map(),
      store: null,
      partitions: null,
      groups: null,
      clientTelemetry: null,
      following: null,
      refusals: new Map(),
    },
    "text",
  );
  expect(samplesOf(text)).toContain("sluice_ready 0");
  expect(text).not.toContain("sluice_partitions ");
});

describe("ten thousand partitions", () => {
  test("are summed by topic, within the bound of topics, giving way to other work", async () => {
    const snapshot = await snapshotOf(directoryOf(500, 20), { partitionsMax: 1000, topicsMax: 50 });
    const text = renderMetrics(snapshot, "text");
    const samples = samplesOf(text);
    expect(samples.filter((line) => line.startsWith("sluice_partition_")).length).toBe(0);
    expect(samples.filter((line) => line.startsWith("sluice_topic_log_bytes")).length).toBe(51);
    expect(samples).toContain('sluice_topic_log_bytes{topic=""} 900000');
    expect(samples).toContain("sluice_partitions 10000");
    // 40 APIs with three histograms each are most of it.
    expect(samples.length).toBeLessThan(40 * 3 * 25 + 1000);
    expect(snapshot.restCount).toBe(20);
  });
  test("are told apart where the bound allows it, and no further", async () => {
    const within = await snapshotOf(directoryOf(10, 10), { partitionsMax: 100, topicsMax: 0 });
    const beyond = await snapshotOf(directoryOf(10, 10), { partitionsMax: 99, topicsMax: 0 });
    const count = (snapshot: BrokerSnapshot): number =>
      samplesOf(renderMetrics(snapshot, "text")).filter((line) =>
        line.startsWith("sluice_partition_"),
      ).length;
    expect([count(within), count(beyond)]).toEqual([400, 0]);
  });
});

test("replication is told of a node of a cluster, bytes sent of all threads together", async () => {
  const samples = samplesOf(renderMetrics(await snapshotOf(directoryOf(1, 1), few), "text"));
  expect(samples).toEqual(
    expect.arrayContaining([
      "sluice_follower_partitions 4",
      'sluice_isr_changes_total{kind="expand"} 6',
      "sluice_follower_max_lag_records 11",
      "sluice_replication_received_bytes_total 10",
      "sluice_replication_sent_bytes_total 10000",
    ]),
  );
});

test("docs/operations.md explains every metric, and no other", async () => {
  const text = renderMetrics(await snapshotOf(directoryOf(1, 1), few), "text");
  const written = [...text.matchAll(/^# TYPE (\S+) /gm)].map(([, name]) => name ?? "");
  const page = readFileSync(join(import.meta.dir, "../../../docs/operations.md"), "utf8");
  const explained = [...page.matchAll(/^\| `((?:sluice|process)_\w+)`/gm)].map(
    ([, name]) => name ?? "",
  );
  expect(explained.sort()).toEqual(written.sort());
});

const promtool = Bun.which("promtool");
if (promtool === null)
  console.log("skipped: promtool is not installed here (apt package prometheus)");
test.skipIf(promtool === null)("promtool accepts it", async () => {
  const text = renderMetrics(await snapshotOf(directoryOf(3, 3), few), "text");
  const child = Bun.spawn([promtool ?? "", "check", "metrics"], {
    stdin: new Blob([text]),
    stdout: "pipe",
    stderr: "pipe",
  });
  const said =
    (await new Response(child.stdout).text()) + (await new Response(child.stderr).text());
  expect([await child.exited, said]).toEqual([0, ""]);
});
