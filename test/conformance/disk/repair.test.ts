/**
 * Kafka accepts what `sluice log repair` leaves: its `kafka-dump-log` has nothing against any file, and a real broker starts on the partitions,
 * with our checkpoints and everything else that we keep beside Kafka's own files, and serves every record that is left. Needs Java and Maven; says so
 * and passes nothing where they are missing.
 */
import { afterAll, expect, test } from "bun:test";
import { cpSync, existsSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { flipBits } from "../../bit-rot/flip.ts";
import {
  appendOne,
  END_OFFSET,
  partAt,
  readFrom,
  TOPIC,
  valueOf,
  writeAll,
} from "../../bit-rot/image.ts";
import { insist } from "../../crash/load.ts";
import { kafkaBroker, ROOT, sluiceBroker } from "../../support/broker-process.ts";
import { mustRun, temporaryDirectory } from "../../support/process.ts";
import { java, Unavailable, type JavaLibraries } from "../support/toolchains.ts";
import { dumpFiles, filesOf } from "./dump.ts";

async function librariesOrNull(): Promise<JavaLibraries | null> {
  try {
    return await java();
  } catch (error) {
    if (!(error instanceof Unavailable)) throw error;
    console.log(`skipped: repaired directories: ${error.message}`);
    return null;
  }
}

const libraries = await librariesOrNull();
const directory = temporaryDirectory("disk-repair");
afterAll(() => directory.remove());

const RESTORED = 0;
const DROPPED = 1;
const CUT = 2;
const UNREPAIRED = 3;
const PARTITIONS = 4;
const CHECKPOINTS = [
  "recovery-point-offset-checkpoint",
  "replication-offset-checkpoint",
  "log-start-offset-checkpoint",
];

/** Damages a batch in the middle segment; one bit comes back, five bytes do not. Answers the offsets of the batch. */
function damage(
  dataDirectory: string,
  partition: number,
  isOneBit: boolean,
): { readonly first: number; readonly last: number } {
  const place = join(dataDirectory, `${TOPIC}-${partition}`);
  const name =
    readdirSync(place)
      .filter((file) => file.endsWith(".log"))
      .sort()[1] ?? "";
  const path = join(place, name);
  const position = Math.floor(readFileSync(path).length / 2);
  for (let at = 0; at < (isOneBit ? 1 : 5); at += 1) {
    flipBits(path, position + 70 + at, isOneBit ? 4 : 0x5a + at);
  }
  const { part, first, last } = partAt(readFileSync(path), position + 70);
  expect(part).toBe("checked");
  return { first, last };
}

const repair = async (dataDirectory: string, lost: string): Promise<string> =>
  await mustRun([
    process.execPath,
    join(ROOT, "src/main.ts"),
    "log",
    "repair",
    dataDirectory,
    "--apply",
    "--lost",
    lost,
  ]);

if (libraries === null) {
  test("repaired directories are left out: Java or Maven is missing", () => {});
} else {
  test("Kafka accepts every file of a repaired directory, and serves what is left", async () => {
    const ours = await sluiceBroker({
      directory: join(directory.path, "ours"),
      overrides: { "sluice.scrub.interval.ms": "0" },
    });
    await ours.start();
    await writeAll(ours.bootstrap, PARTITIONS);
    await ours.stop("SIGTERM");
    damage(ours.dataDirectory, RESTORED, true);
    const dropped = damage(ours.dataDirectory, DROPPED, false);
    expect(await repair(ours.dataDirectory, "drop")).toMatch(/restore[^]*drop/);
    const cut = damage(ours.dataDirectory, CUT, false);
    expect(await repair(ours.dataDirectory, "cut")).toContain("cut");
    // What is damaged and not repaired leaves a file of ours beside the segments.
    const damaged = damage(ours.dataDirectory, UNREPAIRED, false);
    rmSync(join(ours.dataDirectory, ".kafka_cleanshutdown"));
    rmSync(join(ours.dataDirectory, "recovery-point-offset-checkpoint"));
    await ours.start();
    // A stop that comes before the start is through is none in order.
    await insist(ours.bootstrap, 30_000, async (wire) => {
      const { failure } = await readFrom(wire, RESTORED, 0, END_OFFSET);
      if (failure !== null) throw new Error(failure);
    });
    await Bun.sleep(300);
    await ours.stop("SIGTERM");
    expect(existsSync(join(ours.dataDirectory, ".kafka_cleanshutdown"))).toBe(true);
    const placeOf = (dataDirectory: string, partition: number): string =>
      join(dataDirectory, `${TOPIC}-${partition}`);
    expect(existsSync(join(placeOf(ours.dataDirectory, UNREPAIRED), "damaged-ranges"))).toBe(true);
    for (const partition of [RESTORED, DROPPED, CUT])
      expect(existsSync(join(placeOf(ours.dataDirectory, partition), ".quarantine"))).toBe(true);

    const repaired = [RESTORED, DROPPED, CUT].flatMap((partition) =>
      filesOf(placeOf(ours.dataDirectory, partition)).filter(
        (file) => !file.includes("/.quarantine/"),
      ),
    );
    const dump = await dumpFiles(libraries, repaired);
    // Nothing but the gap, which the tool tells of in any compacted log.
    expect(dump.problems).toEqual([`  ${dropped.first - 1} is followed by ${dropped.last + 1}`]);
    expect(dump.records).toContain(
      `baseOffset: ${dropped.first} lastOffset: ${dropped.last} count: 0`,
    );

    const kafka = await kafkaBroker(libraries.broker, {
      directory: join(directory.path, "kafka"),
      overrides: { "log.flush.offset.checkpoint.interval.ms": "1000" },
    });
    await kafka.start();
    await writeAll(kafka.bootstrap, PARTITIONS);
    await kafka.stop("SIGTERM");
    for (let partition = 0; partition < PARTITIONS; partition += 1) {
      const [from, to] = [
        placeOf(ours.dataDirectory, partition),
        placeOf(kafka.dataDirectory, partition),
      ];
      // The topic id in partition.metadata stays Kafka's; everything else becomes ours.
      for (const name of readdirSync(to))
        if (name !== "partition.metadata") rmSync(join(to, name), { recursive: true });
      for (const name of readdirSync(from))
        if (name !== "partition.metadata")
          cpSync(join(from, name), join(to, name), { recursive: true });
    }
    for (const name of [...CHECKPOINTS, ".meta.properties.copy"])
      cpSync(join(ours.dataDirectory, name), join(kafka.dataDirectory, name));
    const checkpoint = readFileSync(join(kafka.dataDirectory, CHECKPOINTS[0] ?? ""), "utf8");
    expect(checkpoint).toContain("__sluice_checksum");
    await kafka.start();
    for (let partition = 0; partition < PARTITIONS; partition += 1) {
      const isLeft = (offset: number): boolean =>
        !(partition === DROPPED && offset >= dropped.first && offset <= dropped.last) &&
        !(partition === CUT && offset >= cut.first) &&
        !(partition === UNREPAIRED && offset >= damaged.first);
      const end =
        partition === CUT ? cut.first : partition === UNREPAIRED ? damaged.first : END_OFFSET;
      const { values, failure } = await insist(
        kafka.bootstrap,
        60_000,
        async (wire) => await readFrom(wire, partition, 0, end),
      );
      const wanted = Array.from({ length: END_OFFSET }, (_, offset) => offset).filter(isLeft);
      const found = [...values.keys()].filter((offset) => offset < end);
      expect({ partition, failure, offsets: found }).toEqual({
        partition,
        failure: null,
        offsets: wanted,
      });
      for (const offset of wanted) expect(values.get(offset)).toBe(valueOf(partition, offset));
    }
    expect(await appendOne(kafka.bootstrap, PARTITIONS)).toEqual([
      END_OFFSET,
      END_OFFSET,
      cut.first,
      END_OFFSET,
    ]);
    await kafka.stop("SIGTERM");
    // It writes its checkpoints anew when it stops.
    expect(existsSync(join(kafka.dataDirectory, ".kafka_cleanshutdown"))).toBe(true);
    expect(kafka.log()).not.toMatch(/corrupt|truncat|ERROR/i);
  }, 300_000);
}
