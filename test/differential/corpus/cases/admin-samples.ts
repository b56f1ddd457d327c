/** Samples of the administrators' APIs beside topics and configurations. */
import { ZERO_UUID } from "#common/uuid.ts";
import {
  AlterClientQuotasApi,
  makeAlterClientQuotasRequest,
} from "#protocol/generated/alter-client-quotas.ts";
import {
  AlterPartitionReassignmentsApi,
  makeAlterPartitionReassignmentsRequest,
} from "#protocol/generated/alter-partition-reassignments.ts";
import {
  AlterUserScramCredentialsApi,
  makeAlterUserScramCredentialsRequest,
} from "#protocol/generated/alter-user-scram-credentials.ts";
import {
  CreateAclsApi,
  makeAclCreation,
  makeCreateAclsRequest,
} from "#protocol/generated/create-acls.ts";
import {
  CreateDelegationTokenApi,
  makeCreateDelegationTokenRequest,
} from "#protocol/generated/create-delegation-token.ts";
import {
  DeleteAclsApi,
  makeDeleteAclsFilter,
  makeDeleteAclsRequest,
} from "#protocol/generated/delete-acls.ts";
import { DescribeAclsApi, makeDescribeAclsRequest } from "#protocol/generated/describe-acls.ts";
import {
  DescribeClientQuotasApi,
  makeDescribeClientQuotasRequest,
} from "#protocol/generated/describe-client-quotas.ts";
import {
  DescribeDelegationTokenApi,
  makeDescribeDelegationTokenRequest,
} from "#protocol/generated/describe-delegation-token.ts";
import {
  DescribeProducersApi,
  makeDescribeProducersRequest,
} from "#protocol/generated/describe-producers.ts";
import {
  DescribeQuorumApi,
  makeDescribeQuorumRequest,
} from "#protocol/generated/describe-quorum.ts";
import {
  DescribeUserScramCredentialsApi,
  makeDescribeUserScramCredentialsRequest,
} from "#protocol/generated/describe-user-scram-credentials.ts";
import { ElectLeadersApi, makeElectLeadersRequest } from "#protocol/generated/elect-leaders.ts";
import {
  ExpireDelegationTokenApi,
  makeExpireDelegationTokenRequest,
} from "#protocol/generated/expire-delegation-token.ts";
import {
  GetTelemetrySubscriptionsApi,
  makeGetTelemetrySubscriptionsRequest,
} from "#protocol/generated/get-telemetry-subscriptions.ts";
import {
  ListConfigResourcesApi,
  makeListConfigResourcesRequest,
} from "#protocol/generated/list-config-resources.ts";
import { makePushTelemetryRequest, PushTelemetryApi } from "#protocol/generated/push-telemetry.ts";
import {
  ListPartitionReassignmentsApi,
  makeListPartitionReassignmentsRequest,
} from "#protocol/generated/list-partition-reassignments.ts";
import {
  makeRenewDelegationTokenRequest,
  RenewDelegationTokenApi,
} from "#protocol/generated/renew-delegation-token.ts";
import {
  makeUnregisterBrokerRequest,
  UnregisterBrokerApi,
} from "#protocol/generated/unregister-broker.ts";
import {
  makeFeatureUpdateKey,
  makeUpdateFeaturesRequest,
  UpdateFeaturesApi,
} from "#protocol/generated/update-features.ts";
import { utf8 } from "../bytes.ts";
import { type Sample, sample } from "./sample.ts";

const MISSING = "corpus-missing";
const ANY = 1;
const HMAC = utf8("hmac");

