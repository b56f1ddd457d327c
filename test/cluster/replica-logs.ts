/**
 * Replicas compared by their files: once all nodes are stopped, with nothing written since every replica was in sync, the logs of a
 * partition hold the same bytes on every node. Where segments begin may differ; their bytes in a row may not.
 */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { ClusterNode } from "../support/cluster-process.ts";

/** A node as far as its files go. */
export type StoppedNode = Pick<ClusterNode, "id" | "dataDirectory">;

interface LogCopy {
  readonly nodeId: number;
  readonly bytes: Buffer;
}

/** All segments of a partition's log on one node, in order; null where the node has no such log. */
function readCopy(node: StoppedNode, partition: string): LogCopy | null {
  const directory = join(node.dataDirectory, partition);
  let names: string[];
  try {
    names = readdirSync(directory).filter((name) => name.endsWith(".log"));
  } catch {
    return null;
  }
  const pieces = names.toSorted().map((name) => readFileSync(join(directory, name)));
  return { nodeId: node.id, bytes: Buffer.concat(pieces) };
}

function firstDifference(left: Buffer, right: Buffer): number {
  const end = Math.min(left.length, right.length);
  for (let at = 0; at < end; at += 1) if (left[at] !== right[at]) return at;
  return end;
}

/** Base offset and leader epoch of the batch that holds byte `position`. */
function batchAt(bytes: Buffer, position: number): string {
  let at = 0;
  while (at + 16 <= bytes.length) {
    const next = at + 12 + bytes.readInt32BE(at + 8);
    if (next > position)
      return `offset ${bytes.readBigInt64BE(at)}, leader epoch ${bytes.readInt32BE(at + 12)}`;
    at = next;
  }
  return "the end";
}

/**
 * Findings about the copies of `partitions` (`topic-0`) on stopped nodes, one for each copy that differs.
 *
 * @returns also how many copies were compared, and their bytes, so that a comparison of nothing is seen as such.
 */
export function compareReplicas(
  nodes: readonly StoppedNode[],
  partitions: readonly string[],
): { readonly findings: string[]; readonly copies: number; readonly bytes: number } {
  const findings: string[] = [];
  let copies = 0;
  let bytes = 0;
  for (const partition of partitions) {
    const found = nodes.map((node) => readCopy(node, partition)).filter((copy) => copy !== null);
    copies += found.length;
    const [first, ...others] = found;
    if (first === undefined) continue;
    bytes += first.bytes.length * found.length;
    const digest = sha(first.bytes);
    for (const other of others) {
      if (sha(other.bytes) === digest) continue;
      const at = firstDifference(first.bytes, other.bytes);
      findings.push(
        `${partition} differs from byte ${at} on: node ${first.nodeId} has ${first.bytes.length} bytes and there ${batchAt(first.bytes, at)}, ` +
          `node ${other.nodeId} ${other.bytes.length} and ${batchAt(other.bytes, at)}`,
      );
    }
  }
  return { findings, copies, bytes };
}

function sha(bytes: Buffer): string {
  return createHash("sha256").update(bytes).digest("hex");
}
