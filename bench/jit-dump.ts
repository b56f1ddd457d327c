/**
 * Names for compiled JavaScript. JavaScriptCore leaves a jitdump; `perf` looks for a plain text map instead when it meets an
 * address outside any file: `start size name` in hex, one function a line, at /tmp/perf-PID.map. This turns one into the other.
 *
 * ```text
 * header: magic 4 | version 4 | header bytes 4 | machine 4 | pad 4 | pid 4 | time 8 | flags 8
 * record: kind 4 | record bytes 4 | time 8 | body;  kind 0, a function: pid 4 | tid 4 | vma 8 | address 8 | size 8 | index 8 | name, 0 | code
 * ```
 */

/** A compiled function. */
export interface JitFunction {
  readonly address: bigint;
  readonly sizeBytes: bigint;
  readonly name: string;
}

const magic = 0x4a695444;
const functionLoaded = 0;
const recordPrefixBytes = 16;
const nameAt = 56;

/** Reads the functions of a jitdump (little-endian machine). A record cut off at the end is left out. */
export function readJitDump(bytes: Uint8Array): JitFunction[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < 40 || view.getUint32(0, true) !== magic) return [];
  const found: JitFunction[] = [];
  let at = view.getUint32(8, true);
  while (at + recordPrefixBytes <= bytes.length) {
    const recordBytes = view.getUint32(at + 4, true);
    if (recordBytes < recordPrefixBytes || at + recordBytes > bytes.length) break;
    if (view.getUint32(at, true) === functionLoaded && recordBytes > nameAt) {
      const record = bytes.subarray(at + nameAt, at + recordBytes);
      const end = record.indexOf(0);
      found.push({
        address: view.getBigUint64(at + 32, true),
        sizeBytes: view.getBigUint64(at + 40, true),
        name: new TextDecoder().decode(record.subarray(0, Math.max(0, end))),
      });
    }
    at += recordBytes;
  }
  return found;
}

/** The map that perf reads. Later code at the same address wins, so it comes first. */
export function perfMap(functions: readonly JitFunction[]): string {
  const seen = new Set<bigint>();
  return functions
    .toReversed()
    .filter(({ address }) => !seen.has(address) && seen.add(address) !== undefined)
    .map(
      ({ address, sizeBytes, name }) =>
        `${address.toString(16)} ${sizeBytes.toString(16)} JS ${name.replaceAll(/\s+/g, " ")}\n`,
    )
    .join("");
}
