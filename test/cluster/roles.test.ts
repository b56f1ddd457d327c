/**
 * Kafka's usual set-up: controllers and brokers apart. One process decides and serves no client, the others serve clients and have no
 * vote; they learn the metadata as members of the quorum without a vote.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Admin, type ITopicConfig, Kafka, logLevel } from "kafkajs";
import { describeBrokers, describeQuorum } from "#client/cluster-info.ts";
import type { Cluster } from "#client/cluster.ts";
import { type BrokerCluster, sluiceCluster } from "../support/cluster-process.ts";
import { askCluster, waitForNodes } from "../support/cluster-questions.ts";

const TOPIC = "apart";

let directory: string;
let cluster: BrokerCluster;
let kafka: Kafka;
let admin: Admin;

async function waitFor(what: string, isReached: () => boolean | Promise<boolean>): Promise<void> {
  await waitForNodes(cluster.nodes, what, isReached);
}

async function asked<T>(question: (client: Cluster) => Promise<T>): Promise<T> {
  return await askCluster(cluster, question);
}

/** Creates a topic and waits until it has leaders. A broker that has not heard of it yet says that there is none. */
async function createTopic(topic: ITopicConfig): Promise<void> {
  await admin.createTopics({ topics: [topic], waitForLeaders: false });
  await waitFor(`leaders of ${topic.topic}`, async () => {
    const { topics } = await admin
      .fetchTopicMetadata({ topics: [topic.topic] })
      .catch(() => ({ topics: [] }));
    return (
      topics.length > 0 &&
      topics.every(({ partitions }) => partitions.every(({ leader }) => leader >= 0))
    );
  });
}

async function produce(values: readonly string[]): Promise<void> {
  const producer = kafka.producer();
  await producer.connect();
  await producer.send({ topic: TOPIC, acks: -1, messages: values.map((value) => ({ value })) });
  await producer.disconnect();
}

/** Everything in the topic, from its beginning. */
async function consume(count: number, groupId: string): Promise<string[]> {
  const consumer = kafka.consumer({ groupId, maxWaitTimeInMs: 100 });
  const read: string[] = [];
  await consumer.connect();
  await consumer.subscribe({ topic: TOPIC, fromBeginning: true });
  await consumer.run({ eachMessage: async ({ message }) => void read.push(String(message.value)) });
  await waitFor(`${count} records`, () => read.length >= count);
  await consumer.disconnect();
  return read.sort();
}

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), "sluice-roles-"));
  cluster = await sluiceCluster({
    directory,
    rolesOf: (id) => (id === 1 ? "controller" : "broker"),
    overrides: { "sluice.admin.listener": "", "offsets.topic.num.partitions": "2" },
    // Messages of the quorum come to a broker's only listener, whatever thread has its sockets.
    overridesOf: ({ id }) => (id === 3 ? { "num.network.threads": "2" } : {}),
  });
  await cluster.start();
  kafka = new Kafka({
    brokers: cluster.bootstrap.split(","),
    logLevel: logLevel.NOTHING,
    retry: { initialRetryTime: 50, maxRetryTime: 500, retries: 60 },
  });
  admin = kafka.admin();
  await admin.connect();
  await waitFor(
    "two live brokers",
    async () => (await admin.describeCluster()).brokers.length === 2,
  );
}, 120_000);

afterAll(async () => {
  await admin?.disconnect();
  await cluster?.stop("SIGKILL");
  rmSync(directory, { recursive: true, force: true });
}, 60_000);

test("one votes, two serve", async () => {
  const quorum = await asked(describeQuorum);
  expect(quorum?.leaderId).toBe(1);
  expect(quorum?.replicas.map(({ id, role }) => `${id} ${role}`)).toEqual([
    "1 leader",
    "2 observer",
    "3 observer",
  ]);
  expect((await asked(describeBrokers)).map(({ id }) => id)).toEqual([2, 3]);
});

test("records of two replicas outlive a broker that is killed, and it comes back", async () => {
  await createTopic({ topic: TOPIC, numPartitions: 2, replicationFactor: 2 });
  await produce(["a", "b", "c"]);
  expect(await consume(3, "before")).toEqual(["a", "b", "c"]);
  const killed = cluster.nodes.find(({ id }) => id === 2);
  await killed?.stop("SIGKILL");
  await produce(["d"]);
  expect(await consume(4, "after")).toEqual(["a", "b", "c", "d"]);
  await killed?.start();
  await waitFor("full ISR", async () => {
    const { topics } = await admin.fetchTopicMetadata({ topics: [TOPIC] });
    return topics.every(({ partitions }) => partitions.every(({ isr }) => isr.length === 2));
  });
}, 120_000);

test("the only controller is killed: what is there is served, and it decides again when it is back", async () => {
  const controller = cluster.nodes.find(({ id }) => id === 1);
  await controller?.stop("SIGKILL");
  await produce(["e"]);
  await controller?.start();
  await createTopic({ topic: "later", replicationFactor: 2 });
  expect(await consume(5, "last")).toEqual(["a", "b", "c", "d", "e"]);
}, 120_000);
