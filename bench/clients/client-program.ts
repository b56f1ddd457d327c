/**
 * Client programs of others as loads: Java's ProducerPerformance, and librdkafka by way of kcat. Each run makes a topic, lets
 * the program send its records, and compares the log's end with what was sent. The program's CPU is not the broker's: only the
 * broker's is counted, by the same kernel figures as elsewhere.
 */
import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { cpuSecondsOf } from "../groups/usage.ts";
import {
  createTopic,
  deleteTopic,
  endOffsets,
  failed,
  type LoadOptions,
} from "../load-generator.ts";
import { residentMib } from "../machine.ts";
import type { BrokerCost, LatencyMs, LoadResult } from "../record.ts";
import { root, runCommand } from "../systems/system.ts";
import type { ClientProgram, Workload } from "../workloads/workload.ts";

const gibibyte = 2 ** 30;
const mebibyte = 2 ** 20;

/** What a program said of its run. */
export interface ClientFigures {
  readonly elapsedSeconds: number;
  readonly latencyMs: LatencyMs;
}

const noLatency: LatencyMs = { count: 0, mean: 0, p50: 0, p90: 0, p99: 0, p999: 0, max: 0 };

/**
 * Reads the last line of ProducerPerformance: `N records sent, R records/sec (… MB/sec), A ms avg latency, M ms max latency, a ms
 * 50th, b ms 95th, c ms 99th, d ms 99.9th.` It has no 90th percentile: the 95th stands for it.
 */
export function readProducerPerformance(output: string): ClientFigures | null {
  const line = output
    .trim()
    .split("\n")
    .findLast((text) => text.includes("99.9th"));
  if (line === undefined) return null;
  const number = (pattern: RegExp): number => Number(pattern.exec(line)?.[1] ?? Number.NaN);
  const count = number(/(\d+) records sent/);
  const rate = number(/([\d.]+) records\/sec/);
  const latencyMs = {
    count,
    mean: number(/([\d.]+) ms avg/),
    p50: number(/([\d.]+) ms 50th/),
    p90: number(/([\d.]+) ms 95th/),
    p99: number(/([\d.]+) ms 99th/),
    p999: number(/([\d.]+) ms 99\.9th/),
    max: number(/([\d.]+) ms max/),
  };
  const isWhole = [rate, ...Object.values(latencyMs)].every(Number.isFinite) && rate > 0;
  return isWhole ? { elapsedSeconds: count / rate, latencyMs } : null;
}

function toolsDirectory(): string | null {
  const given = process.env["KAFKA_DIR"];
  const places = [
    ...(given === undefined ? [] : [join(given, "libs-tools")]),
    join(root, ".cache/kafka-tools/libs"),
  ];
  const holds = (place: string): boolean =>
    existsSync(place) && readdirSync(place).some((name) => /^kafka-tools-\d.*\.jar$/.test(name));
  return places.find(holds) ?? null;
}

/** Makes a program available; says why that cannot be, else `null`. */
export async function prepareClient(client: ClientProgram): Promise<string | null> {
  if (client === "librdkafka")
    return Bun.which("kcat") === null ? "kcat is not installed (apt-get install kcat)" : null;
  if (Bun.which("java") === null) return "Java is not installed";
  if (toolsDirectory() !== null) return null;
  if (Bun.which("mvn") === null) return "Maven is needed to fetch Kafka's tools";
  const target = join(root, ".cache/kafka-tools/libs");
  mkdirSync(target, { recursive: true });
  const copy = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies";
  const pom = join(import.meta.dir, "pom.xml");
  await runCommand(["mvn", "-q", "-B", "-f", pom, `-DoutputDirectory=${target}`, copy]);
  return null;
}

/** Lines of printable noise, as many as a run sends; kcat sends each line as a record. */
function writeLines(path: string, workload: Workload, seed: number): void {
  if (existsSync(path)) return;
  let state = seed * 0x9e3779b1 || 1;
  const distinct = Array.from({ length: 1000 }, () => {
    let line = "";
    for (let index = 0; index < workload.valueBytes; index++) {
      state = (Math.imul(state, 1103515245) + 12345) >>> 0;
      line += String.fromCharCode(33 + ((state >>> 16) % 94));
    }
    return line;
  });
  const block = `${distinct.join("\n")}\n`;
  writeFileSync(path, block.repeat(Math.ceil(workload.records / distinct.length)));
}

