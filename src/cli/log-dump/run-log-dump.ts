/**
 * `sluice log dump`: what is in a file of a log directory, for any file that Kafka or Sluice writes there. It opens nothing but the
 * files it is given, for reading, so it may look at a broker's directory while the broker runs.
 *
 * Findings go to standard output like everything else, in place; the exit code is 1 when there was damage.
 */
import { open, stat } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { nativeCodecs } from "#log/native-log.ts";
import {
  type BatchHeader,
  decodeRecordBatches,
  type LogRecord,
} from "#protocol/records/record-batch.ts";
import type { CommandIo } from "../command-io.ts";
import { CommandError, ExitCode, UsageError } from "../failure.ts";
import { asText, jsonBytes } from "../json-record.ts";
import { readChoice } from "../option-values.ts";
import { formatTable, jsonLine, type Style, styleOf } from "../output.ts";
import { formatBytes, formatPlural } from "../units.ts";
import { controlName, decodeRecord, decodingOf, type RecordDecoding } from "./record-decoders.ts";
import { readSegment, type SegmentItem } from "./segment-reader.ts";
import {
  type FileContents,
  readCheckpoint,
  readKeyValues,
  readOffsetIndex,
  readProducerSnapshot,
  readTimeIndex,
  readTransactionIndex,
} from "./small-files.ts";

/** Options as commander gives them. */
export interface LogDumpArguments {
  readonly records?: true;
  readonly deep?: true;
  readonly decode?: string;
  readonly json?: true;
}

const CODECS = ["none", "gzip", "snappy", "lz4", "zstd"] as const;
const SMALL_FILE_BYTES_MAX = 268_435_456;
const PIECE_CHARACTERS = 65_536;
const SHOWN_BYTES_MAX = 256;

interface DumpPlan {
  readonly isRecords: boolean;
  readonly isDeep: boolean;
  readonly isJson: boolean;
  readonly decoding: RecordDecoding | "auto";
}

/** Runs `sluice log dump`. */
export async function runLogDump(
  files: readonly string[],
  options: LogDumpArguments,
  io: CommandIo,
): Promise<void> {
  const plan: DumpPlan = {
    isRecords: options.records === true,
    isDeep: options.deep === true,
    isJson: options.json === true,
    decoding: readChoice("--decode", options.decode ?? "auto", [
      "auto",
      "none",
      "offsets",
      "metadata",
      "transactions",
    ]),
  };
  if (options.decode !== undefined && !plan.isRecords)
    throw new UsageError("--decode says how to show records: it goes with --records");
  for (const [index, file] of files.entries()) {
    if (index > 0 && !plan.isJson) await io.stdout.write("\n");
    const dump = new FileDump(file, plan, io);
    await dump.run();
    if (dump.damageCount > 0) io.setExitCode(ExitCode.FAILED);
  }
}

type Row = Readonly<Record<string, unknown>>;

/** One file on its way to the output. */
class FileDump {
  damageCount = 0;
  readonly #path: string;
  readonly #plan: DumpPlan;
  readonly #io: CommandIo;
  readonly #style: Style;
  readonly #decoding: RecordDecoding;
  #text = "";

  constructor(path: string, plan: DumpPlan, io: CommandIo) {
    this.#path = path;
    this.#plan = plan;
    this.#io = io;
    this.#style = styleOf(io.stdout);
    this.#decoding =
      plan.decoding === "auto" ? decodingOf(basename(dirname(resolve(path)))) : plan.decoding;
  }