/** All of them. */
export const ADMIN_SAMPLES: readonly Sample[] = [
  sample(ListConfigResourcesApi, 0, 1, (version) =>
    makeListConfigResourcesRequest({ resourceTypes: version === 0 ? [] : [4] }),
  ),
  sample(GetTelemetrySubscriptionsApi, 0, 0, () =>
    makeGetTelemetrySubscriptionsRequest({ clientInstanceId: ZERO_UUID }),
  ),
  sample(PushTelemetryApi, 0, 0, () =>
    makePushTelemetryRequest({ metrics: new Uint8Array([1, 2, 3]) }),
  ),
  sample(DescribeAclsApi, 1, 3, () =>
    makeDescribeAclsRequest({
      resourceTypeFilter: ANY,
      resourceNameFilter: "a",
      patternTypeFilter: ANY,
      principalFilter: "User:a",
      hostFilter: "*",
      operation: ANY,
      permissionType: ANY,
    }),
  ),
  sample(CreateAclsApi, 1, 3, () =>
    makeCreateAclsRequest({
      creations: [
        makeAclCreation({
          resourceType: 2,
          resourceName: "a",
          resourcePatternType: 3,
          principal: "User:a",
          host: "*",
          operation: 3,
          permissionType: 3,
        }),
      ],
    }),
  ),
  sample(DeleteAclsApi, 1, 3, () =>
    makeDeleteAclsRequest({
      filters: [
        makeDeleteAclsFilter({
          resourceTypeFilter: ANY,
          resourceNameFilter: "a",
          patternTypeFilter: ANY,
          principalFilter: "User:a",
          hostFilter: "*",
          operation: ANY,
          permissionType: ANY,
        }),
      ],
    }),
  ),
  sample(CreateDelegationTokenApi, 1, 3, (version) =>
    makeCreateDelegationTokenRequest({
      maxLifetimeMs: 1000,
      renewers: [{ principalType: "User", principalName: "a" }],
      ...(version >= 3 && { ownerPrincipalType: "User", ownerPrincipalName: "b" }),
    }),
  ),
  sample(RenewDelegationTokenApi, 1, 2, () =>
    makeRenewDelegationTokenRequest({ hmac: HMAC, renewPeriodMs: 1000 }),
  ),
  sample(ExpireDelegationTokenApi, 1, 2, () =>
    makeExpireDelegationTokenRequest({ hmac: HMAC, expiryTimePeriodMs: 1000 }),
  ),
  sample(DescribeDelegationTokenApi, 1, 3, () =>
    makeDescribeDelegationTokenRequest({
      owners: [{ principalType: "User", principalName: "a" }],
    }),
  ),
  sample(ElectLeadersApi, 0, 2, () =>
    makeElectLeadersRequest({
      topicPartitions: [{ topic: MISSING, partitions: [0] }],
      timeoutMs: 1000,
    }),
  ),
  sample(AlterPartitionReassignmentsApi, 0, 1, () =>
    makeAlterPartitionReassignmentsRequest({
      topics: [{ name: MISSING, partitions: [{ partitionIndex: 0, replicas: [1] }] }],
      timeoutMs: 1000,
    }),
  ),
  sample(ListPartitionReassignmentsApi, 0, 0, () =>
    makeListPartitionReassignmentsRequest({
      topics: [{ name: MISSING, partitionIndexes: [0] }],
      timeoutMs: 1000,
    }),
  ),
  sample(DescribeClientQuotasApi, 0, 1, (_version, { group }) =>
    makeDescribeClientQuotasRequest({
      components: [{ entityType: "user", matchType: 0, match: group }],
    }),
  ),
  sample(AlterClientQuotasApi, 0, 1, (_version, { group }) =>
    makeAlterClientQuotasRequest({
      entries: [
        {
          entity: [{ entityType: "user", entityName: group }],
          ops: [{ key: "producer_byte_rate", value: 1, remove: false }],
        },
      ],
      validateOnly: true,
    }),
  ),
  sample(DescribeUserScramCredentialsApi, 0, 0, (_version, { group }) =>
    makeDescribeUserScramCredentialsRequest({ users: [{ name: group }] }),
  ),
  sample(AlterUserScramCredentialsApi, 0, 0, (_version, { group }) =>
    makeAlterUserScramCredentialsRequest({ deletions: [{ name: group, mechanism: 1 }] }),
  ),
  sample(DescribeQuorumApi, 0, 2, () =>
    makeDescribeQuorumRequest({
      topics: [{ topicName: MISSING, partitions: [{ partitionIndex: 0 }] }],
    }),
  ),
  sample(UpdateFeaturesApi, 0, 2, (version) =>
    makeUpdateFeaturesRequest({
      timeoutMs: 1000,
      featureUpdates: [makeFeatureUpdateKey({ feature: "no.such.feature", maxVersionLevel: 1 })],
      validateOnly: version > 0,
    }),
  ),
  sample(DescribeProducersApi, 0, 0, (_version, { topic }) =>
    makeDescribeProducersRequest({ topics: [{ name: topic, partitionIndexes: [1] }] }),
  ),
  sample(UnregisterBrokerApi, 0, 0, () => makeUnregisterBrokerRequest({ brokerId: 99 })),
];
