/**
 * Stands in front of a dispatcher and takes out the frames that only nodes send each other: hellos, raft messages, and the questions of
 * nodes that look for a cluster. Everything else goes on as it came; the dispatcher's handlers see by `ConnectionInfo.peerNodeId`
 * whether a node sent it. The private question of who is heard of (`src/protocol/describe-members.ts`) is answered here too, to anybody.
 *
 * What is refused is counted by reason and logged now and then: whoever reaches the port can cause as much of it as he likes.
 */
import type { LogLimiter } from "#common/log-limiter.ts";
import type { Clock } from "#common/time.ts";
import type { ApiMessages } from "#protocol/api.ts";
import { Reader } from "#protocol/codec/reader.ts";
import { Writer } from "#protocol/codec/writer.ts";
import {
  DESCRIBE_MEMBERS_KEY,
  type DescribedMember,
  DescribeMembersApi,
} from "#protocol/describe-members.ts";
import type { ConnectionInfo } from "#server/handler.ts";
import { memberKey } from "#quorum/member-key.ts";
import { HEADER_BYTES_MIN, readInt16 } from "#server/request-header.ts";
import type { FrameConnection, FrameHandler } from "#transport/ports.ts";
import {
  type HelloRefusal,
  type HelloVerifier,
  makeAnswer,
  PEER_HELLO_KEY,
  type PeerHello,
  PeerHelloApi,
  type PeerIdentity,
  QUORUM_PROBE_KEY,
  RAFT_MESSAGES_KEY,
  refusalCode,
  refuseHello,
} from "./peer-hello.ts";
import { answerProbe, type NodeReport, QuorumProbeApi } from "./quorum-probe.ts";

/** Raft messages in one frame. */
const RAFT_MESSAGES_MAX = 4096;
/** Silence after which a connection of another incarnation of a node no longer keeps a new one out, ms. */
const SILENT_MS = 2_000;

/** What the gate needs. */
export interface PeerGateOptions {
  readonly identity: PeerIdentity;
  readonly clock: Clock;
  readonly limiter: LogLimiter;
  /** Takes raft messages of a member ({@link memberKey}), views that are valid during the call; null on listeners where none may come. */
  readonly onRaftMessages: ((fromKey: number, messages: readonly Uint8Array[]) => void) | null;
  /** What this node says of itself to one that is in no cluster; null while it cannot tell. */
  readonly report: () => NodeReport | null;
  /** Something was refused. */
  readonly onRefused?: (reason: HelloRefusal | "no-hello" | "bad-frame") => void;
  /** A node said a valid hello. */
  readonly onPeer?: (hello: PeerHello) => void;
  /** The other nodes as this one hears them; null where nobody listens. */
  readonly members: () => readonly DescribedMember[] | null;
  /** A node's last connection to us closed. */
  readonly onPeerGone?: (nodeId: number) => void;
}

/** Refusals since the start, by reason. */
export type RefusalCounts = Readonly<Record<HelloRefusal | "no-hello" | "bad-frame", number>>;

interface PeerConnectionState {
  readonly nodeId: number;
  readonly key: number;
  readonly incarnationId: string;
  lastFrameMs: number;
}

