/**
 * One run of the broker fuzzer: the broker as a process, connections that each have one frame under way, a client that behaves, and
 * somebody who puts back the topics that frames delete. See `broker.ts` for the rules.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { apiByKey } from "#protocol/apis.ts";
import { Reader } from "#protocol/codec/reader.ts";
import { ApiVersionsApi, makeApiVersionsRequest } from "#protocol/generated/api-versions.ts";
import {
  CreateTopicsApi,
  makeCreatableTopic,
  makeCreateTopicsRequest,
} from "#protocol/generated/create-topics.ts";
import {
  FetchApi,
  makeFetchPartition,
  makeFetchRequest,
  makeFetchTopic,
} from "#protocol/generated/fetch.ts";
import {
  makeMetadataRequest,
  makeMetadataRequestTopic,
  MetadataApi,
} from "#protocol/generated/metadata.ts";
import {
  makePartitionProduceData,
  makeProduceRequest,
  makeTopicProduceData,
  ProduceApi,
} from "#protocol/generated/produce.ts";
import { decodeResponseHeader } from "#protocol/headers.ts";
import { encodeRecordBatch } from "#protocol/records/record-batch.ts";
import { Wire } from "../differential/wire.ts";
import { randomFrom } from "../golden/damage.ts";
import { type BrokerProcess, kafkaBroker, sluiceBroker } from "../support/broker-process.ts";
import { freePort, temporaryDirectory, until } from "../support/process.ts";
import { isAlive, processFigures } from "../support/process-figures.ts";
import { type Frame, FrameSource, type LiveTopic, type ServedApi } from "./frames.ts";

/** What to run. */
export interface FuzzOptions {
  readonly frames: number;
  readonly seed: number;
  readonly connections: number;
  /** A frame that is neither answered nor closed within this is a finding; also what the healthy client may wait. */
  readonly deadlineMs: number;
  /** Resident memory may grow by this after warm-up. */
  readonly growthMib: number;
  /** Broker threads. */
  readonly threads: number;
  /** Directory of Kafka's jars to run real Kafka instead; null for Sluice. */
  readonly kafkaLibraries: string | null;
  readonly progress: (line: string) => void;
}

/** How a run went. */
export interface FuzzReport {
  readonly seed: number;
  readonly frames: number;
  readonly seconds: number;
  readonly pairs: number;
  readonly outcomes: Record<Outcome, number>;
  readonly slowestMs: number;
  readonly probes: number;
  readonly probeSlowestMs: number;
  readonly residentMib: { readonly warm: number; readonly end: number; readonly peak: number };
  readonly descriptors: { readonly warm: number; readonly end: number };
  /** Answers with error -1, by API and version. */
  readonly unknownErrors: Readonly<Record<string, number>>;
  readonly findings: readonly string[];
}

type Outcome = "answered" | "closed" | "waited" | "unanswered";

/** Every destination address has ports of its own, so that closed connections do not use them up. Kafka is asked at one. */
const ADDRESSES = 200;
/** Part of the frames after which memory is looked at for the first time. */
const WARM_UP = 0.1;
/** How long a frame that may wait is looked at before the next one is sent. */
const WAIT_LOOK_MS = 5;
const FINDINGS_MAX = 20;
const PROBE_TOPIC = "behaves";
const LARGEST_ANSWER = 64 << 20;

/** Sends one frame to a fresh broker and tells what came back. */
export async function replay(hex: string, kafkaLibraries: string | null): Promise<string> {
  const directory = temporaryDirectory("fuzz");
  const broker = await launch(directory.path, kafkaLibraries, 1);
  try {
    await broker.start();
    const port = portOf(broker);
    const topics = await makeTopics(port);
    void topics;
    const bytes = Uint8Array.from(Buffer.from(hex, "hex"));
    const apiKey = new DataView(bytes.buffer).getInt16(4);
    const apiVersion = new DataView(bytes.buffer).getInt16(6);
    const connection = new FuzzConnection(port, 0, 1);
    const started = performance.now();
    const answer = await connection.exchange({ bytes, apiKey, apiVersion, patience: "none" }, 5000);
    connection.drop();
    const elapsed = (performance.now() - started).toFixed(1);
    const detail =
      answer.kind === "answered" ? Buffer.from(answer.frame).toString("hex") : answer.kind;
    return `${elapsed} ms: ${detail}\n${broker.log()}`;
  } finally {
    await broker.stop("SIGKILL");
    directory.remove();
  }
}

