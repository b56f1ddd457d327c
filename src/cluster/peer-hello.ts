/**
 * How a node shows another that it belongs to the cluster: the first request on a connection between nodes, authenticated with a
 * secret both know. Who has said a valid hello may send what no client may: raft messages, replica fetches, requests of a broker to
 * the controller.
 *
 * ```
 * request   clusterId string · nodeId int32 · directoryId uuid · incarnationId uuid · host string · port int32 · toNodeId int32 ·
 *           timeMs int64 · nonce uuid · mac bytes
 * response  errorCode int16 · clusterId string · nodeId int32 · directoryId uuid · incarnationId uuid · mac bytes
 * mac       HMAC-SHA256, key: `sluice.cluster.secret`, the cluster id where none is set; over a label and every field before it.
 *           The response's covers the nonce of the request too, so that it cannot be an old one.
 * ```
 * A recorded hello is of no use: it names whom it is for, it is good for a while only, and its nonce is taken once.
 */
import { createHmac, timingSafeEqual } from "node:crypto";
import { ErrorCode } from "#common/error-code.ts";
import { ZERO_UUID } from "#common/uuid.ts";
import type { ApiMessages } from "#protocol/api.ts";
import type { Reader } from "#protocol/codec/reader.ts";
import { Writer } from "#protocol/codec/writer.ts";

/** Private API keys. They are above any of Kafka's, in no handler table, and never advertised. */
export const PEER_HELLO_KEY = 32_001;
/** A node that is in no cluster yet asks what the other one is (`quorum-probe.ts`). */
export const QUORUM_PROBE_KEY = 32_004;
/** Raft messages of one turn; it is not answered. */
export const RAFT_MESSAGES_KEY = 32_002;

/** First request on a connection between nodes. */
export interface PeerHello {
  readonly clusterId: string;
  readonly nodeId: number;
  readonly directoryId: string;
  readonly incarnationId: string;
  /** Where the caller takes raft messages. */
  readonly host: string;
  readonly port: number;
  /** Whom it is for; -1 when the caller only knows an address. */
  readonly toNodeId: number;
  readonly timeMs: number;
  readonly nonce: string;
  readonly mac: Uint8Array;
}

/** Answer to it. Without an error it proves that the other side knows the secret too. */
export interface PeerHelloAnswer {
  /** INVALID_CLUSTER_ID, CLUSTER_AUTHORIZATION_FAILED, DUPLICATE_BROKER_REGISTRATION, INVALID_REQUEST. */
  readonly errorCode: number;
  readonly clusterId: string;
  readonly nodeId: number;
  readonly directoryId: string;
  readonly incarnationId: string;
  readonly mac: Uint8Array;
}

/** Codecs of the hello. */
export const PeerHelloApi: ApiMessages<PeerHello, PeerHelloAnswer> = {
  key: PEER_HELLO_KEY,
  name: "PeerHello",
  minVersion: 0,
  maxVersion: 0,
  firstFlexibleVersion: Infinity,
  isLatestVersionUnstable: false,
  request: {
    decode: (reader: Reader): PeerHello => ({
      clusterId: reader.string(),
      nodeId: reader.int32(),
      directoryId: reader.uuid(),
      incarnationId: reader.uuid(),
      host: reader.string(),
      port: reader.int32(),
      toNodeId: reader.int32(),
      timeMs: reader.int64(),
      nonce: reader.uuid(),
      mac: reader.byteArray(),
    }),
    encode(writer, hello): void {
      writer.string(hello.clusterId);
      writer.int32(hello.nodeId);
      writer.uuid(hello.directoryId);
      writer.uuid(hello.incarnationId);
      writer.string(hello.host);
      writer.int32(hello.port);
      writer.int32(hello.toNodeId);
      writer.int64(hello.timeMs);
      writer.uuid(hello.nonce);
      writer.byteArray(hello.mac);
    },
  },
  response: {
    decode: (reader: Reader): PeerHelloAnswer => ({
      errorCode: reader.int16(),
      clusterId: reader.string(),
      nodeId: reader.int32(),
      directoryId: reader.uuid(),
      incarnationId: reader.uuid(),
      mac: reader.byteArray(),
    }),
    encode(writer, answer): void {
      writer.int16(answer.errorCode);
      writer.string(answer.clusterId);
      writer.int32(answer.nodeId);
      writer.uuid(answer.directoryId);
      writer.uuid(answer.incarnationId);
      writer.byteArray(answer.mac);
    },
  },
};

/** Who a node is, and what it proves that with. */
export interface PeerIdentity {
  readonly clusterId: string;
  readonly nodeId: number;
  /** Id of the directory that holds the metadata (KIP-853); known once the directories are open. */
  readonly directoryId: string;
  /** New at every start of the process. */
  readonly incarnationId: string;
  /** Where this node takes raft messages. */
  readonly host: string;
  readonly port: number;
  /** `sluice.cluster.secret`; null to use the cluster id, which keeps out strays and nobody else. */
  readonly secret: string | null;
}

const NO_MAC = new Uint8Array(0);

/** Makes a hello. */
export function makeHello(
  identity: PeerIdentity,
  toNodeId: number,
  timeMs: number,
  nonce: string,
): PeerHello {
  const { clusterId, nodeId, directoryId, incarnationId, host, port } = identity;
  const self = { clusterId, nodeId, directoryId, incarnationId, host, port };
  const hello = { ...self, toNodeId, timeMs, nonce, mac: NO_MAC };
  return { ...hello, mac: helloMac(identity, hello) };
}

