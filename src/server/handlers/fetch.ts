/**
 * Fetch (key 1): reads record batches. Second of the files a fetch goes through.
 *
 * All partitions of a request are resolved by one native call. Where there is little, the call also copies the records, and
 * the answer is encoded around them. Else it returns a plan: where in which segment files the bytes are. The response is then
 * encoded around holes for them, and the transport fills the holes straight from the files. A fetch with too little to return
 * waits on the partitions it names, and is answered by its deadline whatever happens.
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
import { FETCH_COPIED, FetchColumn, ReadIsolation } from "#replica/log-port.ts";
import { NOT_HERE, type PartitionDirectory } from "#replica/partition-directory.ts";
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
  type HandlerResult,
  type RequestContext,
  SlicedResponse,
  type ConnectionInfo,
} from "../handler.ts";
import { hintLeader, type ReplicationView } from "../replication-view.ts";

/** First version whose consumers may read from followers. */
const FIRST_VERSION_WITH_RACK = 11;
const FIRST_VERSION_WITH_ENDPOINTS = 16;
const READ_COMMITTED = 1;
/** Records up to this size in all are copied with the call that finds them. */
const COPY_BYTES_MAX = 64 * 1024;
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
  readonly view: ReplicationView;
  /** A connection that is no node's called itself a replica; it is given nothing. */
  readonly onFalseReplica?: (replicaId: number, connection: ConnectionInfo) => void;
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
  /** Broker that the consumer should read from instead, -1 for none. */
  readonly preferredReplica: number;
}

/** Who fetches. */
interface Fetcher {
  /** Id of a replica, -1 for a consumer. */
  readonly replicaId: number;
  readonly brokerEpoch: number;
  /** A replica, and the node it says it is. A client may call itself a replica; it is told that it is none. */
  readonly isTrusted: boolean;
  /** Rack of a consumer that may be sent to another replica, else empty. */
  readonly rackId: string;
}

class FetchHandler implements ApiHandler<FetchRequest, FetchResponse> {
  readonly api: ApiMessages<FetchRequest, FetchResponse> = FetchApi;
  readonly minVersion: number = 4;
  readonly maxVersion: number = 18;
  readonly #dependencies: FetchDependencies;
  /** Records of the answer at hand: it is encoded before the next request is looked at. */
  readonly #records: Uint8Array = new Uint8Array(COPY_BYTES_MAX);
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
    const fetcher = this.#fetcherOf(request, context);
    const isFollower = fetcher.replicaId >= 0;
    const rows = this.#rows;
    rows.clear();
    const targets = this.#targets(opened, request, context.apiVersion, fetcher, rows);
    const maxBytes = Math.min(request.maxBytes, this.#dependencies.fetchMaxBytes);
    const leaderOnly = context.apiVersion < FIRST_VERSION_WITH_RACK ? ReadIsolation.LEADER_ONLY : 0;
    const parameters: FetchParameters = {
      minBytes: Math.min(request.minBytes, maxBytes),
      maxBytes,
      hasMinOneMessage: true,
      isolation: isolationLevel + leaderOnly,
      replica: isFollower
        ? {
            id: fetcher.replicaId,
            brokerEpoch: fetcher.brokerEpoch,
            quota: this.#dependencies.directory.throttle?.quota,
          }
        : undefined,
    };
    const replicas = this.#dependencies.replicas;
    const plan = isFollower
      ? replicas.read(rows, parameters)
      : replicas.readInto(rows, parameters, this.#records);
    const isAnswered =
      request.maxWaitMs <= 0 ||
      rows.count === 0 ||
      isReadable(rows, parameters.minBytes) ||
      targets.some(isSentElsewhere);
    if (isAnswered) {
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

  #fetcherOf(request: FetchRequest, { connection, apiVersion }: RequestContext): Fetcher {
    const { replicaState } = request;
    const replicaId = Math.max(request.replicaId, replicaState.replicaId);
    const { selectsByRack } = this.#dependencies.view;
    const mayChoose = selectsByRack && replicaId < 0 && apiVersion >= FIRST_VERSION_WITH_RACK;
    const isTrusted = replicaId >= 0 && connection.peerNodeId === replicaId;
    if (replicaId >= 0 && !isTrusted) {
      this.#dependencies.replicas.refusedReplicaFetchCount++;
      this.#dependencies.onFalseReplica?.(replicaId, connection);
    }
    return {
      replicaId,
      brokerEpoch: replicaState.replicaEpoch,
      isTrusted,
      rackId: mayChoose ? request.rackId : "",
    };
  }

  #targets(
    opened: FetchContext,
    request: FetchRequest,
    apiVersion: number,
    fetcher: Fetcher,
    rows: FetchRows,
  ): Target[] {
    const targets: Target[] = [];
    const unknown: Target[] = [];
    const throttle = fetcher.isTrusted ? this.#dependencies.directory.throttle : null;
    const throttled: Target[] = [];
    for (const partition of opened.named ?? opened.partitions.values()) {
      const errorCode = this.#check(partition, apiVersion, fetcher, request.maxBytes);
      const entry = partition.entry;
      let row = -1;
      let preferredReplica = -1;
      if (errorCode === ErrorCode.NONE && entry !== undefined) {
        if (fetcher.rackId !== "") {
          preferredReplica = this.#preferredReplica(entry.handle, partition, fetcher.rackId);
        }
        if (throttle?.replicas.has(entry.topic.name, partition.index) === true) {
          throttled.push({ partition, row, errorCode, preferredReplica });
          continue;
        }
        if (preferredReplica < 0) row = addRow(rows, entry.handle, partition);
      }
      const target = { partition, row, errorCode, preferredReplica };
      (isUnknown(errorCode) ? unknown : targets).push(target);
    }
    for (const target of throttled) {
      const row = addRow(rows, target.partition.entry?.handle ?? NOT_HERE, target.partition);
      rows.throttle(row);
      targets.push({ ...target, row });
    }
    // Kafka answers for what it read first.
    return unknown.length === 0 ? targets : [...targets, ...unknown];
  }

  #preferredReplica(handle: number, { fetchOffset }: SessionPartition, rackId: string): number {
    const { replicas, view } = this.#dependencies;
    return replicas.preferredReplica(handle, fetchOffset, rackId, view);
  }

