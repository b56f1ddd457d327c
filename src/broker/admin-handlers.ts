/**
 * APIs of administrators that need no more than the cluster's image, its controller and the logs: a part of the table in
 * `handlers.ts`.
 */
import { ErrorCode } from "#common/error-code.ts";
import { LogError, type LogStore } from "#log/log.ts";
import { makeAddRaftVoterResponse } from "#protocol/generated/add-raft-voter.ts";
import { makeDescribeQuorumResponse } from "#protocol/generated/describe-quorum.ts";
import { makeRemoveRaftVoterResponse } from "#protocol/generated/remove-raft-voter.ts";
import { erased } from "#server/handler.ts";
import type { HandlerTable } from "#server/handler-table.ts";
import { createAlterClientQuotasHandler } from "#server/handlers/alter-client-quotas.ts";
import { createAlterPartitionReassignmentsHandler } from "#server/handlers/alter-partition-reassignments.ts";
import { createAlterReplicaLogDirsHandler } from "#server/handlers/alter-replica-log-dirs.ts";
import { createAlterUserScramCredentialsHandler } from "#server/handlers/alter-user-scram-credentials.ts";
import { createCreateAclsHandler } from "#server/handlers/create-acls.ts";
import { createCreateDelegationTokenHandler } from "#server/handlers/create-delegation-token.ts";
import { createDeleteAclsHandler } from "#server/handlers/delete-acls.ts";
import { createDescribeAclsHandler } from "#server/handlers/describe-acls.ts";
import { createDescribeClientQuotasHandler } from "#server/handlers/describe-client-quotas.ts";
import { createDescribeDelegationTokenHandler } from "#server/handlers/describe-delegation-token.ts";
import {
  createDescribeProducersHandler,
  type RememberedProducer,
} from "#server/handlers/describe-producers.ts";
import { createDescribeQuorumHandler } from "#server/handlers/describe-quorum.ts";
import { createDescribeUserScramCredentialsHandler } from "#server/handlers/describe-user-scram-credentials.ts";
import { createElectLeadersHandler } from "#server/handlers/elect-leaders.ts";
import { createExpireDelegationTokenHandler } from "#server/handlers/expire-delegation-token.ts";
import { createListPartitionReassignmentsHandler } from "#server/handlers/list-partition-reassignments.ts";
import { createRenewDelegationTokenHandler } from "#server/handlers/renew-delegation-token.ts";
import {
  createAddRaftVoterHandler,
  createRemoveRaftVoterHandler,
} from "#server/handlers/raft-voters.ts";
import { createUnregisterBrokerHandler } from "#server/handlers/unregister-broker.ts";
import { createUpdateFeaturesHandler } from "#server/handlers/update-features.ts";
import type { BrokerParts } from "./handlers.ts";
import { SYSTEM_CLOCK } from "./system-ports.ts";

/** Adds them to `table`. */
export function addAdminHandlers(table: HandlerTable, parts: BrokerParts): void {
  const { settings, access, directory, store } = parts;
  const image = (): ReturnType<BrokerParts["image"]> => parts.image();
  table.add(
    erased(createDescribeAclsHandler()),
    erased(createCreateAclsHandler()),
    erased(createDeleteAclsHandler()),
    erased(createCreateDelegationTokenHandler()),
    erased(createRenewDelegationTokenHandler()),
    erased(createExpireDelegationTokenHandler()),
    erased(createDescribeDelegationTokenHandler()),
    erased(access.serve((controller) => createElectLeadersHandler({ controller }))),
    erased(access.serve((controller) => createAlterPartitionReassignmentsHandler({ controller }))),
    erased(createListPartitionReassignmentsHandler({ image })),
    erased(createAlterReplicaLogDirsHandler({ mover: parts.moves })),
    erased(createDescribeClientQuotasHandler({ image })),
    erased(access.serve((controller) => createAlterClientQuotasHandler({ controller }))),
    erased(createDescribeUserScramCredentialsHandler({ image })),
    erased(access.serve((controller) => createAlterUserScramCredentialsHandler({ controller }))),
    erased(
      access.route(
        createDescribeQuorumHandler({ nodeId: settings.nodeId, clock: SYSTEM_CLOCK, image }),
        () => makeDescribeQuorumResponse(TIMED_OUT),
      ),
    ),
    erased(access.serve((controller) => createUpdateFeaturesHandler({ controller }))),
    erased(
      createDescribeProducersHandler({
        directory,
        producersOf: (handle) => producersOf(store, handle),
      }),
    ),
    erased(access.serve((controller) => createUnregisterBrokerHandler({ controller }))),
    erased(
      access.route(createAddRaftVoterHandler({ voters: null }), () =>
        makeAddRaftVoterResponse(TIMED_OUT),
      ),
    ),
    erased(
      access.route(createRemoveRaftVoterHandler({ voters: null }), () =>
        makeRemoveRaftVoterResponse(TIMED_OUT),
      ),
    ),
  );
}

/** The answer where no node leads the quorum. */
const TIMED_OUT = {
  errorCode: ErrorCode.REQUEST_TIMED_OUT,
  errorMessage: "The request timed out.",
};

function producersOf(store: LogStore, handle: number): readonly RememberedProducer[] | null {
  try {
    return store.describeProducers(handle);
  } catch (error) {
    if (error instanceof LogError) return null;
    throw error;
  }
}
