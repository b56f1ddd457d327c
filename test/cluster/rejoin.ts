/**
 * A broker comes back while producers run at full speed, with gigabytes to catch up on: what the producers feel of it.
 *
 *   bun test/cluster/rejoin.ts [--mib 2048] [--rate MIB] [--nodes 3] [--override key=value]… [--kafka LIBS] [--keep]
 *
 * `--rate` writes at most so many MiB a second, all partitions together: where producers and brokers share cores, producers without a limit may
 * leave nothing to catch up with, whatever the broker.
 *
 * One node is killed, `--mib` are written with acks=all, the node is started, and writing goes on until it is in every ISR again and a while
 * longer. Printed for each phase: throughput, latency of a produce request (p50, p99, worst), and the longest time without any
 * acknowledgement on one partition. Figures are those of a machine that nodes and producers share.
 */
import { parseArgs } from "node:util";
import {
  makePartitionProduceData,
  makeProduceRequest,
  makeTopicProduceData,
  ProduceApi,
} from "#protocol/generated/produce.ts";
import { encodeRecordBatch } from "#protocol/records/record-batch.ts";
import { createTopic, within } from "../crash/load.ts";
import { Wire } from "../differential/wire.ts";
import {
  type BrokerCluster,
  type ClusterOptions,
  kafkaCluster,
  sluiceCluster,
} from "../support/cluster-process.ts";
import { temporaryDirectory, until } from "../support/process.ts";
import { Routes, viewsOf, whyNotWhole } from "./cluster-view.ts";

const TOPIC = "rejoin";
const BATCH_BYTES = 128 << 10;
const IN_FLIGHT = 4;
const ANSWER_TIMEOUT_MS = 30_000;
const PATIENCE_MS = 600_000;
/** Silences longer than this are told one by one, with their time, ms. */
const LONG_GAP_MS = 1_000;
/** Writing before the fault, and after the node is back in sync, ms. */
const WARM_MS = 5_000;

/** What was measured from one moment to the next. */
export interface PhaseFigures {
  readonly name: string;
  readonly seconds: number;
  readonly mebibytes: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
  readonly longestGapMs: number;
  readonly failures: number;
}

class Meter {
  #latencies: number[] = [];
  #failures = 0;
  #gapMs = 0;
  #startedMs: number = performance.now();
  readonly #lastMs: Map<number, number> = new Map();
  mebibytes = 0;
  readonly #say: (line: string) => void;

  constructor(say: (line: string) => void) {
    this.#say = say;
  }

  acknowledged(partition: number, sentMs: number): void {
    const nowMs = performance.now();
    this.#latencies.push(nowMs - sentMs);
    this.mebibytes += BATCH_BYTES / (1 << 20);
    const gapMs = nowMs - (this.#lastMs.get(partition) ?? nowMs);
    this.#gapMs = Math.max(this.#gapMs, gapMs);
    if (gapMs > LONG_GAP_MS)
      this.#say(
        `${new Date().toISOString()} partition ${partition} was silent for ${gapMs.toFixed(0)} ms`,
      );
    this.#lastMs.set(partition, nowMs);
  }

  failed(): void {
    this.#failures += 1;
  }

