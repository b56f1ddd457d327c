/**
 * Every API this broker serves, put together from the parts that serve it. A handler that is not added here is not
 * advertised and does not exist for clients.
 */
import type { BrokerConfig } from "#config/broker-config.ts";
import type { BrokerSettings } from "#config/broker-settings.ts";
import type { LoggerLevels } from "#config/logger-levels.ts";
import { ProducerIdSource } from "#controller/producer-ids.ts";
import { SUPPORTED_FEATURES } from "#controller/registration.ts";
import {
  type GroupCoordinator,
  OFFSETS_TOPIC,
  type TopicLookup,
} from "#coordinator/group/group-coordinator.ts";
import type { LogStore } from "#log/log.ts";
import { type ClusterImage, isInternalTopic } from "#metadata/cluster-image.ts";
import type { PartitionDirectory } from "#replica/partition-directory.ts";
import type { ReplicaManager } from "#replica/replica-manager.ts";
import type { ClientTelemetry } from "#server/client-telemetry.ts";
import { addressFor } from "#server/cluster-view.ts";
import type { FetchSessionCache } from "#server/fetch-session.ts";
import { erased } from "#server/handler.ts";
import type { HandlerTable } from "#server/handler-table.ts";
import type { ReplicaMover } from "#server/handlers/alter-replica-log-dirs.ts";
import { createAlterConfigsHandler } from "#server/handlers/alter-configs.ts";
import { createApiVersionsHandler, type FeatureState } from "#server/handlers/api-versions.ts";
import { createConsumerGroupDescribeHandler } from "#server/handlers/consumer-group-describe.ts";
import { createConsumerGroupHeartbeatHandler } from "#server/handlers/consumer-group-heartbeat.ts";
import { createCreatePartitionsHandler } from "#server/handlers/create-partitions.ts";
import { createCreateTopicsHandler } from "#server/handlers/create-topics.ts";
import { createDeleteGroupsHandler } from "#server/handlers/delete-groups.ts";
import { createDeleteRecordsHandler } from "#server/handlers/delete-records.ts";
import { createDeleteTopicsHandler } from "#server/handlers/delete-topics.ts";
import { createDescribeClusterHandler } from "#server/handlers/describe-cluster.ts";
import { createDescribeConfigsHandler } from "#server/handlers/describe-configs.ts";
import { createDescribeGroupsHandler } from "#server/handlers/describe-groups.ts";
import { createDescribeLogDirsHandler } from "#server/handlers/describe-log-dirs.ts";
import { createDescribeTopicPartitionsHandler } from "#server/handlers/describe-topic-partitions.ts";
import { createFetchHandler } from "#server/handlers/fetch.ts";
import { createFindCoordinatorHandler } from "#server/handlers/find-coordinator.ts";
import { createGetTelemetrySubscriptionsHandler } from "#server/handlers/get-telemetry-subscriptions.ts";
import { createHeartbeatHandler } from "#server/handlers/heartbeat.ts";
import { createIncrementalAlterConfigsHandler } from "#server/handlers/incremental-alter-configs.ts";
import { createInitProducerIdHandler } from "#server/handlers/init-producer-id.ts";
import { createJoinGroupHandler } from "#server/handlers/join-group.ts";
import { createLeaveGroupHandler } from "#server/handlers/leave-group.ts";
import { createListConfigResourcesHandler } from "#server/handlers/list-config-resources.ts";
import { createListGroupsHandler } from "#server/handlers/list-groups.ts";
import { createListOffsetsHandler } from "#server/handlers/list-offsets.ts";
import { createMetadataHandler } from "#server/handlers/metadata.ts";
import { createOffsetCommitHandler } from "#server/handlers/offset-commit.ts";
import { createOffsetDeleteHandler } from "#server/handlers/offset-delete.ts";
import { createOffsetFetchHandler } from "#server/handlers/offset-fetch.ts";
import { createOffsetForLeaderEpochHandler } from "#server/handlers/offset-for-leader-epoch.ts";
import { createProduceHandler } from "#server/handlers/produce.ts";
import { createPushTelemetryHandler } from "#server/handlers/push-telemetry.ts";
import { createSyncGroupHandler } from "#server/handlers/sync-group.ts";
import { directoryView } from "#server/replication-view.ts";
import { addAdminHandlers } from "./admin-handlers.ts";
import type { CordonedDirectories } from "./cordoned-directories.ts";
import type { ControllerAccess } from "./forwarding.ts";
import type { RequestLog } from "./request-log.ts";

/** What the handlers are made of. */
export interface BrokerParts {
  readonly clusterId: string;
  readonly settings: BrokerSettings;
  config(): BrokerConfig;
  image(): ClusterImage;
  /** Where requests of the controller go. */
  readonly access: ControllerAccess;
  readonly groups: GroupCoordinator;
  readonly topics: TopicLookup;
  readonly directory: PartitionDirectory;
  readonly replicas: ReplicaManager;
  readonly store: LogStore;
  /** Moves replicas between the log directories of this broker. */
  readonly moves: ReplicaMover;
  isDirectoryOnline(directoryId: string): boolean;
  readonly cordons: Pick<CordonedDirectories, "shown">;
  readonly loggers: LoggerLevels;
  readonly telemetry: ClientTelemetry;
  readonly sessions: FetchSessionCache;
  readonly requestLog: Pick<RequestLog, "onFalseReplica">;
}

