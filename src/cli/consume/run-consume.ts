/**
 * `sluice consume` at work: alone over the partitions it is told, or as a member of a group over those it is assigned. Both read the
 * same way, and stop at the ends found at the start unless they follow.
 *
 * In a group nothing is committed before the output has taken it: a reader that goes away (`| head`) or a Ctrl-C loses no record for the
 * next member, at worst it sees one twice.
 */
import { ClientError } from "#client/client-error.ts";
import type { Cluster } from "#client/cluster.ts";
import { Fetcher, type FetchedRecords, type OutOfRange, type Polled } from "#client/fetcher.ts";
import { ConsumerGroupMember } from "#client/consumer-group-member.ts";
import { GroupMember } from "#client/group-member.ts";
import { isLostMembership, type Membership } from "#client/membership.ts";
import { Isolation, type IsolationLevel } from "#client/offsets.ts";
import { nativeCodecs } from "#log/native-log.ts";
import type { ClusterArguments } from "../cluster-options.ts";
import type { CommandIo } from "../command-io.ts";
import { UsageError } from "../failure.ts";
import { recordToJson } from "../json-record.ts";
import { readChoice, readInteger } from "../option-values.ts";
import { jsonLine, type ProgressLine, progressLine, styleOf } from "../output.ts";
import { formatPlural } from "../units.ts";
import { withCluster } from "../with-cluster.ts";
import { compileFormat, type RecordFormatter } from "./record-format.ts";
import { RecordSink } from "./record-sink.ts";
import {
  parseStartPosition,
  readBounds,
  resolveStart,
  type StartPosition,
} from "./start-position.ts";

/** Options as commander gives them. */
export interface ConsumeArguments extends ClusterArguments {
  readonly from: string;
  readonly follow?: boolean;
  readonly group?: string;
  readonly groupProtocol?: string;
  readonly partition?: readonly string[];
  readonly max?: string;
  readonly format?: string;
  readonly json?: true;
  readonly isolation: string;
}

const DEFAULT_FORMAT = "%s\\n";
const COMMIT_INTERVAL_MS = 5_000;
const MAX_PARTITION = 0x7f_ff_ff_ff;

interface ConsumePlan {
  readonly topic: string;
  readonly from: StartPosition;
  readonly isFollowing: boolean;
  readonly group: string | null;
  readonly groupProtocol: "classic" | "consumer";
  readonly partitions: readonly number[] | null;
  readonly max: number;
  readonly format: RecordFormatter;
  readonly isolation: IsolationLevel;
}

/** Runs `sluice consume`. */
export async function runConsume(
  topic: string,
  options: ConsumeArguments,
  io: CommandIo,
): Promise<void> {
  const plan = planOf(topic, options);
  const interruption = io.interruption();
  await withCluster(options, async (cluster) => {
    const consumer = new Consumer(cluster, plan, io, interruption);
    if (plan.group === null) await consumer.runAlone();
    else await consumer.runInGroup(plan.group);
    await consumer.tellEnd();
  });
}

function planOf(topic: string, options: ConsumeArguments): ConsumePlan {
  if (options.json === true && options.format !== undefined)
    throw new UsageError("--json and --format exclude each other");
  if (options.group !== undefined && options.partition !== undefined)
    throw new UsageError("a group assigns partitions itself: not with --partition");
  if (options.group === undefined && options.groupProtocol !== undefined)
    throw new UsageError("--group-protocol goes with --group");
  if (options.group === "") throw new UsageError("--group wants a name");
  const encoder = new TextEncoder();
  return {
    topic,
    from: parseStartPosition(options.from),
    isFollowing: options.follow === true,
    group: options.group ?? null,
    groupProtocol: readChoice("--group-protocol", options.groupProtocol ?? "classic", [
      "classic",
      "consumer",
    ]),
    partitions:
      options.partition?.map((text) =>
        readInteger("--partition", text, { min: 0, max: MAX_PARTITION }),
      ) ?? null,
    max: options.max === undefined ? Infinity : readInteger("--max", options.max, { min: 0 }),
    format:
      options.json === true
        ? (record, partition) => [encoder.encode(jsonLine(recordToJson(topic, partition, record)))]
        : compileFormat(options.format ?? DEFAULT_FORMAT, topic),
    isolation:
      readChoice("--isolation", options.isolation, ["read_uncommitted", "read_committed"]) ===
      "read_committed"
        ? Isolation.READ_COMMITTED
        : Isolation.READ_UNCOMMITTED,
  };
}