  async run(): Promise<void> {
    const size = await sizeOf(this.#path);
    const name = basename(this.#path);
    const baseOffset = Number(/^(\d{20})/.exec(name)?.[1] ?? 0);
    // `.deleted`, `.cleaned` and `.swap` are the same files on their way out or in.
    const kind = name.replace(/\.(?:deleted|cleaned|swap)$/, "");
    if (/\.log$|^\d{20}-\d{10}\.checkpoint$|^bootstrap\.checkpoint$/.test(kind)) {
      await this.#segment(size, baseOffset);
    } else if (kind.endsWith(".index")) {
      await this.#rows("offset index", size, (bytes) => readOffsetIndex(bytes, baseOffset));
    } else if (kind.endsWith(".timeindex")) {
      await this.#rows("time index", size, (bytes) => readTimeIndex(bytes, baseOffset));
    } else if (kind.endsWith(".txnindex")) {
      await this.#rows("transaction index", size, readTransactionIndex);
    } else if (kind.endsWith(".snapshot")) {
      await this.#rows("producer snapshot", size, readProducerSnapshot);
    } else if (kind.endsWith("checkpoint")) {
      await this.#rows("checkpoint", size, (bytes) => readCheckpoint(textOf(bytes)));
    } else if (kind === "partition.metadata" || kind === "meta.properties") {
      await this.#rows("identity", size, (bytes) => readKeyValues(textOf(bytes)));
    } else if (kind === "quorum-state" || kind === ".kafka_cleanshutdown") {
      await this.#rows("state", size, readJsonText);
    } else {
      throw new CommandError(`${this.#path}: no file that a log directory has, by its name`, [
        "Known: *.log, *.index, *.timeindex, *.txnindex, *.snapshot, *checkpoint, partition.metadata, meta.properties, quorum-state.",
      ]);
    }
    await this.#flush();
  }

  async #segment(size: number, baseOffset: number): Promise<void> {
    const isSnapshot = this.#path.endsWith("checkpoint");
    await this.#heading(
      isSnapshot ? "metadata snapshot" : `segment from offset ${baseOffset}`,
      size,
    );
    const file = await open(this.#path, "r");
    const totals = { batches: 0, records: 0, bytes: 0 };
    let lastOffset = -1;
    try {
      const isDeep = this.#plan.isDeep || this.#plan.isRecords;
      for await (const item of readSegment(file, size, { isDeep })) {
        if (item.kind === "batch") {
          totals.batches += 1;
          totals.records += item.header.recordCount;
          totals.bytes += item.header.sizeBytes;
          await this.#batch(item, lastOffset);
          lastOffset = item.header.baseOffset + item.header.lastOffsetDelta;
        } else if (item.kind === "damage") {
          await this.#damage(item.position, item.reason, item.bytes);
        } else {
          await this.#line(
            `${formatBytes(item.bytes)} of zeros from position ${item.position} to the end`,
            {
              type: "zeros",
              position: item.position,
              bytes: item.bytes,
            },
          );
        }
      }
    } finally {
      await file.close();
    }
    await this.#line(
      `${formatPlural(totals.batches, "batch").replace("batchs", "batches")}, ${formatPlural(totals.records, "record")}, ${formatBytes(totals.bytes)}${this.damageCount === 0 ? "" : `, ${formatPlural(this.damageCount, "damaged place")}`}`,
      { type: "summary", ...totals, damagedPlaces: this.damageCount },
    );
  }

  async #batch(item: SegmentItem & { readonly kind: "batch" }, lastOffset: number): Promise<void> {
    const { header, position } = item;
    await this.#line(batchText(item, this.#style), { type: "batch", ...batchJson(item) });
    if (item.isCrcValid === false) {
      await this.#damage(position, "the batch fails its CRC", header.sizeBytes);
      return;
    }
    if (header.baseOffset <= lastOffset)
      await this.#damage(
        position,
        `base offset ${header.baseOffset} after offset ${lastOffset}`,
        0,
      );
    if (item.bytes === null) return;
    const { batches, failure } = decodeRecordBatches(item.bytes, {
      decompressor: nativeCodecs,
      verifyCrc: false,
    });
    const [batch] = batches;
    if (batch === undefined) {
      // Positions in the decoder's words count from the batch.
      const reason = (failure ?? "it cannot be read").replace(/^batch at byte 0,? ?/, "the batch ");
      await this.#damage(position, reason, header.sizeBytes);
      return;
    }
    if (!this.#plan.isRecords) return;
    for (const record of batch.records) await this.#record(record, header);
  }

  async #record(record: LogRecord, header: BatchHeader): Promise<void> {
    const meaning = header.isControl
      ? { control: controlName(record.key) }
      : decodeRecord(this.#decoding, record);
    const headers = record.headers.map(({ key, value }) => ({ key, ...jsonBytes("value", value) }));
    const json = {
      type: "record",
      offset: record.offset,
      timestamp: record.timestamp,
      ...(meaning === null
        ? { ...jsonBytes("key", record.key), ...jsonBytes("value", record.value) }
        : { decoded: plain(meaning) }),
      headers,
    };
    const parts = [
      `  offset ${record.offset}`,
      timeText(record.timestamp),
      ...(meaning === null
        ? [`key ${bytesText(record.key)}`, `value ${bytesText(record.value)}`]
        : [JSON.stringify(plain(meaning))]),
      ...record.headers.map(
        ({ key, value }) => `header ${JSON.stringify(key)}=${bytesText(value)}`,
      ),
    ];
    await this.#line(parts.join("  "), json);
  }

  async #rows(
    what: string,
    size: number,
    read: (bytes: Uint8Array) => FileContents,
  ): Promise<void> {
    await this.#heading(what, size);
    if (size > SMALL_FILE_BYTES_MAX)
      throw new CommandError(`${this.#path} is ${formatBytes(size)}: too large for a ${what}`);
    const file = await open(this.#path, "r");
    let bytes: Uint8Array;
    try {
      bytes = await file.readFile();
    } finally {
      await file.close();
    }
    const { rows, damage, unusedBytes } = read(bytes);
    if (this.#plan.isJson) {
      for (const row of rows) await this.#line("", { type: "row", ...row });
    } else if (rows.length > 0) {
      await this.#write(tableOf(rows, this.#style));
    }
    for (const { position, reason } of damage) await this.#damage(position, reason, 0);
    const room = unusedBytes === 0 ? "" : `, ${formatBytes(unusedBytes)} not used yet`;
    await this.#line(`${formatPlural(rows.length, "row")}${room}`, {
      type: "summary",
      rows: rows.length,
      unusedBytes,
      damagedPlaces: this.damageCount,
    });
  }

  #heading(what: string, size: number): Promise<void> {
    return this.#line(`${this.#style.bold(this.#path)}  ${what}, ${formatBytes(size)}`, {
      type: "file",
      what,
      bytes: size,
    });
  }

  async #damage(position: number, reason: string, bytes: number): Promise<void> {
    this.damageCount += 1;
    const extent = bytes === 0 ? "" : `, ${formatPlural(bytes, "byte")}`;
    await this.#line(this.#style.red(`damage at position ${position}${extent}: ${reason}`), {
      type: "damage",
      position,
      bytes,
      reason,
    });
  }

  #line(text: string, json: Row): Promise<void> {
    return this.#write(this.#plan.isJson ? jsonLine({ file: this.#path, ...json }) : `${text}\n`);
  }

  async #write(text: string): Promise<void> {
    this.#text += text;
    if (this.#text.length >= PIECE_CHARACTERS) await this.#flush();
  }

  async #flush(): Promise<void> {
    const text = this.#text;
    this.#text = "";
    if (text !== "") await this.#io.stdout.write(text);
  }
}

