/**
 * Flips in what the broker keeps for itself: committed offsets and the cluster's metadata. One flip a start, half of them in
 * `__consumer_offsets`, half in `__cluster_metadata`, after an ordered stop and after a kill in turn. A committed offset is answered as it was
 * or not at all, and then the log says why; topics are all there, or the broker does not start and names the file and the byte.
 */
import { existsSync, readdirSync, readFileSync, statSync, cpSync } from "node:fs";
import { join } from "node:path";
import {
  FindCoordinatorApi,
  makeFindCoordinatorRequest,
} from "#protocol/generated/find-coordinator.ts";
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
  makeOffsetFetchRequest,
  makeOffsetFetchRequestTopic,
  OffsetFetchApi,
} from "#protocol/generated/offset-fetch.ts";
import { seededRandom } from "../crash/harness.ts";
import { createTopic, insist, within } from "../crash/load.ts";
import { Wire } from "../differential/wire.ts";
import { sluiceBroker, type BrokerProcess } from "../support/broker-process.ts";
import { until } from "../support/process.ts";
import { flipBits } from "./flip.ts";
import { restore } from "./image.ts";

const TOPICS = 6;
const GROUPS = 24;
const COORDINATOR_LOAD_IN_PROGRESS = 14;
const NOT_COORDINATOR = 16;

/** What became of the flips. */
export interface OwnTopicsReport {
  flips: number;
  /** The broker did not start, and said why. */
  refusedStarts: number;
  /** It started, and the groups of a partition are not served. */
  refusedGroups: number;
  /** Nothing is different. */
  harmless: number;
  /** Broken promises. */
  readonly failures: string[];
}

const topicOf = (at: number): string => `kept-${at}`;
const groupOf = (at: number): string => `group-${at}`;
const offsetOf = (at: number): number => 1_000 + at;

/** Topics one after another, then a commit of each group: a batch each. */
async function write(address: string): Promise<void> {
  for (let at = 0; at < TOPICS; at += 1) await createTopic(address, topicOf(at), 1);
  for (let at = 0; at < GROUPS; at += 1) {
    const partition = makeOffsetCommitRequestPartition({
      partitionIndex: 0,
      committedOffset: offsetOf(at),
    });
    const request = makeOffsetCommitRequest({
      groupId: groupOf(at),
      generationIdOrMemberEpoch: -1,
      topics: [makeOffsetCommitRequestTopic({ name: topicOf(0), partitions: [partition] })],
    });
    await insist(address, 30_000, async (wire) => {
      // Asking for a coordinator makes the topic.
      if (at === 0)
        await wire.send(FindCoordinatorApi, 3, makeFindCoordinatorRequest({ key: groupOf(at) }));
      const answer = await wire.send(OffsetCommitApi, 5, request);
      const code = answer.topics[0]?.partitions[0]?.errorCode ?? -1;
      if (code !== 0) throw new Error(`OffsetCommit: error ${code}`);
    });
  }
}

/** The offset a group committed, or a negative error code; waits while its partition is loaded. */
async function committed(address: string, at: number): Promise<number> {
  const request = makeOffsetFetchRequest({
    groupId: groupOf(at),
    topics: [makeOffsetFetchRequestTopic({ name: topicOf(0), partitionIndexes: [0] })],
  });
  return await insist(address, 20_000, async (wire) => {
    const answer = await wire.send(OffsetFetchApi, 5, request);
    const found = answer.topics[0]?.partitions[0];
    const code = answer.errorCode === 0 ? (found?.errorCode ?? -1) : answer.errorCode;
    if (code === COORDINATOR_LOAD_IN_PROGRESS) throw new Error("loading");
    return code === 0 ? (found?.committedOffset ?? -1) : -code;
  });
}

async function missingTopics(address: string): Promise<string[]> {
  const names = Array.from({ length: TOPICS }, (_, at) => topicOf(at));
  const topics = names.map((name) => makeMetadataRequestTopic({ name }));
  using wire = await Wire.connect(address, "bit-rot");
  const request = makeMetadataRequest({ topics, allowAutoTopicCreation: false });
  const answer = await within(wire.send(MetadataApi, 8, request));
  return names.filter((name) => {
    const found = answer.topics.find((topic) => topic.name === name);
    return found?.errorCode !== 0 || found.partitions.length !== 1;
  });
}

function segmentsIn(dataDirectory: string, topic: string): string[] {
  return readdirSync(dataDirectory)
    .filter((name) => name.startsWith(topic))
    .flatMap((name) =>
      readdirSync(join(dataDirectory, name))
        .filter((file) => file.endsWith(".log"))
        .map((file) => join(dataDirectory, name, file)),
    )
    .filter((path) => statSync(path).size > 0)
    .toSorted();
}

interface Options {
  readonly flips: number;
  readonly seed: number;
  readonly directory: string;
  readonly port?: number;
  readonly say?: (line: string) => void;
}

