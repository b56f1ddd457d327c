/**
 * Every node of a cluster is stopped and started again, one after the other, while idempotent producers write with acks=all and a group reads: no
 * write fails beyond what clients do by themselves, and nothing is lost, doubled or out of order.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CompressionTypes, type Consumer, Kafka, logLevel } from "kafkajs";
import { createTopic } from "#client/admin.ts";
import { describeBrokers } from "#client/cluster-info.ts";
import { Cluster } from "#client/cluster.ts";
import { listOffsets, OffsetSpec } from "#client/offsets.ts";
import { Producer } from "#client/producer.ts";
import { type BrokerCluster, type ClusterNode, sluiceCluster } from "../support/cluster-process.ts";
import { CLUSTER_PATIENCE_MS, waitForNodes } from "../support/cluster-questions.ts";

const PARTITIONS = 3;
const TOPICS = { own: "by-own-client", kafkajs: "by-kafkajs" } as const;
/** No client waits longer for an acknowledgement; Kafka's producers give up after 120 s. */
const LONGEST_GAP_MS = 20_000;

let directory: string;
let cluster: BrokerCluster;
let kafka: Kafka;
let client: Cluster;

/** Writes the numbers from 0 on into a topic, round and round its partitions, and notes the longest time without an acknowledgement. */
abstract class Writer {
  longestGapMs = 0;
  acknowledged = 0;
  isOver = false;
  #lastMs = performance.now();

  protected noteAcknowledged(count: number): void {
    const nowMs = performance.now();
    this.longestGapMs = Math.max(this.longestGapMs, nowMs - this.#lastMs);
    this.#lastMs = nowMs;
    this.acknowledged += count;
  }

  /** Settles when everything that was sent is acknowledged; rejects when a write failed. */
  abstract run(): Promise<void>;
}

class OwnWriter extends Writer {
  override async run(): Promise<void> {
    const producer = await Producer.open(client, TOPICS.own, {
      lingerMs: 2,
      onAcknowledged: (records) => this.noteAcknowledged(records),
    });
    for (let number = 0; !this.isOver; number += 1) {
      const value = Buffer.from(String(number));
      await producer.send({ key: null, value }, number % PARTITIONS);
      await Bun.sleep(2);
    }
    await producer.flush();
  }
}

class KafkajsWriter extends Writer {
  override async run(): Promise<void> {
    const retry = { initialRetryTime: 50, maxRetryTime: 500, retries: 100 };
    const producer = kafka.producer({ idempotent: true, maxInFlightRequests: 1, retry });
    await producer.connect();
    for (let number = 0; !this.isOver; number += 1) {
      await producer.send({
        topic: TOPICS.kafkajs,
        acks: -1,
        compression: CompressionTypes.None,
        messages: [{ value: String(number), partition: number % PARTITIONS }],
      });
      this.noteAcknowledged(1);
      await Bun.sleep(2);
    }
    await producer.disconnect();
  }
}

/** What the group read: values by topic-partition and offset. */
const read: Map<string, Map<number, number>> = new Map();

async function waitFor(what: string, isReached: () => boolean | Promise<boolean>): Promise<void> {
  await waitForNodes(cluster.nodes, what, isReached);
}

/** Settles when every replica of every partition is in sync. */
async function allInSync(): Promise<void> {
  await waitFor("full ISR", async () => {
    const topics = await client.listTopics().catch(() => []);
    return (
      topics.length >= 3 &&
      topics.every(({ partitions }) =>
        partitions.every(
          ({ isr, replicas, leader }) => leader >= 0 && isr.length === replicas.length,
        ),
      )
    );
  });
}

function markerOf(node: ClusterNode): string {
  return join(node.dataDirectory, ".kafka_cleanshutdown");
}

/** Settles when a broker is in service. */
async function serves(node: ClusterNode): Promise<void> {
  await waitFor(`broker ${node.id} in service`, async () => {
    const brokers = await describeBrokers(client).catch(() => []);
    return brokers.some(({ id, isFenced }) => id === node.id && !isFenced);
  });
}

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), "sluice-rolling-"));
  cluster = await sluiceCluster({
    directory,
    overrides: {
      "min.insync.replicas": "2",
      "offsets.topic.num.partitions": "4",
      "sluice.admin.listener": "",
    },
  });
  await cluster.start();
  const brokers = cluster.nodes.map(({ bootstrap }) => bootstrap);
  kafka = new Kafka({ clientId: "rolling", brokers, logLevel: logLevel.NOTHING });
  client = await Cluster.connect({
    bootstrap: cluster.nodes.map(({ port }) => ({ host: "127.0.0.1", port })),
    retryTimeoutMs: CLUSTER_PATIENCE_MS,
  });
  for (const node of cluster.nodes) await serves(node);
  for (const name of Object.values(TOPICS)) {
    const topic = { name, partitions: PARTITIONS, replicationFactor: 3, configs: new Map() };
    await createTopic(client, topic);
  }
}, 120_000);