/** Runs until the frames are sent or the findings are too many to go on. */
export async function fuzzBroker(options: FuzzOptions): Promise<FuzzReport> {
  const directory = temporaryDirectory("fuzz");
  const broker = await launch(directory.path, options.kafkaLibraries, options.threads);
  const findings: string[] = [];
  try {
    await broker.start();
    const report = await new Run(broker, options, findings).run();
    await checkEnd(broker, join(directory.path, "broker.log"), options, findings);
    return { ...report, findings };
  } finally {
    await broker.stop("SIGKILL");
    if (findings.length === 0) directory.remove();
    else options.progress(`the directory of the run is kept: ${directory.path}\n`);
  }
}

class Run {
  readonly #broker: BrokerProcess;
  readonly #options: FuzzOptions;
  readonly #findings: string[];
  readonly #port: number;
  readonly #outcomes: Record<Outcome, number> = {
    answered: 0,
    closed: 0,
    waited: 0,
    unanswered: 0,
  };
  readonly #unknownErrors: Record<string, number> = {};
  #sent = 0;
  #slowestMs = 0;
  #probes = 0;
  #probeSlowestMs = 0;
  #isOver = false;

  constructor(broker: BrokerProcess, options: FuzzOptions, findings: string[]) {
    this.#broker = broker;
    this.#options = options;
    this.#findings = findings;
    this.#port = portOf(broker);
  }

  async run(): Promise<Omit<FuzzReport, "findings">> {
    const options = this.#options;
    const started = performance.now();
    const served = await servedApis(this.#port);
    const topics = await makeTopics(this.#port);
    const source = new FrameSource(randomFrom(options.seed), served, topics);
    const pid = this.#broker.pid ?? 0;
    const warm = { resident: 0, descriptors: 0 };
    let peak = 0;
    const ticker = setInterval(() => {
      const figures = processFigures(pid);
      const resident = figures.residentMib;
      peak = Math.max(peak, resident);
      if (warm.resident === 0 && this.#sent >= options.frames * WARM_UP) {
        warm.resident = resident;
        warm.descriptors = figures.descriptors;
      }
      const rate = this.#sent / ((performance.now() - started) / 1000);
      options.progress(
        `${this.#sent} of ${options.frames} frames, ${rate.toFixed(0)} a second, ${resident.toFixed(0)} MiB, ${this.#findings.length} found`,
      );
    }, 2000);
    const others = [this.#behave(), this.#restoreTopics(topics)];
    const workers = Array.from({ length: options.connections }, (_, index) =>
      this.#work(source, index),
    );
    await Promise.all(workers);
    this.#isOver = true;
    await Promise.all(others);
    clearInterval(ticker);
    // What the last frames left behind is given back before the second look.
    await Bun.sleep(500);
    const last = processFigures(pid);
    const end = last.residentMib;
    peak = Math.max(peak, end);
    const warmMib = warm.resident === 0 ? end : warm.resident;
    if (end > 0 && end - warmMib > options.growthMib) {
      this.#find(`memory grew from ${warmMib.toFixed(0)} to ${end.toFixed(0)} MiB`);
    }
    return {
      seed: options.seed,
      frames: this.#sent,
      seconds: (performance.now() - started) / 1000,
      pairs: source.pairCount,
      outcomes: this.#outcomes,
      slowestMs: this.#slowestMs,
      probes: this.#probes,
      probeSlowestMs: this.#probeSlowestMs,
      residentMib: { warm: warmMib, end, peak },
      descriptors: { warm: warm.descriptors, end: last.descriptors },
      unknownErrors: this.#unknownErrors,
    };
  }

  async #work(source: FrameSource, index: number): Promise<void> {
    const connection = new FuzzConnection(
      this.#port,
      index,
      this.#options.kafkaLibraries === null ? ADDRESSES : 1,
    );
    const { frames, deadlineMs } = this.#options;
    while (this.#sent < frames && this.#findings.length < FINDINGS_MAX) {
      this.#sent += 1;
      const frame = source.next();
      const started = performance.now();
      try {
        const answer = await connection.exchange(
          frame,
          frame.patience === "none" ? deadlineMs : WAIT_LOOK_MS,
        );
        this.#judge(frame, answer, performance.now() - started);
      } catch (error) {
        if (this.#broker.pid === null || !isAlive(this.#broker.pid)) {
          this.#find(`the broker ended\n${this.#broker.log()}`);
          return;
        }
        this.#find(`no connection: ${String(error)}`);
      }
    }
    connection.drop();
  }

  #judge(frame: Frame, answer: Answer, elapsedMs: number): void {
    if (answer.kind === "silence") {
      if (frame.patience === "none") this.#find(`no answer: ${replayLine(frame)}`);
      this.#outcomes[frame.patience === "no answer" ? "unanswered" : "waited"] += 1;
      return;
    }
    this.#slowestMs = Math.max(this.#slowestMs, elapsedMs);
    this.#outcomes[answer.kind] += 1;
    if (answer.kind === "answered" && hasUnknownError(frame, answer.frame)) {
      const name = `${apiByKey(frame.apiKey)?.name ?? frame.apiKey} v${frame.apiVersion}`;
      this.#unknownErrors[name] = (this.#unknownErrors[name] ?? 0) + 1;
    }
  }

  /** A client that behaves: what it writes is acknowledged and read back, all the time. */
  async #behave(): Promise<void> {
    await create(this.#port, PROBE_TOPIC, 1);
    let offset = 0;
    while (!this.#isOver) {
      const started = performance.now();
      try {
        using wire = await Wire.connect(`127.0.0.1:${this.#port}`, "behaves");
        for (let count = 0; count < 50 && !this.#isOver; count += 1) {
          const sent = performance.now();
          offset = await produceAndFetch(wire, offset);
          this.#probes += 1;
          this.#probeSlowestMs = Math.max(this.#probeSlowestMs, performance.now() - sent);
          await Bun.sleep(20);
        }
      } catch (error) {
        if (this.#isOver) return;
        this.#find(`a client that behaves was not served: ${String(error)}`);
        if (this.#findings.length >= FINDINGS_MAX) return;
      }
      if (performance.now() - started > 30_000) this.#find("a client that behaves waited for 30 s");
    }
  }

  /** Puts back what frames deleted, and learns the new ids. */
  async #restoreTopics(topics: readonly LiveTopic[]): Promise<void> {
    while (!this.#isOver) {
      await Bun.sleep(200);
      try {
        await refreshTopics(this.#port, topics);
      } catch {
        // The workers and the client that behaves find out whether the broker is gone.
      }
    }
  }

  #find(what: string): void {
    if (this.#findings.length < FINDINGS_MAX) this.#findings.push(what);
  }
}

function replayLine(frame: Frame): string {
  const api = apiByKey(frame.apiKey)?.name ?? String(frame.apiKey);
  return `${api} v${frame.apiVersion} --replay ${Buffer.from(frame.bytes).toString("hex")}`;
}

type Answer =
  | { readonly kind: "answered"; readonly frame: Uint8Array }
  | { readonly kind: "closed" }
  | { readonly kind: "silence" };

/** A connection that is opened again whenever the broker closed it. */
class FuzzConnection {
  readonly #port: number;
  readonly #index: number;
  readonly #addresses: number;
  #socket: Bun.Socket | null = null;
  #opened = 0;
  #received: Uint8Array[] = [];
  #receivedBytes = 0;
  #settle: ((answer: Answer) => void) | null = null;

  constructor(port: number, index: number, addresses: number) {
    this.#port = port;
    this.#index = index;
    this.#addresses = addresses;
  }

  /** Sends a frame and waits for its answer, the end of the connection, or `patienceMs`. */
  async exchange(frame: Frame, patienceMs: number): Promise<Answer> {
    this.#socket ??= await this.#open();
    const socket = this.#socket;
    this.#received = [];
    this.#receivedBytes = 0;
    const answer = new Promise<Answer>((resolve) => {
      this.#settle = resolve;
    });
    const timer = setTimeout(() => this.#finish({ kind: "silence" }), patienceMs);
    socket.write(frame.bytes);
    const result = await answer;
    clearTimeout(timer);
    if (result.kind === "silence") this.drop();
    return result;
  }

  /** Closes it; the next exchange opens a new one. */
  drop(): void {
    this.#socket?.terminate();
    this.#socket = null;
  }

  #open(): Promise<Bun.Socket> {
    const host = ((this.#index * 7 + this.#opened) % this.#addresses) + 1;
    this.#opened += 1;
    return Bun.connect({
      hostname: `127.0.0.${host}`,
      port: this.#port,
      socket: {
        binaryType: "uint8array",
        data: (socket, chunk) => this.#take(socket, chunk),
        close: (socket) => this.#ended(socket),
        error: (socket) => this.#ended(socket),
      },
    });
  }

  #take(socket: Bun.Socket, chunk: Uint8Array): void {
    if (socket !== this.#socket) return;
    this.#received.push(chunk.slice());
    this.#receivedBytes += chunk.length;
    if (this.#receivedBytes < 4) return;
    const all = Buffer.concat(this.#received);
    this.#received = [all];
    const length = all.readInt32BE(0);
    if (length < 4 || length > LARGEST_ANSWER) throw new Error(`an answer of ${length} bytes`);
    if (all.length >= 4 + length) this.#finish({ kind: "answered", frame: all.subarray(4) });
  }

  #ended(socket: Bun.Socket): void {
    if (socket !== this.#socket) return;
    this.#socket = null;
    this.#finish({ kind: "closed" });
  }

  #finish(answer: Answer): void {
    const settle = this.#settle;
    this.#settle = null;
    settle?.(answer);
  }
}

// ---- the broker

async function launch(
  directory: string,
  kafkaLibraries: string | null,
  threads: number,
): Promise<BrokerProcess> {
  const port = await freePort();
  const listeners = {
    "advertised.listeners": `PLAINTEXT://127.0.0.1:${port}`,
    "log.segment.bytes": String(1 << 20),
    "log.retention.bytes": String(4 << 20),
    "log.retention.check.interval.ms": "1000",
  };
  if (kafkaLibraries !== null) {
    return await kafkaBroker(kafkaLibraries, { directory, port, overrides: listeners });
  }
  return await sluiceBroker({
    directory,
    port,
    overrides: {
      ...listeners,
      listeners: `PLAINTEXT://0.0.0.0:${port}`,
      "num.network.threads": String(threads),
    },
  });
}

function portOf(broker: BrokerProcess): number {
  return Number(broker.bootstrap.split(":")[1]);
}

async function servedApis(port: number): Promise<ServedApi[]> {
  using wire = await Wire.connect(`127.0.0.1:${port}`);
  const { apiKeys } = await wire.send(
    ApiVersionsApi,
    3,
    makeApiVersionsRequest({
      clientSoftwareName: "fuzz",
      clientSoftwareVersion: "1",
    }),
  );
  return apiKeys
    .map(({ apiKey, minVersion, maxVersion }) => ({ key: apiKey, minVersion, maxVersion }))
    .filter(({ key }) => apiByKey(key) !== undefined);
}

async function create(port: number, name: string, numPartitions: number): Promise<void> {
  using wire = await Wire.connect(`127.0.0.1:${port}`);
  const topic = makeCreatableTopic({ name, numPartitions, replicationFactor: 1 });
  await wire.send(
    CreateTopicsApi,
    5,
    makeCreateTopicsRequest({ topics: [topic], timeoutMs: 10_000 }),
  );
}

async function makeTopics(port: number): Promise<LiveTopic[]> {
  const topics = ["fuzz-a", "fuzz-b", "fuzz-c"].map((name) => ({ name, id: "" }));
  await until(
    async () => {
      await refreshTopics(port, topics);
      return topics.every(({ id }) => id !== "");
    },
    10_000,
    () => "the topics of the fuzzer cannot be made",
  );
  return topics;
}

async function refreshTopics(port: number, topics: readonly LiveTopic[]): Promise<void> {
  using wire = await Wire.connect(`127.0.0.1:${port}`);
  const answer = await wire.send(
    MetadataApi,
    12,
    makeMetadataRequest({
      topics: topics.map(({ name }) => makeMetadataRequestTopic({ name })),
      allowAutoTopicCreation: false,
    }),
  );
  for (const topic of topics) {
    const found = answer.topics.find(({ name }) => name === topic.name);
    if (found?.errorCode === 0) topic.id = found.topicId;
    else await create(port, topic.name, 3);
  }
}

/** Writes one record and reads it back; returns the next offset. */
async function produceAndFetch(wire: Wire, offset: number): Promise<number> {
  const records = encodeRecordBatch({
    records: [{ key: null, value: Uint8Array.from([1, 2, 3]) }],
    timestamp: Date.now(),
  });
  const produced = await wire.send(
    ProduceApi,
    8,
    makeProduceRequest({
      acks: 1,
      timeoutMs: 1000,
      topicData: [
        makeTopicProduceData({
          name: PROBE_TOPIC,
          partitionData: [makePartitionProduceData({ index: 0, records })],
        }),
      ],
    }),
  );
  const partition = produced.responses[0]?.partitionResponses[0];
  if (partition?.errorCode === 3) {
    return offset;
  }
  if (partition?.errorCode !== 0) throw new Error(`Produce: error ${partition?.errorCode}`);
  const fetched = await wire.send(
    FetchApi,
    11,
    makeFetchRequest({
      maxWaitMs: 100,
      minBytes: 1,
      maxBytes: 1 << 16,
      topics: [
        makeFetchTopic({
          topic: PROBE_TOPIC,
          partitions: [
            makeFetchPartition({ fetchOffset: partition.baseOffset, partitionMaxBytes: 1 << 16 }),
          ],
        }),
      ],
    }),
  );
  const read = fetched.responses[0]?.partitions[0];
  if (read?.errorCode !== 0 || !(read.records instanceof Uint8Array) || read.records.length === 0) {
    throw new Error(`Fetch: error ${read?.errorCode}, or no records`);
  }
  return partition.baseOffset + 1;
}

/** After the frames: no exception was logged, the broker stops when told, and serves again on what is left. */
async function checkEnd(
  broker: BrokerProcess,
  logFile: string,
  options: FuzzOptions,
  findings: string[],
): Promise<void> {
  if (options.kafkaLibraries !== null) return;
  const pattern = /^\s+at |panicked|AssertionError|\bfailed: /;
  const lines = readFileSync(logFile, "utf8").split("\n");
  const at = lines.findIndex((line) => pattern.test(line));
  if (at >= 0)
    findings.push(
      `the log tells of an exception:\n${lines.slice(Math.max(0, at - 3), at + 6).join("\n")}`,
    );
  const stopMs = await broker.stop("SIGTERM");
  if (stopMs > 20_000) findings.push(`stopping took ${stopMs.toFixed(0)} ms`);
  try {
    await broker.start();
    await servedApis(portOf(broker));
  } catch (error) {
    findings.push(`no start on what the run left: ${String(error)}`);
  }
}

// ---- answers

function hasUnknownError(frame: Frame, answer: Uint8Array): boolean {
  const api = apiByKey(frame.apiKey);
  if (api === undefined || frame.apiVersion < api.minVersion || frame.apiVersion > api.maxVersion) {
    return false;
  }
  const reader = new Reader(answer);
  decodeResponseHeader(reader, frame.apiKey, frame.apiVersion);
  const message = api.response.decode(reader, frame.apiVersion);
  return reader.failure === null && mentionsUnknownError(message);
}

function mentionsUnknownError(value: unknown): boolean {
  if (typeof value !== "object" || value === null || value instanceof Uint8Array) return false;
  if (Array.isArray(value)) return value.some(mentionsUnknownError);
  return Object.entries(value).some(
    ([name, field]) => (name === "errorCode" && field === -1) || mentionsUnknownError(field),
  );
}
