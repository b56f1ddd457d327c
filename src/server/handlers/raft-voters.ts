/**
 * AddRaftVoter (key 80) and RemoveRaftVoter (key 81): an administrator gives a controller a vote in the quorum, or takes it (KIP-853).
 *
 * - AddRaftVoter v0: flexible. v1: `AckWhenCommitted` false is answered before the change is committed (KIP-1186).
 * - RemoveRaftVoter v0: flexible.
 *
 * A controller must follow the quorum, and have caught up, before it can be given a vote. The checks, their order and what is said are
 * Kafka's. A node by itself is a quorum whose voters are fixed.
 */
import { ErrorCode } from "#common/error-code.ts";
import { isUuid, ZERO_UUID } from "#common/uuid.ts";
import {
  AddRaftVoterApi,
  type AddRaftVoterRequest,
  type AddRaftVoterResponse,
  makeAddRaftVoterResponse,
} from "#protocol/generated/add-raft-voter.ts";
import {
  makeRemoveRaftVoterResponse,
  RemoveRaftVoterApi,
  type RemoveRaftVoterRequest,
  type RemoveRaftVoterResponse,
} from "#protocol/generated/remove-raft-voter.ts";
import type { ApiHandler } from "../handler.ts";

/** A controller as a voter: its node, and the directory that holds its metadata. */
export interface VoterKey {
  readonly nodeId: number;
  readonly directoryId: string;
}

/** Why a change was not made. */
export interface VoterRefusal {
  readonly errorCode: number;
  readonly errorMessage: string | null;
}

/** The quorum as these handlers need it. */
export interface VoterChanges {
  readonly clusterId: string;
  /** Name of the listener on which controllers reach each other. */
  readonly listenerName: string;
  /** Whether this node leads the quorum. */
  isLeader(): boolean;
  /** @returns null when it is done, or under way where that is enough. */
  add(
    voter: VoterKey,
    endpoint: { readonly host: string; readonly port: number },
    isAwaited: boolean,
  ): Promise<VoterRefusal | null>;
  /** @param isForwarded - another node passed the request on. */
  remove(voter: VoterKey, isForwarded: boolean): Promise<VoterRefusal | null>;
}

/** What the handlers work with. */
export interface RaftVotersDependencies {
  /** Null on a node by itself. */
  readonly voters: VoterChanges | null;
}

/** Serves AddRaftVoter. */
export function createAddRaftVoterHandler({
  voters,
}: RaftVotersDependencies): ApiHandler<AddRaftVoterRequest, AddRaftVoterResponse> {
  return {
    api: AddRaftVoterApi,
    minVersion: 0,
    maxVersion: 1,
    async handle(request) {
      const refusal = voters === null ? fixedVoters("adding") : await add(voters, request);
      return makeAddRaftVoterResponse(refusal ?? {});
    },
  };
}

/** Serves RemoveRaftVoter. */
export function createRemoveRaftVoterHandler({
  voters,
}: RaftVotersDependencies): ApiHandler<RemoveRaftVoterRequest, RemoveRaftVoterResponse> {
  return {
    api: RemoveRaftVoterApi,
    minVersion: 0,
    maxVersion: 0,
    async handle(request, { connection }) {
      const isForwarded = connection.peerNodeId >= 0;
      const refusal =
        voters === null ? fixedVoters("removing") : await remove(voters, request, isForwarded);
      return makeRemoveRaftVoterResponse(refusal ?? {});
    },
  };
}

async function add(
  voters: VoterChanges,
  request: AddRaftVoterRequest,
): Promise<VoterRefusal | null> {
  const early = check(voters, request);
  if (early !== null) return early;
  const voter = voterOf(request);
  if (voter === null) return invalid("Add voter request didn't include a valid voter");
  const { listenerName } = voters;
  const endpoint = request.listeners.find(({ name }) => name.toUpperCase() === listenerName);
  if (endpoint === undefined) {
    const names = request.listeners.map(({ name, host, port }) => `${name}=${host}:${port}`);
    return invalid(
      `Add voter request didn't include the endpoint (Endpoints(endpoints={${names.join(", ")}})) for the default listener ListenerName(${listenerName})`,
    );
  }
  return voters.add(voter, endpoint, request.ackWhenCommitted);
}

async function remove(
  voters: VoterChanges,
  request: RemoveRaftVoterRequest,
  isForwarded: boolean,
): Promise<VoterRefusal | null> {
  const early = check(voters, request);
  if (early !== null) return early;
  const voter = voterOf(request);
  return voter === null
    ? invalid("Remove voter request didn't include a valid voter")
    : voters.remove(voter, isForwarded);
}

function check(
  voters: VoterChanges,
  request: { readonly clusterId: string | null },
): VoterRefusal | null {
  const { clusterId } = voters;
  if (request.clusterId !== null && request.clusterId !== clusterId) {
    const errorMessage = `The given id "${request.clusterId}" doesn't match the cluster id "${clusterId}"`;
    return { errorCode: ErrorCode.INCONSISTENT_CLUSTER_ID, errorMessage };
  }
  return voters.isLeader()
    ? null
    : { errorCode: ErrorCode.NOT_LEADER_OR_FOLLOWER, errorMessage: null };
}

function voterOf({
  voterId,
  voterDirectoryId,
}: {
  readonly voterId: number;
  readonly voterDirectoryId: string;
}): VoterKey | null {
  const isValid = voterId >= 0 && isUuid(voterDirectoryId) && voterDirectoryId !== ZERO_UUID;
  return isValid ? { nodeId: voterId, directoryId: voterDirectoryId } : null;
}

function invalid(errorMessage: string): VoterRefusal {
  return { errorCode: ErrorCode.INVALID_REQUEST, errorMessage };
}

function fixedVoters(what: string): VoterRefusal {
  const errorMessage = `Cluster doesn't support ${what} voter because the kraft.version feature is 0`;
  return { errorCode: ErrorCode.UNSUPPORTED_VERSION, errorMessage };
}
