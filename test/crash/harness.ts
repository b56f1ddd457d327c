/**
 * Stops and starts a broker under verifying load, again and again. Every choice (how long to wait, which signal, whether to strike while the broker
 * is still starting) comes from the seed, so that a failing run names what to run again; the timing inside the broker still varies.
 */
import { existsSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import {
  makePartitionProduceData,
  makeProduceRequest,
  makeTopicProduceData,
  ProduceApi,
} from "#protocol/generated/produce.ts";
import { encodeRecordBatch } from "#protocol/records/record-batch.ts";
import type { BrokerProcess } from "../support/broker-process.ts";
import { until } from "../support/process.ts";
import { CommitChecker, LogChecker } from "./checkers.ts";
import { CrashConsumer } from "./group-consumer.ts";
import { CrashProducer, createTopic, insist, readCommitted, readLog } from "./load.ts";
import { SideLoad } from "./side-load.ts";

/** Broker settings under which deletions by retention come often enough to be met by a stop. */
export const CRASH_SETTINGS: Readonly<Record<string, string>> = {
  "log.retention.check.interval.ms": "300",
};

/** How hard and how long. */
export interface CrashOptions {
  readonly cycles: number;
  readonly seed: number;
  readonly producers?: number;
  readonly partitions?: number;
  /** Every n-th cycle also strikes the broker while it recovers from a full check of its logs; 0 never. */
  readonly strikeStartEvery?: number;
  /** Data beside the load that makes recovery long enough to be struck; 32 MiB unless given. */
  readonly ballastMegabytes?: number;
  /** Topics, bare commits, DeleteRecords and retention run beside the producers (default). */
  readonly hasSideLoad?: boolean;
  /** Several batches of one partition in flight (default), or one at a time as real Kafka needs it. */
  readonly isPipelined?: boolean;
  /** The group must have read everything at the end (default); kafkajs does not find back to a Kafka that was away for long. */
  readonly mustCatchUp?: boolean;
  readonly say?: (line: string) => void;
}

/** What a run showed; no findings means that every promise was kept. */
export interface CrashReport {
  readonly findings: readonly string[];
  readonly acknowledged: number;
  readonly requestsAgain: number;
  readonly consumed: number;
  /** Kills that met the broker's recovery threads at work, of those that were meant to. */
  readonly strikes: { readonly meant: number; readonly inRecovery: number };
  /** Kills that met a clean stop before it was done, of those that were meant to. */
  readonly cutStops: { readonly meant: number; readonly beforeTheEnd: number };
  /** Segment files at the end. */
  readonly segments: number;
  /** What the side load had acknowledged. */
  readonly side: string;
  readonly restartMs: { readonly clean: readonly number[]; readonly killed: readonly number[] };
}

/** A small seeded generator (mulberry32) of numbers in [0, 1). */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/** Runs the cycles on a broker that is not running yet, and leaves it stopped. */
export async function runCrashes(
  broker: BrokerProcess,
  options: CrashOptions,
): Promise<CrashReport> {
  const {
    cycles,
    seed,
    producers: producerCount = 3,
    partitions = 3,
    strikeStartEvery = 4,
  } = options;
  const say = options.say ?? ((): void => {});
  const random = seededRandom(seed);
  const log = new LogChecker();
  const commits = new CommitChecker();
  const findings: string[] = [];
  const restartMs: { clean: number[]; killed: number[] } = { clean: [], killed: [] };
  const topic = `crash-${seed}`;
  const group = `crash-group-${seed}`;
  const address = broker.bootstrap;
  say(
    `${broker.name}: ${cycles} cycles, seed ${seed}; first start ${Math.round(await broker.start())} ms`,
  );
  await createTopic(address, topic, partitions, { "segment.ms": "500" });
  if (strikeStartEvery > 0) await fill(address, `${topic}-ballast`, options.ballastMegabytes ?? 32);
  const strikes = { meant: 0, inRecovery: 0 };
  const cutStops = { meant: 0, beforeTheEnd: 0 };
  const side = (options.hasSideLoad ?? true) ? new SideLoad(address, topic) : null;
  await side?.start();
  const producers = Array.from(
    { length: producerCount },
    (_, at) =>
      new CrashProducer({
        name: `p${at}`,
        where: address,
        topic,
        partitions: Array.from({ length: partitions }, (__, partition) => partition),
        checker: log,
        random: seededRandom(seed * 31 + at),
        isPipelined: options.isPipelined ?? true,
      }),
  );
  const runs = producers.map(async (producer) => {
    try {
      await producer.run();
    } catch (error) {
      findings.push(error instanceof Error ? error.message : String(error));
    }
  });
  const consumer = new CrashConsumer([address], group, topic, log, commits);
  await consumer.start();

  const judge = async (when: string): Promise<void> => {
    // The load goes on meanwhile: what the log must hold is what was acknowledged or seen before the reading began.
    for (let partition = 0; partition < partitions; partition += 1) {
      const promised = log.promises(partition);
      const found = log.check(partition, await readLog(address, topic, partition), promised);
      findings.push(...found.map((finding) => `${when}: ${finding}`));
    }
    const promised = commits.promises();
    const held = await readCommitted(address, group, topic, partitions);
    findings.push(
      ...held
        .flatMap((offset, partition) => commits.check(partition, offset, promised))
        .map((finding) => `${when}: ${finding}`),
    );
    findings.push(...((await side?.judge()) ?? []).map((finding) => `${when}: ${finding}`));
  };
  const progress = async (wanted: number, what: string): Promise<void> => {
    const from = log.acknowledgedCount;
    await until(
      () => findings.length > 0 || log.acknowledgedCount >= from + wanted,
      60_000,
      () =>
        `${what}: only ${log.acknowledgedCount - from} records acknowledged in 60 s\n${broker.log()}`,
    );
  };

  try {
    await progress(200, "first start");
    for (let cycle = 1; cycle <= cycles && findings.length === 0; cycle += 1) {
      const isKill = cycle % 2 === 0;
      await Bun.sleep(100 + random() * 900);
      let struck = "";
      let stopMs = 0;
      if (cycle % 4 === 3) {
        // A clean stop that is not let finish.
        cutStops.meant += 1;
        const { pid } = broker;
        const afterMs = random() * 40;
        if (pid !== null) process.kill(pid, "SIGTERM");
        await Bun.sleep(afterMs);
        if (pid !== null && existsSync(`/proc/${pid}/cwd`)) cutStops.beforeTheEnd += 1;
        stopMs = await broker.stop("SIGKILL");
        struck = `, killed ${Math.round(afterMs)} ms later`;
      } else stopMs = await broker.stop(isKill ? "SIGKILL" : "SIGTERM");
      if (strikeStartEvery > 0 && cycle % strikeStartEvery === 0) {
        strikes.meant += 1;
        // Without recovery points everything is checked again.
        rmSync(join(broker.dataDirectory, "recovery-point-offset-checkpoint"), { force: true });
        let isInRecovery = false;
        // How long recovery takes is the machine's to say: a strike that comes too late is tried again, sooner.
        for (let latestMs = 60; latestMs >= 1 && !isInRecovery; latestMs /= 3) {
          broker.launch();
          isInRecovery = await strikeRecovery(broker, random() * latestMs);
          await broker.stop("SIGKILL");
        }
        if (isInRecovery) strikes.inRecovery += 1;
        struck = `, killed again ${isInRecovery ? "in its recovery" : "at its start"}`;
      }
      const startMs = await broker.start();
      restartMs[isKill ? "killed" : "clean"].push(startMs);
      const when = `cycle ${cycle} (${isKill ? "kill -9" : "SIGTERM"}${struck})`;
      await judge(when);
      await progress(100, when);
      say(
        `${when}: stopped in ${Math.round(stopMs)} ms, ready again in ${Math.round(startMs)} ms, ${log.acknowledgedCount} acknowledged, ${consumer.records} consumed`,
      );
    }
    for (const producer of producers) producer.stop();
    if (findings.length === 0) {
      const ended = Promise.all([...runs, side?.stop()]).then(() => true);
      const late = Bun.sleep(60_000).then(() => false);
      if (!(await Promise.race([ended, late])))
        findings.push(
          "the load did not end within 60 s",
          ...producers.flatMap((producer) => producer.waiting),
        );
    }
    if (findings.length === 0 && (options.mustCatchUp ?? true)) {
      await until(
        () => log.isAllSeen,
        60_000,
        () =>
          `the group saw ${log.seenCount} of ${log.acknowledgedCount} acknowledged records within 60 s`,
      );
    }
    await judge("at the end");
    if (commits.partitionCount === 0) findings.push("the group never committed");
  } catch (error) {
    findings.push(error instanceof Error ? error.message : String(error));
  } finally {
    for (const producer of producers) producer.stop();
    await Promise.race([Promise.all([consumer.stop(), side?.stop()]), Bun.sleep(5_000)]);
    await broker.stop("SIGTERM");
  }
  return {
    findings,
    acknowledged: log.acknowledgedCount,
    requestsAgain: producers.reduce((sum, producer) => sum + producer.requestsAgain, 0),
    consumed: consumer.records,
    strikes,
    cutStops,
    segments: countSegments(broker.dataDirectory),
    side: side?.summary() ?? "none",
    restartMs,
  };
}

/** Waits for a just launched broker's recovery threads, lets them work a while; true when they still do then. */
async function strikeRecovery(broker: BrokerProcess, afterMs: number): Promise<boolean> {
  const isRecovering = (): boolean => {
    const tasks = `/proc/${broker.pid}/task`;
    try {
      return readdirSync(tasks).some(
        (task) => readFileSync(`${tasks}/${task}/comm`, "utf8").trim() === "log-recovery",
      );
    } catch {
      return false;
    }
  };
  const patience = performance.now() + 2_000;
  while (!isRecovering() && performance.now() < patience) await Bun.sleep(1);
  await Bun.sleep(afterMs);
  return isRecovering();
}

/** Writes `megabytes` into a topic that nothing else uses. */
async function fill(address: string, topic: string, megabytes: number): Promise<void> {
  await createTopic(address, topic, 4, { "segment.bytes": String(16 << 20) });
  await insist(address, 60_000, async (wire) => {
    for (let at = 0; at < megabytes * 2; at += 1) {
      const value = Buffer.alloc(500_000, at);
      const records = encodeRecordBatch({ timestamp: Date.now(), records: [{ key: null, value }] });
      const partitionData = [makePartitionProduceData({ index: at % 4, records })];
      const answer = await wire.send(
        ProduceApi,
        8,
        makeProduceRequest({
          acks: 1,
          timeoutMs: 10_000,
          topicData: [makeTopicProduceData({ name: topic, partitionData })],
        }),
      );
      const code = answer.responses[0]?.partitionResponses[0]?.errorCode ?? -1;
      if (code !== 0) throw new Error(`Produce: error ${code}`);
    }
  });
}

function countSegments(directory: string): number {
  return [...new Bun.Glob("*/*.log").scanSync({ cwd: directory })].length;
}
