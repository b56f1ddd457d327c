/**
 * ApiVersions (key 18): what this broker speaks. The answer comes from the handler table and from the features in
 * force, nowhere else.
 *
 * - v0: versions. v1: throttle time. v2: as v1.
 * - v3: flexible request, client software name and version (KIP-511), features (KIP-584).
 * - v4: as v3; features whose lowest version is 0 are listed (KIP-1022).
 * - v5: cluster and node id, so that a client notices when it reached another broker than it meant (KIP-1242).
 *
 * The header of the response is the old one in every version: the client does not know yet what we speak.
 */
import { ErrorCode } from "#common/error-code.ts";
import {
  ApiVersionsApi,
  type ApiVersionsRequest,
  type ApiVersionsResponse,
} from "#protocol/generated/api-versions.ts";
import type { ApiHandler, RequestContext } from "../handler.ts";
import type { HandlerTable } from "../handler-table.ts";

const FIRST_VERSION_WITH_SOFTWARE = 3;
const FIRST_VERSION_WITH_ZERO_FEATURES = 4;
const FIRST_VERSION_WITH_IDENTITY = 5;
/** KIP-511: begins and ends with a letter or digit, with dots and dashes between. */
const SOFTWARE_PATTERN = /^[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?$/;

/** A feature level in force. */
export interface FeatureLevel {
  readonly name: string;
  readonly minVersion: number;
  readonly maxVersion: number;
  /** Level that is finalized, 0 when it is not. */
  readonly level: number;
}

/** Features as the cluster metadata has them. */
export interface FeatureState {
  readonly features: readonly FeatureLevel[];
  /** Metadata offset as of which the levels hold. */
  readonly epoch: number;
}

/** What the handler works with. */
export interface ApiVersionsDependencies {
  readonly table: HandlerTable;
  readonly clusterId: string;
  readonly nodeId: number;
  features(): FeatureState;
}

/** Serves ApiVersions. */
export function createApiVersionsHandler(
  dependencies: ApiVersionsDependencies,
): ApiHandler<ApiVersionsRequest, ApiVersionsResponse> {
  return {
    api: ApiVersionsApi,
    minVersion: 0,
    maxVersion: 5,
    handle: (request, context) => handle(dependencies, request, context),
  };
}

function handle(
  dependencies: ApiVersionsDependencies,
  request: ApiVersionsRequest,
  context: RequestContext,
): ApiVersionsResponse {
  const { apiVersion, connection } = context;
  if (apiVersion >= FIRST_VERSION_WITH_SOFTWARE) {
    if (
      !SOFTWARE_PATTERN.test(request.clientSoftwareName) ||
      !SOFTWARE_PATTERN.test(request.clientSoftwareVersion)
    ) {
      return refused(ErrorCode.INVALID_REQUEST);
    }
    connection.clientSoftwareName = request.clientSoftwareName;
    connection.clientSoftwareVersion = request.clientSoftwareVersion;
  }
  if (apiVersion >= FIRST_VERSION_WITH_IDENTITY) {
    const identityError = checkIdentity(dependencies, request);
    if (identityError !== ErrorCode.NONE) return refused(identityError);
  }
  const { features, epoch } = dependencies.features();
  return {
    errorCode: ErrorCode.NONE,
    apiKeys: [...dependencies.table.advertised],
    throttleTimeMs: 0,
    supportedFeatures: features
      .filter(({ minVersion }) => minVersion > 0 || apiVersion >= FIRST_VERSION_WITH_ZERO_FEATURES)
      .map(({ name, minVersion, maxVersion }) => ({ name, minVersion, maxVersion })),
    finalizedFeaturesEpoch: epoch,
    finalizedFeatures: features
      .filter(({ level }) => level > 0)
      .map(({ name, level }) => ({ name, maxVersionLevel: level, minVersionLevel: level })),
    zkMigrationReady: false,
  };
}

/** Whom the client meant to reach: both names of it or neither, and they must be ours. */
function checkIdentity(
  dependencies: ApiVersionsDependencies,
  { clusterId, nodeId }: ApiVersionsRequest,
): number {
  const hasNodeId = nodeId !== -1;
  if (clusterId === null && !hasNodeId) return ErrorCode.NONE;
  if (clusterId === null || !hasNodeId) return ErrorCode.INVALID_REQUEST;
  return clusterId === dependencies.clusterId && nodeId === dependencies.nodeId
    ? ErrorCode.NONE
    : ErrorCode.REBOOTSTRAP_REQUIRED;
}

function refused(errorCode: number): ApiVersionsResponse {
  return {
    errorCode,
    apiKeys: [],
    throttleTimeMs: 0,
    supportedFeatures: [],
    finalizedFeaturesEpoch: -1,
    finalizedFeatures: [],
    zkMigrationReady: false,
  };
}
