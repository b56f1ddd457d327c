/** `sluice produce`, `consume` and `log dump` as processes against a broker: nothing lost, nothing changed on the way. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { sluice, spawnSluice } from "../support/run-sluice.ts";
import { startBroker, temporaryDirectory, type TestBroker } from "../support/start-broker.ts";

let broker: TestBroker;
let at: readonly string[];

beforeAll(async () => {
  broker = await startBroker({ config: { "num.partitions": 3 } });
  at = ["--bootstrap", broker.bootstrapServers];
});
afterAll(() => broker[Symbol.asyncDispose]());

const lines = (first: number, last: number): string =>
  Array.from({ length: last - first + 1 }, (_, index) => `${first + index}\n`).join("");
const sorted = (text: string): string =>
  text
    .split("\n")
    .filter((line) => line !== "")
    .toSorted((a, b) => Number(a) - Number(b))
    .map((line) => `${line}\n`)
    .join("");

describe("records go in and come out", () => {
  test.each(["none", "gzip", "snappy", "lz4", "zstd"])(
    "a record a line, compression %s",
    async (codec) => {
      const topic = `lines-${codec}`;
      const produced = await sluice(["produce", topic, "--compression", codec, ...at], {
        stdin: lines(1, 20_000),
      });
      expect([
        produced.exitCode,
        produced.out,
        /^Wrote 20,000 records, .*, to lines-/.test(produced.err),
      ]).toEqual([0, "", true]);
      const consumed = await sluice(["consume", topic, ...at]);
      expect([consumed.exitCode, consumed.err, sorted(consumed.out) === lines(1, 20_000)]).toEqual([
        0,
        "",
        true,
      ]);
    },
  );

  test("keys, headers, partitions, empty lines and a last line without its end", async () => {
    await sluice(["produce", "keyed", "-p", "1", "-K", "\\t", "-H", "a=1", "-H", "b=", ...at], {
      stdin: "k\tv\n\t\nlast\twithout end",
    });
    const { out } = await sluice([
      "consume",
      "keyed",
      "-F",
      "%t/%p/%o [%k:%K] [%s:%S] {%h} %%\\n",
      ...at,
    ]);
    expect(out).toBe(
      "keyed/1/0 [k:1] [v:1] {a=1,b=} %\nkeyed/1/1 [:0] [:0] {a=1,b=} %\nkeyed/1/2 [last:4] [without end:11] {a=1,b=} %\n",
    );
  });

  test("keys go where Kafka's clients put them", async () => {
    await sluice(["produce", "partitioned", "-K", ":", ...at], {
      stdin: "1:\n2:\n3:\n4:\nlong key:\n",
    });
    const { out } = await sluice(["consume", "partitioned", "-F", "%k=%p\\n", ...at]);
    expect(out.split("\n").toSorted()).toEqual(["", ...KEYS_OF_KAFKA].toSorted());
  });

  test("JSON comes out as it went in, bytes included", async () => {
    const written = [
      { key: "a", value: null, headers: [], partition: 0, timestamp: 1_000 },
      {
        key: null,
        value: "ä\n",
        headers: [{ key: "h", valueBase64: "/w==" }],
        partition: 0,
        timestamp: 2_000,
      },
      {
        keyBase64: "gA==",
        value: "",
        headers: [{ key: "n", value: null }],
        partition: 2,
        timestamp: 3_000,
      },
    ];
    await sluice([
      "topic",
      "create",
      "json",
      "-p",
      "3",
      "-c",
      "message.timestamp.before.max.ms=9223372036854775807",
      ...at,
    ]);
    const produced = await sluice(["produce", "json", "--json", ...at], {
      stdin: written.map((record) => `${JSON.stringify(record)}\n`).join(""),
    });
    expect([produced.exitCode, produced.out]).toEqual([0, ""]);
    const { out } = await sluice(["consume", "json", "--json", ...at]);
    const read = out
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(
      read
        .map(({ topic: _topic, offset: _offset, ...record }) => record)
        .toSorted((a, b) => Number(a["timestamp"]) - Number(b["timestamp"])),
    ).toEqual(written);
    await sluice(["produce", "json-copy", "--json", ...at], { stdin: out });
    const copy = await sluice(["consume", "json-copy", "--json", ...at]);
    expect(copy.out.replaceAll("json-copy", "json").split("\n").toSorted()).toEqual(
      out.split("\n").toSorted(),
    );
  });

  test("a file as one record, as large as the topic takes and larger", async () => {
    await using directory = await temporaryDirectory();
    const file = join(directory.path, "image");
    const bytes = crypto.getRandomValues(new Uint8Array(60_000));
    await Bun.write(file, bytes);
    const whole = await sluice(["produce", "whole", "--file", file, "--whole", ...at]);
    expect(whole.exitCode).toBe(0);
    const read = spawnSluice(["consume", "whole", "-F", "%s", ...at]);
    expect(new Uint8Array(await new Response(read.stdout).arrayBuffer())).toEqual(bytes);
    await sluice(["topic", "create", "small", "-p", "1", "-c", "max.message.bytes=50000", ...at]);
    const refused = await sluice(["produce", "small", "--file", file, "--whole", ...at]);
    expect([refused.exitCode, refused.err.split("\n").slice(0, 2)]).toEqual([
      1,
      [
        "sluice: topic 'small', partition 0: a record of 60072 bytes is larger than the topic takes (MESSAGE_TOO_LARGE)",
        "        0 records of 1 read were acknowledged before that.",
      ],
    ]);
    // Lines fit one by one where a batch of them does not.
    const split = await sluice(["produce", "small", ...at], { stdin: lines(1, 20_000) });
    const back = await sluice(["consume", "small", ...at]);
    expect([split.exitCode, back.out === lines(1, 20_000)]).toEqual([0, true]);
  });

  test("an input that is wrong somewhere says where, and what was written before", async () => {
    const { exitCode, err } = await sluice(["produce", "wrong", "-K", ":", ...at], {
      stdin: "a:1\nb:2\nno separator\nc:3\n",
    });
    const { out } = await sluice(["consume", "wrong", "-F", "%k", ...at]);
    expect([exitCode, err.split("\n").slice(0, 2), out.split("").toSorted()]).toEqual([
      1,
      [
        "sluice: standard input, line 3 has no key separator",
        "        2 records of 2 read were acknowledged before that.",
      ],
      ["a", "b"],
    ]);
  });
});

describe("consume begins and ends where it is told", () => {
  beforeAll(async () => {
    await sluice(["topic", "create", "range", "-p", "1", ...at]);
    await sluice(["produce", "range", ...at], { stdin: lines(0, 99) });
  });

  test.each([
    ["beginning", 0],
    ["end", 100],
    ["40", 40],
    ["1000", 100],
    ["-5", 95],
    ["-1000", 0],
    ["2020-01-01", 0],
    ["2999-01-01T00:00:00Z", 100],
  ])("--from %s", async (from, first) => {
    const { exitCode, out } = await sluice(["consume", "range", "--from", from, ...at]);
    expect([exitCode, out]).toEqual([0, first > 99 ? "" : lines(first, 99)]);
  });

  test("--max, and a reader that goes away, end it in silence", async () => {
    expect(await sluice(["consume", "range", "--max", "3", ...at])).toEqual({
      exitCode: 0,
      out: lines(0, 2),
      err: "",
    });
    await sluice(["produce", "long", ...at], { stdin: lines(1, 100_000) });
    const cut = spawnSluice(["consume", "long", ...at]);
    const reader = cut.stdout.getReader();
    await reader.read();
    await reader.cancel();
    expect([await cut.exited, await new Response(cut.stderr).text()]).toEqual([0, ""]);
  });

  test("--follow shows what comes, until a signal", async () => {
    const following = spawnSluice(["consume", "range", "--from", "end", "--follow", ...at]);
    const reader = following.stdout.getReader();
    const first = reader.read();
    // It has no way to say that it is there: records are sent until one has come.
    let isThere = false;
    void first.then(() => {
      isThere = true;
    });
    for (let round = 0; !isThere; round += 1)
      await sluice(["produce", "range", "-q", ...at], { stdin: "later\n" });
    expect(new TextDecoder().decode((await first).value)).toStartWith("later\n");
    following.kill("SIGINT");
    expect([await following.exited, await new Response(following.stderr).text()]).toEqual([0, ""]);
  });

  test.each([
    [["nothing"], 1, "sluice: topic 'nothing': "],
    [["range", "--from", "soon"], 2, "sluice: --from wants "],
    [["range", "--partition", "7"], 1, "sluice: topic 'range' has no partition 7, only 0 to 0"],
    [["range", "--format", "%x"], 2, "sluice: --format knows "],
    [["range", "--group", "g", "--partition", "0"], 2, "sluice: a group assigns partitions itself"],
  ])("%j is refused with %i", async (args, expected, text) => {
    const { exitCode, out, err } = await sluice(["consume", ...args, ...at]);
    expect([exitCode, out, err.startsWith(text)]).toEqual([expected, "", true]);
  });
});

describe("a group", () => {
  test("goes on where it committed, and shares partitions", async () => {
    await sluice(["produce", "shared", "-K", ":", ...at], { stdin: keyed(1, 300) });
    const first = await sluice(["consume", "shared", "--group", "g", ...at]);
    expect(sorted(first.out)).toBe(lines(1, 300));
    const members = [1, 2].map(() =>
      spawnSluice(["consume", "shared", "--group", "g", "--follow", ...at]),
    );
    const texts = members.map(() => "");
    const readers = members.map(async (member, index) => {
      const decoder = new TextDecoder();
      for await (const chunk of member.stdout) texts[index] += decoder.decode(chunk);
    });
    // Both have joined when both have shown something.
    let next = 301;
    while (texts.includes("")) {
      await sluice(["produce", "shared", "-q", "-K", ":", ...at], {
        stdin: keyed(next, next + 99),
      });
      next += 100;
    }
    const all = (): number => texts.join("").split("\n").length - 1;
    while (all() < next - 301) await Bun.sleep(20);
    for (const member of members) member.kill("SIGTERM");
    expect(await Promise.all(members.map((member) => member.exited))).toEqual([0, 0]);
    await Promise.all(readers);
    expect(sorted(texts.join(""))).toBe(lines(301, next - 1));
    expect(await sluice(["consume", "shared", "--group", "g", ...at])).toEqual({
      exitCode: 0,
      out: "",
      err: "",
    });
  });
});

const keyed = (first: number, last: number): string =>
  lines(first, last).replaceAll(/\d+/g, "$&:$&");

describe("log dump", () => {
  test("reads the files of a directory, and goes on behind damage", async () => {
    await sluice(["topic", "create", "dumped", "-p", "1", ...at]);
    for (const value of ["one", "two", "three"])
      await sluice(["produce", "dumped", "-q", "-k", "k", ...at], { stdin: `${value}\n` });
    const segment = join(broker.dataDir, "dumped-0", "00000000000000000000.log");
    const good = await sluice(["log", "dump", "--records", segment]);
    expect([
      good.exitCode,
      [...good.out.matchAll(/value "(\w+)"/g)].map(([, value]) => value),
    ]).toEqual([0, ["one", "two", "three"]]);
    await using directory = await temporaryDirectory();
    const damaged = join(directory.path, "00000000000000000000.log");
    const bytes = await Bun.file(segment).bytes();
    bytes[16] = 9;
    bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) ^ 1;
    await Bun.write(damaged, bytes);
    const bad = await sluice(["log", "dump", "--deep", "--json", damaged]);
    const rows = bad.out
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    expect([
      bad.exitCode,
      rows.map(({ type, position, baseOffset, isCrcValid, reason }) => ({
        type,
        position,
        baseOffset,
        isCrcValid,
        reason,
      })),
    ]).toEqual([
      1,
      [
        { type: "file" },
        { type: "damage", position: 0, reason: "no batch: format 9" },
        { type: "batch", position: 72, baseOffset: 1, isCrcValid: true },
        { type: "batch", position: 144, baseOffset: 2, isCrcValid: false },
        { type: "damage", position: 144, reason: "the batch fails its CRC" },
        { type: "summary" },
      ] as never,
    ]);
    const offsets = await sluice([
      "log",
      "dump",
      "--records",
      join(broker.dataDir, "__cluster_metadata-0", "00000000000000000000.log"),
    ]);
    expect([
      offsets.exitCode,
      offsets.out.includes('{"kind":"TopicRecord","record":{"name":"dumped"'),
    ]).toEqual([0, true]);
  });
});

/** What org.apache.kafka.common.utils.Utils of Kafka 4.4 says: toPositive(murmur2(key)) % 3. */
const KEYS_OF_KAFKA: readonly string[] = ["1=0", "2=2", "3=2", "4=1", "long key=2"];
