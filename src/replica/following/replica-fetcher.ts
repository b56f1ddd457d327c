/**
 * Fetches from one leader for the partitions that follow it: one request at a time, in a session, and each answer to its partition.
 *
 * What goes into a request: every partition that is in sync (it has all up to the leader's high watermark, so the high watermark may
 * wait for it), and of those that are catching up (they hold up nobody) as many as fill half an answer, in turns. So acks=all writes never
 * queue behind the backlog of a follower that was away, and the backlog still gets half the bytes of each answer, or all of them while
 * nothing is in sync. What one answer brings decides where the partition belongs in the next request.
 *
 * A request may lie at the leader for `replica.fetch.wait.max.ms`. Partitions that come meanwhile (a leader has died, and its partitions
 * are led by this one) do not wait for that: `abandonAtMs` says when to give up the request and its connection and ask anew.
 *
 * No clock and no sockets: `next` says what to send, and what came back is handed in.
 */
import { ErrorCode } from "#common/error-code.ts";
import {
  type FetchRequest,
  type FetchResponse,
  makeFetchRequest,
  makeReplicaState,
} from "#protocol/generated/fetch.ts";
import {
  type ListOffsetsRequest,
  type ListOffsetsResponse,
  makeListOffsetsPartition,
  makeListOffsetsRequest,
  makeListOffsetsTopic,
} from "#protocol/generated/list-offsets.ts";
import type { FollowerPartition } from "./follower-partition.ts";
import { LeaderSession } from "./leader-session.ts";
import { type FollowerThrottle, type FollowingConfig, replicaKey, retryDelayMs } from "./ports.ts";

/** What the driver must do next. After anything but `wait` the answer, a failure or giving up must be handed in. */
export type FetcherStep =
  | { readonly kind: "fetch"; readonly request: FetchRequest }
  /** Where the leader's logs end and start, one request each. */
  | {
      readonly kind: "offsets";
      readonly ends: ListOffsetsRequest;
      readonly starts: ListOffsetsRequest;
    }
  | { readonly kind: "wait"; readonly untilMs: number | null };

/** What the fetcher needs. */
export interface ReplicaFetcherOptions {
  readonly nodeId: number;
  /** Epoch of this broker's registration, -1 before. */
  readonly brokerEpoch: () => number;
  readonly config: FollowingConfig;
  readonly throttle?: FollowerThrottle | undefined;
}

/** Counters since the start. */
export interface FetcherCounters {
  requestCount: number;
  /** Requests without a usable answer: connections lost or refused, timeouts, answers that make no sense. */
  failureCount: number;
  /** Requests given up for partitions that came meanwhile. */
  abandonedCount: number;
  /** Bytes of records appended. */
  byteCount: number;
}

const LATEST_TIMESTAMP = -1;
const EARLIEST_TIMESTAMP = -2;
/** How long an answer may still take when partitions come: about a round trip, so that a busy connection is not given up. */
const ABANDON_AFTER_MS = 20;
/** Pause between two requests given up: each costs a connection, and a cluster may be given topic after topic. */
const ABANDON_INTERVAL_MS = 250;
const WAIT: FetcherStep = { kind: "wait", untilMs: null };

/** Where a partition belongs; see the head of the file. */
type Lane = "in-sync" | "catching-up" | "resting";

interface Followed {
  readonly partition: FollowerPartition;
  lane: Lane;
}

/** See the head of the file. */
export class ReplicaFetcher {
  readonly #options: ReplicaFetcherOptions;
  readonly #session: LeaderSession;
  readonly #followed: Map<string, Followed> = new Map();
  /** Each in the order of its turns: what brought records goes to the end. */
  readonly #inSync: Map<string, FollowerPartition> = new Map();
  readonly #catchingUp: Map<string, FollowerPartition> = new Map();
  readonly #resting: Map<string, FollowerPartition> = new Map();
  #underWay: "fetch" | "offsets" | null = null;
  /** Of the offsets under way. */
  #resetting: readonly FollowerPartition[] = [];
  #failures = 0;
  #retryAtMs = 0;
  #abandonAtMs: number | null = null;
  #mayAbandonFromMs = 0;
  readonly counters: FetcherCounters = {
    requestCount: 0,
    failureCount: 0,
    abandonedCount: 0,
    byteCount: 0,
  };