async function sendRecords(
  workload: Workload,
  options: LoadOptions,
  topic: string,
  records: number,
  directory: string,
): Promise<ClientFigures> {
  const acks = workload.acks === -1 ? "all" : String(workload.acks);
  if (workload.client === "java") {
    const settings = [`bootstrap.servers=${options.bootstrap}`, `acks=${acks}`];
    const runtime = ["java", "-Xmx512m", "-XX:+UseG1GC", "-cp", `${toolsDirectory() ?? ""}/*`];
    const load = ["--topic", topic, "--num-records", String(records), "--throughput", "-1"];
    const output = await runCommand([
      ...runtime,
      "org.apache.kafka.tools.ProducerPerformance",
      ...load,
      "--record-size",
      String(workload.valueBytes),
      "--producer-props",
      ...settings,
      "batch.size=131072",
      "linger.ms=5",
    ]);
    const figures = readProducerPerformance(output);
    if (figures === null) throw new Error(`ProducerPerformance said: ${output.slice(-300)}`);
    return figures;
  }
  const lines = join(directory, `lines-${workload.valueBytes}-${records}`);
  writeLines(lines, { ...workload, records }, options.seed);
  const startedMs = performance.now();
  const target = ["-b", options.bootstrap, "-t", topic];
  await runCommand(["kcat", "-P", ...target, "-X", `acks=${acks}`, "-l", lines]);
  return { elapsedSeconds: (performance.now() - startedMs) / 1000, latencyMs: noLatency };
}

/** What the brokers used, in the form of the generator's record. */
export function brokerCost(
  cpuSeconds: number,
  load: Pick<LoadResult, "elapsedSeconds" | "records" | "valueBytes">,
  memory: { readonly now: number; readonly peak: number },
): BrokerCost {
  const perGib = cpuSeconds / (load.valueBytes / gibibyte);
  return {
    cpuSeconds,
    userCpuSeconds: 0,
    systemCpuSeconds: 0,
    cores: cpuSeconds / load.elapsedSeconds,
    cpuSecondsPerValueGib: perGib,
    cpuSecondsPerWireGib: perGib,
    cpuSecondsPer100kRequests: cpuSeconds / (load.records / 1e5),
    cpuSecondsPerMillionRecords: cpuSeconds / (load.records / 1e6),
    residentMib: memory.now,
    peakResidentMib: memory.peak,
  };
}

/** Runs a client once. Never throws for a failed run. `directory` is for what the client reads; `share` of the records is sent. */
export async function runClient(
  workload: Workload,
  options: LoadOptions,
  directory: string,
  share = 1,
): Promise<LoadResult> {
  const topic = `client-${process.pid}-${Date.now()}`;
  const records = Math.max(1000, Math.round((workload.records * share) / 1000) * 1000);
  const pids = options.pids ?? [];
  const cpu = (): number => pids.reduce((sum, pid) => sum + cpuSecondsOf(pid), 0);
  try {
    const { bootstrap } = options;
    const made = await createTopic(bootstrap, topic, workload.partitions, options.topicConfig);
    if (!made.isValid) throw new Error(made.firstError ?? "the topic was not made");
    try {
      const before = cpu();
      const figures = await sendRecords(workload, options, topic, records, directory);
      const cpuSeconds = cpu() - before;
      const ends = await endOffsets(bootstrap, topic, workload.partitions);
      const logged = ends.reduce((sum, end) => sum + end, 0);
      if (logged !== records) throw new Error(`${records} records sent, the log has ${logged}`);
      const { elapsedSeconds, latencyMs } = figures;
      const load = { elapsedSeconds, records, valueBytes: records * workload.valueBytes };
      return {
        ...failed,
        ...load,
        isValid: true,
        errors: 0,
        requests: records,
        wireBytes: load.valueBytes,
        requestsPerSecond: records / elapsedSeconds,
        recordsPerSecond: records / elapsedSeconds,
        valueMibPerSecond: load.valueBytes / mebibyte / elapsedSeconds,
        wireMibPerSecond: load.valueBytes / mebibyte / elapsedSeconds,
        latencyMs,
        ...(pids.length > 0 ? { broker: brokerCost(cpuSeconds, load, residentMib(pids)) } : {}),
      };
    } finally {
      await deleteTopic(bootstrap, topic);
    }
  } catch (error) {
    return { ...failed, firstError: error instanceof Error ? error.message : String(error) };
  }
}
