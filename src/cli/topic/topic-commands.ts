/**
 * `sluice topic …` at work: one request or a few, shown as a table or as JSON. A command over several names does what it can for each
 * and fails at the end when one of them failed.
 */
import { createTopic, deleteTopic } from "#client/admin.ts";
import { ClientError } from "#client/client-error.ts";
import type { Cluster, TopicMetadata } from "#client/cluster.ts";
import { describeConfigs } from "#client/configs.ts";
import { describeSizes } from "#client/log-dirs.ts";
import { listOffsets, OffsetSpec } from "#client/offsets.ts";
import { ErrorCode } from "#common/error-code.ts";
import type { ClusterArguments } from "../cluster-options.ts";
import type { CommandIo } from "../command-io.ts";
import { readInteger, readPairs } from "../option-values.ts";
import { forEachName } from "../outcomes.ts";
import { printJson, printTable, styleOf } from "../output.ts";
import { formatBytes, formatCount, formatPlural } from "../units.ts";
import { withCluster } from "../with-cluster.ts";

/** Options of `topic create`, as commander gives them. */
export interface TopicCreateOptions extends ClusterArguments {
  readonly partitions?: string;
  readonly replicationFactor?: string;
  readonly config?: readonly string[];
  readonly ifNotExists?: true;
  readonly json?: true;
}

/** Options of `topic list`. */
export interface TopicListOptions extends ClusterArguments {
  readonly internal?: true;
  readonly names?: true;
  readonly json?: true;
}

/** Options of `topic describe`. */
export interface TopicDescribeOptions extends ClusterArguments {
  readonly allConfigs?: true;
  readonly json?: true;
}

/** Options of `topic delete`. */
export interface TopicDeleteOptions extends ClusterArguments {
  readonly ifExists?: true;
  readonly json?: true;
}

const BROKER_DEFAULT = -1;
const MAX_PARTITIONS = 1_000_000;
const MAX_REPLICATION_FACTOR = 32_767;

/** What became of one of several topics. */
interface TopicOutcome {
  readonly result: "created" | "existed" | "deleted" | "absent";
  readonly partitions?: number;
  readonly replicationFactor?: number;
}

/** Runs `topic create`. */
export async function createTopics(
  names: readonly string[],
  options: TopicCreateOptions,
  io: CommandIo,
): Promise<void> {
  const partitions =
    options.partitions === undefined
      ? BROKER_DEFAULT
      : readInteger("--partitions", options.partitions, { min: 1, max: MAX_PARTITIONS });
  const replicationFactor =
    options.replicationFactor === undefined
      ? BROKER_DEFAULT
      : readInteger("--replication-factor", options.replicationFactor, {
          min: 1,
          max: MAX_REPLICATION_FACTOR,
        });
  const configs = readPairs("--config", options.config ?? []);
  await withCluster(options, (cluster) =>
    forEachTopic(names, options.json === true, io, async (name) => {
      try {
        const made = await createTopic(cluster, { name, partitions, replicationFactor, configs });
        return { result: "created", ...made };
      } catch (error) {
        const doesExist =
          error instanceof ClientError && error.errorCode === ErrorCode.TOPIC_ALREADY_EXISTS;
        if (doesExist && options.ifNotExists === true) return { result: "existed" };
        throw error;
      }
    }),
  );
}

/** Runs `topic delete`. */
export async function deleteTopics(
  names: readonly string[],
  options: TopicDeleteOptions,
  io: CommandIo,
): Promise<void> {
  await withCluster(options, (cluster) =>
    forEachTopic(names, options.json === true, io, async (name) => {
      try {
        await deleteTopic(cluster, name);
        return { result: "deleted" };
      } catch (error) {
        const isAbsent =
          error instanceof ClientError && error.errorCode === ErrorCode.UNKNOWN_TOPIC_OR_PARTITION;
        if (isAbsent && options.ifExists === true) return { result: "absent" };
        throw error;
      }
    }),
  );
}

function forEachTopic(
  names: readonly string[],
  isJson: boolean,
  io: CommandIo,
  work: (name: string) => Promise<TopicOutcome>,
): Promise<void> {
  return forEachName({ names, noun: "topic", isJson, work, sentence: sentenceOf }, io);
}

function sentenceOf(
  topic: string,
  { result, partitions, replicationFactor }: TopicOutcome,
): string {
  switch (result) {
    case "created":
      return partitions === undefined || partitions < 0
        ? `Created topic ${topic}.`
        : `Created topic ${topic}: ${formatPlural(partitions, "partition")}, replication factor ${replicationFactor}.`;
    case "existed":
      return `Topic ${topic} exists already.`;
    case "deleted":
      return `Deleted topic ${topic}.`;
    case "absent":
      return `There is no topic ${topic}.`;
  }
}

