/**
 * The fast lane as an event loop sees it: a native thread to which busy connections are lent, and from which they come back with
 * what was not consumed. See `docs/internals/fast-lane.md`.
 */
import { ErrorCode } from "#common/error-code.ts";
import { LATENCY_BUCKETS } from "#common/latency-histogram.ts";
import {
  closeLane,
  laneAdopt,
  laneBoundFetches,
  laneForget,
  lanePutTopic,
  laneRemoveTopic,
  laneReturned,
  laneReturnedBytes,
  laneTakeBack,
  laneTakeCounts,
  laneTakeTraffic,
  openLane,
} from "#native";
import type { FastLane, LaneCounts, LaneHost, LaneOptions, LaneReason } from "./ports.ts";

const RETURNED_COLUMNS = 4;
/** Versions of an API that are counted apart. */
const VERSIONS = 32;
const API_KEYS = 2;
const TRANSPORT_COLUMNS = 5;
/** What a lane answers with where something went wrong after an append, in the order of the columns. */
const LANE_ERRORS: readonly number[] = [
  ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
  ErrorCode.NOT_LEADER_OR_FOLLOWER,
  ErrorCode.REQUEST_TIMED_OUT,
  ErrorCode.NOT_ENOUGH_REPLICAS_AFTER_APPEND,
  ErrorCode.KAFKA_STORAGE_ERROR,
];
const SUM_COLUMNS = 3;
const API_COLUMNS = VERSIONS + SUM_COLUMNS + LANE_ERRORS.length + LATENCY_BUCKETS;
const TRAFFIC_COLUMNS = 5;

/** Opens the lane of one event loop. Its thread starts with the first connection. */
export function openFastLane(options: LaneOptions, host: LaneHost): FastLane {
  let isOpen = true;
  const returned = new Float64Array(RETURNED_COLUMNS);
  const counts = new Float64Array(TRANSPORT_COLUMNS + API_KEYS * API_COLUMNS);
  const laneId = openLane(options.bufferBytes, options.sendDeadlineMs, () => {
    if (!isOpen) return;
    while (laneReturned(laneId, returned)) {
      const [token = -1, reason = 0, inputBytes = 0, outputBytes = 0] = returned;
      const input = new Uint8Array(inputBytes);
      const output = new Uint8Array(outputBytes);
      laneReturnedBytes(laneId, input, output);
      host.onReturned(token, reason as LaneReason, input, output);
    }
  });
  return {
    isCandidate: (bytes, start) => bytes[start] === 0 && (bytes[start + 1] as number) < API_KEYS,
    adopt: (token, fd, input) => isOpen && laneAdopt(laneId, token, fd, input),
    takeBack(token): void {
      if (isOpen) laneTakeBack(laneId, token);
    },
    forget(token): void {
      if (isOpen) laneForget(laneId, token);
    },
    putTopic(name, topicId, token, partitions): void {
      if (isOpen) lanePutTopic(laneId, name, topicId, token, partitions);
    },
    removeTopic(name): void {
      if (isOpen) laneRemoveTopic(laneId, name);
    },
    boundFetches(maxBytes): void {
      if (isOpen) laneBoundFetches(laneId, maxBytes);
    },
    takeCounts(): LaneCounts | null {
      if (!isOpen) return null;
      laneTakeCounts(laneId, counts);
      return readCounts(counts);
    },
    takeTraffic(each): void {
      const rows = isOpen ? laneTakeTraffic(laneId) : [];
      for (let at = 0; at + TRAFFIC_COLUMNS <= rows.length; at += TRAFFIC_COLUMNS) {
        const [token = -1, records = 0, bytes = 0, failed = 0, fetched = 0] = rows.slice(at);
        each(token, records, bytes, failed, fetched);
      }
    },
    close(): void {
      isOpen = false;
      closeLane(laneId);
    },
  };
}

function readCounts(columns: Float64Array): LaneCounts {
  const [frames = 0, receivedBytes = 0, writes = 0, slicedSends = 0, waiting = 0] = columns;
  const apis: LaneCounts["apis"][number][] = [];
  for (let apiKey = 0; apiKey < API_KEYS; apiKey++) {
    const api = columns.slice(TRANSPORT_COLUMNS + apiKey * API_COLUMNS).subarray(0, API_COLUMNS);
    const [requestBytes = 0, replyBytes = 0, latencyNs = 0, ...rest] = api.subarray(VERSIONS);
    apis.push({
      apiKey,
      versions: api.subarray(0, VERSIONS),
      requestBytes,
      replyBytes,
      latencySumMs: latencyNs / 1e6,
      latencyCounts: api.subarray(VERSIONS + SUM_COLUMNS + LANE_ERRORS.length),
      errors: LANE_ERRORS.map((code, index) => [code, rest[index] ?? 0] as const),
    });
  }
  return {
    framesCount: frames,
    receivedBytes,
    writesCount: writes,
    slicedSendsCount: slicedSends,
    waitingCount: waiting,
    apis,
  };
}
