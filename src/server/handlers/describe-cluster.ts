/**
 * DescribeCluster (key 60): brokers, cluster id and controller, without topics (KIP-700).
 *
 * - v0. v1: endpoint type, to tell brokers from controllers (KIP-919). v2: fenced brokers on request (KIP-1073).
 */
import { ErrorCode } from "#common/error-code.ts";
import type { ClusterImage } from "#metadata/cluster-image.ts";
import {
  DescribeClusterApi,
  makeDescribeClusterBroker,
  makeDescribeClusterResponse,
} from "#protocol/generated/describe-cluster.ts";
import type {
  DescribeClusterRequest,
  DescribeClusterResponse,
} from "#protocol/generated/describe-cluster.ts";
import {
  addressFor,
  ALL_CLUSTER_OPERATIONS,
  controllerIdFor,
  NO_AUTHORIZED_OPERATIONS,
} from "../cluster-view.ts";
import type { ApiHandler, RequestContext } from "../handler.ts";

const BROKER_ENDPOINTS = 1;
const CONTROLLER_ENDPOINTS = 2;
const FIRST_VERSION_WITH_FENCED = 2;

/** A controller that an administrator can ask. */
export interface ControllerNode {
  readonly nodeId: number;
  readonly host: string;
  readonly port: number;
}

/** What the handler works with. */
export interface DescribeClusterDependencies {
  readonly clusterId: string;
  image(): ClusterImage;
  /** On the listener of a controller: the controllers, and which of them is active (-1: none). Absent on a broker's. */
  controllers?(): { readonly nodes: readonly ControllerNode[]; readonly activeId: number };
}

/** Serves DescribeCluster. */
export function createDescribeClusterHandler(
  dependencies: DescribeClusterDependencies,
): ApiHandler<DescribeClusterRequest, DescribeClusterResponse> {
  return {
    api: DescribeClusterApi,
    minVersion: 0,
    maxVersion: 2,
    handle: (request, context) => handle(dependencies, request, context),
  };
}

function handle(
  dependencies: DescribeClusterDependencies,
  request: DescribeClusterRequest,
  { apiVersion, connection }: RequestContext,
): DescribeClusterResponse {
  if (dependencies.controllers !== undefined) {
    return describeControllers(dependencies.controllers(), dependencies.clusterId, request);
  }
  if (request.endpointType === CONTROLLER_ENDPOINTS) {
    return refuse(
      ErrorCode.MISMATCHED_ENDPOINT_TYPE,
      "The request was sent to an endpoint of type BROKER, but we wanted an endpoint of type CONTROLLER",
    );
  }
  if (request.endpointType !== BROKER_ENDPOINTS) {
    return refuse(
      ErrorCode.UNSUPPORTED_ENDPOINT_TYPE,
      `Unsupported endpoint type ${request.endpointType}`,
    );
  }
  const { clusterId } = dependencies;
  const cluster = dependencies.image();
  const showsFenced = request.includeFencedBrokers && apiVersion >= FIRST_VERSION_WITH_FENCED;
  const brokers = [...cluster.brokers.values()]
    .filter((broker) => showsFenced || !broker.isFenced)
    .sort((left, right) => left.id - right.id)
    .flatMap((broker) => {
      const address = addressFor(broker, connection);
      if (address === null) return [];
      const isFenced = apiVersion >= FIRST_VERSION_WITH_FENCED && broker.isFenced;
      return [
        makeDescribeClusterBroker({ brokerId: broker.id, ...address, rack: broker.rack, isFenced }),
      ];
    });
  return makeDescribeClusterResponse({
    clusterId,
    controllerId: controllerIdFor(cluster),
    brokers,
    clusterAuthorizedOperations: request.includeClusterAuthorizedOperations
      ? ALL_CLUSTER_OPERATIONS
      : NO_AUTHORIZED_OPERATIONS,
  });
}

/** What a controller's listener answers: its kind in place of brokers. */
function describeControllers(
  { nodes, activeId }: { readonly nodes: readonly ControllerNode[]; readonly activeId: number },
  clusterId: string,
  request: DescribeClusterRequest,
): DescribeClusterResponse {
  if (request.endpointType !== CONTROLLER_ENDPOINTS) {
    return refuse(
      ErrorCode.MISMATCHED_ENDPOINT_TYPE,
      "The request was sent to an endpoint of type CONTROLLER, but we wanted an endpoint of type BROKER",
    );
  }
  return makeDescribeClusterResponse({
    endpointType: CONTROLLER_ENDPOINTS,
    clusterId,
    controllerId: activeId,
    brokers: nodes.map(({ nodeId, host, port }) =>
      makeDescribeClusterBroker({ brokerId: nodeId, host, port, rack: null }),
    ),
    clusterAuthorizedOperations: request.includeClusterAuthorizedOperations
      ? ALL_CLUSTER_OPERATIONS
      : NO_AUTHORIZED_OPERATIONS,
  });
}

function refuse(errorCode: number, errorMessage: string): DescribeClusterResponse {
  return makeDescribeClusterResponse({ errorCode, errorMessage, clusterId: "", controllerId: -1 });
}
