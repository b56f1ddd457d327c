/**
 * The same flips on Sluice or on real Kafka, one kind of file at a time, for a comparison: does the broker start, does it hand out damaged
 * records as good ones, and does it lose records that are not damaged? A partition's files get one flip each in their own partition; files of
 * the whole directory get a start each.
 */
import { cpSync, existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import {
  FetchApi,
  makeFetchPartition,
  makeFetchRequest,
  makeFetchTopic,
} from "#protocol/generated/fetch.ts";
import { decodeRecordBatches } from "#protocol/records/record-batch.ts";
import { seededRandom } from "../crash/harness.ts";
import { insist } from "../crash/load.ts";
import type { Wire } from "../differential/wire.ts";
import { kafkaBroker, sluiceBroker, type BrokerProcess } from "../support/broker-process.ts";
import { flipBits } from "./flip.ts";
import {
  END_OFFSET,
  filesOf,
  offsetAt,
  partAt,
  readFrom,
  restore,
  timestampOf,
  TOPIC,
  valueOf,
  writeAll,
} from "./image.ts";

const SETTINGS = { "log.flush.offset.checkpoint.interval.ms": "1000" };
const PARTITION_KINDS = [
  "log, below the recovery point",
  "log, last segment",
  "index",
  "timeindex",
  "snapshot",
  "leader-epoch-checkpoint",
  "partition.metadata",
] as const;
const DIRECTORY_KINDS = [
  "recovery-point-offset-checkpoint",
  "replication-offset-checkpoint",
  "log-start-offset-checkpoint",
  "meta.properties",
] as const;

interface Row {
  flips: number;
  starts: number;
  failedStarts: number;
  /** Flips after which damaged bytes came as an answer without an error. */
  servedDamaged: number;
  /** Flips after which records that were not damaged are gone for good, and how many. */
  lossy: number;
  lostRecords: number;
  /** Flips after which good records are refused with an error. */
  refusing: number;
  /** Flips after which a time leads to a wrong offset. */
  wrongLookups: number;
  firstError: string;
}

interface Flip {
  readonly partition: number;
  readonly path: string;
  readonly position: number;
  readonly mask: number;
  /** The damaged batch. */
  readonly lost: { readonly first: number; readonly last: number } | null;
}

interface Images {
  readonly clean: string;
  readonly killed: string;
}

/** Writes, then keeps the directory as a kill and as an ordered stop leave it. */
async function makeBoth(
  broker: BrokerProcess,
  directory: string,
  partitions: number,
): Promise<Images> {
  const images = { clean: join(directory, "clean"), killed: join(directory, "killed") };
  await broker.start();
  await writeAll(broker.bootstrap, partitions);
  // Checkpoints are written every second.
  await Bun.sleep(4_000);
  await broker.stop("SIGKILL");
  cpSync(broker.dataDirectory, images.killed, { recursive: true, preserveTimestamps: true });
  await broker.start();
  await insist(broker.bootstrap, 60_000, async (wire) => {
    const { failure } = await readFrom(wire, 0, END_OFFSET - 1, END_OFFSET);
    if (failure !== null) throw new Error(failure);
  });
  await Bun.sleep(2_000);
  await broker.stop("SIGTERM");
  if (!existsSync(join(broker.dataDirectory, ".kafka_cleanshutdown")))
    throw new Error("the broker did not stop in order");
  cpSync(broker.dataDirectory, images.clean, { recursive: true, preserveTimestamps: true });
  return images;
}

function choose(
  dataDirectory: string,
  kind: string,
  partition: number,
  random: () => number,
): Flip | null {
  const mask = 1 << Math.floor(random() * 8);
  const inPartition = (name: string): string => join(dataDirectory, `${TOPIC}-${partition}`, name);
  if ((DIRECTORY_KINDS as readonly string[]).includes(kind)) {
    const path = join(dataDirectory, kind);
    if (!existsSync(path) || statSync(path).size === 0) return null;
    const position = Math.floor(random() * statSync(path).size);
    return { partition: -1, path, position, mask, lost: null };
  }
  const isLog = kind.startsWith("log,");
  const ending = isLog ? ".log" : kind.includes(".") || kind.includes("-") ? kind : `.${kind}`;
  const names = filesOf(dataDirectory, partition)
    .filter((name) => name.endsWith(ending))
    .filter((name) => statSync(inPartition(name)).size > 0);
  const name = isLog
    ? kind.endsWith("last segment")
      ? names.at(-1)
      : names[0]
    : names[Math.floor(random() * names.length)];
  if (name === undefined) return null;
  const path = inPartition(name);
  const bytes = readFileSync(path);
  let position = Math.floor(random() * bytes.length);
  if (!isLog) {
    if (!name.endsWith("index")) return { partition, path, position, mask, lost: null };
    // Kafka makes an index as large as it may grow: a flip behind its entries is none.
    let end = bytes.length;
    while (end > 0 && bytes[end - 1] === 0) end -= 1;
    if (end === 0) return null;
    return { partition, path, position: Math.floor(random() * end), mask, lost: null };
  }
  // In the first half of the segment, so that later records are there to be lost.
  position = Math.floor(position / 2);
  const { first, last } = partAt(bytes, position);
  return { partition, path, position, mask, lost: { first, last } };
}

interface Found {
  readonly values: Map<number, string>;
  readonly damaged: Set<number>;
  readonly refused: Map<number, number>;
}

/** Reads every offset, whatever comes. */
async function readAnything(wire: Wire, partition: number): Promise<Found> {
  const found: Found = { values: new Map(), damaged: new Set(), refused: new Map() };
  for (let next = 0; next < END_OFFSET;) {
    const asked = makeFetchPartition({
      partition,
      fetchOffset: next,
      partitionMaxBytes: 1 << 20,
    });
    const answer = await wire.send(
      FetchApi,
      11,
      makeFetchRequest({
        maxWaitMs: 0,
        minBytes: 0,
        maxBytes: 1 << 20,
        topics: [makeFetchTopic({ topic: TOPIC, partitions: [asked] })],
      }),
    );
    const one = answer.responses[0]?.partitions[0];
    if (one === undefined || one.errorCode !== 0) {
      found.refused.set(next, one?.errorCode ?? -1);
      next += 1;
      continue;
    }
    const bytes = one.records instanceof Uint8Array ? one.records : new Uint8Array(0);
    const { batches, failure } = decodeRecordBatches(bytes);
    const before = next;
    for (const batch of batches) {
      for (const { offset, value } of batch.records) {
        if (offset >= next) found.values.set(offset, Buffer.from(value ?? []).toString());
      }
      next = Math.max(next, batch.baseOffset + batch.lastOffsetDelta + 1);
    }
    if (next === before) {
      if (failure !== null) found.damaged.add(next);
      next += 1;
    }
  }
  return found;
}

async function endOffset(address: string, partition: number): Promise<number> {
  return await insist(address, 30_000, async (wire) => {
    const end = await offsetAt(wire, partition, -1);
    if (end < 0) throw new Error(`ListOffsets: error ${-end}`);
    return end;
  }).catch(() => -1);
}

async function judge(broker: BrokerProcess, flips: readonly Flip[], row: Row): Promise<void> {
  for (const flip of flips) {
    // A file of the whole directory: every partition is looked at, and counts once.
    const partitions = flip.partition < 0 ? [0, 1] : [flip.partition];
    let [isServed, lost, isRefusing, isWrong] = [false, 0, false, false];
    for (const partition of partitions) {
      const end = await endOffset(broker.bootstrap, partition);
      const found = await insist(
        broker.bootstrap,
        30_000,
        async (wire) => await readAnything(wire, partition),
      );
      const isOwn = (offset: number): boolean =>
        flip.lost !== null && offset >= flip.lost.first && offset <= flip.lost.last;
      isServed ||= found.damaged.size > 0;
      for (let offset = 0; offset < END_OFFSET; offset += 1) {
        const value = found.values.get(offset);
        if (value === valueOf(partition, offset)) continue;
        if (value !== undefined) isServed = true;
        else if (isOwn(offset)) continue;
        else if (end >= 0 && offset >= end) lost += 1;
        else isRefusing = true;
      }
      for (const offset of [17, 50, 95]) {
        const isNear =
          flip.lost !== null && offset >= flip.lost.first - 3 && offset <= flip.lost.last + 3;
        if (isNear || found.values.get(offset) !== valueOf(partition, offset)) continue;
        const at = await insist(
          broker.bootstrap,
          30_000,
          async (wire) => await offsetAt(wire, partition, timestampOf(offset)),
        );
        isWrong ||= at !== offset;
      }
    }
    row.servedDamaged += Number(isServed);
    row.lossy += Number(lost > 0);
    row.lostRecords += lost;
    row.refusing += Number(isRefusing);
    row.wrongLookups += Number(isWrong);
  }
}

/** Runs the comparison on one broker and prints its table. Without `libraries` that is Sluice. */
export async function compare(options: {
  readonly flipsPerKind: number;
  readonly seed: number;
  readonly directory: string;
  readonly libraries: string;
  /** Only the kinds that have this in their name; empty for all. */
  readonly kind: string;
  readonly port?: number;
  readonly say: (line: string) => void;
}): Promise<void> {
  const { directory, flipsPerKind, libraries, say } = options;
  const random = seededRandom(options.seed);
  const where = {
    directory,
    overrides: SETTINGS,
    ...(options.port === undefined ? {} : { port: options.port }),
  };
  const broker = libraries === "" ? await sluiceBroker(where) : await kafkaBroker(libraries, where);
  const partitions = Math.max(2, flipsPerKind);
  const images = await makeBoth(broker, join(directory, "images"), partitions);
  say(`${broker.name}: ${readdirSync(images.clean).length} entries in the log directory`);
  say(
    "| file | after | flips | does not start | damaged records served as good | good records lost (records) | good records refused | wrong lookups by time |",
  );
  say("| --- | --- | --- | --- | --- | --- | --- | --- |");
  const kinds = [...PARTITION_KINDS, ...DIRECTORY_KINDS].filter((kind) =>
    kind.includes(options.kind),
  );
  for (const kind of kinds) {
    for (const [mode, image] of [
      ["clean stop", images.clean],
      ["kill -9", images.killed],
    ] as const) {
      const row: Row = {
        flips: 0,
        starts: 0,
        failedStarts: 0,
        servedDamaged: 0,
        lossy: 0,
        lostRecords: 0,
        refusing: 0,
        wrongLookups: 0,
        firstError: "",
      };
      restore(image, broker.dataDirectory);
      const wanted = (DIRECTORY_KINDS as readonly string[]).includes(kind) ? 1 : flipsPerKind;
      const flips = Array.from({ length: wanted }, (_, at) =>
        choose(broker.dataDirectory, kind, at, random),
      ).filter((flip) => flip !== null);
      // All at once; when that start fails, one after another.
      let groups = [flips];
      for (let group = groups.shift(); group !== undefined; group = groups.shift()) {
        if (group.length === 0) continue;
        restore(image, broker.dataDirectory);
        for (const { path, position, mask } of group) flipBits(path, position, mask);
        row.starts += 1;
        try {
          await broker.start();
        } catch (error) {
          if (group.length > 1) {
            groups = group.map((flip) => [flip]);
            continue;
          }
          row.failedStarts += 1;
          row.flips += 1;
          row.firstError ||= /(?:ERROR|FATAL|error).{0,200}/.exec(String(error))?.[0] ?? "";
          continue;
        }
        row.flips += group.length;
        await judge(broker, group, row);
        await broker.stop("SIGKILL");
      }
      say(
        `| ${kind} | ${mode} | ${row.flips} | ${row.failedStarts} | ${row.servedDamaged} | ${row.lossy} (${row.lostRecords}) | ${row.refusing} | ${row.wrongLookups} |${row.firstError === "" ? "" : ` <!-- ${row.firstError} -->`}`,
      );
    }
  }
}
