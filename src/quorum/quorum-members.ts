/**
 * What every node of a cluster knows of the members of its quorum besides who has a vote, which raft itself keeps: the directory that
 * tells a member from an earlier one of the same node, and where it is reached. It is committed like everything else.
 *
 * ```
 * members   version int16 (1) · count int32 · { node id int32 · directory id uuid · listener string · host string · port int32 }
 *           count int32 · { node id int32 }    nodes that get a vote when they come
 * ```
 */
import { Reader } from "#protocol/codec/reader.ts";
import type { Writer } from "#protocol/codec/writer.ts";
import { memberKey } from "./member-key.ts";

/** A member of the quorum. */
export interface QuorumMember {
  readonly nodeId: number;
  readonly directoryId: string;
  /** Name of the listener that takes raft messages. */
  readonly listener: string;
  readonly host: string;
  readonly port: number;
}

/** See the head of the file. */
export interface QuorumMembers {
  readonly members: readonly QuorumMember[];
  /** Nodes that the quorum began with and that have not come yet: each gets a vote once. */
  readonly expectedVoters: readonly number[];
}

/** Nobody is known. */
export const NO_MEMBERS: QuorumMembers = { members: [], expectedVoters: [] };

const VERSION = 1;
/** Bytes that a member takes at least, and a node id. */
const MEMBER_BYTES_MIN = 28;
const NODE_ID_BYTES = 4;

/** The key of a member. */
export function keyOfMember({ nodeId, directoryId }: QuorumMember): number {
  return memberKey(nodeId, directoryId);
}

/** Writes the members. */
export function encodeMembers(writer: Writer, { members, expectedVoters }: QuorumMembers): void {
  writer.int16(VERSION);
  writer.arrayCount(members.length);
  for (const { nodeId, directoryId, listener, host, port } of members) {
    writer.int32(nodeId);
    writer.uuid(directoryId);
    writer.string(listener);
    writer.string(host);
    writer.int32(port);
  }
  writer.arrayCount(expectedVoters.length);
  for (const nodeId of expectedVoters) writer.int32(nodeId);
}

/** Reads what `encodeMembers` wrote; null when it is something else. */
export function decodeMembers(bytes: Uint8Array): QuorumMembers | null {
  const reader = new Reader(bytes);
  if (reader.int16() !== VERSION) return null;
  const members: QuorumMember[] = [];
  for (let left = reader.arrayCount(MEMBER_BYTES_MIN); left > 0; left -= 1) {
    members.push({
      nodeId: reader.int32(),
      directoryId: reader.uuid(),
      listener: reader.string(),
      host: reader.string(),
      port: reader.int32(),
    });
  }
  const expectedVoters: number[] = [];
  for (let left = reader.arrayCount(NODE_ID_BYTES); left > 0; left -= 1)
    expectedVoters.push(reader.int32());
  return reader.failure === null ? { members, expectedVoters } : null;
}
