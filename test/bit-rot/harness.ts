/**
 * Flips bits of a broker's files and looks at what it makes of them. One flip a partition, many partitions a round; in turn before a start
 * after a clean stop, before a start after a kill, under a running broker that scrubs, and under one that checks what it reads. Every choice
 * comes from the seed.
 *
 * A byte of a batch that a checked path serves must be what was written; a damaged batch must be found and must take no other record with
 * it; files that follow from the log must change no answer.
 */
import { existsSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { seededRandom } from "../crash/harness.ts";
import { Wire } from "../differential/wire.ts";
import { sluiceBroker, type BrokerProcess } from "../support/broker-process.ts";
import { until } from "../support/process.ts";
import { flipBits } from "./flip.ts";
import {
  appendOne,
  END_OFFSET,
  filesOf,
  makeImages,
  offsetAt,
  partAt,
  readFrom,
  restore,
  timestampOf,
  TOPIC,
  valueOf,
} from "./image.ts";

/** How a flip meets the broker. */
export const MODES = ["clean stop", "kill -9", "scrub", "read"] as const;
type Mode = (typeof MODES)[number];

/** Options of a run. */
export interface BitRotOptions {
  readonly flips: number;
  readonly seed: number;
  readonly partitions: number;
  readonly directory: string;
  readonly port?: number;
  readonly say?: (line: string) => void;
}

/** One row of the table: a kind of byte, and what became of its flips. */
export interface KindRow {
  readonly kind: string;
  flips: number;
  recovery: number;
  scrub: number;
  read: number;
  /** Not reported, and nothing changed. */
  harmless: number;
  missed: number;
}

/** What a run showed. */
export interface BitRotReport {
  readonly rows: readonly KindRow[];
  /** Broken promises; empty when all were kept. */
  readonly failures: readonly string[];
  readonly flips: number;
  readonly starts: number;
}

interface Flip {
  readonly kind: string;
  /** -1 for files of the whole directory. */
  readonly partition: number;
  readonly path: string;
  readonly position: number;
  readonly mask: number;
  /** Offsets that may be refused. */
  readonly lost: { readonly first: number; readonly last: number } | null;
  readonly mustBeFound: boolean;
  /** The start itself reads the byte and its checksum: it must not be left to the scrub. */
  readonly mustBeFoundAtStart?: boolean;
}

const DIRECTORY_FILES = [
  "recovery-point-offset-checkpoint",
  "replication-offset-checkpoint",
  "log-start-offset-checkpoint",
  "meta.properties",
  ".meta.properties.copy",
  ".kafka_cleanshutdown",
] as const;

/** Chooses the flip of a partition. Every third flip goes to a file beside the log; one in ten changes several bits. */
function choose(
  dataDirectory: string,
  partition: number,
  random: () => number,
  mode: Mode,
  sparesLast: boolean,
): Flip {
  const pick = <T>(items: readonly T[]): T => items[Math.floor(random() * items.length)] as T;
  const names = filesOf(dataDirectory, partition);
  const filesAt = (test: (name: string) => boolean): string[] =>
    names.filter(
      (name) => test(name) && statSync(join(dataDirectory, `${TOPIC}-${partition}`, name)).size > 0,
    );
  const logs = filesAt((name) => name.endsWith(".log"));
  const others = filesAt((name) => !name.endsWith(".log"));
  // What a running broker reads only at its start is aimed at before one.
  const isRunning = mode === "scrub" || mode === "read";
  const beside = isRunning ? others.filter((name) => /\.(?:time)?index$/.test(name)) : others;
  const name = random() < 0.34 && beside.length > 0 ? pick(beside) : pick(logs);
  const path = join(dataDirectory, `${TOPIC}-${partition}`, name);
  const mask = random() < 0.1 ? 1 + Math.floor(random() * 255) : 1 << Math.floor(random() * 8);
  const bytes = readFileSync(path);
  if (!name.endsWith(".log")) {
    const position = Math.floor(random() * bytes.length);
    const kind = name.replace(/^\d+\./, "");
    return { kind, partition, path, position, mask, lost: null, mustBeFound: false };
  }
  // Half of the flips go anywhere, the others into a header, most of which no checksum covers.
  let position = Math.floor(random() * bytes.length);
  if (random() < 0.5) {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const starts: number[] = [];
    for (let at = 0; at < bytes.length; at += view.getInt32(at + 8) + 12) starts.push(at);
    position = pick(starts) + Math.floor(random() * 27);
  }
  const { part, first, last } = partAt(bytes, position);
  // The base offset of the last batch of a killed log: nothing says what it was.
  const isUnknowable = mode === "kill -9" && part === "base offset";
  if ((sparesLast || isUnknowable) && last === END_OFFSET - 1) {
    return choose(dataDirectory, partition, random, mode, sparesLast);
  }
  return {
    kind: `log: ${part}`,
    partition,
    path,
    position,
    mask,
    lost: part === "epoch" ? null : { first, last },
    // A check on reading sees what is served, and an epoch is not wrong by itself.
    mustBeFound: part !== "epoch" || mode !== "read",
    // After a kill the segment of the recovery point is read whole.
    mustBeFoundAtStart:
      mode === "kill -9" && (part === "crc" || part === "checked") && name === logs.at(-1),
  };
}

/** Lines of the broker's log that tell of damage: partition (or file) and who found it. */
function findingsIn(text: string): { readonly line: string; readonly foundBy: string }[] {
  return text
    .split("\n")
    .filter((line) => line.includes("damaged"))
    .map((line) => ({ line, foundBy: /foundBy"?[=:]"?(\w+)/.exec(line)?.[1] ?? "recovery" }));
}

/** Runs all rounds. */
export async function runBitRot(options: BitRotOptions): Promise<BitRotReport> {
  const { flips: wanted, seed, partitions, directory } = options;
  const say = options.say ?? ((): void => {});
  const random = seededRandom(seed);
  const rows = new Map<string, KindRow>();
  const failures: string[] = [];
  const launch = (scrub: boolean, verify: boolean): Promise<BrokerProcess> =>
    sluiceBroker({
      directory,
      ...(options.port === undefined ? {} : { port: options.port }),
      overrides: {
        "log.flush.offset.checkpoint.interval.ms": "200",
        "sluice.scrub.bytes.per.second": scrub ? "1000000000" : "0",
        "sluice.scrub.interval.ms": scrub ? "200" : "0",
        "sluice.verify.on.read": String(verify),
        "num.recovery.threads.per.data.dir": "2",
      },
    });
  const plain = await launch(false, false);
  const images = await makeImages(plain, join(directory, "images"), partitions);
  say(`${partitions} partitions of ${END_OFFSET} records written, seed ${seed}`);
  let done = 0;
  let starts = 2;
  for (let round = 0; done < wanted; round += 1) {
    const mode = MODES[round % MODES.length] as Mode;
    const broker = await launch(mode !== "read", mode === "read");
    restore(mode === "kill -9" ? images.killed : images.clean, broker.dataDirectory);
    const logFile = join(directory, "broker.log");
    const logFrom = existsSync(logFile) ? statSync(logFile).size : 0;
    const isRunning = mode === "scrub" || mode === "read";
    if (isRunning) await broker.start();
    const count = Math.min(partitions, wanted - done);
    const directoryFile = DIRECTORY_FILES[Math.floor(round / 2) % DIRECTORY_FILES.length];
    // Without its recovery point a broker cannot tell a bad last batch from a torn one, nor where it began: two faults at a time.
    const sparesLast = directoryFile === "recovery-point-offset-checkpoint";
    const flips = Array.from({ length: count }, (_, at) =>
      choose(broker.dataDirectory, at, random, mode, sparesLast),
    );
    const directoryPath = join(broker.dataDirectory, directoryFile ?? "");
    if (!isRunning && existsSync(directoryPath) && statSync(directoryPath).size > 0) {
      const position = Math.floor(random() * statSync(directoryPath).size);
      const mask = 1 << Math.floor(random() * 8);
      const kind = directoryFile ?? "";
      flips[count - 1] = {
        kind,
        partition: -1,
        path: directoryPath,
        position,
        mask,
        lost: null,
        mustBeFound: false,
      };
    }
    for (const { path, position, mask } of flips) flipBits(path, position, mask);
    done += flips.length;
    const where = (flip: Flip): string =>
      `${mode}: ${flip.kind}, byte ${flip.position} ^ ${flip.mask} of ${flip.path.slice(broker.dataDirectory.length + 1)}`;
    try {
      if (!isRunning) await broker.start();
      starts += 1;
    } catch (error) {
      failures.push(
        `${mode}, round ${round}: the broker does not start: ${String(error).slice(0, 500)}`,
      );
      for (const flip of flips) failures.push(`  with ${where(flip)}`);
      break;
    }
    const findings = (): { readonly line: string; readonly foundBy: string }[] =>
      findingsIn(readFileSync(logFile).subarray(logFrom).toString());
    const findingOf = (flip: Flip): string | null =>
      findings().find(({ line }) =>
        flip.partition < 0
          ? line.includes(flip.path)
          : new RegExp(`\\b${TOPIC}-${flip.partition}\\b`).test(line),
      )?.foundBy ?? null;
    const mustBeFound = flips.filter((flip) => flip.mustBeFound);
    // The scrub finds what it finds by itself; then reading sees holes. A check on reading finds while reading.
    if (mode === "read") {
      // The first look sets off a check of the segment; until that is through, offsets behind the damage may be refused as well.
      const early: string[] = [];
      await judge(broker, flips, mode, early, where);
      failures.push(...early.filter((failure) => failure.includes("served wrong")));
    }
    await until(
      () => mustBeFound.every((flip) => findingOf(flip) !== null),
      20_000,
      () => "",
    ).catch(() => {});
    await Bun.sleep(300);
    const changed = await judge(broker, flips, mode, failures, where);
    for (const flip of flips) {
      const row = rows.get(flip.kind) ?? {
        kind: flip.kind,
        flips: 0,
        recovery: 0,
        scrub: 0,
        read: 0,
        harmless: 0,
        missed: 0,
      };
      rows.set(flip.kind, row);
      row.flips += 1;
      const foundBy = findingOf(flip);
      if (foundBy === "scrub" || foundBy === "read" || foundBy === "recovery") row[foundBy] += 1;
      else if (flip.mustBeFound || (changed.get(flip) ?? 0) > 0) {
        row.missed += 1;
        failures.push(`not found: ${where(flip)}`);
      } else row.harmless += 1;
      if (flip.mustBeFoundAtStart === true && foundBy !== "recovery")
        failures.push(`not found at start: ${where(flip)}`);
    }
    const ends = await appendOne(broker.bootstrap, partitions);
    for (const [at, end] of ends.entries()) {
      if (end !== END_OFFSET)
        failures.push(`${mode}: an append to ${TOPIC}-${at} got ${end}, not ${END_OFFSET}`);
    }
    await broker.stop("SIGTERM");
    say(
      `round ${round} (${mode}): ${flips.length} flips, ${findings().length} findings, ${failures.length} failures so far`,
    );
  }
  return {
    rows: [...rows.values()].sort((a, b) => a.kind.localeCompare(b.kind)),
    failures,
    flips: done,
    starts,
  };
}

/** Reads every partition and compares; answers how many records each flip changed or hid. */
async function judge(
  broker: BrokerProcess,
  flips: readonly Flip[],
  mode: Mode,
  failures: string[],
  where: (flip: Flip) => string,
): Promise<Map<Flip, number>> {
  const changed = new Map<Flip, number>();
  using wire = await Wire.connect(broker.bootstrap, "bit-rot");
  const byPartition = new Map(flips.map((flip) => [flip.partition, flip]));
  const partitions = new Set([...byPartition.keys()].filter((at) => at >= 0));
  for (const partition of partitions) {
    const flip = byPartition.get(partition);
    if (flip === undefined) continue;
    const found = await readFrom(wire, partition, 0, END_OFFSET);
    let lost = 0;
    if (found.failure !== null) failures.push(`${where(flip)}: ${found.failure}`);
    for (let offset = 0; offset < END_OFFSET; offset += 1) {
      const value = found.values.get(offset);
      if (value === valueOf(partition, offset)) continue;
      lost += 1;
      const isItsOwn = flip.lost !== null && offset >= flip.lost.first && offset <= flip.lost.last;
      if (value !== undefined) failures.push(`${where(flip)}: offset ${offset} was served wrong`);
      else if (!isItsOwn) failures.push(`${where(flip)}: offset ${offset} is gone`);
    }
    changed.set(flip, lost);
    // Lookups in the middle go through the indexes.
    for (const offset of [17, 50, 95]) {
      const isLost =
        flip.lost !== null && offset >= flip.lost.first - 3 && offset <= flip.lost.last + 3;
      if (isLost) continue;
      const at = await offsetAt(wire, partition, timestampOf(offset));
      const isBehindLoss = flip.lost !== null && mode === "read";
      if (at !== offset && !isBehindLoss)
        failures.push(`${where(flip)}: time of ${offset} leads to ${at}`);
      const from = await readFrom(wire, partition, offset, offset + 1);
      if (from.values.get(offset) !== valueOf(partition, offset))
        failures.push(`${where(flip)}: a fetch at ${offset} gives something else`);
    }
  }
  return changed;
}

/** The table, in Markdown. */
export function formatRows(rows: readonly KindRow[]): string {
  const all: KindRow = {
    kind: "all",
    flips: 0,
    recovery: 0,
    scrub: 0,
    read: 0,
    harmless: 0,
    missed: 0,
  };
  for (const row of rows) {
    for (const key of ["flips", "recovery", "scrub", "read", "harmless", "missed"] as const)
      all[key] += row[key];
  }
  const line = ({ kind, flips, recovery, scrub, read, harmless, missed }: KindRow): string =>
    `| ${kind} | ${flips} | ${recovery} | ${scrub} | ${read} | ${harmless} | ${missed} |`;
  return [
    "| what was flipped | flips | found at start | by the scrub | on read | harmless | missed |",
    "| --- | --- | --- | --- | --- | --- | --- |",
    ...rows.map(line),
    line(all),
  ].join("\n");
}
