/**
 * The soak as a function: the load, the samples, and the verdict over them.
 */
import { connect } from "node:net";
import { Kafka, logLevel } from "kafkajs";
import { ApiVersionsApi, makeApiVersionsRequest } from "#protocol/generated/api-versions.ts";
import {
  CreateTopicsApi,
  makeCreatableTopic,
  makeCreatableTopicConfig,
  makeCreateTopicsRequest,
} from "#protocol/generated/create-topics.ts";
import {
  makePartitionProduceData,
  makeProduceRequest,
  makeTopicProduceData,
  ProduceApi,
} from "#protocol/generated/produce.ts";
import { apiByKey } from "#protocol/apis.ts";
import { encodeRecordBatch } from "#protocol/records/record-batch.ts";
import { Wire } from "../differential/wire.ts";
import { FrameSource } from "../fuzz/frames.ts";
import { randomFrom } from "../golden/damage.ts";
import { type BrokerProcess, kafkaBroker, sluiceBroker } from "../support/broker-process.ts";
import { temporaryDirectory } from "../support/process.ts";
import { isAlive, processFigures } from "../support/process-figures.ts";

/** What to run. */
export interface SoakOptions {
  readonly seconds: number;
  readonly seed: number;
  readonly threads: number;
  /** Directory of Kafka's jars to run real Kafka instead; null for Sluice. */
  readonly kafkaLibraries: string | null;
  /** Whether growth is a finding; a run of seconds is all warm-up. */
  readonly isGrowthJudged: boolean;
  readonly progress: (line: string) => void;
}

/** One look at the broker. */
export interface SoakSample {
  readonly second: number;
  readonly residentMib: number;
  readonly descriptors: number;
  readonly threads: number;
  readonly cpuSeconds: number;
  /** Slowest small request since the last look. */
  readonly slowestMs: number;
}

/** How a soak went. */
export interface SoakReport {
  readonly broker: string;
  readonly seconds: number;
  readonly produced: number;
  readonly consumed: number;
  readonly connections: number;
  readonly hostileFrames: number;
  readonly memberChanges: number;
  /** Straight line through the samples after warm-up. */
  readonly residentSlopeMibPerHour: number;
  readonly requestP50Ms: number;
  readonly requestP99Ms: number;
  readonly samples: readonly SoakSample[];
  readonly findings: readonly string[];
}

const TOPIC = "soak";
const PARTITIONS = 6;
const GROWTH = { residentMib: 32, descriptors: 16, threads: 2 };
const WARM_UP = 0.2;

/** Runs the soak on a broker of its own. */
export async function runSoak(options: SoakOptions): Promise<SoakReport> {
  const directory = temporaryDirectory("soak");
  const overrides = { "log.retention.check.interval.ms": "5000" };
  const threads = { "num.network.threads": String(options.threads) };
  const broker = await (options.kafkaLibraries === null
    ? sluiceBroker({ directory: directory.path, overrides: { ...overrides, ...threads } })
    : kafkaBroker(options.kafkaLibraries, { directory: directory.path, overrides }));
  try {
    await broker.start();
    return await new Soak(broker, options).run();
  } finally {
    await broker.stop("SIGKILL");
    directory.remove();
  }
}

class Soak {
  readonly #broker: BrokerProcess;
  readonly #options: SoakOptions;
  readonly #findings: string[] = [];
  readonly #samples: SoakSample[] = [];
  readonly #requestMs: number[] = [];
  readonly #next: number[] = Array.from({ length: PARTITIONS }, () => 0);
  #slowestMs = 0;
  #produced = 0;
  #consumed = 0;
  #connections = 0;
  #hostileFrames = 0;
  #memberChanges = 0;
  #isOver = false;

  constructor(broker: BrokerProcess, options: SoakOptions) {
    this.#broker = broker;
    this.#options = options;
  }

