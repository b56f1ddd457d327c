/**
 * What one fetch request reads, after its session has been consulted: the session's partitions with the request's
 * changes applied, or just what the request names.
 */
import { ErrorCode } from "#common/error-code.ts";
import type { FetchPartition, FetchRequest } from "#protocol/generated/fetch.ts";
import {
  FINAL_EPOCH,
  type FetchSession,
  type FetchSessionCache,
  INITIAL_EPOCH,
  INVALID_SESSION_ID,
  nextEpoch,
  partitionKey,
  type SessionPartition,
} from "./fetch-session.ts";

/** First version whose requests name topics by id. */
export const FIRST_VERSION_WITH_TOPIC_IDS = 13;

/** What to read and how to answer. */
export interface FetchContext {
  /**
   * - `sessionless`: answer everything, session id 0.
   * - `full`: answer everything and try to start a session.
   * - `incremental`: answer what changed.
   */
  readonly kind: "sessionless" | "full" | "incremental";
  readonly session: FetchSession | null;
  readonly partitions: Map<string, SessionPartition>;
  /** What a request without a session reads where it names one partition; `partitions` is then empty. Else null. */
  readonly named: readonly SessionPartition[] | null;
}

const NO_PARTITIONS: Map<string, SessionPartition> = new Map();

/** Finds or opens the context of a request, or the error that is its whole answer. */
export function openFetchContext(
  cache: FetchSessionCache,
  request: FetchRequest,
  apiVersion: number,
  nowMs: number,
): FetchContext | number {
  const usesIds = apiVersion >= FIRST_VERSION_WITH_TOPIC_IDS;
  const { sessionId, sessionEpoch } = request;
  if (sessionEpoch === INITIAL_EPOCH || sessionEpoch === FINAL_EPOCH) {
    // A full request ends the session it names.
    if (sessionId !== INVALID_SESSION_ID) cache.remove(sessionId);
    const only = sessionEpoch === FINAL_EPOCH ? onlyPartition(request) : null;
    if (only !== null) {
      return { kind: "sessionless", session: null, partitions: NO_PARTITIONS, named: [only] };
    }
    const partitions = new Map<string, SessionPartition>();
    update(partitions, request, usesIds);
    return {
      kind: sessionEpoch === FINAL_EPOCH ? "sessionless" : "full",
      session: null,
      partitions,
      named: null,
    };
  }
  const session = cache.get(sessionId);
  if (session === undefined) return ErrorCode.FETCH_SESSION_ID_NOT_FOUND;
  if (session.epoch !== sessionEpoch) return ErrorCode.INVALID_FETCH_SESSION_EPOCH;
  if (session.usesTopicIds !== usesIds) return ErrorCode.FETCH_SESSION_TOPIC_ID_ERROR;
  update(session.partitions, request, usesIds);
  for (const { topic, topicId, partitions } of request.forgottenTopicsData) {
    for (const index of partitions) {
      session.partitions.delete(partitionKey(topic, topicId, index, usesIds));
    }
  }
  if (session.partitions.size === 0) {
    // What the request itself asks for is still answered, even where it forgets the same partitions.
    cache.remove(session.id);
    const own = new Map<string, SessionPartition>();
    update(own, request, usesIds);
    return { kind: "sessionless", session: null, partitions: own, named: null };
  }
  cache.touch(session, nowMs);
  session.epoch = nextEpoch(session.epoch);
  return { kind: "incremental", session, partitions: session.partitions, named: null };
}

/** The partition of a request that names one; no two of them can be the same then. */
function onlyPartition({ topics }: FetchRequest): SessionPartition | null {
  const [topic] = topics;
  if (topics.length !== 1 || topic === undefined) return null;
  const [wanted] = topic.partitions;
  if (topic.partitions.length !== 1 || wanted === undefined) return null;
  return added(topic.topic, topic.topicId, wanted);
}

function update(
  partitions: Map<string, SessionPartition>,
  request: FetchRequest,
  usesIds: boolean,
): void {
  for (const topic of request.topics) {
    for (const wanted of topic.partitions) {
      const key = partitionKey(topic.topic, topic.topicId, wanted.partition, usesIds);
      const known = partitions.get(key);
      if (known === undefined) partitions.set(key, added(topic.topic, topic.topicId, wanted));
      else move(known, wanted);
    }
  }
}

function added(topic: string, topicId: string, wanted: FetchPartition): SessionPartition {
  return {
    topic,
    topicId,
    index: wanted.partition,
    fetchOffset: wanted.fetchOffset,
    maxBytes: wanted.partitionMaxBytes,
    currentLeaderEpoch: wanted.currentLeaderEpoch,
    lastFetchedEpoch: wanted.lastFetchedEpoch,
    followerLogStartOffset: wanted.logStartOffset,
    knownHighWatermark: knownHighWatermark(wanted),
    highWatermark: -1,
    logStartOffset: -1,
    entry: undefined,
    generation: -1,
  };
}

function move(known: SessionPartition, wanted: FetchPartition): void {
  known.fetchOffset = wanted.fetchOffset;
  known.maxBytes = wanted.partitionMaxBytes;
  known.currentLeaderEpoch = wanted.currentLeaderEpoch;
  known.lastFetchedEpoch = wanted.lastFetchedEpoch;
  known.followerLogStartOffset = wanted.logStartOffset;
  known.knownHighWatermark = knownHighWatermark(wanted);
}

/** The largest number says that the follower does not care, -1 that it knows of none. */
function knownHighWatermark({ highWatermark }: FetchPartition): number | null {
  return highWatermark === Number.MAX_SAFE_INTEGER ? null : highWatermark;
}
