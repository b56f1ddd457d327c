/**
 * Three processes as one cluster, used by a real client all the way while nodes die and come back: what was acknowledged with
 * acks=all is read by a consumer group, whoever was killed meanwhile.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  type Admin,
  CompressionTypes,
  type Consumer,
  Kafka,
  logLevel,
  type Producer,
} from "kafkajs";
import { describeQuorum } from "#client/cluster-info.ts";
import { Cluster } from "#client/cluster.ts";
import { type BrokerCluster, type ClusterNode, sluiceCluster } from "../support/cluster-process.ts";
import { waitForNodes } from "../support/cluster-questions.ts";

const TOPIC = "orders";
const PARTITIONS = 3;

let directory: string;
let cluster: BrokerCluster;
let kafka: Kafka;
let admin: Admin;
let load: Load;

/** Writes numbered records, one at a time, and remembers which were acknowledged; a group reads them. */
class Load {
  readonly acknowledged: Set<string> = new Set();
  readonly read: Set<string> = new Set();
  readonly failures: string[] = [];
  readonly #producer: Producer;
  readonly #consumer: Consumer;
  #isOver = false;
  #writing: Promise<void> = Promise.resolve();

  constructor() {
    const retry = { initialRetryTime: 50, maxRetryTime: 500, retries: 60 };
    this.#producer = kafka.producer({ retry });
    this.#consumer = kafka.consumer({ groupId: "readers", retry, sessionTimeout: 10_000 });
  }

  async start(): Promise<void> {
    await this.#producer.connect();
    await this.#consumer.connect();
    await this.#consumer.subscribe({ topic: TOPIC, fromBeginning: true });
    await this.#consumer.run({
      autoCommitInterval: 200,
      eachMessage: async ({ message }) => void this.read.add(String(message.value)),
    });
    this.#writing = this.#write();
  }

  /** Waits until `count` more records were acknowledged, and read. */
  async goesOn(count: number, what: string): Promise<void> {
    const wanted = this.acknowledged.size + count;
    await waitFor(`${count} more records ${what}`, () => this.acknowledged.size >= wanted);
    const owed = [...this.acknowledged];
    await waitFor(`the group to read ${what}`, () => owed.every((value) => this.read.has(value)));
  }

  async stop(): Promise<void> {
    this.#isOver = true;
    await this.#writing;
    await this.#producer.disconnect();
    await this.#consumer.disconnect();
  }

  async #write(): Promise<void> {
    for (let number = 0; !this.#isOver; number += 1) {
      const value = `record-${number}`;
      const messages = [{ key: String(number), value, partition: number % PARTITIONS }];
      try {
        await this.#producer.send({
          topic: TOPIC,
          acks: -1,
          compression: CompressionTypes.None,
          messages,
        });
        this.acknowledged.add(value);
      } catch (error) {
        this.failures.push(`${value}: ${String(error)}`);
      }
      await Bun.sleep(5);
    }
  }
}

async function waitFor(what: string, isReached: () => boolean | Promise<boolean>): Promise<void> {
  await waitForNodes(cluster.nodes, what, isReached);
}

function node(id: number): ClusterNode {
  const found = cluster.nodes.find((each) => each.id === id);
  if (found === undefined) throw new Error(`there is no node ${id}`);
  return found;
}

async function leaderOf(partition: number): Promise<number> {
  const { topics } = await admin.fetchTopicMetadata({ topics: [TOPIC] });
  const row = topics[0]?.partitions.find(({ partitionId }) => partitionId === partition);
  return row?.leader ?? -1;
}

/** Settles when every replica of every partition is in sync. */
async function allInSync(): Promise<void> {
  await waitFor("full ISR", async () => {
    const { topics } = await admin.fetchTopicMetadata({ topics: [TOPIC, "__consumer_offsets"] });
    return topics.every(({ partitions }) =>
      partitions.every(
        ({ isr, replicas, leader }) => leader >= 0 && isr.length === replicas.length,
      ),
    );
  });
}

async function activeController(): Promise<number> {
  const client = await Cluster.connect({
    bootstrap: cluster.nodes
      .filter(({ pid }) => pid !== null)
      .map(({ port }) => ({ host: "127.0.0.1", port })),
  });
  try {
    return (await describeQuorum(client))?.leaderId ?? -1;
  } finally {
    client.close();
  }
}

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), "sluice-cluster-"));
  cluster = await sluiceCluster({
    directory,
    overrides: {
      "min.insync.replicas": "2",
      "offsets.topic.num.partitions": "4",
      "sluice.admin.listener": "",
      "controller.quorum.election.timeout.ms": "1000",
    },
    // One of them with threads for its sockets.
    overridesOf: ({ id }) => (id === 2 ? { "num.network.threads": "2" } : {}),
  });
  await cluster.start();
  kafka = new Kafka({
    clientId: "failover",
    brokers: cluster.nodes.map(({ bootstrap }) => bootstrap),
    logLevel: logLevel.NOTHING,
    retry: { initialRetryTime: 50, maxRetryTime: 500, retries: 60 },
  });
  admin = kafka.admin();
  await admin.connect();
  // Its ports are open before a broker is unfenced; fenced ones are given replicas, but lead nothing.
  await waitFor(
    "three live brokers",
    async () => (await admin.describeCluster()).brokers.length === 3,
  );
}, 120_000);

afterAll(async () => {
  await admin?.disconnect();
  await cluster?.stop("SIGKILL");
  rmSync(directory, { recursive: true, force: true });
}, 60_000);

test("a topic of three replicas is written and read", async () => {
  await admin.createTopics({
    topics: [{ topic: TOPIC, numPartitions: PARTITIONS, replicationFactor: 3 }],
    waitForLeaders: true,
  });
  const leaders = await Promise.all([0, 1, 2].map((partition) => leaderOf(partition)));
  expect(new Set(leaders)).toEqual(new Set([1, 2, 3]));
  load = new Load();
  await load.start();
  await load.goesOn(50, "in peace");
}, 120_000);

test("kill -9 of a leader: writing and reading go on, and it comes back into the ISR", async () => {
  const leader = await leaderOf(0);
  await node(leader).stop("SIGKILL");
  await load.goesOn(50, "without a leader");
  expect(await leaderOf(0)).not.toBe(leader);
  await node(leader).start();
  await allInSync();
}, 180_000);

test("kill -9 of the active controller: another one decides", async () => {
  const controller = await activeController();
  await node(controller).stop("SIGKILL");
  await load.goesOn(50, "without a controller");
  await waitFor("another controller", async () => {
    const now = await activeController().catch(() => -1);
    return now >= 0 && now !== controller;
  });
  await admin.createTopics({ topics: [{ topic: "later", replicationFactor: 2 }] });
  await node(controller).start();
  await allInSync();
}, 180_000);

test("SIGTERM of a broker: no write fails, and what was acknowledged is there", async () => {
  const failuresBefore = load.failures.length;
  const leaving = await leaderOf(1);
  await node(leaving).stop("SIGTERM");
  await load.goesOn(50, "while a broker is away");
  expect(load.failures.slice(failuresBefore)).toEqual([]);
  await node(leaving).start();
  await load.goesOn(20, "when it is back");
  await load.stop();
  expect([...load.acknowledged].filter((value) => !load.read.has(value))).toEqual([]);
}, 180_000);