  async run(): Promise<SoakReport> {
    const { seconds, seed, progress } = this.#options;
    const pid = this.#broker.pid ?? 0;
    await this.#createTopic();
    const started = performance.now();
    const everySeconds = Math.max(1, Math.min(10, seconds / 100));
    const guard = async (name: string, work: () => Promise<void>): Promise<void> => {
      while (!this.#isOver) {
        try {
          await work();
        } catch (error) {
          if (this.#isOver) return;
          this.#findings.push(`${name}: ${error instanceof Error ? error.message : String(error)}`);
          if (this.#findings.length > 20) return;
          await Bun.sleep(1000);
        }
      }
    };
    const works = [
      guard("producer", () => this.#produce(seed)),
      guard("producer", () => this.#produce(seed + 1)),
      guard("probe", () => this.#probe()),
      guard("group", () => this.#consume("steady", Number.POSITIVE_INFINITY)),
      guard("group", () => this.#consume("coming and going", 15_000)),
      guard("churn", () => this.#churn(randomFrom(seed + 2))),
      guard("hostile", () => this.#attack(seed + 3)),
    ];
    while (performance.now() - started < seconds * 1000 && this.#findings.length <= 20) {
      await Bun.sleep(everySeconds * 1000);
      const sample: SoakSample = {
        second: Math.round((performance.now() - started) / 1000),
        ...processFigures(pid),
        slowestMs: this.#slowestMs,
      };
      this.#slowestMs = 0;
      this.#samples.push(sample);
      if (!isAlive(pid)) {
        this.#findings.push(`the broker ended\n${this.#broker.log()}`);
        break;
      }
      if (this.#samples.length % 6 === 0) {
        progress(
          `${sample.second} of ${seconds} s: ${sample.residentMib.toFixed(0)} MiB, ${sample.descriptors} descriptors, ${this.#produced} produced, ${this.#consumed} consumed, ${this.#connections} connections, ${this.#findings.length} found`,
        );
      }
    }
    this.#isOver = true;
    await Promise.race([Promise.allSettled(works), Bun.sleep(15_000)]);
    this.#judge();
    const sorted = this.#requestMs.toSorted((a, b) => a - b);
    const warm = this.#samples.slice(Math.floor(this.#samples.length * WARM_UP));
    return {
      broker: this.#broker.name,
      seconds: Math.round((performance.now() - started) / 1000),
      produced: this.#produced,
      consumed: this.#consumed,
      connections: this.#connections,
      hostileFrames: this.#hostileFrames,
      memberChanges: this.#memberChanges,
      residentSlopeMibPerHour: slopePerHour(warm),
      requestP50Ms: sorted[Math.floor(sorted.length * 0.5)] ?? 0,
      requestP99Ms: sorted[Math.floor(sorted.length * 0.99)] ?? 0,
      samples: this.#samples,
      findings: this.#findings,
    };
  }

  #judge(): void {
    if (this.#consumed === 0) this.#findings.push("the group read nothing");
    if (!this.#options.isGrowthJudged) return;
    const warm = this.#samples.slice(Math.floor(this.#samples.length * WARM_UP));
    const part = Math.max(1, Math.floor(warm.length / 5));
    for (const name of ["residentMib", "descriptors", "threads"] as const) {
      const before = median(warm.slice(0, part).map((sample) => sample[name]));
      const after = median(warm.slice(-part).map((sample) => sample[name]));
      if (after - before > GROWTH[name]) {
        this.#findings.push(`${name} grew from ${before.toFixed(0)} to ${after.toFixed(0)}`);
      }
    }
  }

  async #createTopic(): Promise<void> {
    using wire = await Wire.connect(this.#broker.bootstrap);
    const configs = [
      makeCreatableTopicConfig({ name: "segment.bytes", value: String(4 << 20) }),
      makeCreatableTopicConfig({ name: "retention.bytes", value: String(16 << 20) }),
    ];
    const topic = makeCreatableTopic({
      name: TOPIC,
      numPartitions: PARTITIONS,
      replicationFactor: 1,
      configs,
    });
    await wire.send(
      CreateTopicsApi,
      5,
      makeCreateTopicsRequest({ topics: [topic], timeoutMs: 10_000 }),
    );
  }

  /** Some 300 requests a second of ten records each, a fresh connection every few thousand. */
  async #produce(seed: number): Promise<void> {
    const random = randomFrom(seed);
    using wire = await Wire.connect(this.#broker.bootstrap, "soak-producer");
    this.#connections += 1;
    for (let count = 0; count < 3000 && !this.#isOver; count += 1) {
      const records = encodeRecordBatch({
        timestamp: Date.now(),
        records: Array.from({ length: 10 }, () => ({
          key: null,
          value: new Uint8Array(Math.floor(random() * 1000)),
        })),
      });
      const index = Math.floor(random() * PARTITIONS);
      const answer = await wire.send(
        ProduceApi,
        8,
        makeProduceRequest({
          acks: count % 50 === 0 ? -1 : 1,
          timeoutMs: 10_000,
          topicData: [
            makeTopicProduceData({
              name: TOPIC,
              partitionData: [makePartitionProduceData({ index, records })],
            }),
          ],
        }),
      );
      const code = answer.responses[0]?.partitionResponses[0]?.errorCode;
      if (code !== 0) throw new Error(`Produce: error ${code}`);
      this.#produced += 10;
      await Bun.sleep(3);
    }
  }

  /** The smallest request, all the time: how long the loop takes to come round. */
  async #probe(): Promise<void> {
    using wire = await Wire.connect(this.#broker.bootstrap, "soak-probe");
    this.#connections += 1;
    for (let count = 0; count < 5000 && !this.#isOver; count += 1) {
      const sent = performance.now();
      await wire.send(ApiVersionsApi, 0, makeApiVersionsRequest({}));
      const elapsedMs = performance.now() - sent;
      this.#requestMs.push(elapsedMs);
      this.#slowestMs = Math.max(this.#slowestMs, elapsedMs);
      await Bun.sleep(20);
    }
  }

  /** A member of the group that stays for `stayMs`; gaps within a partition are findings. */
  async #consume(name: string, stayMs: number): Promise<void> {
    const kafka = new Kafka({
      clientId: `soak ${name}`,
      brokers: [this.#broker.bootstrap],
      logLevel: logLevel.NOTHING,
    });
    const consumer = kafka.consumer({
      groupId: "soak",
      sessionTimeout: 10_000,
      heartbeatInterval: 500,
      maxWaitTimeInMs: 200,
    });
    await consumer.connect();
    try {
      await consumer.subscribe({ topics: [TOPIC], fromBeginning: true });
      await consumer.run({
        autoCommitInterval: 500,
        eachBatch: async ({ batch, heartbeat, resolveOffset }) => {
          const first = Number(batch.messages[0]?.offset ?? 0);
          const expected = this.#next[batch.partition] ?? 0;
          if (first > expected && expected > 0) {
            this.#findings.push(
              `partition ${batch.partition}: offsets ${expected} to ${first - 1} were not read`,
            );
          }
          this.#next[batch.partition] = Math.max(expected, Number(batch.lastOffset()) + 1);
          this.#consumed += batch.messages.length;
          resolveOffset(batch.lastOffset());
          await heartbeat();
        },
      });
      const until = performance.now() + stayMs;
      while (!this.#isOver && performance.now() < until) await Bun.sleep(200);
    } finally {
      this.#memberChanges += 1;
      await Promise.race([consumer.disconnect(), Bun.sleep(5000)]);
    }
  }

  /** Connections that open and close: silent, in the middle of a frame, after a request, and reset. */
  async #churn(random: () => number): Promise<void> {
    const port = Number(this.#broker.bootstrap.split(":")[1]);
    const request = Buffer.from("0000000a00120000000000010000", "hex");
    for (let count = 0; count < 1000 && !this.#isOver; count += 1) {
      const socket = connect({ host: "127.0.0.1", port });
      socket.on("error", () => {});
      socket.on("data", () => {});
      await new Promise((resolve) => socket.once("connect", resolve).once("close", resolve));
      this.#connections += 1;
      const kind = Math.floor(random() * 4);
      if (kind === 1) socket.write(request.subarray(0, 9));
      if (kind >= 2) socket.write(request);
      await Bun.sleep(random() * 20);
      if (kind === 3) socket.resetAndDestroy();
      else socket.destroy();
    }
  }

  /** Hostile frames, a few dozen a second. */
  async #attack(seed: number): Promise<void> {
    const address = this.#broker.bootstrap;
    const port = Number(address.split(":")[1]);
    using wire = await Wire.connect(address, "soak");
    const { apiKeys } = await wire.send(ApiVersionsApi, 0, makeApiVersionsRequest({}));
    const served = apiKeys
      .map(({ apiKey, minVersion, maxVersion }) => ({ key: apiKey, minVersion, maxVersion }))
      .filter(({ key }) => apiByKey(key) !== undefined && !CHANGING.has(key));
    const source = new FrameSource(randomFrom(seed), served, [
      { name: "hostile", id: "AAAAAAAAAAAAAAAAAAAAAA" },
    ]);
    while (!this.#isOver) {
      const socket = connect({ host: "127.0.0.1", port });
      socket.on("error", () => {});
      socket.on("data", () => {});
      await new Promise((resolve) => socket.once("connect", resolve).once("close", resolve));
      this.#connections += 1;
      for (let count = 0; count < 3; count += 1) {
        socket.write(source.next().bytes);
        this.#hostileFrames += 1;
        await Bun.sleep(15);
      }
      socket.destroy();
    }
  }
}

/** APIs that change what the soak counts on: topics and configurations. */
const CHANGING: ReadonlySet<number> = new Set([19, 20, 21, 33, 37, 42, 44, 47]);

function slopePerHour(samples: readonly SoakSample[]): number {
  const count = samples.length;
  if (count < 2) return 0;
  const meanX = samples.reduce((sum, { second }) => sum + second, 0) / count;
  const meanY = samples.reduce((sum, { residentMib }) => sum + residentMib, 0) / count;
  let above = 0;
  let below = 0;
  for (const { second, residentMib } of samples) {
    above += (second - meanX) * (residentMib - meanY);
    below += (second - meanX) ** 2;
  }
  return below === 0 ? 0 : (above / below) * 3600;
}

function median(numbers: readonly number[]): number {
  return numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? 0;
}

/** The report for people: figures, and each series as a line of blocks. */
export function describe(report: SoakReport): string {
  const { samples } = report;
  const line = (label: string, unit: string, read: (sample: SoakSample) => number): string => {
    const series = samples.map(read);
    return `${label.padEnd(16)} ${sparkline(series)}  ${Math.min(...series).toFixed(0)} to ${Math.max(...series).toFixed(0)} ${unit}`;
  };
  const cpuSeconds = samples.at(-1)?.cpuSeconds ?? 0;
  return [
    `${report.broker}, ${report.seconds} s: ${report.produced} records produced, ${report.consumed} consumed, ${report.connections} connections, ${report.hostileFrames} hostile frames, ${report.memberChanges} members left`,
    line("memory", "MiB", (sample) => sample.residentMib),
    line("descriptors", "", (sample) => sample.descriptors),
    line("threads", "", (sample) => sample.threads),
    line("slowest request", "ms", (sample) => sample.slowestMs),
    `memory after warm-up changes by ${report.residentSlopeMibPerHour.toFixed(1)} MiB an hour; a small request takes ${report.requestP50Ms.toFixed(2)} ms (p50), ${report.requestP99Ms.toFixed(1)} ms (p99); ${cpuSeconds.toFixed(0)} CPU s`,
    ...report.findings.map((finding) => `FOUND ${finding}`),
    report.findings.length === 0 ? "nothing found" : `${report.findings.length} found`,
  ].join("\n");
}

const BLOCKS = "▁▂▃▄▅▆▇█";

function sparkline(series: readonly number[], width = 60): string {
  const step = Math.max(1, series.length / width);
  const low = Math.min(...series);
  const span = Math.max(...series) - low;
  let text = "";
  for (let at = 0; at < series.length; at += step) {
    const value = series[Math.floor(at)] ?? low;
    text += BLOCKS[span === 0 ? 0 : Math.round(((value - low) / span) * (BLOCKS.length - 1))] ?? "";
  }
  return text;
}
