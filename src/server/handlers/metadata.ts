/**
 * Metadata (key 3): brokers, topics and who leads their partitions. Asking for a topic by name may create it.
 *
 * - v0: no controller; an empty list asks for all topics. v1: null asks for all; rack, controller, internal flag.
 * - v2: cluster id. v3: throttle time. v4: allow_auto_topic_creation (KIP-204). v5: offline replicas (KIP-112).
 * - v6: LISTENER_NOT_FOUND. v7: leader epoch (KIP-320). v8: authorized operations (KIP-430). v9: flexible.
 * - v10: topic ids in answers (KIP-516). v11: cluster operations moved to DescribeCluster (KIP-700).
 * - v12: topics by id. v13: error of the whole answer (KIP-1102).
 *
 * Where Kafka answers a topic it is about to create with UNKNOWN_TOPIC_OR_PARTITION and leaves the client to ask again,
 * this answer waits for the creation and has the topic.
 */
import { ErrorCode } from "#common/error-code.ts";
import { ZERO_UUID } from "#common/uuid.ts";
import { topicNameError } from "#controller/topic-name.ts";
import { isInternalTopic, liveBrokers } from "#metadata/cluster-image.ts";
import type { ClusterImage, TopicImage } from "#metadata/cluster-image.ts";
import {
  makeMetadataResponse,
  makeMetadataResponseBroker,
  makeMetadataResponseTopic,
  MetadataApi,
} from "#protocol/generated/metadata.ts";
import type {
  MetadataRequest,
  MetadataResponse,
  MetadataResponseBroker,
  MetadataResponseTopic,
} from "#protocol/generated/metadata.ts";
import {
  addressFor,
  ALL_CLUSTER_OPERATIONS,
  ALL_TOPIC_OPERATIONS,
  controllerIdFor,
  NO_AUTHORIZED_OPERATIONS,
  viewPartition,
} from "../cluster-view.ts";
import type { ApiHandler, RequestContext } from "../handler.ts";

const FIRST_VERSION_WITH_TOPIC_IDS = 10;
const FIRST_VERSION_BY_TOPIC_ID = 12;
const FIRST_VERSION_WITH_LISTENER_NOT_FOUND = 6;

/** What the handler works with. */
export interface MetadataDependencies {
  readonly clusterId: string;
  image(): ClusterImage;
  /** Whether a log directory of this broker works; absent means that all do. */
  readonly isDirectoryOnline?: (directoryId: string) => boolean;
  /** Whether asking may create: `auto.create.topics.enable`. */
  autoCreatesTopics(): boolean;
  /** Creates topics; error code per name, NONE where the topic is in the image afterwards. */
  createTopics(names: readonly string[]): Promise<ReadonlyMap<string, number>>;
}

/** Serves Metadata. */
export function createMetadataHandler(
  dependencies: MetadataDependencies,
): ApiHandler<MetadataRequest, MetadataResponse> {
  return {
    api: MetadataApi,
    minVersion: 0,
    maxVersion: 13,
    handle: (request, context) => handle(dependencies, request, context),
  };
}

function handle(
  dependencies: MetadataDependencies,
  request: MetadataRequest,
  context: RequestContext,
): MetadataResponse | Promise<MetadataResponse> {
  const { apiVersion } = context;
  const wanted = request.topics;
  if (wanted !== null && apiVersion >= FIRST_VERSION_WITH_TOPIC_IDS) {
    if (apiVersion < FIRST_VERSION_BY_TOPIC_ID) {
      if (wanted.some(({ name, topicId }) => name === null || topicId !== ZERO_UUID)) {
        return refuse(request, ErrorCode.INVALID_REQUEST);
      }
    } else if (wanted.some(({ name, topicId }) => name === null && topicId === ZERO_UUID)) {
      return refuse(request, ErrorCode.UNKNOWN_SERVER_ERROR);
    }
  }
  const missing = namesToCreate(dependencies, request, apiVersion);
  if (missing.length === 0) return answer(dependencies, request, context, new Map());
  return dependencies
    .createTopics(missing)
    .then((created) => answer(dependencies, request, context, created));
}

function asksForAll({ topics }: MetadataRequest, version: number): boolean {
  return topics === null || (version === 0 && topics.length === 0);
}

/** Ids that are asked for; with any of them present, rows by name are not looked at. */
function wantedIds({ topics }: MetadataRequest): string[] {
  return [...new Set((topics ?? []).map(({ topicId }) => topicId))].filter(
    (id) => id !== ZERO_UUID,
  );
}

function wantedNames({ topics }: MetadataRequest): string[] {
  return [...new Set((topics ?? []).map(({ name }) => name ?? ""))];
}

function namesToCreate(
  dependencies: MetadataDependencies,
  request: MetadataRequest,
  version: number,
): string[] {
  if (
    asksForAll(request, version) ||
    !request.allowAutoTopicCreation ||
    !dependencies.autoCreatesTopics()
  )
    return [];
  if (wantedIds(request).length > 0) return [];
  const { topicsByName } = dependencies.image();
  return wantedNames(request).filter(
    (name) => !topicsByName.has(name) && topicNameError(name) === null,
  );
}

