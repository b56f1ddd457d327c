/** Files of a log directory as the dump reads them, good ones and damaged ones. */
import { describe, expect, test } from "bun:test";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { readSegment, type SegmentItem } from "#cli/log-dump/segment-reader.ts";
import {
  readCheckpoint,
  readKeyValues,
  readOffsetIndex,
  readProducerSnapshot,
  readTimeIndex,
  readTransactionIndex,
} from "#cli/log-dump/small-files.ts";
import { encodeRecordBatch } from "#protocol/records/record-batch.ts";
import { temporaryDirectory } from "../../support/start-broker.ts";

const encoder = new TextEncoder();
const batch = (baseOffset: number, value: string | Uint8Array): Uint8Array =>
  encodeRecordBatch({
    records: [{ key: null, value: typeof value === "string" ? encoder.encode(value) : value }],
    timestamp: 1_000,
    baseOffset,
  });

async function walk(parts: readonly Uint8Array[], isDeep = true): Promise<readonly SegmentItem[]> {
  await using directory = await temporaryDirectory();
  const path = join(directory.path, "segment");
  const bytes = Buffer.concat(parts);
  await Bun.write(path, bytes);
  const file = await open(path);
  try {
    const items: SegmentItem[] = [];
    for await (const item of readSegment(file, bytes.length, { isDeep })) items.push(item);
    return items;
  } finally {
    await file.close();
  }
}

const told = (items: readonly SegmentItem[]): unknown =>
  items.map((item) =>
    item.kind === "batch"
      ? [item.position, item.header.baseOffset, item.isCrcValid]
      : [item.kind, item.position, item.bytes],
  );

describe("a segment", () => {
  const one = batch(0, "one");
  const two = batch(1, "two");

  test("is its batches; without depth nothing is said of their inside", async () => {
    expect([told(await walk([one, two])), told(await walk([one, two], false))]).toEqual([
      [
        [0, 0, true],
        [one.length, 1, true],
      ],
      [
        [0, 0, null],
        [one.length, 1, null],
      ],
    ]);
  });

  test("goes on with the next good batch behind bytes that are none", async () => {
    const noise = new Uint8Array(1_000).fill(2);
    expect(told(await walk([one, noise, two]))).toEqual([
      [0, 0, true],
      ["damage", one.length, 1_000],
      [one.length + 1_000, 1, true],
    ]);
  });

  test("finds a batch across the border of what is read at once", async () => {
    const noise = new Uint8Array(1_048_576 - 20).fill(7);
    expect(told(await walk([noise, two]))).toEqual([
      ["damage", 0, noise.length],
      [noise.length, 1, true],
    ]);
  });

  test("may be larger than what is read at once, batches too", async () => {
    const large = batch(0, new Uint8Array(3_000_000));
    expect(told(await walk([large, two, large, two]))).toEqual([
      [0, 0, true],
      [large.length, 1, true],
      [large.length + two.length, 0, true],
      [2 * large.length + two.length, 1, true],
    ]);
  });

  test("does not take a length for granted", async () => {
    for (const length of [-1, 0, 48, 0x7f_ff_ff_ff]) {
      const lying = new Uint8Array(one);
      new DataView(lying.buffer).setInt32(8, length);
      expect(told(await walk([lying, two]))).toEqual([
        ["damage", 0, one.length],
        [one.length, 1, true],
      ]);
    }
  });

  test("may end in a torn batch, or in zeros that were allocated ahead", async () => {
    expect([
      told(await walk([one, two.subarray(0, two.length - 1)])),
      told(await walk([one, new Uint8Array(5_000)])),
      told(await walk([])),
    ]).toEqual([
      [
        [0, 0, true],
        ["damage", one.length, two.length - 1],
      ],
      [
        [0, 0, true],
        ["zeros", one.length, 5_000],
      ],
      [],
    ]);
  });

  test("any byte may be flipped: the walk ends, and the other batch is found or the CRC told", async () => {
    for (let at = 0; at < one.length; at += 1) {
      const flipped = new Uint8Array(one);
      flipped[at] = (flipped[at] ?? 0) ^ 0x40;
      const items = await walk([flipped, two]);
      const last = items.at(-1);
      const first = items[0];
      // Base offset and leader epoch are outside of the CRC.
      const isOutside = at < 8 || (at >= 12 && at < 16);
      expect([
        at,
        last?.kind === "batch" && last.header.baseOffset === 1,
        isOutside ||
          first?.kind === "damage" ||
          (first?.kind === "batch" && first.isCrcValid === false),
      ]).toEqual([at, true, true]);
    }
  });
});

