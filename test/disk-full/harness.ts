/**
 * Fills the disk under a broker that is at work, again and again, in three ways: something else leaves less than the reserve, something else takes the
 * last byte, the broker itself writes until it is refused. Each time appends must be refused with KAFKA_STORAGE_ERROR, reads (and, as long as there is a
 * reserve, commits) go on, no topic is half made, and once there is room the first append must be taken without anybody's help. At the end every
 * acknowledged record must be there once, before and after a restart.
 */
import { existsSync } from "node:fs";
import {
  CreateTopicsApi,
  makeCreatableTopic,
  makeCreateTopicsRequest,
} from "#protocol/generated/create-topics.ts";
import {
  makeMetadataRequest,
  makeMetadataRequestTopic,
  MetadataApi,
} from "#protocol/generated/metadata.ts";
import {
  makeOffsetCommitRequest,
  makeOffsetCommitRequestPartition,
  makeOffsetCommitRequestTopic,
  OffsetCommitApi,
} from "#protocol/generated/offset-commit.ts";
import {
  makePartitionProduceData,
  makeProduceRequest,
  makeTopicProduceData,
  ProduceApi,
} from "#protocol/generated/produce.ts";
import { encodeRecordBatch } from "#protocol/records/record-batch.ts";
import { CommitChecker, LogChecker } from "../crash/checkers.ts";
import { seededRandom } from "../crash/harness.ts";
import { CrashConsumer } from "../crash/group-consumer.ts";
import { CrashProducer, createTopic, insist, readCommitted, readLog } from "../crash/load.ts";
import { processFigures } from "../support/process-figures.ts";
import type { BrokerProcess } from "../support/broker-process.ts";
import { until } from "../support/process.ts";
import type { SmallDisk } from "./small-disk.ts";

const STORAGE_ERROR = 56;
const PARTITIONS = 3;
const BULK_BYTES = 200_000;

/** The broker looks at its disks about every second. */
const SURELY_LOOKED_MS = 1_500;

/** What is appended until it is refused. */
interface Probe {
  readonly bytes: number;
  readonly pauseMs: number;
}
const LARGE_PROBE: Probe = { bytes: BULK_BYTES, pauseMs: 0 };
/**
 * Room that somebody else took is seen by the next look at the disk, up to a second later. What is appended until then comes out of the reserve, so that
 * a round that is about the reserve must not write it full in that second.
 */
const SMALL_PROBE: Probe = { bytes: 2_000, pauseMs: 10 };

/** How a round fills the disk. */
export type Filling = "below the reserve" | "to the last byte" | "by the broker";
const FILLINGS: readonly Filling[] = ["below the reserve", "to the last byte", "by the broker"];

/** What to do. */
export interface DiskFullOptions {
  readonly rounds: number;
  readonly seed: number;
  /** `sluice.disk.reserve.bytes` in force on this disk; 0 for a broker without one. */
  readonly reserveBytes: number;
  readonly fillings?: readonly Filling[];
  readonly say?: (line: string) => void;
}

/** What a run showed; no findings means that every promise was kept. */
export interface DiskFullReport {
  readonly findings: readonly string[];
  readonly acknowledged: number;
  /** From the moment there is room until the first append is taken, ms, by round. */
  readonly resumeMs: readonly number[];
  readonly rssMiB: readonly number[];
}