/** What ApiVersions tells of features. */
export function featureState(image: ClusterImage): FeatureState {
  return {
    features: SUPPORTED_FEATURES.map(({ name, min, max }) => ({
      name,
      minVersion: min,
      maxVersion: max,
      level: image.features.get(name) ?? 0,
    })),
    epoch: image.offset,
  };
}

/** Adds every handler to `table`. */
export function addHandlers(table: HandlerTable, parts: BrokerParts): void {
  const { clusterId, settings, access, groups, topics, directory, replicas, store } = parts;
  const { nodeId } = settings;
  const image = (): ClusterImage => parts.image();
  const config = (): BrokerConfig => parts.config();
  const view = directoryView(directory, nodeId, settings.replicaSelectsByRack);
  const isConsumerNamed = settings.groupCoordinatorRebalanceProtocols.includes("consumer");
  const servesConsumerGroups = (): boolean =>
    isConsumerNamed && (image().features.get("group.version") ?? 0) >= 1;
  const producerIds = new ProducerIdSource(() => access.allocateProducerIds());
  table.add(
    erased(createProduceHandler({ directory, replicas, view, isInternalTopic })),
    erased(
      createFetchHandler({
        directory,
        replicas,
        sessions: parts.sessions,
        fetchMaxBytes: settings.fetchMaxBytes,
        view,
        onFalseReplica: (id, connection) => parts.requestLog.onFalseReplica(id, connection),
      }),
    ),
    erased(createListOffsetsHandler({ directory, log: store, replicas })),
    erased(
      createMetadataHandler({
        clusterId,
        image,
        isDirectoryOnline: (id) => parts.isDirectoryOnline(id),
        autoCreatesTopics: () => config().boolean("auto.create.topics.enable"),
        createTopics: (names) => access.createAutomatically(names),
      }),
    ),
    erased(createOffsetCommitHandler({ groups, topics })),
    erased(createOffsetFetchHandler({ groups, topics })),
    erased(
      createFindCoordinatorHandler({
        groups,
        leaderFor: (groupId, connection) => {
          const partition = groups.partitionFor(groupId);
          const leader = image().topicsByName.get(OFFSETS_TOPIC)?.partitions[partition]?.leader;
          const broker = leader === undefined ? undefined : image().brokers.get(leader);
          if (broker === undefined || broker.isFenced) return null;
          const address = addressFor(broker, connection);
          return address === null ? null : { nodeId: broker.id, ...address };
        },
        coordinatesTransactions: false,
      }),
    ),
    erased(createJoinGroupHandler({ groups })),
    erased(createHeartbeatHandler({ groups })),
    erased(createLeaveGroupHandler({ groups })),
    erased(createSyncGroupHandler({ groups })),
    erased(createDescribeGroupsHandler({ groups })),
    erased(createConsumerGroupHeartbeatHandler({ groups, isEnabled: servesConsumerGroups })),
    erased(createConsumerGroupDescribeHandler({ groups, isEnabled: servesConsumerGroups })),
    erased(createListGroupsHandler({ groups })),
    erased(
      createApiVersionsHandler({
        table,
        clusterId,
        nodeId,
        features: () => featureState(image()),
      }),
    ),
    erased(access.serve((controller) => createCreateTopicsHandler({ controller }))),
    erased(access.serve((controller) => createDeleteTopicsHandler({ controller }))),
    erased(createDeleteRecordsHandler({ directory, log: store, replicas, isInternalTopic })),
    erased(createInitProducerIdHandler({ producerIds })),
    erased(createOffsetForLeaderEpochHandler({ directory, log: store })),
    erased(createDescribeConfigsHandler({ nodeId, image, config, loggers: parts.loggers })),
    erased(createAlterConfigsHandler({ controller: access.configs })),
    erased(
      createDescribeLogDirsHandler({
        logDirs: store,
        cordoned: () => parts.cordons.shown,
      }),
    ),
    erased(access.serve((controller) => createCreatePartitionsHandler({ controller }))),
    erased(createDeleteGroupsHandler({ groups })),
    erased(createIncrementalAlterConfigsHandler({ controller: access.configs })),
    erased(createOffsetDeleteHandler({ groups, topics })),
    erased(createListConfigResourcesHandler({ image })),
    erased(createGetTelemetrySubscriptionsHandler({ telemetry: parts.telemetry })),
    erased(createPushTelemetryHandler({ telemetry: parts.telemetry })),
    erased(createDescribeClusterHandler({ clusterId, image })),
    erased(
      createDescribeTopicPartitionsHandler({
        image,
        isDirectoryOnline: (id) => parts.isDirectoryOnline(id),
        partitionLimit: () => settings.maxRequestPartitionSizeLimit,
      }),
    ),
  );
  addAdminHandlers(table, parts);
}