/** Runs all flips. */
export async function runOwnTopics(options: Options): Promise<OwnTopicsReport> {
  const broker = await sluiceBroker({
    directory: options.directory,
    ...(options.port === undefined ? {} : { port: options.port }),
    overrides: {
      "offsets.topic.num.partitions": "2",
      "log.flush.offset.checkpoint.interval.ms": "200",
      "sluice.scrub.interval.ms": "0",
    },
  });
  try {
    return await runOn(broker, options);
  } finally {
    await broker.stop("SIGKILL");
  }
}

async function runOn(broker: BrokerProcess, options: Options): Promise<OwnTopicsReport> {
  const { directory, flips, seed } = options;
  const random = seededRandom(seed);
  const below = (limit: number): number => Math.floor(random() * limit);
  await broker.start();
  await write(broker.bootstrap);
  const checkpoint = join(broker.dataDirectory, "recovery-point-offset-checkpoint");
  // The recovery points cover every commit: each is one record.
  await until(
    () => {
      const lines = existsSync(checkpoint) ? readFileSync(checkpoint, "utf8").split("\n") : [];
      const covered = lines
        .filter((line) => line.startsWith("__consumer_offsets "))
        .map((line) => Number(line.split(" ")[2]));
      return covered.reduce((sum, offset) => sum + offset, 0) >= GROUPS;
    },
    30_000,
    () => "no checkpoint covers the commits",
  );
  await broker.stop("SIGKILL");
  const images = { killed: join(directory, "killed"), clean: join(directory, "clean") };
  cpSync(broker.dataDirectory, images.killed, { recursive: true, preserveTimestamps: true });
  await broker.start();
  await committed(broker.bootstrap, 0);
  await Bun.sleep(500);
  await broker.stop("SIGTERM");
  if (!existsSync(join(broker.dataDirectory, ".kafka_cleanshutdown")))
    throw new Error("the broker did not stop in order");
  cpSync(broker.dataDirectory, images.clean, { recursive: true, preserveTimestamps: true });
  const report: OwnTopicsReport = {
    flips: 0,
    refusedStarts: 0,
    refusedGroups: 0,
    harmless: 0,
    failures: [],
  };
  for (let at = 0; at < flips; at += 1) {
    const isClean = at % 4 < 2;
    const topic = at % 2 === 0 ? "__consumer_offsets" : "__cluster_metadata";
    restore(isClean ? images.clean : images.killed, broker.dataDirectory);
    const files = segmentsIn(broker.dataDirectory, topic);
    const path = files[below(files.length)] ?? "";
    const position = below(statSync(path).size);
    const mask = 1 << below(8);
    flipBits(path, position, mask);
    const what = `${isClean ? "clean stop" : "kill -9"}: byte ${position} ^ ${mask} of ${path.slice(broker.dataDirectory.length + 1)}`;
    report.flips += 1;
    const logFile = join(directory, "broker.log");
    const logFrom = statSync(logFile).size;
    const said = (): string => readFileSync(logFile).subarray(logFrom).toString();
    // The port is open before the metadata is read.
    broker.launch();
    let missing: string[] | null = null;
    await until(
      async () => {
        missing = await missingTopics(broker.bootstrap).catch(() => null);
        return missing !== null || said().includes("cannot start");
      },
      30_000,
      () => `the broker neither starts nor ends with ${what}`,
    );
    if (missing === null) {
      await broker.stop("SIGKILL");
      report.refusedStarts += 1;
      const isTold = said().includes(`${path} at byte `) && said().includes("log repair");
      if (topic === "__consumer_offsets") report.failures.push(`does not start: ${what}`);
      else if (!isTold) report.failures.push(`does not say why it does not start: ${what}`);
      continue;
    }
    const gone: readonly string[] = missing;
    if (gone.length > 0) report.failures.push(`topics ${gone.join(", ")} are gone: ${what}`);
    let refused = 0;
    for (let group = 0; group < GROUPS; group += 1) {
      const offset = await committed(broker.bootstrap, group);
      if (offset === -NOT_COORDINATOR) refused += 1;
      else if (offset !== offsetOf(group))
        report.failures.push(`group ${group} has ${offset}, not ${offsetOf(group)}: ${what}`);
    }
    await broker.stop("SIGTERM");
    if (refused === 0) report.harmless += 1;
    else {
      report.refusedGroups += 1;
      const isTold = /is damaged, so its groups are not served/.test(said());
      const isFound = said().includes(path);
      if (!isTold || !isFound) report.failures.push(`says nothing: ${what}`);
    }
    options.say?.(`${what}: ${refused} groups refused`);
  }
  return report;
}

/** The counts in one line. */
export function formatOwnTopics(report: OwnTopicsReport): string {
  const { flips, refusedStarts, refusedGroups, harmless, failures } = report;
  return `${flips} flips in committed offsets and metadata: ${refusedStarts} starts refused, ${refusedGroups} times groups refused, ${harmless} harmless, ${failures.length} broken promises`;
}
