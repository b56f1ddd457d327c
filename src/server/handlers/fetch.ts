/**
 * Fetch (key 1): reads record batches. Second of the files a fetch goes through.
 *
 * All partitions of a request are resolved by one native call, which returns a plan: where in which segment files the
 * bytes are. The response is encoded around holes for them, and the transport fills the holes straight from the files. A
 * fetch with too little to return waits on the partitions it names, and is answered by its deadline whatever happens.
 *
 * - v4: isolation level, last stable offset, aborted transactions (KIP-98); the first version with record batches.
 * - v5: log start offset (KIP-107). v6: as v5. v7: sessions (KIP-227). v8: as v7.
 * - v9: current leader epoch (KIP-320). v10: zstd (KIP-110). v11: rack, preferred replica (KIP-392).
 * - v12: flexible; last fetched epoch and diverging epoch (KIP-595). v13: topics by id (KIP-516).
 * - v14: tiered storage. v15: replica state (KIP-903). v16: node endpoints (KIP-951).
 * - v17: replica directory id (KIP-853). v18: follower's high watermark (KIP-1166).
 */
import { ErrorCode } from "#common/error-code.ts";
import {
  type FetchableTopicResponse,
  FetchApi,
  type FetchRequest,
  type FetchResponse,
  type NodeEndpoint,
  type PartitionData,
} from "#protocol/generated/fetch.ts";
import type { ApiMessages } from "#protocol/api.ts";
import { FetchColumn } from "#replica/log-port.ts";
import type { PartitionDirectory } from "#replica/partition-directory.ts";
import {
  type FetchParameters,
  FetchRows,
  isReadable,
  type ReplicaManager,
} from "#replica/replica-manager.ts";
import {
  type FetchContext,
  FIRST_VERSION_WITH_TOPIC_IDS,
  openFetchContext,
} from "../fetch-context.ts";
import {
  type FetchSessionCache,
  INVALID_SESSION_ID,
  type SessionPartition,
} from "../fetch-session.ts";
import {
  type ApiHandler,
  type ConnectionInfo,
  type HandlerResult,
  type RequestContext,
  SlicedResponse,
} from "../handler.ts";

const FIRST_VERSION_WITH_ENDPOINTS = 16;
const READ_COMMITTED = 1;
const NO_RECORDS: Uint8Array = new Uint8Array(0);
const NO_EPOCH: { epoch: number; endOffset: number } = { epoch: -1, endOffset: -1 };
const NO_LEADER: { leaderId: number; leaderEpoch: number } = { leaderId: -1, leaderEpoch: -1 };
const NO_SNAPSHOT: { endOffset: number; epoch: number } = { endOffset: -1, epoch: -1 };

/** What the handler works with. */
export interface FetchDependencies {
  readonly directory: PartitionDirectory;
  readonly replicas: ReplicaManager;
  readonly sessions: FetchSessionCache;
  /** `fetch.max.bytes`: the most a response may hold, whatever the client asks for. */
  readonly fetchMaxBytes: number;
  readonly nodeId: number;
  /** This broker as the client of a connection can reach it. */
  ownEndpoint(connection: ConnectionInfo): NodeEndpoint;
}

/** Serves Fetch. */
export function createFetchHandler(
  dependencies: FetchDependencies,
): ApiHandler<FetchRequest, FetchResponse> {
  return new FetchHandler(dependencies);
}

/** A partition to answer for: a row of the read, or an error found before it. */
interface Target {
  readonly partition: SessionPartition;
  readonly row: number;
  readonly errorCode: number;
}

class FetchHandler implements ApiHandler<FetchRequest, FetchResponse> {
  readonly api: ApiMessages<FetchRequest, FetchResponse> = FetchApi;
  readonly minVersion: number = 4;
  readonly maxVersion: number = 18;
  readonly #dependencies: FetchDependencies;
  /** Rows of the request at hand; a request that waits gets its own copy. */
  readonly #rows: FetchRows = new FetchRows();

  constructor(dependencies: FetchDependencies) {
    this.#dependencies = dependencies;
  }

