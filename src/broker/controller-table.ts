/**
 * What the listener of a controller serves: requests of brokers, what brokers pass on, and an administrator who asks a controller
 * directly (`--bootstrap-controller`). It is served on the main thread.
 */
import { createEnvelopeHandler } from "#cluster/envelope.ts";
import { ErrorCode } from "#common/error-code.ts";
import type { ClusterController } from "#controller/cluster-controller.ts";
import type { Controller } from "#controller/controller.ts";
import type { ClusterImage } from "#metadata/cluster-image.ts";
import type { ApiMessages } from "#protocol/api.ts";
import {
  AllocateProducerIdsApi,
  makeAllocateProducerIdsResponse,
} from "#protocol/generated/allocate-producer-ids.ts";
import {
  AlterPartitionApi,
  makeAlterPartitionResponse,
} from "#protocol/generated/alter-partition.ts";
import {
  AssignReplicasToDirsApi,
  makeAssignReplicasToDirsResponse,
} from "#protocol/generated/assign-replicas-to-dirs.ts";
import {
  BrokerHeartbeatApi,
  makeBrokerHeartbeatResponse,
} from "#protocol/generated/broker-heartbeat.ts";
import {
  BrokerRegistrationApi,
  makeBrokerRegistrationResponse,
} from "#protocol/generated/broker-registration.ts";
import { EnvelopeApi } from "#protocol/generated/envelope.ts";
import {
  type ApiHandler,
  type ConnectionInfo,
  erased,
  type RequestContext,
} from "#server/handler.ts";
import type { HandlerTable } from "#server/handler-table.ts";
import { createAlterClientQuotasHandler } from "#server/handlers/alter-client-quotas.ts";
import { createAlterConfigsHandler } from "#server/handlers/alter-configs.ts";
import { createAlterPartitionReassignmentsHandler } from "#server/handlers/alter-partition-reassignments.ts";
import { createAlterUserScramCredentialsHandler } from "#server/handlers/alter-user-scram-credentials.ts";
import { createApiVersionsHandler, type FeatureState } from "#server/handlers/api-versions.ts";
import { createCreatePartitionsHandler } from "#server/handlers/create-partitions.ts";
import { createCreateTopicsHandler } from "#server/handlers/create-topics.ts";
import { createDeleteTopicsHandler } from "#server/handlers/delete-topics.ts";
import {
  createDescribeClusterHandler,
  type ControllerNode,
} from "#server/handlers/describe-cluster.ts";
import { createDescribeQuorumHandler, type QuorumView } from "#server/handlers/describe-quorum.ts";
import { createElectLeadersHandler } from "#server/handlers/elect-leaders.ts";
import { createIncrementalAlterConfigsHandler } from "#server/handlers/incremental-alter-configs.ts";
import { createListPartitionReassignmentsHandler } from "#server/handlers/list-partition-reassignments.ts";
import {
  createAddRaftVoterHandler,
  createRemoveRaftVoterHandler,
  type VoterChanges,
} from "#server/handlers/raft-voters.ts";
import { createUnregisterBrokerHandler } from "#server/handlers/unregister-broker.ts";
import { createUpdateFeaturesHandler } from "#server/handlers/update-features.ts";
import { SYSTEM_CLOCK } from "./system-ports.ts";

/** What the handlers are made of. */
export interface ControllerParts {
  readonly nodeId: number;
  readonly clusterId: string;
  readonly controller: Controller;
  readonly cluster: ClusterController;
  image(): ClusterImage;
  features(): FeatureState;
  /** The quorum as this node sees it; null while it leads no quorum. */
  quorum(): QuorumView | null;
  readonly voters: VoterChanges;
  /** A client sent what only nodes may send; it was refused. */
  onStranger(api: string, connection: ConnectionInfo): void;
  /** Controllers that an administrator can ask, and the active one. */
  controllers(): { readonly nodes: readonly ControllerNode[]; readonly activeId: number };
}

