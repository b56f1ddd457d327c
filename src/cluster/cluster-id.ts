/**
 * Whose cluster a node belongs to before it has said a word: the id that its directories hold, or one made from the quorum's addresses.
 * Nodes with the same quorum and empty directories make the same id, so that no step of formatting is needed.
 */
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";

/** The id that a directory's `meta.properties` holds; null without one. */
export async function storedClusterId(directories: readonly string[]): Promise<string | null> {
  for (const directory of directories) {
    const text = await readFile(join(directory, "meta.properties"), "latin1").catch(() => "");
    const id = /^\s*cluster\.id\s*[=:]\s*(\S+)\s*$/m.exec(text)?.[1];
    if (id !== undefined) return id;
  }
  return null;
}

/** The id of a cluster that begins with this quorum: 22 characters, as Kafka's are. */
export function derivedClusterId(quorumText: string): string {
  const bytes = createHash("sha256")
    .update(`sluice cluster ${quorumText}`)
    .digest()
    .subarray(0, 16);
  // Version 4 and variant 1 of RFC 9562, and never a dash in front: tools would take it for an option.
  bytes[0] = (bytes[0] ?? 0) & 0x7f;
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x40;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  return bytes.toString("base64url");
}