  /** Figures since the last call. */
  phase(name: string): PhaseFigures {
    const nowMs = performance.now();
    const sorted = this.#latencies.toSorted((a, b) => a - b);
    const at = (share: number): number => sorted[Math.floor((sorted.length - 1) * share)] ?? 0;
    // A gap that lasts still counts.
    for (const lastMs of this.#lastMs.values()) this.#gapMs = Math.max(this.#gapMs, nowMs - lastMs);
    const figures = {
      name,
      seconds: (nowMs - this.#startedMs) / 1000,
      mebibytes: (sorted.length * BATCH_BYTES) / (1 << 20),
      p50Ms: at(0.5),
      p99Ms: at(0.99),
      maxMs: at(1),
      longestGapMs: this.#gapMs,
      failures: this.#failures,
    };
    this.#latencies = [];
    this.#failures = 0;
    this.#gapMs = 0;
    this.#startedMs = nowMs;
    return figures;
  }
}

/** Lets batches through at a rate, evenly; what was missed while a partition was away is not made up for. */
function pace(mebibytesPerSecond: number): () => Promise<void> {
  const batchMs = (BATCH_BYTES / (1 << 20) / mebibytesPerSecond) * 1_000;
  let nextMs = performance.now();
  return async () => {
    const nowMs = performance.now();
    const dueMs = Math.max(nextMs, nowMs - 10 * batchMs);
    nextMs = dueMs + batchMs;
    if (dueMs > nowMs) await Bun.sleep(dueMs - nowMs);
  };
}

/** Writes to one partition until stopped, each batch after a turn. */
async function write(
  routes: Routes,
  partition: number,
  meter: Meter,
  turn: () => Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  const records = encodeRecordBatch({
    timestamp: Date.now(),
    records: [{ key: null, value: Buffer.alloc(BATCH_BYTES - 100, partition + 1) }],
  });
  const partitionData = [makePartitionProduceData({ index: partition, records })];
  const topicData = [makeTopicProduceData({ name: TOPIC, partitionData })];
  const request = makeProduceRequest({ acks: -1, timeoutMs: ANSWER_TIMEOUT_MS, topicData });
  while (!signal.aborted) {
    try {
      using wire = await within(Wire.connect(await routes.addressOf(partition), "rejoin"));
      const one = async (): Promise<void> => {
        while (!signal.aborted) {
          await turn();
          const sentMs = performance.now();
          const answer = await within(wire.send(ProduceApi, 8, request), ANSWER_TIMEOUT_MS);
          const code = answer.responses[0]?.partitionResponses[0]?.errorCode ?? -1;
          if (code !== 0) throw new Error(`error ${code}`);
          meter.acknowledged(partition, sentMs);
        }
      };
      await Promise.all(Array.from({ length: IN_FLIGHT }, one));
    } catch {
      meter.failed();
      await Bun.sleep(20);
    }
  }
}

/** Runs it on a cluster that is not started yet, and leaves it stopped. */
export async function runRejoin(
  cluster: BrokerCluster,
  {
    mebibytes,
    mebibytesPerSecond = Number.POSITIVE_INFINITY,
    warmMs = WARM_MS,
  }: {
    readonly mebibytes: number;
    readonly mebibytesPerSecond?: number;
    readonly warmMs?: number;
  },
  say: (line: string) => void,
): Promise<PhaseFigures[]> {
  const whole = async (topics: readonly string[]): Promise<void> => {
    let why: string | null = null;
    await until(
      async () => {
        why = whyNotWhole(cluster, topics, await viewsOf(cluster, topics));
        if (why !== null) await Bun.sleep(100);
        return why === null;
      },
      PATIENCE_MS,
      () => `the cluster does not become whole: ${why}`,
    );
  };
  const phases: PhaseFigures[] = [];
  const over = new AbortController();
  let writing: Promise<unknown> = Promise.resolve();
  try {
    await cluster.start();
    await whole([]);
    const routes = new Routes(cluster, TOPIC);
    const count = cluster.nodes.length;
    const settings = { "segment.bytes": String(256 << 20) };
    await createTopic(() => routes.anyAddress(), TOPIC, count, settings, Math.min(3, count));
    await whole([TOPIC]);
    const meter = new Meter(say);
    const note = (name: string): void => {
      const figures = meter.phase(name);
      phases.push(figures);
      say(formatPhase(figures));
    };
    writing = Promise.all(
      cluster.nodes.map((_, partition) =>
        write(routes, partition, meter, pace(mebibytesPerSecond / count), over.signal),
      ),
    );
    await Bun.sleep(warmMs);
    note("all in sync");
    const node = cluster.nodes.find(({ id }) => id === count);
    if (node === undefined) throw new Error("a cluster without nodes");
    const before = meter.mebibytes;
    await node.stop("SIGKILL");
    await until(
      () => meter.mebibytes - before >= mebibytes,
      PATIENCE_MS,
      () => `only ${Math.round(meter.mebibytes - before)} MiB written while a node was down`,
    );
    note("one node down");
    await node.start();
    await whole([TOPIC]);
    note("catching up");
    await Bun.sleep(warmMs);
    note("all in sync again");
    return phases;
  } finally {
    over.abort();
    await Promise.race([writing, Bun.sleep(5_000)]);
    await cluster.stop("SIGKILL");
  }
}

function formatPhase(figures: PhaseFigures): string {
  const { name, seconds, mebibytes, p50Ms, p99Ms, maxMs, longestGapMs, failures } = figures;
  return (
    `${name.padEnd(18)} ${seconds.toFixed(1).padStart(6)} s, ${(mebibytes / seconds).toFixed(1).padStart(6)} MiB/s, ` +
    `produce p50 ${p50Ms.toFixed(1)}, p99 ${p99Ms.toFixed(1)}, worst ${maxMs.toFixed(0)} ms, ` +
    `longest gap of a partition ${longestGapMs.toFixed(0)} ms, ${failures} connections given up`
  );
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      mib: { type: "string", default: "2048" },
      rate: { type: "string", default: "Infinity" },
      nodes: { type: "string", default: "3" },
      override: { type: "string", multiple: true, default: [] },
      kafka: { type: "string" },
      keep: { type: "boolean", default: false },
    },
  });
  const directory = temporaryDirectory("rejoin");
  const options: ClusterOptions = {
    directory: directory.path,
    // Three Java machines on a busy one take minutes to start.
    readyTimeoutMs: PATIENCE_MS,
    nodeCount: Number(values.nodes),
    overrides: {
      "min.insync.replicas": "2",
      "sluice.admin.listener": "",
      ...Object.fromEntries(values.override.map((word) => word.split("=", 2) as [string, string])),
    },
  };
  const cluster =
    values.kafka === undefined
      ? await sluiceCluster(options)
      : await kafkaCluster(values.kafka, options);
  try {
    const load = { mebibytes: Number(values.mib), mebibytesPerSecond: Number(values.rate) };
    await runRejoin(cluster, load, (line) => console.log(line));
  } finally {
    if (values.keep) console.log(`kept: ${directory.path}`);
    else directory.remove();
  }
}