async function sizeOf(path: string): Promise<number> {
  try {
    const info = await stat(path);
    if (!info.isDirectory()) return info.size;
  } catch (error) {
    throw new CommandError(
      `cannot read ${path}: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
  throw new CommandError(`${path} is a directory`, [
    `Name files in it, for instance: sluice log dump ${join(path, "*.log")}`,
  ]);
}

function textOf(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}

function readJsonText(bytes: Uint8Array): FileContents {
  const text = textOf(bytes).trim();
  if (text === "") return { rows: [], damage: [], unusedBytes: 0 };
  try {
    return { rows: [JSON.parse(text) as Row], damage: [], unusedBytes: 0 };
  } catch {
    return { rows: [], damage: [{ position: 0, reason: "it is not JSON" }], unusedBytes: 0 };
  }
}

function tableOf(rows: readonly Row[], style: Style): string {
  const names = Object.keys(rows[0] ?? {});
  const columns = names.map((name) => {
    const isNumber = typeof rows[0]?.[name] === "number" || typeof rows[0]?.[name] === "bigint";
    return { heading: headingOf(name), align: isNumber ? ("right" as const) : ("left" as const) };
  });
  return formatTable(
    columns,
    rows.map((row) => names.map((name) => cellOf(name, row[name]))),
    style,
  );
}

function headingOf(name: string): string {
  return name.replaceAll(/([a-z])([A-Z])/g, "$1 $2").toUpperCase();
}

function cellOf(name: string, value: unknown): string {
  if (name === "timestamp" && typeof value === "number") return timeText(value);
  if (typeof value === "bigint") return value.toString();
  return typeof value === "string" ? value : JSON.stringify(value);
}

function timeText(timestamp: number): string {
  const date = new Date(timestamp);
  return timestamp < 0 || Number.isNaN(date.getTime()) ? `time ${timestamp}` : date.toISOString();
}

function batchText(item: SegmentItem & { readonly kind: "batch" }, style: Style): string {
  const { header, position, isCrcValid } = item;
  const lastOffset = header.baseOffset + header.lastOffsetDelta;
  const flags = [
    header.isTransactional ? "transactional" : "",
    header.isControl ? "control" : "",
    header.isLogAppendTime ? "log append time" : "",
    header.hasDeleteHorizon ? "delete horizon" : "",
  ].filter((flag) => flag !== "");
  return [
    `position ${position}`,
    style.bold(`offsets ${header.baseOffset}-${lastOffset}`),
    formatPlural(header.recordCount, "record"),
    `${header.sizeBytes} bytes`,
    codecName(header.compression),
    `epoch ${header.partitionLeaderEpoch}`,
    timeText(header.maxTimestamp),
    ...(header.producerId < 0n
      ? []
      : [
          `producer ${header.producerId} epoch ${header.producerEpoch} sequence ${header.baseSequence}`,
        ]),
    ...flags,
    ...(isCrcValid === true ? [style.green("crc ok")] : []),
  ].join("  ");
}

function batchJson(item: SegmentItem & { readonly kind: "batch" }): Row {
  const { header, position, crc, isCrcValid } = item;
  return {
    position,
    baseOffset: header.baseOffset,
    lastOffset: header.baseOffset + header.lastOffsetDelta,
    recordCount: header.recordCount,
    sizeBytes: header.sizeBytes,
    compression: codecName(header.compression),
    partitionLeaderEpoch: header.partitionLeaderEpoch,
    baseTimestamp: header.baseTimestamp,
    maxTimestamp: header.maxTimestamp,
    producerId: header.producerId,
    producerEpoch: header.producerEpoch,
    baseSequence: header.baseSequence,
    isTransactional: header.isTransactional,
    isControl: header.isControl,
    isLogAppendTime: header.isLogAppendTime,
    hasDeleteHorizon: header.hasDeleteHorizon,
    crc,
    isCrcValid,
  };
}

function codecName(codec: number): string {
  return CODECS[codec] ?? `codec ${codec}`;
}

/** Bytes for people: text in quotes, other bytes in hexadecimal, both cut where they get long. */
function bytesText(bytes: Uint8Array | null): string {
  if (bytes === null) return "null";
  const text = asText(bytes);
  const whole = text === null ? `0x${Buffer.from(bytes).toString("hex")}` : JSON.stringify(text);
  return whole.length > SHOWN_BYTES_MAX
    ? `${whole.slice(0, SHOWN_BYTES_MAX)}… (${formatPlural(bytes.length, "byte")})`
    : whole;
}

/** Bytes inside a decoded record as base64, so that JSON can hold them. */
function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return Buffer.from(value).toString("base64");
  if (typeof value === "bigint") return value.toString();
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, plain(inner)]));
}
