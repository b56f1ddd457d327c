/**
 * `sluice produce` at work. Input is read no faster than the broker takes it, in bytes, never as text; the end of the input is waited for
 * and every record acknowledged before the exit code is 0. What was read and not acknowledged is counted and told.
 */
import { createReadStream } from "node:fs";
import { ClientError } from "#client/client-error.ts";
import { Acks, Producer } from "#client/producer.ts";
import { nativeCodecs } from "#log/native-log.ts";
import { Compression, type NewRecord, type RecordHeader } from "#protocol/records/record-batch.ts";
import type { ClusterArguments } from "../cluster-options.ts";
import { type CommandIo, untilAborted } from "../command-io.ts";
import { CommandError, UsageError } from "../failure.ts";
import { recordFromJson } from "../json-record.ts";
import { readChoice, readInteger, readPair, unescapeText } from "../option-values.ts";
import { type ProgressLine, progressLine } from "../output.ts";
import { formatBytes, formatDuration, formatPlural } from "../units.ts";
import { asCommandError, withCluster } from "../with-cluster.ts";
import { readLines } from "./lines.ts";

/** Options as commander gives them. */
export interface ProduceArguments extends ClusterArguments {
  readonly file?: readonly string[];
  readonly whole?: true;
  readonly keySeparator?: string;
  readonly key?: string;
  readonly header?: readonly string[];
  readonly partition?: string;
  readonly acks: string;
  readonly compression: string;
  readonly json?: true;
  readonly quiet?: true;
}

const INTERRUPTED_EXIT_CODE = 130;
const MAX_INPUT_RECORD_BYTES = 134_217_728;
const MAX_PARTITION = 0x7f_ff_ff_ff;

const encoder: { encode(text: string): Uint8Array } = new TextEncoder();

/** Where records come from, and how a piece of input becomes one. */
interface ProducePlan {
  readonly files: readonly string[];
  readonly isWhole: boolean;
  readonly isJson: boolean;
  readonly separator: Uint8Array | null;
  readonly key: Uint8Array | null;
  readonly headers: readonly RecordHeader[];
  readonly partition: number | null;
  readonly acks: (typeof Acks)[keyof typeof Acks];
  readonly codec: number;
}

/** Runs `sluice produce`. */
export async function runProduce(
  topic: string,
  options: ProduceArguments,
  io: CommandIo,
): Promise<void> {
  const plan = planOf(options);
  const interruption = io.interruption();
  await withCluster(options, async (cluster) => {
    const startedMs = performance.now();
    // Who types sees the lines; a counter between them would only be in the way.
    const isTyped = plan.files.length === 0 && io.stdin.isTerminal;
    const progress = progressLine(isTyped ? { ...io.stderr, isTerminal: false } : io.stderr);
    let read = 0;
    let bytes = 0;
    const state = (): string =>
      `${formatPlural(producer.acknowledgedRecords, "record")}, ${formatBytes(bytes)}`;
    const producer = await Producer.open(cluster, topic, {
      acks: plan.acks,
      compression:
        plan.codec === Compression.NONE ? null : { codec: plan.codec, compressor: nativeCodecs },
      onAcknowledged: (_records, batchBytes) => {
        bytes += batchBytes;
        progress.update(() => `${state()} written`);
      },
    });
    if (isTyped) await io.stderr.write(`Each line is a record for ${topic}; Ctrl-D ends.\n`);
    try {
      for await (const { record, partition } of readRecords(plan, io, interruption)) {
        read += 1;
        await producer.send(record, plan.partition ?? partition ?? undefined);
      }
      await producer.flush();
    } catch (error) {
      await tellPart(error, { producer, read, progress });
    }
    progress.clear();
    if (options.quiet !== true) {
      const took = formatDuration(performance.now() - startedMs);
      await io.stderr.write(`Wrote ${state()} on the wire, to ${topic} in ${took}.\n`);
    }
    if (interruption.aborted) io.setExitCode(INTERRUPTED_EXIT_CODE);
  });
}

/** Delivers what can still be delivered, then fails with how far it came. */
async function tellPart(
  error: unknown,
  state: { readonly producer: Producer; readonly read: number; readonly progress: ProgressLine },
): Promise<never> {
  const { producer, read, progress } = state;
  // An input that breaks off leaves records behind it that are good; a broker that refuses leaves none.
  if (!(error instanceof ClientError)) {
    try {
      await producer.flush();
    } catch {
      // The count below tells.
    }
  }
  progress.clear();
  const far = `${formatPlural(producer.acknowledgedRecords, "record")} of ${read} read ${producer.acknowledgedRecords === 1 ? "was" : "were"} acknowledged before that.`;
  if (error instanceof ClientError) {
    const failure = asCommandError(error);
    throw new CommandError(failure.message, [far, ...failure.remedies], error);
  }
  if (error instanceof CommandError)
    throw new CommandError(error.message, [far, ...error.remedies]);
  throw error;
}