/** Makes the answer to a hello that was found good. */
export function makeAnswer(identity: PeerIdentity, hello: PeerHello): PeerHelloAnswer {
  const { clusterId, nodeId, directoryId, incarnationId } = identity;
  const self = { clusterId, nodeId, directoryId, incarnationId };
  const answer = { errorCode: ErrorCode.NONE, ...self, mac: NO_MAC };
  return { ...answer, mac: answerMac(identity, hello, answer) };
}

/** Makes the answer that refuses a hello. It says nothing of who we are. */
export function refuseHello(errorCode: number): PeerHelloAnswer {
  const nobody = { clusterId: "", nodeId: -1, directoryId: ZERO_UUID, incarnationId: ZERO_UUID };
  return { errorCode, ...nobody, mac: NO_MAC };
}

/** Whether an answer without an error comes from a node of the cluster, and from the one it was meant for. */
export function isGenuineAnswer(
  identity: PeerIdentity,
  hello: PeerHello,
  answer: PeerHelloAnswer,
): boolean {
  return (
    answer.clusterId === identity.clusterId &&
    (hello.toNodeId < 0 || answer.nodeId === hello.toNodeId) &&
    isSame(answer.mac, answerMac(identity, hello, answer))
  );
}

/** Time by which clocks of nodes may differ, and for which nonces are remembered, ms. */
const FRESH_MS = 120_000;
/** Nonces remembered at most; only who knows the secret can fill them. */
const NONCES_MAX = 65_536;

/** Why a hello is refused; the names are counted and told. */
export type HelloRefusal =
  "other-cluster" | "wrong-secret" | "stale" | "replayed" | "other-node" | "duplicate-node";

const REFUSAL_CODES: Readonly<Record<HelloRefusal, number>> = {
  "other-cluster": ErrorCode.INCONSISTENT_CLUSTER_ID,
  "wrong-secret": ErrorCode.CLUSTER_AUTHORIZATION_FAILED,
  stale: ErrorCode.CLUSTER_AUTHORIZATION_FAILED,
  replayed: ErrorCode.CLUSTER_AUTHORIZATION_FAILED,
  "other-node": ErrorCode.CLUSTER_AUTHORIZATION_FAILED,
  "duplicate-node": ErrorCode.DUPLICATE_BROKER_REGISTRATION,
};

/** The error code a refused node is told. */
export function refusalCode(refusal: HelloRefusal): number {
  return REFUSAL_CODES[refusal];
}

/** Checks hellos. One for all listeners of a thread, so that a nonce counts once. */
export class HelloVerifier {
  readonly #identity: PeerIdentity;
  /** When each nonce was seen, oldest first. */
  readonly #nonces: Map<string, number> = new Map();

  constructor(identity: PeerIdentity) {
    this.#identity = identity;
  }

  /** Why a hello is refused, or null for a good one; its nonce is used up then. */
  check(hello: PeerHello, nowMs: number): HelloRefusal | null {
    const identity = this.#identity;
    if (hello.clusterId !== identity.clusterId) return "other-cluster";
    if (!isSame(hello.mac, helloMac(identity, hello))) return "wrong-secret";
    if (hello.toNodeId >= 0 && hello.toNodeId !== identity.nodeId) return "other-node";
    if (Math.abs(nowMs - hello.timeMs) > FRESH_MS) return "stale";
    this.#forget(nowMs);
    if (this.#nonces.has(hello.nonce)) return "replayed";
    this.#nonces.set(hello.nonce, nowMs);
    if (hello.nodeId === identity.nodeId && hello.incarnationId !== identity.incarnationId)
      return "duplicate-node";
    return null;
  }

  /** Drops nonces that are too old to pass the check of time anyway. */
  #forget(nowMs: number): void {
    for (const [nonce, seenMs] of this.#nonces) {
      if (nowMs - seenMs <= 2 * FRESH_MS && this.#nonces.size < NONCES_MAX) return;
      this.#nonces.delete(nonce);
    }
  }
}

function helloMac(identity: PeerIdentity, hello: Omit<PeerHello, "mac">): Uint8Array {
  const writer = new Writer(128);
  writer.string("sluice hello 2");
  writer.string(hello.clusterId);
  writer.int32(hello.nodeId);
  writer.uuid(hello.directoryId);
  writer.uuid(hello.incarnationId);
  writer.string(hello.host);
  writer.int32(hello.port);
  writer.int32(hello.toNodeId);
  writer.int64(hello.timeMs);
  writer.uuid(hello.nonce);
  return mac(identity, writer.bytes());
}

function answerMac(
  identity: PeerIdentity,
  { nonce }: PeerHello,
  answer: Omit<PeerHelloAnswer, "mac">,
): Uint8Array {
  const writer = new Writer(128);
  writer.string("sluice answer 2");
  writer.uuid(nonce);
  writer.string(answer.clusterId);
  writer.int32(answer.nodeId);
  writer.uuid(answer.directoryId);
  writer.uuid(answer.incarnationId);
  return mac(identity, writer.bytes());
}

function mac({ secret, clusterId }: PeerIdentity, bytes: Uint8Array): Uint8Array {
  return hmac(secret ?? clusterId, bytes);
}

/** HMAC-SHA256. */
export function hmac(key: string, bytes: Uint8Array): Uint8Array {
  return createHmac("sha256", key).update(bytes).digest();
}

/** Whether two MACs are the same; takes the same time wherever they differ. */
export function isSame(left: Uint8Array, right: Uint8Array): boolean {
  return left.length === right.length && timingSafeEqual(left, right);
}
