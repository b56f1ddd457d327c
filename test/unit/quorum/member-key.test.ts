/** Keys of members: node and directory in one whole number, the node readable from it. */
import { expect, test } from "bun:test";
import { memberKey, nodeOfKey } from "#quorum/member-key.ts";
import { decodeMembers, encodeMembers, keyOfMember, NO_MEMBERS } from "#quorum/quorum-members.ts";
import { Writer } from "#protocol/codec/writer.ts";

const ONE = "sx69ofQQJcDlhUIHBV6W8w";
const OTHER = "2gYFdtFzS42FhG2_6JWIYQ";

test("a node with another directory is another member of the same node", () => {
  for (const nodeId of [0, 1, 2 ** 31 - 1]) {
    const keys = [ONE, OTHER].map((directoryId) => memberKey(nodeId, directoryId));
    expect(new Set(keys).size).toBe(2);
    expect(keys.map(nodeOfKey)).toEqual([nodeId, nodeId]);
    expect(keys.every((key) => Number.isSafeInteger(key) && key >= 0)).toBe(true);
  }
  expect(nodeOfKey(-1)).toBe(-1);
});

test("what is known of members is read as it was written, and nothing else is", () => {
  const members = [
    { nodeId: 1, directoryId: ONE, listener: "CONTROLLER", host: "a", port: 9093 },
    { nodeId: 1, directoryId: OTHER, listener: "CONTROLLER", host: "b", port: 9093 },
  ];
  for (const all of [NO_MEMBERS, { members, expectedVoters: [2, 3] }]) {
    const writer = new Writer(256);
    encodeMembers(writer, all);
    const bytes = writer.toBytes();
    expect(decodeMembers(bytes)).toEqual(all);
    for (let length = 0; length < bytes.length; length += 1)
      expect(decodeMembers(bytes.subarray(0, length))).toBeNull();
  }
  expect(new Set(members.map(keyOfMember)).size).toBe(2);
});
