/**
 * What one event loop has counted, at a moment, as plain data: broker threads post it to the main thread, which asks for it at
 * a scrape. The parts themselves know nothing of metrics; they bump fields, and these are read here.
 */
import type { LatencySnapshot } from "#common/latency-histogram.ts";
import type { PartitionDirectory, TopicTraffic } from "#replica/partition-directory.ts";
import type { ReplicaManager } from "#replica/replica-manager.ts";
import type { RequestSnapshot, RequestStatistics } from "#server/request-statistics.ts";
import type { TransportStatistics } from "#transport/ports.ts";
import type { EventLoopDelay } from "./event-loop-delay.ts";

/** One event loop. */
export interface ThreadSnapshot {
  readonly requests: RequestSnapshot;
  /** Null on a thread without sockets. */
  readonly transport: TransportStatistics | null;
  /** Request buffers: in use, and kept for the next requests. */
  readonly bufferUsedBytes: number;
  readonly bufferIdleBytes: number;
  /** Replies that wait in memory. */
  readonly unsentBytes: number;
  readonly delayedFetchCount: number;
  readonly delayedProduceCount: number;
  readonly fetchSessionCount: number;
  /** Fetches of clients that called themselves replicas. */
  readonly refusedReplicaFetchCount: number;
  /** Bytes of record batches put into answers to followers. */
  readonly replicationSentBytes: number;
  /** Of all topics, deleted ones included. */
  readonly traffic: TopicTraffic;
  /** Of topics that are there now; topics beyond the bound under the empty name. */
  readonly trafficByTopic: readonly (readonly [string, TopicTraffic])[];
  readonly loopDelay: LatencySnapshot | null;
}

/** The parts of a thread that count. */
export interface ThreadParts {
  readonly requests: RequestStatistics;
  readonly transport: {
    readonly statistics: TransportStatistics;
    readonly unsentBytes: number;
    readonly bufferBytes: { readonly usedBytes: number; readonly idleBytes: number };
  } | null;
  readonly replicas: ReplicaManager;
  readonly sessions: { readonly size: number };
  readonly directory: PartitionDirectory;
  readonly loopDelay: EventLoopDelay;
  /** Of the thread's fast lane: adds what it counted to the parts above. */
  readonly lane?: { settle(): void } | null;
}

/** Reads everything a thread counted. */
export function takeThreadSnapshot(parts: ThreadParts): ThreadSnapshot {
  parts.lane?.settle();
  const { transport, replicas } = parts;
  const buffers = transport?.bufferBytes;
  const { fetchCount, produceCount } = replicas.delayed;
  return {
    requests: parts.requests.snapshot(),
    transport: transport === null ? null : { ...transport.statistics },
    bufferUsedBytes: buffers?.usedBytes ?? 0,
    bufferIdleBytes: buffers?.idleBytes ?? 0,
    unsentBytes: transport?.unsentBytes ?? 0,
    delayedFetchCount: fetchCount,
    delayedProduceCount: produceCount + (transport?.statistics.laneWaitingCount ?? 0),
    fetchSessionCount: parts.sessions.size,
    refusedReplicaFetchCount: replicas.refusedReplicaFetchCount,
    replicationSentBytes: replicas.replicationSentBytes,
    traffic: { ...replicas.traffic },
    trafficByTopic: Array.from(parts.directory.traffic(), ([topic, traffic]) => [
      topic,
      { ...traffic },
    ]),
    loopDelay: parts.loopDelay.snapshot(),
  };
}