/** Runs the rounds on a broker that is not running yet and keeps its data on `disk`; leaves it stopped. */
export async function runDiskFull(
  broker: BrokerProcess,
  disk: SmallDisk,
  options: DiskFullOptions,
): Promise<DiskFullReport> {
  const { rounds, seed, reserveBytes, fillings = FILLINGS } = options;
  const say = options.say ?? ((): void => {});
  const { bootstrap } = broker;
  const log = new LogChecker();
  const commits = new CommitChecker();
  const findings: string[] = [];
  const resumeMs: number[] = [];
  const rssMiB: number[] = [];
  const topic = `full-${seed}`;
  const group = `full-group-${seed}`;
  await broker.start();
  const { pid } = broker;
  await createTopic(bootstrap, topic, PARTITIONS);
  await createTopic(bootstrap, `bulk-${seed}`, 1);
  const producers = [0, 1].map(
    (at) =>
      new CrashProducer({
        name: `p${at}`,
        where: bootstrap,
        topic,
        partitions: Array.from({ length: PARTITIONS }, (__, partition) => partition),
        checker: log,
        random: seededRandom(seed * 31 + at),
        isPipelined: true,
      }),
  );
  const runs = producers.map((producer) =>
    producer.run().catch((error: unknown) => {
      findings.push(error instanceof Error ? error.message : String(error));
    }),
  );
  const consumer = new CrashConsumer([bootstrap], group, topic, log, commits);
  await consumer.start();
  const isAlive = (): boolean => pid !== null && existsSync(`/proc/${pid}/cmdline`);
  const progress = async (wanted: number, what: string): Promise<void> => {
    const from = log.acknowledgedCount;
    await until(
      () => findings.length > 0 || log.acknowledgedCount >= from + wanted || !isAlive(),
      60_000,
      () => `${what}: only ${log.acknowledgedCount - from} records acknowledged\n${broker.log()}`,
    );
    if (!isAlive()) findings.push(`${what}: the broker's process has ended\n${broker.log()}`);
  };

  try {
    await progress(50, "first start");
    for (let round = 0; round < rounds && findings.length === 0; round += 1) {
      const filling = fillings[round % fillings.length] ?? "to the last byte";
      const what = `round ${round + 1} (${filling})`;
      disk.fill(
        filling === "to the last byte"
          ? 0
          : filling === "by the broker"
            ? reserveBytes + 40 * BULK_BYTES
            : Math.floor(reserveBytes * 0.95),
      );
      // The broker's own count starts from its last look: without one after the filling it would take the reserve for room.
      if (filling === "by the broker") await Bun.sleep(SURELY_LOOKED_MS);
      const probe = filling === "below the reserve" ? SMALL_PROBE : LARGE_PROBE;
      const full = await untilRefused(bootstrap, `bulk-${seed}`, isAlive, probe);
      if (full !== STORAGE_ERROR) {
        findings.push(`${what}: a full disk is answered with ${full}\n${broker.log()}`);
        break;
      }
      const committed = await commit(bootstrap, `${group}-probe`, topic, round);
      if (filling !== "to the last byte" && reserveBytes > 0 && committed !== 0) {
        findings.push(`${what}: a commit is answered with ${committed}`);
      }
      await readLog(bootstrap, topic, 0);
      // The broker looks at the disk about every second, and may have refused the append above by what it counted itself.
      let created = 0;
      let isKnown = true;
      const mayBeMade = filling === "by the broker";
      for (let attempt = 0; created === 0 && isKnown && attempt < 30; attempt += 1) {
        if (attempt > 0) await Bun.sleep(100);
        const name = `refused-${seed}-${round}-${attempt}`;
        created = await create(bootstrap, name);
        isKnown = await knows(bootstrap, name);
        if (mayBeMade) break;
      }
      // Refused in full or made in full. A disk that only the broker filled may have room for a topic where it had none for a large record.
      if ((created === 0) !== isKnown || (created !== STORAGE_ERROR && !mayBeMade)) {
        findings.push(
          `${what}: CreateTopics is answered with ${created}, the topic is ${isKnown ? "" : "not "}there`,
        );
      }
      // Long enough for every producer to be refused.
      await Bun.sleep(300);
      if (!isAlive()) findings.push(`${what}: the broker's process has ended\n${broker.log()}`);
      const freeBytes = disk.freeBytes();
      disk.release();
      const started = performance.now();
      await progress(1, `${what}, room again`);
      resumeMs.push(performance.now() - started);
      await progress(30, `${what}, going on`);
      rssMiB.push(Math.round(processFigures(pid ?? 0).residentMib));
      say(
        `${what}: ${freeBytes} bytes were left, commit ${committed}, CreateTopics ${created}; first append taken ` +
          `${Math.round(resumeMs.at(-1) ?? -1)} ms after there was room; ${log.acknowledgedCount} acknowledged, RSS ${rssMiB.at(-1)} MiB`,
      );
    }
    for (const producer of producers) producer.stop();
    if (isAlive()) {
      await Promise.all(runs);
      await judge("at the end");
      await broker.stop("SIGKILL");
      await broker.start();
      await judge("after kill -9");
    }
  } catch (error) {
    if (isAlive()) throw error;
    findings.push(`the broker's process has ended, so that ${String(error)}\n${broker.log()}`);
  } finally {
    for (const producer of producers) producer.stop();
    disk.release();
    // A client of a broker that is gone for good would try for ever.
    await Promise.race([consumer.stop().catch(() => {}), Bun.sleep(isAlive() ? 10_000 : 0)]);
    await broker.stop("SIGKILL");
  }
  return { findings, acknowledged: log.acknowledgedCount, resumeMs, rssMiB };

  async function judge(when: string): Promise<void> {
    for (let partition = 0; partition < PARTITIONS; partition += 1) {
      const promised = log.promises(partition);
      const found = log.check(partition, await readLog(bootstrap, topic, partition), promised);
      findings.push(...found.map((finding) => `${when}: ${finding}`));
    }
    const promised = commits.promises();
    const held = await readCommitted(bootstrap, group, topic, PARTITIONS);
    findings.push(
      ...held
        .flatMap((offset, partition) => commits.check(partition, offset, promised))
        .map((finding) => `${when}: ${finding}`),
    );
  }
}

