/**
 * Changes of voters as an administrator asks for them: the membership makes them, Kafka's codes and sentences tell what came of it.
 */
import { meetPeer, type PeerConnector } from "#cluster/peer-connection.ts";
import { ClientError } from "#client/client-error.ts";
import { ErrorCode } from "#common/error-code.ts";
import { nodeOfKey } from "#quorum/member-key.ts";
import { keyOfMember } from "#quorum/quorum-members.ts";
import { type Quorum, QuorumError } from "#quorum/quorum.ts";
import type { VoterChanges, VoterKey, VoterRefusal } from "#server/handlers/raft-voters.ts";
import type { ClusterNode } from "./cluster-node.ts";
import type { QuorumMembership, VoterChange } from "./quorum-membership.ts";
import { SYSTEM_CLOCK, SYSTEM_SCHEDULER } from "./system-ports.ts";

/** Time that another voter has to take over when this one leads and is to lose its vote. */
const HANDOVER_MS = 2_000;
const LOOK_MS = 10;

/** What the changes are made with, once the node has started. */
export interface VoterChangeParts {
  readonly quorum: Quorum;
  readonly membership: QuorumMembership;
  readonly connector: PeerConnector;
}

/** The changes that this node's controller makes. */
export function voterChanges(
  node: ClusterNode,
  listenerName: string,
  parts: () => VoterChangeParts | null,
): VoterChanges {
  const changed = async (
    voter: VoterKey,
    change: (parts: VoterChangeParts) => Promise<VoterChange>,
  ): Promise<VoterRefusal | null> => {
    const known = parts();
    if (known === null) return { errorCode: ErrorCode.NOT_CONTROLLER, errorMessage: null };
    try {
      const outcome = await change(known);
      if (outcome === "not-leader") await handedOver(known.quorum);
      return refusalOf(outcome, voter, known);
    } catch (error) {
      if (!(error instanceof QuorumError)) throw error;
      const isLost = error.code === "NOT_CONTROLLER" || error.code === "STOPPED";
      const errorCode = isLost ? ErrorCode.NOT_CONTROLLER : ErrorCode.REQUEST_TIMED_OUT;
      return { errorCode, errorMessage: error.message };
    }
  };
  return {
    clusterId: node.identity.clusterId,
    listenerName,
    isLeader: () => parts()?.quorum.activeTerm !== null && parts() !== null,
    add: (voter, endpoint, isAwaited) =>
      changed(voter, async ({ membership, connector }) => {
        const isTaken = membership.hasVoter(voter.nodeId);
        if (!isTaken && !(await isThere(voter, endpoint, connector))) return "unreachable";
        return membership.addVoter(voter.nodeId, voter.directoryId, isAwaited);
      }),
    remove: (voter, isForwarded) =>
      changed(voter, ({ membership }) =>
        membership.removeVoter(voter.nodeId, voter.directoryId, isForwarded),
      ),
  };
}

/** Whether the controller answers where it is said to be, and is the one that is meant. */
async function isThere(
  { nodeId, directoryId }: VoterKey,
  { host, port }: { readonly host: string; readonly port: number },
  connector: PeerConnector,
): Promise<boolean> {
  try {
    const { connection, answer } = await meetPeer({ nodeId, host, port }, connector);
    connection.close();
    return answer.directoryId === directoryId;
  } catch (error) {
    if (error instanceof ClientError) return false;
    throw error;
  }
}

/** Settles when this node leads no more, or after a while. */
async function handedOver(quorum: Quorum): Promise<void> {
  const untilMs = SYSTEM_CLOCK.monotonicMs() + HANDOVER_MS;
  while (quorum.activeTerm !== null && SYSTEM_CLOCK.monotonicMs() < untilMs) {
    await new Promise<void>((resolve) => {
      SYSTEM_SCHEDULER.after(LOOK_MS, resolve);
    });
  }
}

function refusalOf(
  outcome: VoterChange,
  voter: VoterKey,
  { quorum, membership }: VoterChangeParts,
): VoterRefusal | null {
  const name = replicaKey(voter);
  switch (outcome) {
    case "done":
      return null;
    case "busy":
      return {
        errorCode: ErrorCode.REQUEST_TIMED_OUT,
        errorMessage:
          "Request timed out waiting for leader to handle previous voter change request",
      };
    case "duplicate":
      return {
        errorCode: ErrorCode.DUPLICATE_VOTER,
        errorMessage: `The voter id for ${name} is already part of the set of voters ${voterSet(quorum, membership)}.`,
      };
    case "not-found":
      return {
        errorCode: ErrorCode.VOTER_NOT_FOUND,
        errorMessage: `Cannot remove voter ${name} from the set of voters ${voterSet(quorum, membership)}`,
      };
    case "lagging":
      return {
        errorCode: ErrorCode.REQUEST_TIMED_OUT,
        errorMessage: `Aborted add voter operation for ${name} since it is lagging behind`,
      };
    case "unreachable":
      return {
        errorCode: ErrorCode.REQUEST_TIMED_OUT,
        errorMessage:
          "Aborted add voter operation for since API_VERSIONS returned an error BROKER_NOT_AVAILABLE",
      };
    case "not-leader":
      return { errorCode: ErrorCode.NOT_CONTROLLER, errorMessage: null };
  }
}

function replicaKey({ nodeId, directoryId }: VoterKey): string {
  return `ReplicaKey(id=${nodeId}, directoryId=${directoryId})`;
}

function voterSet(quorum: Quorum, { members }: QuorumMembership): string {
  const infos = new Map(members.map((member) => [keyOfMember(member), member]));
  const names = quorum
    .status()
    .voters.map((key) => replicaKey(infos.get(key) ?? { nodeId: nodeOfKey(key), directoryId: "" }));
  return `[${names.join(", ")}]`;
}