/** Kafka's answer to a request it cannot make sense of: every topic with the error, and nothing else. */
function refuse(request: MetadataRequest, errorCode: number): MetadataResponse {
  const topics = (request.topics ?? []).map(({ name, topicId }) =>
    makeMetadataResponseTopic({
      errorCode,
      name: name ?? "",
      topicId,
      topicAuthorizedOperations: NO_AUTHORIZED_OPERATIONS,
    }),
  );
  return makeMetadataResponse({ topics, clusterId: null, controllerId: -1, errorCode });
}

function answer(
  dependencies: MetadataDependencies,
  request: MetadataRequest,
  context: RequestContext,
  created: ReadonlyMap<string, number>,
): MetadataResponse {
  const image = dependencies.image();
  const { apiVersion } = context;
  return makeMetadataResponse({
    brokers: describeBrokers(image, context),
    clusterId: dependencies.clusterId,
    controllerId: controllerIdFor(image),
    topics: describeTopics(dependencies, image, request, context, created),
    clusterAuthorizedOperations:
      request.includeClusterAuthorizedOperations && apiVersion >= 8 && apiVersion <= 10
        ? ALL_CLUSTER_OPERATIONS
        : NO_AUTHORIZED_OPERATIONS,
    errorCode: ErrorCode.NONE,
  });
}

function describeBrokers(
  image: ClusterImage,
  { connection }: RequestContext,
): MetadataResponseBroker[] {
  return liveBrokers(image).flatMap((broker) => {
    const address = addressFor(broker, connection);
    if (address === null) return [];
    return [makeMetadataResponseBroker({ nodeId: broker.id, ...address, rack: broker.rack })];
  });
}

function describeTopics(
  dependencies: MetadataDependencies,
  image: ClusterImage,
  request: MetadataRequest,
  context: RequestContext,
  created: ReadonlyMap<string, number>,
): MetadataResponseTopic[] {
  const operations = request.includeTopicAuthorizedOperations
    ? ALL_TOPIC_OPERATIONS
    : NO_AUTHORIZED_OPERATIONS;
  const describe = (topic: TopicImage): MetadataResponseTopic =>
    describeTopic(dependencies, image, topic, context, operations);
  if (asksForAll(request, context.apiVersion))
    return [...image.topicsByName.values()].map(describe);
  const ids = wantedIds(request);
  const present: MetadataResponseTopic[] = [];
  const absent: MetadataResponseTopic[] = [];
  if (ids.length > 0) {
    for (const id of ids) {
      const topic = image.topicsById.get(id);
      if (topic !== undefined) present.push(describe(topic));
      else absent.push(absentTopic(null, id, ErrorCode.UNKNOWN_TOPIC_ID, NO_AUTHORIZED_OPERATIONS));
    }
    return [...absent, ...present];
  }
  for (const name of wantedNames(request)) {
    const topic = image.topicsByName.get(name);
    if (topic !== undefined) present.push(describe(topic));
    else
      absent.push(absentTopic(name, ZERO_UUID, absenceCode(name, created.get(name)), operations));
  }
  return [...present, ...absent];
}

/** Why a topic is missing: nobody may have that name, or it is not there (also when it could not be created). */
function absenceCode(name: string, creation: number | undefined): number {
  const isInvalid = topicNameError(name) !== null;
  if (isInvalid) return ErrorCode.INVALID_TOPIC_EXCEPTION;
  // Created, and gone again before the answer: the client may ask again.
  if (creation === ErrorCode.NONE) return ErrorCode.LEADER_NOT_AVAILABLE;
  return ErrorCode.UNKNOWN_TOPIC_OR_PARTITION;
}

function absentTopic(
  name: string | null,
  topicId: string,
  errorCode: number,
  topicAuthorizedOperations: number,
): MetadataResponseTopic {
  const isInternal = name !== null && isInternalTopic(name);
  return makeMetadataResponseTopic({
    errorCode,
    name,
    topicId,
    isInternal,
    topicAuthorizedOperations,
  });
}

function describeTopic(
  { isDirectoryOnline }: MetadataDependencies,
  image: ClusterImage,
  topic: TopicImage,
  { apiVersion, connection }: RequestContext,
  topicAuthorizedOperations: number,
): MetadataResponseTopic {
  const options = {
    hidesUnavailable: apiVersion === 0,
    tellsListenerNotFound: apiVersion >= FIRST_VERSION_WITH_LISTENER_NOT_FOUND,
    isDirectoryOnline,
  };
  return makeMetadataResponseTopic({
    errorCode: ErrorCode.NONE,
    name: topic.name,
    topicId: topic.id,
    isInternal: isInternalTopic(topic.name),
    partitions: topic.partitions.map((partition) =>
      viewPartition(image, partition, connection, options),
    ),
    topicAuthorizedOperations,
  });
}
