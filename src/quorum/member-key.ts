/**
 * Who a member of the quorum is: a node with a directory (KIP-853's replica key). A node that lost its disk has a new directory, and so
 * is another member: it cannot be taken for the one whose votes and acknowledgements went with the disk.
 *
 * ```
 * key   bits 0–30 node id · bits 31–51 the last bits of the directory id, which is drawn at random
 * ```
 */
import { UUID_BYTES, uuidToBytes } from "#common/uuid.ts";

const NODE_IDS = 2 ** 31;
const DIRECTORIES = 2 ** 21;

/** The key of a node with a directory, for {@link RaftNodeOptions.id}. */
export function memberKey(nodeId: number, directoryId: string): number {
  const bytes = new Uint8Array(UUID_BYTES);
  uuidToBytes(directoryId, bytes, 0);
  const last = new DataView(bytes.buffer).getUint32(UUID_BYTES - 4);
  return (last % DIRECTORIES) * NODE_IDS + nodeId;
}

/** The node that a member is on; -1 for no member. */
export function nodeOfKey(key: number): number {
  return key < 0 ? -1 : key % NODE_IDS;
}