function planOf(options: ProduceArguments): ProducePlan {
  const isJson = options.json === true;
  const isWhole = options.whole === true;
  const separator = options.keySeparator;
  if (separator === "") throw new UsageError("--key-separator wants at least one character");
  if (isJson && (isWhole || separator !== undefined || options.key !== undefined))
    throw new UsageError("--json brings its own keys: not with --whole, --key-separator or --key");
  if (isWhole && separator !== undefined)
    throw new UsageError("--whole and --key-separator exclude each other; --key gives a key");
  if (separator !== undefined && options.key !== undefined)
    throw new UsageError("--key-separator and --key exclude each other");
  const acks = readChoice("--acks", options.acks, ["all", "-1", "1", "0"]);
  const codec = readChoice("--compression", options.compression, [
    "none",
    "gzip",
    "snappy",
    "lz4",
    "zstd",
  ]);
  return {
    files: options.file ?? [],
    isWhole,
    isJson,
    separator: separator === undefined ? null : encoder.encode(unescapeText(separator)),
    key: options.key === undefined ? null : encoder.encode(options.key),
    headers: (options.header ?? []).map((text) => {
      const [key, value] = readPair("--header", text);
      return { key, value: encoder.encode(value) };
    }),
    partition:
      options.partition === undefined
        ? null
        : readInteger("--partition", options.partition, { min: 0, max: MAX_PARTITION }),
    acks: acks === "0" ? Acks.NONE : acks === "1" ? Acks.LEADER : Acks.ALL,
    codec: { none: 0, gzip: 1, snappy: 2, lz4: 3, zstd: 4 }[codec],
  };
}

/** A record, and the partition its JSON asked for. */
interface InputRecord {
  readonly record: NewRecord;
  readonly partition: number | null;
}

async function* readRecords(
  plan: ProducePlan,
  io: CommandIo,
  signal: AbortSignal,
): AsyncGenerator<InputRecord> {
  const inputs =
    plan.files.length === 0
      ? [{ name: "standard input", chunks: io.stdin.chunks(signal) }]
      : plan.files.map((path) => ({ name: path, chunks: fileChunks(path, signal) }));
  for (const { name, chunks } of inputs) {
    if (signal.aborted) return;
    if (plan.isWhole) {
      const value = await readWhole(name, chunks);
      // A file that was read in part is no record.
      if (signal.aborted) return;
      yield { record: { key: plan.key, value, headers: plan.headers }, partition: null };
      continue;
    }
    let number = 0;
    for await (const line of readLines(chunks, MAX_INPUT_RECORD_BYTES)) {
      number += 1;
      yield recordOfLine(line, plan, `${name}, line ${number}`);
    }
  }
}

/** One line of input as a record; `where` is for messages. */
function recordOfLine(line: Uint8Array, plan: ProducePlan, where: string): InputRecord {
  if (plan.isJson) {
    const read = recordFromJson(new TextDecoder().decode(line));
    if (typeof read === "string") throw new CommandError(`${where} ${read}`);
    const headers = [...(read.record.headers ?? []), ...plan.headers];
    return { record: { ...read.record, headers }, partition: read.partition };
  }
  if (plan.separator === null)
    return { record: { key: plan.key, value: line, headers: plan.headers }, partition: null };
  const at = Buffer.from(line.buffer, line.byteOffset, line.length).indexOf(plan.separator);
  if (at < 0) {
    throw new CommandError(`${where} has no key separator`, [
      "Every line has to be key, separator, value; leave --key-separator out to write lines without keys.",
    ]);
  }
  const record = {
    key: line.subarray(0, at),
    value: line.subarray(at + plan.separator.length),
    headers: plan.headers,
  };
  return { record, partition: null };
}

async function* fileChunks(path: string, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  try {
    yield* untilAborted(createReadStream(path), signal);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new CommandError(`cannot read ${path}: ${reason}`);
  }
}

async function readWhole(name: string, chunks: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of chunks) {
    parts.push(chunk.slice());
    length += chunk.length;
    if (length > MAX_INPUT_RECORD_BYTES)
      throw new CommandError(`${name} is larger than ${formatBytes(MAX_INPUT_RECORD_BYTES)}`);
  }
  return Buffer.concat(parts, length);
}