  constructor(options: ReplicaFetcherOptions) {
    this.#options = options;
    this.#session = new LeaderSession(options.config.fetchMaxBytes);
  }

  /** Partitions fetched, or waiting to be. */
  get size(): number {
    return this.#followed.size;
  }

  /** Partitions, in no particular order. */
  *partitions(): Iterable<FollowerPartition> {
    for (const { partition } of this.#followed.values()) yield partition;
  }

  /** Time at which the request under way is to be given up, null: it is not. */
  get abandonAtMs(): number | null {
    return this.#abandonAtMs;
  }

  /** Fetches a partition, which has been started, from now on, in place of what had its key. */
  add(partition: FollowerPartition, nowMs: number): void {
    this.remove(partition.key);
    const followed: Followed = { partition, lane: "resting" };
    this.#followed.set(partition.key, followed);
    this.#resting.set(partition.key, partition);
    this.#place(followed, nowMs);
    // New metadata: the leader may be there by now.
    this.#failures = 0;
    this.#retryAtMs = 0;
    if (this.#underWay === "fetch" && partition.isReady(nowMs))
      this.#abandonAtMs ??= Math.max(nowMs + ABANDON_AFTER_MS, this.#mayAbandonFromMs);
  }

  /** Fetches a partition no more: an answer under way will not touch it. */
  remove(key: string): void {
    const followed = this.#followed.get(key);
    if (followed === undefined) return;
    this.#followed.delete(key);
    this.#laneOf(followed.lane).delete(key);
  }

  /** What to do now. */
  next(nowMs: number): FetcherStep {
    if (this.#underWay !== null || this.#followed.size === 0) return WAIT;
    if (nowMs < this.#retryAtMs) return { kind: "wait", untilMs: this.#retryAtMs };
    this.#wakeRested(nowMs);
    const resetting = [...this.#resting.values()].filter((partition) =>
      partition.wantsOffsets(nowMs),
    );
    if (resetting.length > 0) return this.#offsetsStep(resetting);
    const chosen = this.#choose(nowMs);
    const readyAtMs = this.#earliestRested(nowMs);
    if (chosen.length === 0) return { kind: "wait", untilMs: this.#nextLookMs(readyAtMs, nowMs) };
    const { config, nodeId, brokerEpoch } = this.#options;
    this.#underWay = "fetch";
    this.counters.requestCount += 1;
    return {
      kind: "fetch",
      request: makeFetchRequest({
        replicaState: makeReplicaState({ replicaId: nodeId, replicaEpoch: brokerEpoch() }),
        // What rests must not wait for this request longer than it wants to rest.
        maxWaitMs:
          readyAtMs === null
            ? config.fetchWaitMaxMs
            : Math.max(0, Math.min(config.fetchWaitMaxMs, Math.ceil(readyAtMs - nowMs))),
        minBytes: config.fetchMinBytes,
        maxBytes: config.fetchResponseMaxBytes,
        ...this.#session.request(chosen),
      }),
    };
  }

  /** Takes the answer to a fetch. */
  onFetched(response: FetchResponse, nowMs: number): void {
    if (this.#underWay !== "fetch") return;
    this.#finish();
    const wasFull = this.#session.isFull;
    if (!this.#session.onAnswer(response.errorCode, response.sessionId)) {
      // An unknown session is made anew at once; anything else, or a new one refused, is a failure.
      if (wasFull || !isSessionError(response.errorCode)) this.#fail(nowMs);
      return;
    }
    this.#failures = 0;
    for (const { topicId, partitions } of response.responses) {
      for (const row of partitions) {
        const followed = this.#followed.get(replicaKey(topicId, row.partitionIndex));
        if (followed === undefined) continue;
        const { partition } = followed;
        if (partition.phase !== "fetching" || !this.#session.isAnswerFor(partition)) continue;
        const { bytes } = partition.onAnswer(row, nowMs);
        this.counters.byteCount += bytes;
        if (bytes > 0 && this.#isThrottled(partition)) this.#options.throttle?.record(bytes, nowMs);
        this.#place(followed, nowMs, bytes > 0);
      }
    }
  }

  /** Takes the answers to a question for offsets. */
  onOffsets(ends: ListOffsetsResponse, starts: ListOffsetsResponse, nowMs: number): void {
    if (this.#underWay !== "offsets") return;
    const asked = this.#resetting;
    this.#finish();
    this.#failures = 0;
    const endOf = offsetsByPartition(ends);
    const startOf = offsetsByPartition(starts);
    for (const partition of asked) {
      const followed = this.#followed.get(partition.key);
      if (followed?.partition !== partition) continue;
      const { topic, partition: index } = partition.assignment;
      const end = endOf(topic, index);
      const start = startOf(topic, index);
      const errorCode = end.errorCode === ErrorCode.NONE ? start.errorCode : end.errorCode;
      if (errorCode === ErrorCode.NONE) partition.onLeaderOffsets(start.offset, end.offset, nowMs);
      else partition.onLeaderOffsetsRefused(errorCode, nowMs);
      this.#place(followed, nowMs);
    }
  }

  /** What was under way has no answer, or no connection could be made. */
  onFailure(nowMs: number): void {
    this.#finish();
    this.#session.restart();
    this.#fail(nowMs);
  }

  /** What was under way was given up, with its connection. */
  onAbandoned(nowMs: number): void {
    this.#finish();
    this.#mayAbandonFromMs = nowMs + ABANDON_INTERVAL_MS;
    this.#session.restart();
    this.counters.abandonedCount += 1;
  }

  #finish(): void {
    this.#underWay = null;
    this.#resetting = [];
    this.#abandonAtMs = null;
  }

  #fail(nowMs: number): void {
    this.#failures += 1;
    this.counters.failureCount += 1;
    this.#retryAtMs = nowMs + retryDelayMs(this.#failures, this.#options.config.fetchBackoffMs);
  }

  #isThrottled({ assignment: { topic, partition } }: FollowerPartition): boolean {
    return this.#options.throttle?.isThrottled(topic, partition) === true;
  }

  /** Where nothing may be fetched now: when something rests no more, and where the throttle holds back, after the usual pause. */
  #nextLookMs(readyAtMs: number | null, nowMs: number): number | null {
    if (this.#catchingUp.size === 0) return readyAtMs;
    const lookMs = nowMs + Math.max(1, this.#options.config.fetchBackoffMs);
    return Math.min(readyAtMs ?? lookMs, lookMs);
  }

  /**
   * See the head of the file: all that is in sync, and of the others what the share allows, whose turns then end. What is in sync is
   * never held back by the throttle: acks=all waits for it.
   */
  #choose(nowMs: number): FollowerPartition[] {
    const chosen = [...this.#inSync.values()];
    const { fetchResponseMaxBytes, fetchMaxBytes } = this.#options.config;
    const share = chosen.length === 0 ? fetchResponseMaxBytes : fetchResponseMaxBytes / 2;
    let room = Math.max(1, Math.floor(share / Math.max(1, fetchMaxBytes)));
    const isHeldBack = this.#options.throttle?.isExceeded(nowMs) === true;
    if (room >= this.#catchingUp.size && !isHeldBack) {
      chosen.push(...this.#catchingUp.values());
      return chosen;
    }
    // What has had its turn goes to the end, where this must not find it again.
    for (const [key, partition] of Array.from(this.#catchingUp)) {
      if (isHeldBack && this.#isThrottled(partition)) continue;
      if (room-- <= 0) break;
      chosen.push(partition);
      this.#catchingUp.delete(key);
      this.#catchingUp.set(key, partition);
    }
    return chosen;
  }

  #wakeRested(nowMs: number): void {
    for (const partition of this.#resting.values()) {
      const followed = this.#followed.get(partition.key);
      if (followed !== undefined && partition.isReady(nowMs)) this.#place(followed, nowMs);
    }
  }

  /** When the first of those that rest for a while is ready; null when none is. */
  #earliestRested(nowMs: number): number | null {
    let earliest: number | null = null;
    for (const { phase, readyAtMs } of this.#resting.values()) {
      if ((phase !== "fetching" && phase !== "resetting") || readyAtMs <= nowMs) continue;
      earliest = Math.min(earliest ?? readyAtMs, readyAtMs);
    }
    return earliest;
  }

  #place(followed: Followed, nowMs: number, isTurnOver: boolean = false): void {
    const { partition } = followed;
    const lane: Lane = !partition.isReady(nowMs)
      ? "resting"
      : (partition.lag ?? 0) === 0
        ? "in-sync"
        : "catching-up";
    if (lane === followed.lane && !isTurnOver) return;
    this.#laneOf(followed.lane).delete(partition.key);
    this.#laneOf(lane).set(partition.key, partition);
    followed.lane = lane;
  }

  #laneOf(lane: Lane): Map<string, FollowerPartition> {
    if (lane === "in-sync") return this.#inSync;
    return lane === "catching-up" ? this.#catchingUp : this.#resting;
  }

  #offsetsStep(resetting: readonly FollowerPartition[]): FetcherStep {
    this.#underWay = "offsets";
    this.#resetting = resetting;
    this.counters.requestCount += 1;
    return {
      kind: "offsets",
      ends: this.#offsetsRequest(resetting, LATEST_TIMESTAMP),
      starts: this.#offsetsRequest(resetting, EARLIEST_TIMESTAMP),
    };
  }

  #offsetsRequest(partitions: readonly FollowerPartition[], timestamp: number): ListOffsetsRequest {
    const topics = new Map<string, ReturnType<typeof makeListOffsetsTopic>>();
    for (const { assignment } of partitions) {
      const topic =
        topics.get(assignment.topic) ?? makeListOffsetsTopic({ name: assignment.topic });
      topics.set(assignment.topic, topic);
      topic.partitions.push(
        makeListOffsetsPartition({
          partitionIndex: assignment.partition,
          currentLeaderEpoch: assignment.leaderEpoch,
          timestamp,
        }),
      );
    }
    return makeListOffsetsRequest({
      replicaId: this.#options.nodeId,
      topics: [...topics.values()],
    });
  }
}

function isSessionError(errorCode: number): boolean {
  return (
    errorCode === ErrorCode.FETCH_SESSION_ID_NOT_FOUND ||
    errorCode === ErrorCode.INVALID_FETCH_SESSION_EPOCH ||
    errorCode === ErrorCode.FETCH_SESSION_TOPIC_ID_ERROR
  );
}

interface ToldOffset {
  readonly errorCode: number;
  readonly offset: number;
}

const NOT_TOLD: ToldOffset = { errorCode: ErrorCode.UNKNOWN_SERVER_ERROR, offset: -1 };

function offsetsByPartition(
  response: ListOffsetsResponse,
): (topic: string, partition: number) => ToldOffset {
  const told = new Map<string, ToldOffset>();
  for (const { name, partitions } of response.topics) {
    for (const { partitionIndex, errorCode, offset } of partitions) {
      const isNonsense = errorCode === ErrorCode.NONE && offset < 0;
      told.set(replicaKey(name, partitionIndex), isNonsense ? NOT_TOLD : { errorCode, offset });
    }
  }
  return (topic, partition) => told.get(replicaKey(topic, partition)) ?? NOT_TOLD;
}