/** See the head of the file. */
export class PeerGate implements FrameHandler {
  readonly #options: PeerGateOptions;
  readonly #inner: FrameHandler;
  readonly #verifier: HelloVerifier;
  readonly #reader: Reader = new Reader(new Uint8Array(0));
  readonly #writer: Writer = new Writer(256);
  readonly #peers: Map<FrameConnection, PeerConnectionState> = new Map();
  readonly #refused: Record<HelloRefusal | "no-hello" | "bad-frame", number> = {
    "other-cluster": 0,
    "wrong-secret": 0,
    stale: 0,
    replayed: 0,
    "other-node": 0,
    "duplicate-node": 0,
    "no-hello": 0,
    "bad-frame": 0,
  };

  constructor(inner: FrameHandler, verifier: HelloVerifier, options: PeerGateOptions) {
    this.#inner = inner;
    this.#verifier = verifier;
    this.#options = options;
  }

  /** What was refused since the start. */
  get refused(): RefusalCounts {
    return this.#refused;
  }

  /** Connections that a node has to us at the moment. */
  connectionsOf(nodeId: number): number {
    let count = 0;
    for (const peer of this.#peers.values()) if (peer.nodeId === nodeId) count += 1;
    return count;
  }

  onOpen(connection: FrameConnection): void {
    this.#inner.onOpen(connection);
  }

  onClose(connection: FrameConnection): void {
    const peer = this.#peers.get(connection);
    this.#peers.delete(connection);
    this.#inner.onClose(connection);
    if (peer !== undefined && this.connectionsOf(peer.nodeId) === 0)
      this.#options.onPeerGone?.(peer.nodeId);
  }

  onFrame(connection: FrameConnection, bytes: Uint8Array, start: number, end: number): boolean {
    const apiKey = end - start < HEADER_BYTES_MIN ? 0 : readInt16(bytes, start);
    if (apiKey === PEER_HELLO_KEY) return this.#onHello(connection, bytes, start, end);
    if (apiKey === DESCRIBE_MEMBERS_KEY)
      return this.#onDescribeMembers(connection, bytes, start, end);
    if (apiKey === QUORUM_PROBE_KEY) return this.#onProbe(connection, bytes, start, end);
    const peer = this.#peers.get(connection);
    if (peer !== undefined) peer.lastFrameMs = this.#options.clock.monotonicMs();
    if (apiKey !== RAFT_MESSAGES_KEY) return this.#inner.onFrame(connection, bytes, start, end);
    const { onRaftMessages } = this.#options;
    if (peer === undefined || onRaftMessages === null) return this.#refuse(connection, "no-hello");
    const reader = this.#reader;
    reader.reset(bytes, start + HEADER_BYTES_MIN, end);
    reader.nullableString();
    const messages: Uint8Array[] = [];
    const count = reader.arrayCount(4);
    if (count > RAFT_MESSAGES_MAX) return this.#refuse(connection, "bad-frame");
    for (let index = 0; index < count; index += 1) messages.push(reader.byteArray());
    if (reader.failure !== null) return this.#refuse(connection, "bad-frame");
    onRaftMessages(peer.key, messages);
    connection.replyNothing();
    return true;
  }

  #onHello(connection: FrameConnection, bytes: Uint8Array, start: number, end: number): boolean {
    const reader = this.#reader;
    reader.reset(bytes, start + 2, end);
    const version = reader.int16();
    const correlationId = reader.int32();
    reader.nullableString();
    const hello = PeerHelloApi.request.decode(reader, version);
    if (reader.failure !== null || version !== 0) return this.#refuse(connection, "bad-frame");
    const { clock, identity, limiter } = this.#options;
    const refusal =
      this.#verifier.check(hello, clock.nowMs()) ??
      (this.#isTaken(hello.nodeId, hello.incarnationId) ? "duplicate-node" : null);
    if (refusal !== null) {
      this.#refused[refusal] += 1;
      this.#options.onRefused?.(refusal);
      limiter.write("warn", `peer-${refusal}`, "refusing a node that wants to join", () => ({
        reason: refusal,
        nodeId: hello.nodeId,
        clientHost: connection.address.clientHost,
      }));
      connection.reply(
        this.#encode(PeerHelloApi, correlationId, refuseHello(refusalCode(refusal))),
      );
      return true;
    }
    const info = connection.attachment as ConnectionInfo;
    info.peerNodeId = hello.nodeId;
    this.#peers.set(connection, {
      nodeId: hello.nodeId,
      key: memberKey(hello.nodeId, hello.directoryId),
      incarnationId: hello.incarnationId,
      lastFrameMs: clock.monotonicMs(),
    });
    connection.onPeer?.(hello.nodeId);
    this.#options.onPeer?.(hello);
    connection.reply(this.#encode(PeerHelloApi, correlationId, makeAnswer(identity, hello)));
    return true;
  }

  #onDescribeMembers(
    connection: FrameConnection,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): boolean {
    const reader = this.#reader;
    reader.reset(bytes, start + 2, end);
    const version = reader.int16();
    const correlationId = reader.int32();
    if (reader.failure !== null || version !== 0) return this.#refuse(connection, "bad-frame");
    const { identity, members } = this.#options;
    const seen = members();
    const answer = { nodeId: identity.nodeId, isWatching: seen !== null, members: seen ?? [] };
    connection.reply(this.#encode(DescribeMembersApi, correlationId, answer));
    return true;
  }

  #onProbe(connection: FrameConnection, bytes: Uint8Array, start: number, end: number): boolean {
    const frame = serveProbe(bytes.subarray(start, end), this.#options);
    if (frame === null) return this.#refuse(connection, "bad-frame");
    connection.reply(frame);
    return true;
  }

  /** Whether another process speaks for the node at the moment. Connections of one that fell silent are closed. */
  #isTaken(nodeId: number, incarnationId: string): boolean {
    const nowMs = this.#options.clock.monotonicMs();
    const others = [...this.#peers].filter(
      ([, peer]) => peer.nodeId === nodeId && peer.incarnationId !== incarnationId,
    );
    if (others.some(([, { lastFrameMs }]) => nowMs - lastFrameMs < SILENT_MS)) return true;
    for (const [connection] of others) connection.close();
    return false;
  }

  #encode<Res>(api: ApiMessages<unknown, Res>, correlationId: number, answer: Res): Uint8Array {
    const writer = this.#writer;
    writer.reset();
    writer.int32(0);
    writer.int32(correlationId);
    api.response.encode(writer, answer, 0);
    return sealed(writer);
  }

  #refuse(connection: FrameConnection, reason: "no-hello" | "bad-frame"): true {
    this.#refused[reason] += 1;
    this.#options.onRefused?.(reason);
    this.#options.limiter.write(
      "warn",
      `peer-${reason}`,
      "closing a connection that sent what only nodes of the cluster may send",
      () => ({ reason, clientHost: connection.address.clientHost }),
    );
    connection.close();
    return true;
  }
}

