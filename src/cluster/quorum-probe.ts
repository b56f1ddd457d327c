/**
 * What nodes ask each other before they are in a cluster: what is in your directories? It is asked without a cluster id, since there may
 * be none yet; a secret, where one is set, proves both sides.
 *
 * ```
 * request   nonce uuid · mac bytes
 * response  errorCode int16 · state int8 · nodeId int32 · incarnationId uuid · clusterId string (nullable) · quorum string ·
 *           epoch int32 · offset int64 · mac bytes
 * mac       HMAC-SHA256 under `sluice.cluster.secret`, empty where none is set; over a label, the nonce and every field before it
 * ```
 */
import { ErrorCode } from "#common/error-code.ts";
import { ZERO_UUID } from "#common/uuid.ts";
import type { ApiMessages } from "#protocol/api.ts";
import type { Reader } from "#protocol/codec/reader.ts";
import { Writer } from "#protocol/codec/writer.ts";
import { hmac, isSame, QUORUM_PROBE_KEY } from "./peer-hello.ts";

/** What a node is as to clusters. */
export type NodeState =
  /** Its directories hold no metadata. */
  | "empty"
  /** It was by itself: it has a metadata log of its own, and no quorum. */
  | "alone"
  /** It belongs to the quorum of a cluster. */
  | "member";

const STATES: readonly NodeState[] = ["empty", "alone", "member"];

/** What a node says of itself. */
export interface NodeReport {
  readonly state: NodeState;
  readonly nodeId: number;
  readonly incarnationId: string;
  /** What its directories say, or null. */
  readonly clusterId: string | null;
  /** The quorum it was given to begin with, as one text. */
  readonly quorum: string;
  /** How far its own metadata log goes; -1 without one. */
  readonly epoch: number;
  readonly offset: number;
}

/** The question. */
export interface QuorumProbe {
  readonly nonce: string;
  readonly mac: Uint8Array;
}

/** The answer. */
export interface QuorumProbeAnswer extends NodeReport {
  /** NOT_CONTROLLER: not yet, ask again. CLUSTER_AUTHORIZATION_FAILED: the secret is another. */
  readonly errorCode: number;
  readonly mac: Uint8Array;
}

/** Codecs of the probe. */
export const QuorumProbeApi: ApiMessages<QuorumProbe, QuorumProbeAnswer> = {
  key: QUORUM_PROBE_KEY,
  name: "QuorumProbe",
  minVersion: 0,
  maxVersion: 0,
  firstFlexibleVersion: Infinity,
  isLatestVersionUnstable: false,
  request: {
    decode: (reader: Reader): QuorumProbe => ({ nonce: reader.uuid(), mac: reader.byteArray() }),
    encode(writer, { nonce, mac }): void {
      writer.uuid(nonce);
      writer.byteArray(mac);
    },
  },
  response: {
    decode: (reader: Reader): QuorumProbeAnswer => ({
      errorCode: reader.int16(),
      state: STATES[reader.int8()] ?? "empty",
      nodeId: reader.int32(),
      incarnationId: reader.uuid(),
      clusterId: reader.nullableString(),
      quorum: reader.string(),
      epoch: reader.int32(),
      offset: reader.int64(),
      mac: reader.byteArray(),
    }),
    encode(writer, answer): void {
      writer.int16(answer.errorCode);
      writeReport(writer, answer);
      writer.byteArray(answer.mac);
    },
  },
};

const NO_MAC = new Uint8Array(0);

/** Makes the question. */
export function makeProbe(secret: string | null, nonce: string): QuorumProbe {
  return { nonce, mac: probeMac(secret, nonce, null) };
}

/** Makes the answer; `report` null while this node cannot tell yet. */
export function answerProbe(
  secret: string | null,
  { nonce, mac }: QuorumProbe,
  report: NodeReport | null,
): QuorumProbeAnswer {
  if (!isSame(mac, probeMac(secret, nonce, null)))
    return refuse(ErrorCode.CLUSTER_AUTHORIZATION_FAILED);
  if (report === null) return refuse(ErrorCode.NOT_CONTROLLER);
  return { ...report, errorCode: ErrorCode.NONE, mac: probeMac(secret, nonce, report) };
}

/** Whether an answer without an error comes from somebody who knows the secret. */
export function isGenuineReport(
  secret: string | null,
  { nonce }: QuorumProbe,
  answer: QuorumProbeAnswer,
): boolean {
  return isSame(answer.mac, probeMac(secret, nonce, answer));
}

function refuse(errorCode: number): QuorumProbeAnswer {
  return {
    errorCode,
    state: "empty",
    nodeId: -1,
    incarnationId: ZERO_UUID,
    clusterId: null,
    quorum: "",
    epoch: -1,
    offset: -1,
    mac: NO_MAC,
  };
}

function probeMac(secret: string | null, nonce: string, report: NodeReport | null): Uint8Array {
  if (secret === null) return NO_MAC;
  const writer = new Writer(256);
  writer.string(report === null ? "sluice probe 1" : "sluice report 1");
  writer.uuid(nonce);
  if (report !== null) writeReport(writer, report);
  return hmac(secret, writer.bytes());
}

function writeReport(writer: Writer, report: NodeReport): void {
  writer.int8(STATES.indexOf(report.state));
  writer.int32(report.nodeId);
  writer.uuid(report.incarnationId);
  writer.nullableString(report.clusterId);
  writer.string(report.quorum);
  writer.int32(report.epoch);
  writer.int64(report.offset);
}
