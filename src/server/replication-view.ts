/**
 * What handlers tell a client that asked the wrong broker or may ask a better one: who leads and where that is (KIP-951), and which
 * replica is in its own rack (KIP-392). A port for the handlers, filled from what every thread's directory knows.
 */
import type { PartitionDirectory, PartitionEntry } from "#replica/partition-directory.ts";
import type { BrokerRacks } from "#replica/rack-selector.ts";
import { addressFor } from "./cluster-view.ts";
import type { ConnectionInfo } from "./handler.ts";

/** A broker as a client can reach it. */
export interface BrokerEndpoint {
  readonly nodeId: number;
  readonly host: string;
  readonly port: number;
  readonly rack: string | null;
}

/** See the head of the file. */
export interface ReplicationView extends BrokerRacks {
  /** A broker on the listener that a connection came by; null where it is down or has no such listener. */
  endpointOf(nodeId: number, connection: ConnectionInfo): BrokerEndpoint | null;
  /** Whether `replica.selector.class` names the selector by rack. */
  readonly selectsByRack: boolean;
}

/** Leader of a partition as an answer names it. */
export interface LeaderHint {
  leaderId: number;
  leaderEpoch: number;
}

/**
 * Who leads a partition, for an answer that says that this broker does not, or not under that epoch. Where the leader is goes into
 * `endpoints`, once.
 */
export function hintLeader(
  view: ReplicationView,
  { otherLeader, leaderEpoch }: PartitionEntry,
  connection: ConnectionInfo,
  endpoints: BrokerEndpoint[],
): LeaderHint {
  const leaderId = otherLeader ?? view.nodeId;
  if (!endpoints.some(({ nodeId }) => nodeId === leaderId)) {
    const endpoint = view.endpointOf(leaderId, connection);
    if (endpoint !== null) endpoints.push(endpoint);
  }
  return { leaderId, leaderEpoch };
}

/** The view of a directory. */
export function directoryView(
  directory: PartitionDirectory,
  nodeId: number,
  selectsByRack: boolean,
): ReplicationView {
  return {
    nodeId,
    selectsByRack,
    rackOf(id: number): string | null {
      const broker = directory.broker(id);
      return broker === undefined || broker.isFenced ? null : broker.rack;
    },
    endpointOf(id: number, connection: ConnectionInfo): BrokerEndpoint | null {
      const broker = directory.broker(id);
      if (broker === undefined || broker.isFenced) return null;
      const address = addressFor(broker, connection);
      return address === null ? null : { nodeId: id, ...address, rack: broker.rack };
    },
  };
}