  handle(
    request: FetchRequest,
    context: RequestContext,
  ): HandlerResult<FetchResponse> | Promise<HandlerResult<FetchResponse>> {
    const { isolationLevel } = request;
    if (isolationLevel !== 0 && isolationLevel !== READ_COMMITTED)
      return refused(request, context.apiVersion);
    const opened = openFetchContext(
      this.#dependencies.sessions,
      request,
      context.apiVersion,
      context.receivedMonotonicMs,
    );
    if (typeof opened === "number") return answerOf(opened, INVALID_SESSION_ID, []);
    const isFollower = asksAsFollower(request);
    const rows = this.#rows;
    rows.clear();
    const targets = this.#targets(opened, request, context.apiVersion, rows);
    const maxBytes = Math.min(request.maxBytes, this.#dependencies.fetchMaxBytes);
    const parameters: FetchParameters = {
      minBytes: Math.min(request.minBytes, maxBytes),
      maxBytes,
      hasMinOneMessage: true,
      isolation: isolationLevel,
    };
    const replicas = this.#dependencies.replicas;
    const plan = replicas.read(rows, parameters);
    if (request.maxWaitMs <= 0 || rows.count === 0 || isReadable(rows, parameters.minBytes)) {
      return this.#respond(opened, targets, rows, plan, isolationLevel, context, isFollower);
    }
    replicas.drop(plan);
    const ownRows = rows.copy();
    return replicas
      .awaitReadable(ownRows, parameters, request.maxWaitMs)
      .then((readPlan) =>
        this.#respond(opened, targets, ownRows, readPlan, isolationLevel, context, isFollower),
      );
  }

  #targets(
    opened: FetchContext,
    request: FetchRequest,
    apiVersion: number,
    rows: FetchRows,
  ): Target[] {
    const isFollower = asksAsFollower(request);
    const targets: Target[] = [];
    const unknown: Target[] = [];
    for (const partition of opened.partitions.values()) {
      const errorCode = this.#check(partition, apiVersion, isFollower, request.maxBytes);
      const entry = partition.entry;
      const row =
        errorCode !== ErrorCode.NONE || entry === undefined
          ? -1
          : rows.add(
              entry.handle,
              partition.fetchOffset,
              partition.maxBytes,
              // Any negative epoch means that the client does not check.
              partition.currentLeaderEpoch < 0 ? -1 : partition.currentLeaderEpoch,
              partition.lastFetchedEpoch,
              partition.followerLogStartOffset,
            );
      (isUnknown(errorCode) ? unknown : targets).push({ partition, row, errorCode });
    }
    // Kafka answers for what it read first.
    return unknown.length === 0 ? targets : [...targets, ...unknown];
  }

