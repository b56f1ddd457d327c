/** The comparison of replicas finds what differs, and says where. */
import { afterAll, expect, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { encodeRecordBatch } from "#protocol/records/record-batch.ts";
import { temporaryDirectory } from "../support/process.ts";
import { compareReplicas, type StoppedNode } from "./replica-logs.ts";

const directory = temporaryDirectory("replica-logs");
afterAll(() => directory.remove());

function batch(offset: number, text: string): Buffer {
  const bytes = Buffer.from(
    encodeRecordBatch({ timestamp: 0, records: [{ key: null, value: Buffer.from(text) }] }),
  );
  bytes.writeBigInt64BE(BigInt(offset), 0);
  return bytes;
}

let made = 0;
function node(id: number, segments: Readonly<Record<string, Buffer>>): StoppedNode {
  const dataDirectory = join(directory.path, String((made += 1)));
  mkdirSync(join(dataDirectory, "t-0"), { recursive: true });
  for (const [name, bytes] of Object.entries(segments))
    writeFileSync(join(dataDirectory, "t-0", name), bytes);
  return { id, dataDirectory };
}

test("segments may begin elsewhere", () => {
  const [a, b] = [batch(0, "a"), batch(1, "b")];
  const whole = node(1, { "00.log": Buffer.concat([a, b]), "00.index": Buffer.from("x") });
  const parted = node(2, { "00.log": a, "01.log": b });
  expect(compareReplicas([whole, parted], ["t-0", "t-1"])).toEqual({
    findings: [],
    copies: 2,
    bytes: 2 * (a.length + b.length),
  });
});

test("another record, and one that is missing", () => {
  const [a, b, other] = [batch(0, "a"), batch(1, "b"), batch(1, "c")];
  const nodes = [
    node(1, { "00.log": Buffer.concat([a, b]) }),
    node(2, { "00.log": Buffer.concat([a, other]) }),
    node(3, { "00.log": a }),
  ];
  const { findings } = compareReplicas(nodes, ["t-0"]);
  expect(findings).toHaveLength(2);
  expect(findings[0]).toContain("there offset 1, leader epoch");
  expect(findings[1]).toContain(`node 3 ${a.length} and the end`);
});