/** Appends until one is refused. @returns the error code, or what happened instead. */
async function untilRefused(
  address: string,
  topic: string,
  isAlive: () => boolean,
  probe: Probe,
): Promise<number | string> {
  const records = encodeRecordBatch({
    timestamp: Date.now(),
    records: [{ key: null, value: new Uint8Array(probe.bytes) }],
  });
  const deadline = performance.now() + 30_000;
  while (isAlive() && performance.now() < deadline) {
    try {
      const code = await insist(address, 2_000, async (wire) => {
        const partitionData = [makePartitionProduceData({ index: 0, records: records.slice() })];
        const topicData = [makeTopicProduceData({ name: topic, partitionData })];
        const request = makeProduceRequest({ acks: -1, timeoutMs: 10_000, topicData });
        const answer = await wire.send(ProduceApi, 8, request);
        return answer.responses[0]?.partitionResponses[0]?.errorCode ?? -1;
      });
      if (code !== 0) return code;
      await Bun.sleep(probe.pauseMs);
    } catch (error) {
      if (isAlive()) return String(error);
    }
  }
  return isAlive() ? "success, for 30 s" : "the end of the process";
}

async function commit(
  address: string,
  groupId: string,
  topic: string,
  committedOffset: number,
): Promise<number> {
  return await insist(address, 10_000, async (wire) => {
    const partitions = [makeOffsetCommitRequestPartition({ partitionIndex: 0, committedOffset })];
    const request = makeOffsetCommitRequest({
      groupId,
      generationIdOrMemberEpoch: -1,
      memberId: "",
      topics: [makeOffsetCommitRequestTopic({ name: topic, partitions })],
    });
    const answer = await wire.send(OffsetCommitApi, 7, request);
    const code = answer.topics[0]?.partitions[0]?.errorCode ?? -1;
    // The coordinator of a group nobody used before may still be loading.
    if (code === 14 || code === 15) throw new Error(`OffsetCommit: error ${code}`);
    return code;
  });
}

async function create(address: string, name: string): Promise<number> {
  return await insist(address, 10_000, async (wire) => {
    const wanted = makeCreatableTopic({ name, numPartitions: 2, replicationFactor: 1 });
    const request = makeCreateTopicsRequest({ topics: [wanted], timeoutMs: 10_000 });
    const answer = await wire.send(CreateTopicsApi, 5, request);
    return answer.topics[0]?.errorCode ?? -1;
  });
}

async function knows(address: string, name: string): Promise<boolean> {
  return await insist(address, 10_000, async (wire) => {
    const request = makeMetadataRequest({
      topics: [makeMetadataRequestTopic({ name })],
      allowAutoTopicCreation: false,
    });
    const answer = await wire.send(MetadataApi, 9, request);
    return answer.topics.some((topic) => topic.name === name && topic.errorCode === 0);
  });
}