  /** Looks the partition up, unless nothing changed since the last time. */
  #check(
    partition: SessionPartition,
    apiVersion: number,
    isFollower: boolean,
    maxBytes: number,
  ): number {
    const { directory } = this.#dependencies;
    const usesIds = apiVersion >= FIRST_VERSION_WITH_TOPIC_IDS;
    if (partition.generation !== directory.generation) {
      const topic = usesIds
        ? directory.topicById(partition.topicId)
        : directory.topicByName(partition.topic);
      partition.generation = directory.generation;
      partition.entry = topic?.partitions[partition.index];
      if (topic === undefined && usesIds) return ErrorCode.UNKNOWN_TOPIC_ID;
    }
    if (partition.entry === undefined) {
      return usesIds && directory.topicById(partition.topicId) === undefined
        ? ErrorCode.UNKNOWN_TOPIC_ID
        : ErrorCode.UNKNOWN_TOPIC_OR_PARTITION;
    }
    // No partition has followers yet, so nobody may fetch as one.
    if (isFollower) return ErrorCode.NOT_LEADER_OR_FOLLOWER;
    if (maxBytes < 0 || partition.maxBytes < 0) return ErrorCode.UNKNOWN_SERVER_ERROR;
    return ErrorCode.NONE;
  }

  #respond(
    opened: FetchContext,
    targets: readonly Target[],
    rows: FetchRows,
    plan: number,
    isolation: number,
    context: RequestContext,
    isFollower: boolean,
  ): HandlerResult<FetchResponse> {
    const responses: FetchableTopicResponse[] = [];
    const nodeEndpoints: NodeEndpoint[] = [];
    let topic: FetchableTopicResponse | null = null;
    let slicesBytes = 0;
    for (const target of targets) {
      const { partition, row } = target;
      const data =
        row < 0
          ? errorData(
              partition.index,
              target.errorCode,
              isFoundByRead(target.errorCode) ? null : [],
            )
          : this.#partitionData(partition, rows, row, plan, isolation);
      if (data.records !== null && !(data.records instanceof Uint8Array)) {
        const bytes = data.records.lengthBytes;
        slicesBytes += bytes;
        if (partition.entry !== undefined) partition.entry.topic.traffic.fetchedBytes += bytes;
      }
      if (!noteAnswer(opened, partition, data)) continue;
      if (isLeaderError(data.errorCode) && context.apiVersion >= FIRST_VERSION_WITH_ENDPOINTS) {
        this.#nameLeader(data, partition, isFollower ? null : nodeEndpoints, context);
      }
      if (
        topic === null ||
        topic.topic !== partition.topic ||
        topic.topicId !== partition.topicId
      ) {
        topic = { topic: partition.topic, topicId: partition.topicId, partitions: [] };
        responses.push(topic);
      }
      topic.partitions.push(data);
    }
    const response = answerOf(ErrorCode.NONE, this.#sessionId(opened, context), responses);
    response.nodeEndpoints = nodeEndpoints;
    this.#dependencies.replicas.traffic.fetchedBytes += slicesBytes;
    return plan === 0 ? response : new SlicedResponse(response, plan, slicesBytes);
  }

  #sessionId(opened: FetchContext, context: RequestContext): number {
    if (opened.kind === "sessionless") return INVALID_SESSION_ID;
    if (opened.session !== null) return opened.session.id;
    const usesIds = context.apiVersion >= FIRST_VERSION_WITH_TOPIC_IDS;
    const session = this.#dependencies.sessions.create(
      opened.partitions,
      usesIds,
      context.receivedMonotonicMs,
    );
    return session?.id ?? INVALID_SESSION_ID;
  }

  #partitionData(
    partition: SessionPartition,
    rows: FetchRows,
    row: number,
    plan: number,
    isolation: number,
  ): PartitionData {
    const errorCode = rows.result(row, FetchColumn.ERROR);
    if (errorCode !== ErrorCode.NONE) return errorData(partition.index, errorCode, null);
    const bytes = rows.result(row, FetchColumn.BYTES);
    const divergingEpoch = rows.result(row, FetchColumn.DIVERGING_EPOCH);
    return {
      partitionIndex: partition.index,
      errorCode,
      highWatermark: rows.result(row, FetchColumn.HIGH_WATERMARK),
      lastStableOffset: rows.result(row, FetchColumn.LAST_STABLE_OFFSET),
      logStartOffset: rows.result(row, FetchColumn.LOG_START_OFFSET),
      divergingEpoch:
        divergingEpoch < 0
          ? NO_EPOCH
          : {
              epoch: divergingEpoch,
              endOffset: rows.result(row, FetchColumn.DIVERGING_END_OFFSET),
            },
      currentLeader: NO_LEADER,
      snapshotId: NO_SNAPSHOT,
      abortedTransactions: isolation === READ_COMMITTED ? this.#aborted(rows, row, plan) : null,
      preferredReadReplica: rows.result(row, FetchColumn.PREFERRED_REPLICA),
      records: bytes > 0 ? { row, lengthBytes: bytes } : NO_RECORDS,
    };
  }

  #aborted(
    rows: FetchRows,
    row: number,
    plan: number,
  ): { producerId: bigint; firstOffset: number }[] {
    if (plan === 0 || rows.result(row, FetchColumn.ABORTED_COUNT) === 0) return [];
    return this.#dependencies.replicas
      .abortedTransactions(plan, row)
      .map(([producerId, firstOffset]) => ({ producerId: BigInt(producerId), firstOffset }));
  }

  /** Tells who leads instead, and where unless a follower asks; on a single node that is always this one (KIP-951). */
  #nameLeader(
    data: PartitionData,
    partition: SessionPartition,
    nodeEndpoints: NodeEndpoint[] | null,
    context: RequestContext,
  ): void {
    if (partition.entry === undefined) return;
    const { nodeId } = this.#dependencies;
    data.currentLeader = { leaderId: nodeId, leaderEpoch: partition.entry.leaderEpoch };
    if (nodeEndpoints?.length === 0) {
      nodeEndpoints.push(this.#dependencies.ownEndpoint(context.connection));
    }
  }
}