class Consumer {
  readonly #cluster: Cluster;
  readonly #plan: ConsumePlan;
  readonly #io: CommandIo;
  readonly #interruption: AbortSignal;
  readonly #sink: RecordSink;
  readonly #progress: ProgressLine;

  constructor(cluster: Cluster, plan: ConsumePlan, io: CommandIo, interruption: AbortSignal) {
    this.#cluster = cluster;
    this.#plan = plan;
    this.#io = io;
    this.#interruption = interruption;
    this.#sink = new RecordSink(io.stdout);
    // Records on the same terminal are progress enough.
    this.#progress = progressLine(
      io.stdout.isTerminal ? { ...io.stderr, isTerminal: false } : io.stderr,
    );
  }

  /** Reads the partitions asked for, or all. */
  async runAlone(): Promise<void> {
    const { topic, from, isolation } = this.#plan;
    const { partitions: known } = await this.#cluster.topic(topic);
    const partitions = this.#plan.partitions ?? known.map(({ partition }) => partition);
    const bounds = await readBounds(this.#cluster, topic, partitions, isolation);
    const starts = await resolveStart(this.#cluster, topic, from, bounds);
    await this.#read(starts, bounds.ends, [this.#interruption]);
  }

  /** Reads what the group assigns, again and again while it rebalances. */
  async runInGroup(groupId: string): Promise<void> {
    const { topic, isFollowing } = this.#plan;
    await this.#cluster.topic(topic);
    const member: Membership =
      this.#plan.groupProtocol === "consumer"
        ? new ConsumerGroupMember(this.#cluster, { groupId, topic })
        : new GroupMember(this.#cluster, { groupId, topic });
    const commits = setInterval(() => {
      // What fails now is tried again by the next one, and by the last one, which is heard.
      member.commit(this.#sink.written).catch(() => {});
    }, COMMIT_INTERVAL_MS);
    try {
      while (!this.#isInterrupted()) {
        const partitions = await this.#untilInterrupted(member.join());
        if (partitions === null) return;
        this.#sink.forget();
        if (partitions.length === 0 && !isFollowing) {
          await this.#io.stderr.write(`The group's other members read all of ${topic}.\n`);
          return;
        }
        const isDone = await this.#readAssigned(member, partitions);
        if (isDone) return;
      }
    } finally {
      clearInterval(commits);
      await commitLast(member, this.#sink.written);
      await member.leave();
    }
  }

  /** On a terminal, says why it ended. */
  async tellEnd(): Promise<void> {
    this.#progress.clear();
    if (!this.#io.stderr.isTerminal || this.#isInterrupted() || this.#isFull()) return;
    const style = styleOf(this.#io.stderr);
    const text = `${formatPlural(this.#sink.records, "record")}; the end is reached (--follow waits for more).`;
    await this.#io.stderr.write(`${style.dim(text)}\n`);
  }

  /** Reads an assignment; true when there is nothing more to do, false when the group rebalances. */
  async #readAssigned(member: Membership, partitions: readonly number[]): Promise<boolean> {
    const { topic, from, isolation } = this.#plan;
    const bounds = await readBounds(this.#cluster, topic, partitions, isolation);
    const starts = new Map(await resolveStart(this.#cluster, topic, from, bounds));
    if (partitions.length > 0) {
      for (const [partition, offset] of await member.committed(partitions))
        if (offset >= 0) starts.set(partition, offset);
    }
    await this.#read(starts, bounds.ends, [this.#interruption, member.rebalance]);
    if (this.#isInterrupted() || !member.rebalance.aborted) return true;
    await commitLast(member, this.#sink.written);
    return false;
  }

  /** Reads until every partition is at its end, `--max` is reached, or a signal says stop. */
  async #read(
    starts: ReadonlyMap<number, number>,
    ends: ReadonlyMap<number, number>,
    stops: readonly AbortSignal[],
  ): Promise<void> {
    const { topic, isFollowing, isolation } = this.#plan;
    const fetcher = new Fetcher(this.#cluster, topic, starts, {
      decompressor: nativeCodecs,
      isolation,
    });
    const stop = AbortSignal.any([...stops]);
    const dropFinished = (): void => {
      if (isFollowing) return;
      for (const [partition, offset] of fetcher.positions)
        if (offset >= (ends.get(partition) ?? 0)) fetcher.drop(partition);
    };
    dropFinished();
    const hasMore = (): boolean => isFollowing || fetcher.positions.size > 0;
    while (!this.#isFull() && !stop.aborted && hasMore()) {
      const polled = await orAborted(
        fetcher.positions.size > 0 ? fetcher.poll() : new Promise<Polled>(() => {}),
        stop,
      );
      if (polled === null) break;
      for (const part of polled.fetched) await this.#show(part, ends);
      await this.#sink.flush();
      for (const lost of polled.outOfRange) await this.#goOn(fetcher, lost);
      dropFinished();
      this.#progress.update(() => `${formatPlural(this.#sink.records, "record")} read`);
    }
    await this.#sink.flush();
  }

  async #show(
    { partition, records, nextOffset }: FetchedRecords,
    ends: ReadonlyMap<number, number>,
  ): Promise<void> {
    const end = this.#plan.isFollowing ? Infinity : (ends.get(partition) ?? 0);
    for (const record of records) {
      if (this.#isFull()) return;
      // What came after the start is not asked for.
      if (record.offset >= end) return;
      await this.#sink.add(this.#plan.format(record, partition), partition, record.offset + 1);
    }
    this.#sink.skipTo(partition, Math.min(nextOffset, end));
  }

  /** The position is gone, by retention or by deletion: reads on where the partition begins now, and says so. */
  async #goOn(fetcher: Fetcher, { partition, offset }: OutOfRange): Promise<void> {
    const { topic, isolation } = this.#plan;
    const { starts, ends } = await readBounds(this.#cluster, topic, [partition], isolation);
    const start = starts.get(partition) ?? 0;
    const next = offset < start ? start : (ends.get(partition) ?? start);
    this.#progress.clear();
    await this.#io.stderr.write(
      `sluice: partition ${partition} has no offset ${offset} any more; going on at ${next}\n`,
    );
    fetcher.seek(partition, next);
  }

  #isFull(): boolean {
    return this.#sink.records >= this.#plan.max;
  }

  #isInterrupted(): boolean {
    return this.#interruption.aborted;
  }

  #untilInterrupted<T>(work: Promise<T>): Promise<T | null> {
    return orAborted(work, this.#interruption);
  }
}

/** Commits before the assignment is given up; a generation that is over already has nothing to commit to. */
async function commitLast(member: Membership, offsets: ReadonlyMap<number, number>): Promise<void> {
  try {
    await member.commit(offsets);
  } catch (error) {
    if (!(error instanceof ClientError) || !isLostMembership(error.errorCode)) throw error;
  }
}

/** The result, or null when the signal aborts first; what is still under way then fails unheard. */
async function orAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T | null> {
  if (signal.aborted) {
    work.catch(() => {});
    return null;
  }
  let onAbort = (): void => {};
  const aborted = new Promise<null>((resolve) => {
    onAbort = () => resolve(null);
    signal.addEventListener("abort", onAbort, { once: true });
  });
  try {
    return await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener("abort", onAbort);
    work.catch(() => {});
  }
}