/** Adds them to `table`. */
export function addControllerHandlers(table: HandlerTable, parts: ControllerParts): void {
  const { nodeId, clusterId, controller, cluster } = parts;
  const image = (): ClusterImage => parts.image();
  const forNodes = nodesOnly(parts);
  table.add(
    erased(
      createApiVersionsHandler({ table, clusterId, nodeId, features: () => parts.features() }),
    ),
    erased(
      createEnvelopeHandler({
        table,
        isActive: () => cluster.isActive,
        onStranger: (connection) => parts.onStranger(EnvelopeApi.name, connection),
      }),
    ),
    erased(
      forNodes(
        BrokerRegistrationApi,
        0,
        (request, { receivedMonotonicMs }) => cluster.registerBroker(request, receivedMonotonicMs),
        (errorCode) => makeBrokerRegistrationResponse({ errorCode }),
      ),
    ),
    erased(
      forNodes(
        BrokerHeartbeatApi,
        0,
        (request, { receivedMonotonicMs }) => cluster.brokerHeartbeat(request, receivedMonotonicMs),
        (errorCode) => makeBrokerHeartbeatResponse({ errorCode }),
      ),
    ),
    erased(
      forNodes(
        AlterPartitionApi,
        2,
        (request, { apiVersion }) => cluster.alterPartition(request, apiVersion),
        (errorCode) => makeAlterPartitionResponse({ errorCode }),
      ),
    ),
    erased(
      forNodes(
        AllocateProducerIdsApi,
        0,
        (request) => cluster.allocateProducerIdsFor(request),
        (errorCode) => makeAllocateProducerIdsResponse({ errorCode }),
      ),
    ),
    erased(
      forNodes(
        AssignReplicasToDirsApi,
        0,
        (request) => controller.assignReplicasToDirs(request),
        (errorCode) => makeAssignReplicasToDirsResponse({ errorCode }),
      ),
    ),
    erased(createCreateTopicsHandler({ controller })),
    erased(createDeleteTopicsHandler({ controller })),
    erased(createCreatePartitionsHandler({ controller })),
    erased(createAlterConfigsHandler({ controller, isOfController: true })),
    erased(createIncrementalAlterConfigsHandler({ controller, isOfController: true })),
    erased(createElectLeadersHandler({ controller })),
    erased(createAlterPartitionReassignmentsHandler({ controller })),
    erased(createListPartitionReassignmentsHandler({ image })),
    erased(createAlterClientQuotasHandler({ controller })),
    erased(createAlterUserScramCredentialsHandler({ controller })),
    erased(createUpdateFeaturesHandler({ controller })),
    erased(createUnregisterBrokerHandler({ controller })),
    erased(createAddRaftVoterHandler({ voters: parts.voters })),
    erased(createRemoveRaftVoterHandler({ voters: parts.voters })),
    erased(
      createDescribeQuorumHandler({
        nodeId,
        clock: SYSTEM_CLOCK,
        image,
        quorum: () => parts.quorum(),
      }),
    ),
    erased(
      createDescribeClusterHandler({
        clusterId,
        image,
        controllers: () => parts.controllers(),
      }),
    ),
  );
}

/** Makes handlers of requests that only nodes of the cluster may send. */
function nodesOnly({ onStranger }: Pick<ControllerParts, "onStranger">) {
  return <Req, Res>(
    api: ApiMessages<Req, Res>,
    minVersion: number,
    serve: (request: Req, context: RequestContext) => Promise<Res>,
    refuse: (errorCode: number) => Res,
  ): ApiHandler<Req, Res> => ({
    api,
    minVersion,
    maxVersion: api.maxVersion,
    isPipelined: true,
    handle: (request, context) => {
      if (context.connection.peerNodeId >= 0) return serve(request, context);
      onStranger(api.name, context.connection);
      return refuse(ErrorCode.CLUSTER_AUTHORIZATION_FAILED);
    },
  });
}