afterAll(async () => {
  client?.close();
  await cluster?.stop("SIGKILL");
  rmSync(directory, { recursive: true, force: true });
}, 60_000);

test("each node in turn: no write fails, nothing is lost, doubled or out of order", async () => {
  const retry = { initialRetryTime: 50, maxRetryTime: 500, retries: 100 };
  const consumer: Consumer = kafka.consumer({ groupId: "readers", retry, sessionTimeout: 10_000 });
  await consumer.connect();
  await consumer.subscribe({ topics: Object.values(TOPICS), fromBeginning: true });
  await consumer.run({
    autoCommitInterval: 200,
    eachMessage: async ({ topic, partition, message }) => {
      const key = `${topic}-${partition}`;
      const values = read.get(key) ?? new Map<number, number>();
      read.set(key, values.set(Number(message.offset), Number(message.value)));
    },
  });
  const writers = [new OwnWriter(), new KafkajsWriter()] as const;
  const writing = Promise.all(writers.map((writer) => writer.run()));
  // A failed write fails the test at the end, not as an unhandled rejection meanwhile.
  writing.catch(() => {});
  await waitFor("first records", () => read.size === 2 * PARTITIONS);
  await allInSync();

  for (const node of cluster.nodes) {
    await node.stop("SIGTERM");
    expect(readFileSync(markerOf(node), "utf8")).toMatch(/^\{"version":0,"brokerEpoch":\d+\}$/);
    await node.start();
    await serves(node);
    expect(existsSync(markerOf(node))).toBe(false);
    await allInSync();
  }

  for (const writer of writers) writer.isOver = true;
  await writing;
  const expected = new Map<string, number[]>();
  for (const [writer, topic] of [
    [writers[0], TOPICS.own],
    [writers[1], TOPICS.kafkajs],
  ] as const) {
    const ends = await listOffsets(client, topic, { timestamp: OffsetSpec.LATEST });
    for (let partition = 0; partition < PARTITIONS; partition += 1) {
      const key = `${topic}-${partition}`;
      const end = ends.get(partition) ?? -1;
      await waitFor(`the group to read ${key} to ${end}`, () => read.get(key)?.size === end);
      expected.set(
        key,
        Array.from(
          { length: Math.ceil((writer.acknowledged - partition) / PARTITIONS) },
          (_, index) => index * PARTITIONS + partition,
        ),
      );
    }
  }
  await consumer.disconnect();
  for (const [key, numbers] of expected) {
    const values = [...(read.get(key) ?? [])].sort(([a], [b]) => a - b).map(([, value]) => value);
    expect({ key, values }).toEqual({ key, values: numbers });
  }
  const gaps = writers.map(({ longestGapMs }) => Math.round(longestGapMs));
  console.log(
    `rolling restart: ${writers.map(({ acknowledged }) => acknowledged).join(" + ")} records, longest time without an acknowledgement ${gaps.join(" and ")} ms`,
  );
  expect(Math.max(...gaps)).toBeLessThan(LONGEST_GAP_MS);
}, 240_000);
