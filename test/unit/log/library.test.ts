/** The log as a library, on Bun here and on Node in a process of its own. */
import { describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { type AppendRecord, type Log, type LogRecord, openLog } from "#log/index.ts";
import { encodeRecordBatch } from "#protocol/records/record-batch.ts";
import { runCommand, temporaryDirectory } from "../../support/process.ts";
import { rejectionOf } from "./store.ts";

const root = join(import.meta.dir, "../../..");
const decode = (bytes: Uint8Array | null): string | null =>
  bytes === null ? null : Buffer.from(bytes).toString();
const shown = (record: LogRecord): string =>
  `${record.offset}:${decode(record.key) ?? ""}=${decode(record.value) ?? ""}`;
const values = (count: number, prefix = "v"): AppendRecord[] =>
  Array.from({ length: count }, (_, index) => ({ value: `${prefix}${index}` }));
/** A directory that is removed when its scope ends, after the logs opened in it. */
function scratch(name: string): Disposable & { readonly path: string } {
  const directory = temporaryDirectory(name);
  return { path: directory.path, [Symbol.dispose]: () => directory.remove() };
}

const inMemory = (): Promise<Log> => openLog({ dir: "memory", inMemory: true });

describe("a log", () => {
  test("in five lines", async () => {
    using directory = scratch("library");
    await using log = await openLog({ dir: directory.path });
    const { baseOffset } = await log.append([{ value: "hello" }, { key: "k", value: "world" }]);
    expect([...log.read(baseOffset)].map(shown)).toEqual(["0:=hello", "1:k=world"]);
    expect([log.startOffset, log.endOffset]).toEqual([0, 2]);
  });

  test("keeps what was appended, in order, over a reopening", async () => {
    using directory = scratch("library");
    const expected: string[] = [];
    for (let round = 0; round < 3; round++) {
      await using log = await openLog({ dir: directory.path, topic: "orders", partition: 4 });
      expect([...log.read(0)].map(shown)).toEqual(expected);
      const results = await Promise.all(
        [0, 1, 2].map((part) => log.append(values(10, `${round}.${part}.`))),
      );
      expect(results.map(({ baseOffset }) => baseOffset)).toEqual(
        [0, 1, 2].map((part) => round * 30 + part * 10),
      );
      expect(log.state().flushedOffset).toBe((round + 1) * 30);
      expected.length = 0;
      expected.push(...[...log.read(0)].map(shown));
      expect(expected.length).toBe((round + 1) * 30);
    }
    expect(existsSync(join(directory.path, "orders-4", "00000000000000000000.log"))).toBe(true);
  });

  test("keeps nulls, headers and timestamps", async () => {
    await using log = await inMemory();
    await log.append([
      {
        key: new Uint8Array([1, 2]),
        value: null,
        timestamp: 1_700_000_000_000,
        headers: [
          { key: "h", value: "x" },
          { key: "n", value: null },
        ],
      },
      { key: "", value: "" },
    ]);
    const [first, second] = [...log.read(0)];
    expect(first).toEqual({
      offset: 0,
      timestamp: 1_700_000_000_000,
      key: new Uint8Array([1, 2]),
      value: null,
      headers: [
        { key: "h", value: new Uint8Array([120]) },
        { key: "n", value: null },
      ],
    });
    expect([second?.key, second?.value]).toEqual([new Uint8Array(0), new Uint8Array(0)]);
  });

  test.each(["none", "gzip", "snappy", "lz4", "zstd"] as const)(
    "compresses with %s",
    async (compression) => {
      await using log = await inMemory();
      await log.append(values(1000), { compression });
      const size = log.state().sizeBytes;
      expect(size).toBeLessThan(compression === "none" ? 20_000 : 12_000);
      expect([...log.read(0)].map(({ value }) => decode(value))).toEqual(
        values(1000).map(({ value }) => value as string),
      );
    },
  );

  test("reads from the middle of a batch, up to an offset, within bytes", async () => {
    await using log = await inMemory();
    for (let batch = 0; batch < 5; batch++) await log.append(values(10));
    expect([...log.read(13, { endOffset: 27 })].map(({ offset }) => offset)).toEqual(
      Array.from({ length: 14 }, (_, i) => i + 13),
    );
    expect([...log.read(13, { maxBytes: 1 })].map(({ offset }) => offset)).toEqual([
      13, 14, 15, 16, 17, 18, 19,
    ]);
    expect([...log.read(50)]).toEqual([]);
    expect(() => [...log.read(51)]).toThrow(
      expect.objectContaining({ code: "OFFSET_OUT_OF_RANGE" }),
    );
  });

  test("reads more than one step of the log", async () => {
    await using log = await inMemory();
    for (let batch = 0; batch < 6; batch++)
      await log.append([{ value: new Uint8Array(700_000).fill(batch) }]);
    expect([...log.read(0)].map(({ value }) => [value?.length, value?.[0]])).toEqual(
      [0, 1, 2, 3, 4, 5].map((batch) => [700_000, batch]),
    );
  });

  test("takes batches in Kafka's format, and refuses damaged ones", async () => {
    await using log = await inMemory();
    const batch = encodeRecordBatch({
      timestamp: Date.now(),
      records: [{ key: null, value: new Uint8Array([7]) }],
    });
    expect(await log.append(batch.slice())).toEqual({ baseOffset: 0, lastOffset: 0 });
    batch[batch.length - 2] = 0xff;
    expect(await rejectionOf(log.append(batch))).toMatchObject({
      name: "LogError",
      code: "CORRUPT_MESSAGE",
    });
    expect(
      await rejectionOf(log.append([{ value: "old", timestamp: Date.now() + 1e9 }])),
    ).toMatchObject({ code: "INVALID_TIMESTAMP" });
    expect(log.endOffset).toBe(1);
  });

  test("is followed by tail", async () => {
    await using log = await inMemory();
    await log.append(values(3));
    const controller = new AbortController();
    const seen: string[] = [];
    const following = (async (): Promise<void> => {
      for await (const record of log.tail({ fromOffset: 1, signal: controller.signal })) {
        seen.push(shown(record));
        if (seen.length === 7) controller.abort();
      }
    })();
    for (let batch = 0; batch < 5; batch++) {
      await log.append(values(1, `n${batch}.`));
      await Bun.sleep(1);
    }
    await following;
    expect(seen).toEqual(["1:=v1", "2:=v2", "3:=n0.0", "4:=n1.0", "5:=n2.0", "6:=n3.0", "7:=n4.0"]);
  });

  test("tail starts at the end, and ends when aborted or closed while it waits", async () => {
    const log = await inMemory();
    await log.append(values(3));
    const controller = new AbortController();
    const follow = async (signal?: AbortSignal): Promise<number[]> => {
      const offsets: number[] = [];
      for await (const record of log.tail(signal === undefined ? {} : { signal }))
        offsets.push(record.offset);
      return offsets;
    };
    const [one, two] = [follow(controller.signal), follow()];
    await Bun.sleep(1);
    controller.abort();
    expect(await one).toEqual([]);
    await log.append(values(1));
    await Bun.sleep(5);
    await log.close();
    expect(await two).toEqual([3]);
  });

  test("drops its start and its end", async () => {
    await using log = await inMemory();
    for (let batch = 0; batch < 4; batch++) await log.append(values(5));
    expect(log.deleteRecords(7)).toBe(7);
    expect(() => log.deleteRecords(21)).toThrow(
      expect.objectContaining({ code: "OFFSET_OUT_OF_RANGE" }),
    );
    log.truncate(15);
    expect([log.startOffset, log.endOffset]).toEqual([7, 15]);
    expect([...log.read(7)].map(({ offset }) => offset)).toEqual([7, 8, 9, 10, 11, 12, 13, 14]);
    expect((await log.append(values(1))).baseOffset).toBe(15);
    expect(log.deleteRecords()).toBe(16);
    await log.flush();
  });

  test("refuses everything once it is closed, and a directory that is in use", async () => {
    using directory = scratch("library");
    const log = await openLog({ dir: directory.path });
    expect(await rejectionOf(openLog({ dir: directory.path }))).toMatchObject({
      code: "LOG_DIR_LOCKED",
    });
    await log.close();
    await log.close();
    for (const call of [
      () => log.endOffset,
      () => [...log.read(0)],
      () => log.truncate(0),
      () => log.deleteRecords(),
    ]) {
      expect(call).toThrow(expect.objectContaining({ code: "LOG_CLOSED" }));
    }
    expect(await rejectionOf(log.append(values(1)))).toMatchObject({ code: "LOG_CLOSED" });
    await using again = await openLog({ dir: directory.path });
    expect(again.endOffset).toBe(0);
  });

  test("answers without fsync when memory is enough", async () => {
    using directory = scratch("library");
    await using log = await openLog({ dir: directory.path, durability: "memory" });
    await log.append(values(5));
    expect(log.state()).toMatchObject({ logEndOffset: 5, highWatermark: 5 });
    await log.flush();
    expect(log.state().flushedOffset).toBe(5);
  });
});

describe("on Node", () => {
  test("the bundle does the same", async () => {
    const node = Bun.which("node");
    if (node === null) {
      console.log("skipped: node is not installed");
      return;
    }
    const built = await runCommand([process.execPath, join(root, "build.ts"), "bundle", "log.js"], {
      cwd: root,
    });
    expect(built).toMatchObject({ exitCode: 0 });
    using directory = scratch("library-node");
    const script = join(import.meta.dir, "node-library.mjs");
    const run = await runCommand([node, script, join(root, "dist", "log.js"), directory.path], {
      cwd: root,
    });
    expect(run).toMatchObject({ exitCode: 0, errors: "" });
    expect(JSON.parse(run.output.toString())).toEqual({
      read: ["0:a", "1:b", "2:c"],
      tailed: ["2:c", "3:d"],
      refused: "OFFSET_OUT_OF_RANGE",
      state: [0, 4, 4],
    });
    // And back: what Node wrote, Bun reads.
    await using log = await openLog({ dir: directory.path });
    expect([...log.read(0)].map(({ value }) => decode(value))).toEqual(["a", "b", "c", "d"]);
  }, 60_000);
});
