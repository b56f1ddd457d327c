/**
 * A connection to another node of the cluster: opened, and authenticated in both directions before anything else is sent on it.
 */
import type { Address } from "#client/address.ts";
import { ClientError, refused } from "#client/client-error.ts";
import { Connection } from "#client/connection.ts";
import { ErrorCode } from "#common/error-code.ts";
import type { Clock, Random } from "#common/time.ts";
import type { DirectReceiver, Readiness } from "#transport/ports.ts";
import {
  isGenuineAnswer,
  makeHello,
  type PeerHelloAnswer,
  PeerHelloApi,
  type PeerIdentity,
} from "./peer-hello.ts";
import {
  isGenuineReport,
  makeProbe,
  type NodeReport,
  type QuorumProbeAnswer,
  QuorumProbeApi,
} from "./quorum-probe.ts";

/** What every connection to a peer is made with. */
export interface PeerConnector {
  readonly identity: PeerIdentity;
  readonly clock: Clock;
  readonly random: Random;
  /** Until the connection is made and both sides know each other, ms. */
  readonly connectTimeoutMs: number;
  readonly requestTimeoutMs: number;
  readonly maxFrameBytes: number;
  /** For connections that bring much: reads past the event loop's own buffer. */
  readonly receiver?: DirectReceiver;
  /** With `receiver`, for the same connections: has large answers pulled. */
  readonly readiness?: Readiness;
  /** Called with the socket's descriptor once connected. */
  readonly configure?: (fd: number) => void;
}

/** Where a node is reached. */
export interface PeerAddress extends Address {
  /** -1 when only the address is known. */
  readonly nodeId: number;
}

/** A connection to a peer, and what that said of itself. */
export interface MetPeer {
  readonly connection: Connection;
  readonly answer: PeerHelloAnswer;
}

/**
 * Opens a connection to a peer.
 *
 * @throws ClientError as `Connection.open`; REFUSED when the other side does not take us for a node of its cluster, BAD_ANSWER when it
 * does not prove to be one of ours. Nothing stays open.
 */
export async function meetPeer(
  peer: PeerAddress,
  connector: PeerConnector,
  onClose: (error: ClientError) => void = () => {},
): Promise<MetPeer> {
  const { identity, clock, random, connectTimeoutMs, ...limits } = connector;
  let isGivenOut = false;
  const connection = await Connection.open(peer, {
    clientId: `node-${identity.nodeId}`,
    ...limits,
    connectTimeoutMs,
    asksForVersions: false,
    onClose: (error) => {
      if (isGivenOut) onClose(error);
    },
  });
  try {
    const hello = makeHello(identity, peer.nodeId, clock.nowMs(), random.uuid());
    const answer = await connection.sendAt(PeerHelloApi, 0, hello, connectTimeoutMs);
    const where = `${peer.host}:${peer.port}`;
    if (answer.errorCode !== 0) throw refused(`the node at ${where}`, answer.errorCode);
    if (!isGenuineAnswer(identity, hello, answer)) {
      const message = `${where} is not the node it should be, or does not know the cluster's secret`;
      throw new ClientError("BAD_ANSWER", message);
    }
    isGivenOut = true;
    return { connection, answer };
  } catch (error) {
    connection.close();
    throw error;
  }
}

/**
 * Asks a node what it is, on a connection of its own; null where nobody answers, or not yet.
 *
 * @throws ClientError REFUSED, BAD_ANSWER: it knows another secret.
 */
export async function askNode(
  address: Address,
  {
    identity,
    random,
    connectTimeoutMs,
  }: Pick<PeerConnector, "random" | "connectTimeoutMs"> & {
    readonly identity: Pick<PeerIdentity, "secret">;
  },
): Promise<NodeReport | null> {
  const probe = makeProbe(identity.secret, random.uuid());
  let answer: QuorumProbeAnswer;
  try {
    const connection = await Connection.open(address, { connectTimeoutMs, asksForVersions: false });
    try {
      answer = await connection.sendAt(QuorumProbeApi, 0, probe, connectTimeoutMs);
    } finally {
      connection.close();
    }
  } catch (error) {
    if (error instanceof ClientError) return null;
    throw error;
  }
  const where = `${address.host}:${address.port}`;
  if (answer.errorCode === ErrorCode.NOT_CONTROLLER) return null;
  if (answer.errorCode !== ErrorCode.NONE) throw refused(`the node at ${where}`, answer.errorCode);
  if (isGenuineReport(identity.secret, probe, answer)) return answer;
  throw new ClientError("BAD_ANSWER", `${where} does not know the cluster's secret`);
}

/** As {@link meetPeer}, where only the connection matters. */
export async function openPeerConnection(
  peer: PeerAddress,
  connector: PeerConnector,
  onClose?: (error: ClientError) => void,
): Promise<Connection> {
  return (await meetPeer(peer, connector, onClose)).connection;
}

/** True when the other side's system answered that nothing listens there: its process is gone. */
export function isConnectionRefused(error: unknown): boolean {
  if (!(error instanceof ClientError) || error.code !== "UNREACHABLE") return false;
  const { cause } = error;
  return cause instanceof Error && "code" in cause && cause.code === "ECONNREFUSED";
}