  /** Looks the partition up, unless nothing changed since the last time. */
  #check(
    partition: SessionPartition,
    apiVersion: number,
    fetcher: Fetcher,
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
    const { handle, otherLeader } = partition.entry;
    if (fetcher.replicaId >= 0 && !fetcher.isTrusted) {
      return partition.currentLeaderEpoch >= 0 && otherLeader === null
        ? ErrorCode.UNKNOWN_LEADER_EPOCH
        : ErrorCode.NOT_LEADER_OR_FOLLOWER;
    }
    if (handle === NOT_HERE) return ErrorCode.NOT_LEADER_OR_FOLLOWER;
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
    let recordsBytes = 0;
    for (const target of targets) {
      const { partition, row, preferredReplica } = target;
      const data =
        preferredReplica >= 0
          ? this.#elsewhere(partition, preferredReplica)
          : row < 0
            ? errorData(
                partition.index,
                target.errorCode,
                isFoundByRead(target.errorCode) ? null : [],
              )
            : this.#partitionData(partition, rows, row, plan, isolation, recordsBytes);
      if (data.records !== NO_RECORDS) {
        const bytes = rows.result(row, FetchColumn.BYTES);
        recordsBytes += bytes;
        if (partition.entry !== undefined && !isFollower)
          partition.entry.topic.traffic.fetchedBytes += bytes;
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
    if (isFollower) this.#dependencies.replicas.replicationSentBytes += recordsBytes;
    else this.#dependencies.replicas.traffic.fetchedBytes += recordsBytes;
    if (rows.throttled !== null) this.#countThrottled(rows);
    return plan > 0 ? new SlicedResponse(response, plan, recordsBytes) : response;
  }

  /** Counts what throttled replicas are sent: also those in sync, which are not held back. */
  #countThrottled(rows: FetchRows): void {
    let bytes = 0;
    for (const row of rows.throttled ?? []) bytes += rows.result(row, FetchColumn.BYTES);
    const { directory, replicas } = this.#dependencies;
    if (bytes > 0) directory.throttle?.quota.record(bytes, replicas.nowMs);
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

  /** @param copiedAt - where the row's records are, if they were copied. */
  #partitionData(
    partition: SessionPartition,
    rows: FetchRows,
    row: number,
    plan: number,
    isolation: number,
    copiedAt: number,
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
      records:
        bytes === 0
          ? NO_RECORDS
          : plan === FETCH_COPIED
            ? this.#records.subarray(copiedAt, copiedAt + bytes)
            : { row, lengthBytes: bytes },
    };
  }

  #aborted(
    rows: FetchRows,
    row: number,
    plan: number,
  ): { producerId: bigint; firstOffset: number }[] {
    if (plan <= 0 || rows.result(row, FetchColumn.ABORTED_COUNT) === 0) return [];
    return this.#dependencies.replicas
      .abortedTransactions(plan, row)
      .map(([producerId, firstOffset]) => ({ producerId: BigInt(producerId), firstOffset }));
  }

  /** Sends a consumer to another replica: offsets, and no records. */
  #elsewhere(partition: SessionPartition, preferredReplica: number): PartitionData {
    const data = errorData(partition.index, ErrorCode.NONE, null);
    const offsets = this.#dependencies.replicas.offsets(partition.entry?.handle ?? NOT_HERE);
    return { ...data, ...offsets, preferredReadReplica: preferredReplica };
  }

  /** Tells who leads instead, and where unless a follower asks (KIP-951). */
  #nameLeader(
    data: PartitionData,
    { entry }: SessionPartition,
    nodeEndpoints: NodeEndpoint[] | null,
    context: RequestContext,
  ): void {
    if (entry === undefined) return;
    const { view, directory } = this.#dependencies;
    const leader = directory.current(entry);
    data.currentLeader = hintLeader(view, leader, context.connection, nodeEndpoints ?? []);
  }
}

function isSentElsewhere({ preferredReplica }: Target): boolean {
  return preferredReplica >= 0;
}

/** Adds what a partition's session asks for as a row. */
function addRow(rows: FetchRows, handle: number, partition: SessionPartition): number {
  const row = rows.add(
    handle,
    partition.fetchOffset,
    partition.maxBytes,
    // Any negative epoch means that the client does not check.
    partition.currentLeaderEpoch < 0 ? -1 : partition.currentLeaderEpoch,
    partition.lastFetchedEpoch,
    partition.followerLogStartOffset,
  );
  if (partition.knownHighWatermark !== null) {
    rows.wantHighWatermark(row, partition.knownHighWatermark);
  }
  return row;
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
