/**
 * The files on disk are Kafka's own: its `kafka-dump-log` accepts every file we write, we serve a directory that real Kafka wrote, and real Kafka
 * serves the segments that we wrote. Needs Java and Maven; says so and passes nothing where they are missing.
 */
import { afterAll, describe, expect, test } from "bun:test";
import { cpSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { kafkaBroker, sluiceBroker, type BrokerProcess } from "../../support/broker-process.ts";
import { temporaryDirectory } from "../../support/process.ts";
import { javaCommand } from "../java/console.ts";
import { ProgramClient } from "../support/client.ts";
import {
  compareRecords,
  PARTITIONS,
  recordSet,
  type FoundRecord,
  type WantedRecord,
} from "../support/records.ts";
import { HERE, java, Unavailable, type JavaLibraries } from "../support/toolchains.ts";
import { dumpFiles, filesOf } from "./dump.ts";

const ALL_PARTITIONS = Array.from({ length: PARTITIONS }, (_, at) => at);
const NO_LIMITS = new Set<never>();
const SETTINGS = {
  "log.segment.bytes": String(1 << 20),
  "log.index.interval.bytes": "512",
  "offsets.topic.num.partitions": "3",
};
const TIMEOUT_MS = 300_000;

async function librariesOrNull(): Promise<JavaLibraries | null> {
  try {
    return await java();
  } catch (error) {
    if (!(error instanceof Unavailable)) throw error;
    console.log(`skipped: disk: ${error.message}`);
    return null;
  }
}

const libraries = await librariesOrNull();
const directory = temporaryDirectory("disk");
afterAll(() => directory.remove());

/** Runs `work` with a Java client connected to the broker, which runs for that long. */
async function withBroker<T>(
  broker: BrokerProcess,
  work: (client: ProgramClient) => Promise<T>,
): Promise<T> {
  if (libraries === null) throw new Error("no Java");
  await broker.start();
  const words = [
    ...javaCommand(libraries, "tools"),
    join(HERE, "java/Program.java"),
    "--bootstrap",
    broker.bootstrap,
  ];
  const client = new ProgramClient(words, HERE);
  try {
    return await work(client);
  } finally {
    await client.close();
    await broker.stop("SIGTERM");
  }
}

const CODECS = ["none", "gzip", "snappy", "lz4", "zstd"];

/** Writes batches of every codec, from plain and idempotent producers, over several segments; commits an offset for a group. */
async function fill(client: ProgramClient, topic: string): Promise<WantedRecord[]> {
  const wanted: WantedRecord[] = [];
  await client.ask({ op: "create", topic, partitions: PARTITIONS });
  for (const idempotent of [false, true]) {
    for (const [at, codec] of CODECS.entries()) {
      const records = recordSet(at + (idempotent ? CODECS.length : 0), 150, NO_LIMITS);
      await client.ask({ op: "produce", topic, codec, idempotent, records });
      wanted.push(...records);
    }
  }
  await client.ask({ op: "consume", topic, group: `${topic}-group`, count: 100 });
  return wanted;
}

async function readAll(
  client: ProgramClient,
  topic: string,
  count: number,
): Promise<readonly FoundRecord[]> {
  return (
    (await client.ask({ op: "assign", topic, partitions: ALL_PARTITIONS, count })).records ?? []
  );
}

/** What kafka-dump-log has against these files; empty when it accepts them all, and all kinds of them were there. */
async function dumpProblems(tools: JavaLibraries, files: readonly string[]): Promise<string[]> {
  const { problems, records, offsets, snapshots } = await dumpFiles(tools, files);
  const batches = records.split("\n").filter((line) => line.startsWith("baseOffset:"));
  const seen = new Set(batches.map((line) => /compresscodec: (\S+)/.exec(line)?.[1]));
  if (seen.size !== CODECS.length) problems.push(`codecs in the log: ${[...seen].join(", ")}`);
  if (!/payload: .*offset/.test(offsets))
    problems.push(`no committed offset was decoded: ${offsets.slice(0, 500)}`);
  if (!snapshots.includes("producerId:")) problems.push("no producer snapshot was decoded");
  return problems;
}

/** `leader-epoch-checkpoint`: version 0, the count, then `epoch startOffset` in rising order. */
function epochProblems(files: readonly string[]): string[] {
  return files
    .filter((file) => file.endsWith("leader-epoch-checkpoint"))
    .flatMap((file) => {
      const [version, count, ...entries] = readFileSync(file, "utf8").trimEnd().split("\n");
      const isWell =
        version === "0" &&
        Number(count) === entries.length &&
        entries.every((entry) => /^\d+ \d+$/.test(entry));
      return isWell ? [] : [`${file}: ${readFileSync(file, "utf8")}`];
    });
}

if (libraries === null) {
  test("disk exchange is left out: Java or Maven is missing", () => {});
} else {
  describe("Kafka's tool on our files", () => {
    for (const end of ["SIGTERM", "SIGKILL"] as const) {
      test(
        `kafka-dump-log accepts every file after ${end}`,
        async () => {
          const broker = await sluiceBroker({
            directory: join(directory.path, `dump-${end}`),
            overrides: SETTINGS,
          });
          await withBroker(broker, async (client) => {
            await fill(client, "dumped");
            if (end === "SIGKILL") {
              await broker.stop("SIGKILL");
              await broker.start();
            }
          });
          const files = filesOf(broker.dataDirectory);
          expect(
            files.filter((file) => file.includes("dumped-0") && file.endsWith(".log")).length,
          ).toBeGreaterThan(1);
          expect(await dumpProblems(libraries, files)).toEqual([]);
          expect(epochProblems(files)).toEqual([]);
        },
        TIMEOUT_MS,
      );
    }

    test(
      "a flipped byte in a record and one in an index are both found",
      async () => {
        const whole = filesOf(join(directory.path, "dump-SIGTERM", "data"));
        for (const suffix of [".log", ".index"]) {
          const file =
            whole.find((name) => name.includes("dumped-0") && name.endsWith(suffix)) ?? "";
          const bytes = readFileSync(file);
          const flipped = Buffer.from(bytes);
          flipped[suffix === ".log" ? 200 : 3] = (flipped[suffix === ".log" ? 200 : 3] ?? 0) ^ 0x40;
          writeFileSync(file, flipped);
          expect((await dumpProblems(libraries, whole)).length).toBeGreaterThan(0);
          writeFileSync(file, bytes);
        }
      },
      TIMEOUT_MS,
    );
  });

  describe("directories change hands", () => {
    test(
      "we serve what real Kafka wrote",
      async () => {
        const place = join(directory.path, "from-kafka");
        const kafka = await kafkaBroker(libraries.broker, {
          directory: place,
          overrides: SETTINGS,
        });
        const wanted = await withBroker(
          kafka,
          async (client) => await fill(client, "written-by-kafka"),
        );
        const sluice = await sluiceBroker({ directory: place, overrides: SETTINGS });
        await withBroker(sluice, async (client) => {
          expect(
            compareRecords(
              wanted,
              await readAll(client, "written-by-kafka", wanted.length),
              NO_LIMITS,
            ),
          ).toEqual([]);
          const { offsets } = await client.ask({
            op: "committed",
            topic: "written-by-kafka",
            group: "written-by-kafka-group",
            partitions: ALL_PARTITIONS,
          });
          expect(
            Object.values(offsets ?? {}).reduce((sum, offset) => sum + Math.max(0, offset), 0),
          ).toBe(100);
          const more = recordSet(20, 10, NO_LIMITS);
          await client.ask({
            op: "produce",
            topic: "written-by-kafka",
            codec: "lz4",
            idempotent: true,
            records: more,
          });
          const all = [...wanted, ...more];
          expect(
            compareRecords(all, await readAll(client, "written-by-kafka", all.length), NO_LIMITS),
          ).toEqual([]);
        });
      },
      TIMEOUT_MS,
    );

    test(
      "real Kafka serves what we wrote",
      async () => {
        const topic = "written-by-us";
        const sluice = await sluiceBroker({
          directory: join(directory.path, "ours"),
          overrides: SETTINGS,
        });
        const wanted = await withBroker(sluice, async (client) => await fill(client, topic));
        const kafka = await kafkaBroker(libraries.broker, {
          directory: join(directory.path, "to-kafka"),
          overrides: SETTINGS,
        });
        await withBroker(kafka, async (client) => {
          await client.ask({ op: "create", topic, partitions: PARTITIONS });
        });
        for (const partition of ALL_PARTITIONS) {
          const [from, to] = [
            join(sluice.dataDirectory, `${topic}-${partition}`),
            join(kafka.dataDirectory, `${topic}-${partition}`),
          ];
          expect(existsSync(to)).toBe(true);
          // The topic id in partition.metadata stays Kafka's; everything else becomes ours.
          for (const name of readdirSync(to))
            if (name !== "partition.metadata") rmSync(join(to, name), { recursive: true });
          for (const name of readdirSync(from))
            if (name !== "partition.metadata") cpSync(join(from, name), join(to, name));
        }
        await withBroker(kafka, async (client) => {
          expect(
            compareRecords(wanted, await readAll(client, topic, wanted.length), NO_LIMITS),
          ).toEqual([]);
          const more = recordSet(20, 10, NO_LIMITS);
          await client.ask({
            op: "produce",
            topic,
            codec: "zstd",
            idempotent: true,
            records: more,
          });
          const all = [...wanted, ...more];
          expect(compareRecords(all, await readAll(client, topic, all.length), NO_LIMITS)).toEqual(
            [],
          );
        });
        expect(kafka.log()).not.toMatch(/corrupt|truncat|ERROR/i);
      },
      TIMEOUT_MS,
    );
  });
}
