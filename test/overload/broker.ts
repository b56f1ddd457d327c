/**
 * The broker under test: a process of Sluice's or of Kafka's, a topic in it, and a healthy client whose rounds are collected.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  CreateTopicsApi,
  makeCreatableTopic,
  makeCreatableTopicConfig,
  makeCreateTopicsRequest,
} from "#protocol/generated/create-topics.ts";
import { Wire } from "../differential/wire.ts";
import { type BrokerProcess, kafkaBroker, ROOT, sluiceBroker } from "../support/broker-process.ts";
import { processFigures } from "../support/process-figures.ts";

/** Which broker, and where its jars are. */
export interface Target {
  /** Directory with Kafka's jars; null for Sluice. */
  readonly kafkaLibraries: string | null;
  /** Broker settings for every scenario. */
  readonly overrides?: Readonly<Record<string, string>>;
}

/** A time with its figures. */
export interface Window {
  readonly rounds: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
  /** Processors kept busy by the broker, 1 is one. */
  readonly cpu: number;
}

/** Options of one start. */
export interface SetupOptions {
  readonly overrides?: Readonly<Record<string, string>>;
  /** In front of the command, as `prlimit`. */
  readonly wrapper?: readonly string[];
}

/** A broker under load. */
export class Subject implements AsyncDisposable {
  readonly broker: BrokerProcess;
  readonly address: string;
  readonly pid: number;
  readonly #directory: string;
  readonly #healthy: Bun.Subprocess<"ignore", "pipe", "inherit">;
  readonly #rounds: [number, number][] = [];

  private constructor(broker: BrokerProcess, directory: string, topic: string) {
    this.broker = broker;
    this.address = broker.bootstrap;
    this.pid = broker.pid ?? 0;
    this.#directory = directory;
    this.#healthy = Bun.spawn(
      [process.execPath, join(import.meta.dir, "healthy-client.ts"), broker.bootstrap, topic],
      { cwd: ROOT, stdin: "ignore", stdout: "pipe", stderr: "inherit" },
    );
    void this.#collect();
  }

  /** Starts everything; the healthy client is at work when this settles. */
  static async start(target: Target, options: SetupOptions = {}): Promise<Subject> {
    const directory = await mkdtemp(join(tmpdir(), "sluice-overload-"));
    const launch = {
      directory,
      overrides: { ...target.overrides, ...options.overrides },
      ...(options.wrapper === undefined ? {} : { wrapper: options.wrapper }),
    };
    const broker =
      target.kafkaLibraries === null
        ? await sluiceBroker(launch)
        : await kafkaBroker(target.kafkaLibraries, launch);
    await broker.start();
    await createTopic(broker.bootstrap, "healthy");
    const subject = new Subject(broker, directory, "healthy");
    await subject.until(() => subject.#rounds.length > 100, 60_000);
    return subject;
  }

  /** Resident memory now, MiB. */
  get residentMib(): number {
    return processFigures(this.pid).residentMib;
  }

  /** Open descriptors now. */
  get descriptors(): number {
    return processFigures(this.pid).descriptors;
  }

  /** Rounds of the healthy client so far. */
  get roundCount(): number {
    return this.#rounds.length;
  }

  /** Measures for `durationMs`, or as long as `work` takes. */
  async measure(work: number | (() => Promise<void>)): Promise<Window> {
    const from = Date.now();
    const cpuBefore = processFigures(this.pid).cpuSeconds;
    await (typeof work === "number" ? Bun.sleep(work) : work());
    const seconds = (Date.now() - from) / 1000;
    const cpu = (processFigures(this.pid).cpuSeconds - cpuBefore) / seconds;
    const until = Date.now();
    // What the client has not told yet, and a round that is still waiting.
    await Bun.sleep(500);
    const took = this.#rounds
      .filter(([at, ms]) => at - ms <= until && at >= from)
      .map(([, ms]) => ms)
      .sort((left, right) => left - right);
    const quantile = (share: number): number =>
      took[Math.min(took.length - 1, Math.floor(took.length * share))] ?? Number.POSITIVE_INFINITY;
    return {
      rounds: took.length,
      p50Ms: quantile(0.5),
      p99Ms: quantile(0.99),
      maxMs: took.at(-1) ?? Number.POSITIVE_INFINITY,
      cpu,
    };
  }

  /** Waits for a condition; false when it did not come in time. */
  async until(condition: () => boolean, timeoutMs: number): Promise<boolean> {
    const deadline = performance.now() + timeoutMs;
    while (!condition()) {
      if (performance.now() > deadline) return false;
      await Bun.sleep(20);
    }
    return true;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#healthy.kill("SIGKILL");
    await this.broker.stop("SIGKILL");
    await rm(this.#directory, { recursive: true, force: true });
  }

  async #collect(): Promise<void> {
    let rest = "";
    const decoder = new TextDecoder();
    for await (const chunk of this.#healthy.stdout) {
      const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) this.#rounds.push(...(JSON.parse(line) as [number, number][]));
    }
  }
}

/** Creates a topic of `partitionCount` partitions. */
export async function createTopic(
  address: string,
  name: string,
  partitionCount = 1,
  configs: Readonly<Record<string, string>> = {},
): Promise<void> {
  using wire = await Wire.connect(address);
  const request = makeCreateTopicsRequest({
    timeoutMs: 60_000,
    topics: [
      makeCreatableTopic({
        name,
        numPartitions: partitionCount,
        replicationFactor: 1,
        configs: Object.entries(configs).map(([key, value]) =>
          makeCreatableTopicConfig({ name: key, value }),
        ),
      }),
    ],
  });
  const answer = await wire.send(CreateTopicsApi, 5, request);
  const errorCode = answer.topics[0]?.errorCode;
  if (errorCode !== 0) throw new Error(`create ${name}: error ${errorCode}`);
  await Bun.sleep(500);
}