/** Runs `topic list`. */
export async function listTopics(options: TopicListOptions, io: CommandIo): Promise<void> {
  await withCluster(options, async (cluster) => {
    const topics = (await cluster.listTopics()).filter(
      ({ isInternal }) => options.internal === true || !isInternal,
    );
    if (options.names === true) {
      await io.stdout.write(topics.map(({ name }) => `${name}\n`).join(""));
      return;
    }
    const sizes = await describeSizes(cluster, null);
    const rows = topics.map((topic) => ({
      name: topic.name,
      topicId: topic.topicId,
      isInternal: topic.isInternal,
      partitions: topic.partitions.length,
      replicationFactor: topic.partitions[0]?.replicas.length ?? 0,
      sizeBytes: sizes.has(topic.name)
        ? [...(sizes.get(topic.name)?.values() ?? [])].reduce((sum, size) => sum + size, 0)
        : null,
    }));
    if (options.json === true) {
      await printJson(io.stdout, rows);
      return;
    }
    if (rows.length === 0) {
      await io.stderr.write("There are no topics. 'sluice topic create NAME' makes one.\n");
      return;
    }
    await printTable(
      io.stdout,
      [
        { heading: "TOPIC" },
        { heading: "PARTITIONS", align: "right" },
        { heading: "REPLICAS", align: "right" },
        { heading: "SIZE", align: "right" },
      ],
      rows.map((row) => [
        row.name,
        String(row.partitions),
        String(row.replicationFactor),
        row.sizeBytes === null ? "-" : formatBytes(row.sizeBytes),
      ]),
    );
  });
}

/** Runs `topic describe`. */
export async function describeTopics(
  names: readonly string[],
  options: TopicDescribeOptions,
  io: CommandIo,
): Promise<void> {
  await withCluster(options, async (cluster) => {
    const described: TopicDescription[] = [];
    for (const name of names) described.push(await describeTopic(cluster, name));
    if (options.json === true) {
      await printJson(io.stdout, described);
      return;
    }
    for (const [index, topic] of described.entries()) {
      if (index > 0) await io.stdout.write("\n");
      await printTopic(topic, options.allConfigs === true, io);
    }
  });
}

interface TopicDescription {
  readonly name: string;
  readonly topicId: string;
  readonly isInternal: boolean;
  readonly replicationFactor: number;
  readonly partitions: readonly {
    readonly partition: number;
    readonly leader: number;
    readonly leaderEpoch: number;
    readonly replicas: readonly number[];
    readonly isr: readonly number[];
    readonly startOffset: number | null;
    readonly endOffset: number | null;
    readonly sizeBytes: number | null;
  }[];
  readonly configs: readonly {
    readonly name: string;
    readonly value: string | null;
    readonly isDefault: boolean;
  }[];
}

async function describeTopic(cluster: Cluster, name: string): Promise<TopicDescription> {
  const topic = await cluster.topic(name);
  // Offsets need leaders that answer; a topic is worth describing without them.
  const offsets = (timestamp: number): Promise<ReadonlyMap<number, number>> =>
    listOffsets(cluster, name, { timestamp }).catch(() => new Map<number, number>());
  const [starts, ends, sizes, configs] = await Promise.all([
    offsets(OffsetSpec.EARLIEST),
    offsets(OffsetSpec.LATEST),
    describeSizes(cluster, [topic]),
    describeConfigs(cluster, { type: "topic", name }),
  ]);
  return {
    name: topic.name,
    topicId: topic.topicId,
    isInternal: topic.isInternal,
    replicationFactor: replicationFactorOf(topic),
    partitions: topic.partitions.map(({ partition, leader, leaderEpoch, replicas, isr }) => ({
      partition,
      leader,
      leaderEpoch,
      replicas,
      isr,
      startOffset: starts.get(partition) ?? null,
      endOffset: ends.get(partition) ?? null,
      sizeBytes: sizes.get(name)?.get(partition) ?? null,
    })),
    configs: configs.map(({ name: key, value, source }) => ({
      name: key,
      value,
      isDefault: source !== "topic",
    })),
  };
}

function replicationFactorOf(topic: TopicMetadata): number {
  return topic.partitions[0]?.replicas.length ?? 0;
}

async function printTopic(
  topic: TopicDescription,
  isAllConfigs: boolean,
  io: CommandIo,
): Promise<void> {
  const style = styleOf(io.stdout);
  const orDash = (value: number | null): string => (value === null ? "-" : formatCount(value));
  await io.stdout.write(
    `${style.bold(topic.name)}  ${formatPlural(topic.partitions.length, "partition")}, replication factor ${topic.replicationFactor}${topic.isInternal ? ", internal" : ""}, id ${topic.topicId}\n\n`,
  );
  await printTable(
    io.stdout,
    [
      { heading: "PARTITION", align: "right" },
      { heading: "LEADER", align: "right" },
      { heading: "EPOCH", align: "right" },
      { heading: "REPLICAS" },
      { heading: "ISR" },
      { heading: "START", align: "right" },
      { heading: "END", align: "right" },
      { heading: "SIZE", align: "right" },
    ],
    topic.partitions.map((row) => [
      String(row.partition),
      row.leader < 0 ? style.red("none") : String(row.leader),
      String(row.leaderEpoch),
      row.replicas.join(","),
      row.isr.length < row.replicas.length
        ? style.yellow(row.isr.join(",") || "none")
        : row.isr.join(","),
      orDash(row.startOffset),
      orDash(row.endOffset),
      row.sizeBytes === null ? "-" : formatBytes(row.sizeBytes),
    ]),
  );
  const configs = topic.configs.filter(({ isDefault }) => isAllConfigs || !isDefault);
  if (configs.length === 0) {
    await io.stdout.write("\nNo key is set; --all-configs shows the values in force.\n");
    return;
  }
  await io.stdout.write("\n");
  await printTable(
    io.stdout,
    [{ heading: "CONFIG" }, { heading: "VALUE" }, ...(isAllConfigs ? [{ heading: "SET" }] : [])],
    configs.map(({ name, value, isDefault }) => [
      name,
      value ?? "-",
      ...(isAllConfigs ? [isDefault ? "" : "yes"] : []),
    ]),
  );
}