function asksAsFollower({ replicaId, replicaState }: FetchRequest): boolean {
  return replicaId >= 0 || replicaState.replicaId >= 0;
}

/** Kafka finds these errors while reading, and then leaves the aborted transactions out instead of listing none. */
function isFoundByRead(errorCode: number): boolean {
  return (
    errorCode === ErrorCode.NOT_LEADER_OR_FOLLOWER || errorCode === ErrorCode.UNKNOWN_SERVER_ERROR
  );
}

function isUnknown(errorCode: number): boolean {
  return (
    errorCode === ErrorCode.UNKNOWN_TOPIC_OR_PARTITION || errorCode === ErrorCode.UNKNOWN_TOPIC_ID
  );
}

function isLeaderError(errorCode: number): boolean {
  return (
    errorCode === ErrorCode.NOT_LEADER_OR_FOLLOWER || errorCode === ErrorCode.FENCED_LEADER_EPOCH
  );
}

/**
 * Remembers what the client is told about a partition, and says whether it needs to be told: in an incremental answer
 * only what is new. A partition that returned records goes to the end of its session, so that all get their turn.
 */
function noteAnswer(
  opened: FetchContext,
  partition: SessionPartition,
  data: PartitionData,
): boolean {
  if (opened.kind === "sessionless") return true;
  const hasRecords = data.records !== null && data.records !== NO_RECORDS;
  const isNew =
    hasRecords ||
    data.errorCode !== ErrorCode.NONE ||
    data.divergingEpoch !== NO_EPOCH ||
    data.preferredReadReplica >= 0 ||
    data.highWatermark !== partition.highWatermark ||
    data.logStartOffset !== partition.logStartOffset;
  // After an error everything counts as new.
  partition.highWatermark = data.errorCode === ErrorCode.NONE ? data.highWatermark : -1;
  partition.logStartOffset = data.logStartOffset;
  if (opened.kind === "full") return true;
  if (hasRecords) moveToEnd(opened, partition);
  return isNew;
}

function moveToEnd({ partitions, session }: FetchContext, partition: SessionPartition): void {
  const key =
    session?.usesTopicIds === true
      ? `${partition.topicId}-${partition.index}`
      : `${partition.topic}-${partition.index}`;
  // A later request may have forgotten it while this one waited.
  if (partitions.delete(key)) partitions.set(key, partition);
}

function errorData(
  partitionIndex: number,
  errorCode: number,
  abortedTransactions: [] | null,
): PartitionData {
  return {
    partitionIndex,
    errorCode,
    highWatermark: -1,
    lastStableOffset: -1,
    logStartOffset: -1,
    divergingEpoch: NO_EPOCH,
    currentLeader: NO_LEADER,
    snapshotId: NO_SNAPSHOT,
    abortedTransactions,
    preferredReadReplica: -1,
    records: NO_RECORDS,
  };
}

function answerOf(
  errorCode: number,
  sessionId: number,
  responses: FetchableTopicResponse[],
): FetchResponse {
  return { throttleTimeMs: 0, errorCode, sessionId, responses, nodeEndpoints: [] };
}

/** The answer to a request that makes no sense as a whole: the error for it and, while topics have names, each partition. */
function refused(request: FetchRequest, apiVersion: number): FetchResponse {
  const errorCode = ErrorCode.UNKNOWN_SERVER_ERROR;
  if (apiVersion >= FIRST_VERSION_WITH_TOPIC_IDS) return answerOf(errorCode, request.sessionId, []);
  const responses = request.topics.map(({ topic, topicId, partitions }) => ({
    topic,
    topicId,
    partitions: partitions.map(({ partition }) => errorData(partition, errorCode, [])),
  }));
  return answerOf(errorCode, request.sessionId, responses);
}