describe("small files", () => {
  const view = (length: number, fill: (view: DataView) => void): Uint8Array => {
    const bytes = new Uint8Array(length);
    fill(new DataView(bytes.buffer));
    return bytes;
  };

  test("an offset index ends where it was allocated ahead", () => {
    const bytes = view(48, (index) => {
      index.setInt32(0, 5);
      index.setInt32(4, 4_100);
      index.setInt32(8, 9);
      index.setInt32(12, 8_300);
    });
    expect(readOffsetIndex(bytes, 100)).toEqual({
      rows: [
        { offset: 105, position: 4_100 },
        { offset: 109, position: 8_300 },
      ],
      damage: [],
      unusedBytes: 32,
    });
    expect(readOffsetIndex(new Uint8Array(80), 0)).toEqual({
      rows: [],
      damage: [],
      unusedBytes: 80,
    });
  });

  test("an index that shrinks or is cut is damaged, where it is", () => {
    const bytes = view(25, (index) => {
      index.setBigInt64(0, 9n);
      index.setInt32(8, 1);
      index.setBigInt64(12, 8n);
      index.setInt32(20, 2);
      index.setUint8(24, 1);
    });
    expect(readTimeIndex(bytes, 10)).toEqual({
      rows: [
        { timestamp: 9, offset: 11 },
        { timestamp: 8, offset: 12 },
      ],
      damage: [
        { position: 12, reason: "an entry that is smaller than the one before" },
        { position: 24, reason: "1 bytes that are no whole entry" },
      ],
      unusedBytes: 0,
    });
  });

  test("a transaction index", () => {
    const bytes = view(34, (index) => {
      index.setBigInt64(2, 7n);
      index.setBigInt64(10, 1n);
      index.setBigInt64(18, 2n);
      index.setBigInt64(26, 3n);
    });
    expect(readTransactionIndex(bytes)).toEqual({
      rows: [{ version: 0, producerId: 7n, firstOffset: 1, lastOffset: 2, lastStableOffset: 3 }],
      damage: [],
      unusedBytes: 0,
    });
  });

  test("a producer snapshot with a wrong CRC, of another version, and cut off", () => {
    const empty = view(10, (snapshot) => snapshot.setInt16(0, 1));
    expect([
      readProducerSnapshot(empty).damage,
      readProducerSnapshot(view(10, (snapshot) => snapshot.setInt16(0, 9))).damage,
      readProducerSnapshot(empty.subarray(0, 5)).damage.length,
    ]).toEqual([
      [{ position: 2, reason: "the CRC is wrong" }],
      [{ position: 0, reason: "version 9" }],
      1,
    ]);
  });

  test("checkpoints", () => {
    expect([
      readCheckpoint("0\n2\n0 0\n3 17\n"),
      readCheckpoint("0\n1\ntopic 4 99\n"),
      readCheckpoint("1\n3\nx y\n").damage,
      readCheckpoint("").damage.length,
    ]).toEqual([
      {
        rows: [
          { epoch: 0, startOffset: 0 },
          { epoch: 3, startOffset: 17 },
        ],
        damage: [],
        unusedBytes: 0,
      },
      { rows: [{ topic: "topic", partition: 4, offset: 99 }], damage: [], unusedBytes: 0 },
      [
        { position: 0, reason: "version '1'" },
        { position: 2, reason: "a count of 3 before 1 rows" },
        { position: 4, reason: 'a line that is no row: "x y"' },
      ],
      1,
    ]);
  });

  test("identities", () => {
    expect(readKeyValues("#\n#Sun Nov 22\nnode.id=1\ncluster.id=x=y\n")).toEqual({
      rows: [{ "node.id": "1", "cluster.id": "x=y" }],
      damage: [],
      unusedBytes: 0,
    });
    expect(readKeyValues("version: 0\ntopic_id: AA\n\u0000").damage.length).toBe(1);
  });
});
