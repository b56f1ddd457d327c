/**
 * Stops and starts a broker under verifying load, again and again. Every choice (how long to wait, which signal, whether to strike while the broker
 * is still starting) comes from the seed, so that a failing run names what to run again; the timing inside the broker still varies.
 */
import type { BrokerProcess } from "../support/broker-process.ts";
import { until } from "../support/process.ts";
import { CommitChecker, LogChecker } from "./checkers.ts";
import { CrashConsumer, CrashProducer, createTopic, readCommitted, readLog } from "./load.ts";

/** How hard and how long. */
export interface CrashOptions {
  readonly cycles: number;
  readonly seed: number;
  readonly producers?: number;
  readonly partitions?: number;
  /** Every n-th cycle also strikes the broker while it starts; 0 never. */
  readonly strikeStartEvery?: number;
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
  await createTopic(address, topic, partitions);
  const producers = Array.from(
    { length: producerCount },
    (_, at) =>
      new CrashProducer(
        `p${at}`,
        address,
        topic,
        partitions,
        log,
        seededRandom(seed * 31 + at),
        options.isPipelined ?? true,
      ),
  );
  const runs = producers.map(async (producer) => {
    try {
      await producer.run();
    } catch (error) {
      findings.push(error instanceof Error ? error.message : String(error));
    }
  });
  const consumer = new CrashConsumer(address, group, topic, log, commits);
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
      const stopMs = await broker.stop(isKill ? "SIGKILL" : "SIGTERM");
      let struck = "";
      if (strikeStartEvery > 0 && cycle % strikeStartEvery === 0) {
        const afterMs = random() * 150;
        broker.launch();
        await Bun.sleep(afterMs);
        await broker.stop("SIGKILL");
        struck = `, killed again ${Math.round(afterMs)} ms into its start`;
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
    if (findings.length === 0) await Promise.all(runs);
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
    await Promise.race([consumer.stop(), Bun.sleep(5_000)]);
    await broker.stop("SIGTERM");
  }
  return {
    findings,
    acknowledged: log.acknowledgedCount,
    requestsAgain: producers.reduce((sum, producer) => sum + producer.requestsAgain, 0),
    consumed: consumer.records,
    restartMs,
  };
}