/** Answers a question of a node that looks for a cluster; null for a frame that is none. */
export function serveProbe(
  bytes: Uint8Array,
  {
    identity,
    report,
  }: Pick<PeerGateOptions, "report"> & { identity: Pick<PeerIdentity, "secret"> },
): Uint8Array | null {
  const reader = new Reader(bytes);
  const apiKey = reader.int16();
  const version = reader.int16();
  const correlationId = reader.int32();
  reader.nullableString();
  const probe = QuorumProbeApi.request.decode(reader, 0);
  if (reader.failure !== null || version !== 0 || apiKey !== QUORUM_PROBE_KEY) return null;
  const writer = new Writer(256);
  writer.int32(0);
  writer.int32(correlationId);
  QuorumProbeApi.response.encode(writer, answerProbe(identity.secret, probe, report()), 0);
  return sealed(writer);
}

/** The frame that was written, its size in front. */
function sealed(writer: Writer): Uint8Array {
  const frame = writer.toBytes();
  new DataView(frame.buffer, frame.byteOffset).setInt32(0, frame.length - 4);
  return frame;
}

/** A frame of raft messages, size prefix included. */
export function encodeRaftMessages(messages: readonly Uint8Array[]): Uint8Array {
  const writer = new Writer(64 + messages.reduce((sum, { length }) => sum + 4 + length, 0));
  writer.int32(0);
  writer.int16(RAFT_MESSAGES_KEY);
  writer.int16(0);
  writer.int32(0);
  writer.nullableString(null);
  writer.arrayCount(messages.length);
  for (const message of messages) writer.byteArray(message);
  return sealed(writer);
}
