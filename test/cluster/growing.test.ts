/**
 * A cluster that grows: a node that was by itself brings what it has into a quorum of three, a fourth joins with one option, and leaves
 * again. Real processes all the way.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Admin, ConfigResourceTypes, Kafka, logLevel } from "kafkajs";
import { describeBrokers, describeQuorum } from "#client/cluster-info.ts";
import { Cluster } from "#client/cluster.ts";
import { type BrokerProcess, ROOT, SpawnedBroker } from "../support/broker-process.ts";
import { type BrokerCluster, sluiceCluster } from "../support/cluster-process.ts";
import { CLUSTER_PATIENCE_MS, askCluster, waitForNodes } from "../support/cluster-questions.ts";
import { freePort, mustRun } from "../support/process.ts";
import { sluice as runSluice } from "../support/run-sluice.ts";

const MAIN = join(ROOT, "src/main.ts");

let directory: string;
let cluster: BrokerCluster;
let fourth: SpawnedBroker;
let kafka: Kafka;
let admin: Admin;

async function waitFor(what: string, isReached: () => boolean | Promise<boolean>): Promise<void> {
  await waitForNodes(
    [...cluster.nodes, ...(fourth === undefined ? [] : [fourth])],
    what,
    isReached,
  );
}

function clientOf(bootstrap: string): Kafka {
  return new Kafka({
    brokers: bootstrap.split(","),
    logLevel: logLevel.NOTHING,
    retry: { initialRetryTime: 50, maxRetryTime: 500, retries: 60 },
  });
}

async function asked<T>(question: (client: Cluster) => Promise<T>): Promise<T> {
  return await askCluster(cluster, question);
}

async function produce(topic: string, values: readonly string[]): Promise<void> {
  const producer = kafka.producer();
  await producer.connect();
  await producer.send({ topic, acks: -1, messages: values.map((value) => ({ value })) });
  await producer.disconnect();
}

async function consume(topic: string, count: number, groupId: string): Promise<string[]> {
  return await consumeFrom(
    [...cluster.nodes, fourth].filter((node) => node !== undefined),
    topic,
    count,
    groupId,
  );
}

async function consumeFrom(
  nodes: readonly BrokerProcess[],
  topic: string,
  count: number,
  groupId: string,
): Promise<string[]> {
  const consumer = kafka.consumer({ groupId, maxWaitTimeInMs: 100 });
  const read: string[] = [];
  await consumer.connect();
  await consumer.subscribe({ topic, fromBeginning: true });
  await consumer.run({ eachMessage: async ({ message }) => void read.push(String(message.value)) });
  await waitForNodes(nodes, `${count} records`, () => read.length >= count);
  await consumer.disconnect();
  return read.sort();
}

async function isrOf(topic: string): Promise<string> {
  // A broker that has not heard of it yet says that there is none.
  const { topics } = await admin
    .fetchTopicMetadata({ topics: [topic] })
    .catch(() => ({ topics: [] }));
  return (topics[0]?.partitions ?? [])
    .map(({ isr, leader }) =>
      leader < 0 ? "-" : [...isr].sort((left, right) => left - right).join(),
    )
    .join(" ");
}

async function sluice(...args: string[]): Promise<string> {
  return mustRun([process.execPath, MAIN, ...args, "--bootstrap", cluster.bootstrap]);
}

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "sluice-growing-"));
});

afterAll(async () => {
  await admin?.disconnect();
  await fourth?.stop("SIGKILL");
  await cluster?.stop("SIGKILL");
  rmSync(directory, { recursive: true, force: true });
}, 60_000);

test("what a node had while it was by itself is what the cluster begins with", async () => {
  const port = await freePort();
  const alone = new SpawnedBroker({
    name: "alone",
    host: "127.0.0.1",
    port,
    dataDirectory: join(directory, "node-1", "data"),
    logFile: join(directory, "alone.log"),
    readyTimeoutMs: CLUSTER_PATIENCE_MS,
    command: [
      process.execPath,
      MAIN,
      "start",
      "--override=node.id=1",
      `--override=listeners=PLAINTEXT://127.0.0.1:${port}`,
      `--override=log.dirs=${join(directory, "node-1", "data")}`,
      "--override=sluice.admin.listener=",
      "--override=offsets.topic.num.partitions=1",
      "--override=offsets.topic.replication.factor=1",
    ],
  });
  await alone.start();
  kafka = clientOf(`127.0.0.1:${port}`);
  admin = kafka.admin();
  await admin.connect();
  const configEntries = [{ name: "retention.ms", value: "86400000" }];
  await admin.createTopics({
    topics: [{ topic: "old", numPartitions: 1, replicationFactor: 1, configEntries }],
  });
  await produce("old", ["a", "b", "c"]);
  const { clusterId } = await admin.describeCluster();
  await admin.disconnect();
  await alone.stop("SIGTERM");

  cluster = await sluiceCluster({ directory, overrides: { "sluice.admin.listener": "" } });
  await cluster.start();
  kafka = clientOf(cluster.bootstrap);
  admin = kafka.admin();
  await admin.connect();
  await waitFor("three brokers", async () => (await asked(describeBrokers)).length === 3);
  await waitFor("a leader", async () => (await isrOf("old")) === "1");
  expect((await admin.describeCluster()).clusterId).toBe(clusterId);
  const { resources } = await admin.describeConfigs({
    includeSynonyms: false,
    resources: [{ type: ConfigResourceTypes.TOPIC, name: "old", configNames: ["retention.ms"] }],
  });
  expect(resources[0]?.configEntries[0]?.configValue).toBe("86400000");
  expect(await consume("old", 3, "one")).toEqual(["a", "b", "c"]);

  await admin.alterPartitionReassignments({
    topics: [{ topic: "old", partitionAssignment: [{ partition: 0, replicas: [1, 2, 3] }] }],
  });
  await waitFor("three replicas", async () => (await isrOf("old")) === "1,2,3");
  await cluster.nodes[0]?.stop("SIGKILL");
  expect(await consume("old", 3, "two")).toEqual(["a", "b", "c"]);
  await cluster.nodes[0]?.start();
}, 180_000);

test("a fourth node joins with one option, gets replicas and a vote, and leaves again", async () => {
  const port = await freePort();
  const controllerPort = await freePort();
  const listeners = `PLAINTEXT://127.0.0.1:${port},CONTROLLER://127.0.0.1:${controllerPort}`;
  fourth = new SpawnedBroker({
    name: "fourth",
    host: "127.0.0.1",
    port,
    dataDirectory: join(directory, "node-4"),
    logFile: join(directory, "fourth.log"),
    readyTimeoutMs: CLUSTER_PATIENCE_MS,
    command: [
      process.execPath,
      MAIN,
      "start",
      `--join=${cluster.bootstrap}`,
      "--role=controller,broker",
      `--override=log.dirs=${join(directory, "node-4")}`,
      `--override=listeners=${listeners}`,
      "--override=sluice.admin.listener=",
    ],
  });
  await fourth.start();
  await waitFor("a fourth broker", async () =>
    (await asked(describeBrokers)).some(({ id, isFenced }) => id === 4 && !isFenced),
  );
  await waitFor("a fourth voter", async () => {
    const quorum = await asked(describeQuorum);
    return quorum?.replicas.some(({ id, role }) => id === 4 && role !== "observer") === true;
  });
  await admin.createTopics({
    topics: [{ topic: "new", replicaAssignment: [{ partition: 0, replicas: [4, 1] }] }],
    waitForLeaders: false,
  });
  await waitFor("both in sync", async () => (await isrOf("new")) === "1,4");
  await produce("new", ["x"]);

  await sluice("cluster", "drain", "4");
  await waitFor("no replica on it", async () => !(await isrOf("new")).includes("4"));
  await fourth.stop("SIGTERM");
  const quorum = await asked(describeQuorum);
  const directoryId = quorum?.replicas.find(({ id }) => id === 4)?.directoryId ?? "";
  expect(directoryId).not.toBe("");
  await sluice("cluster", "remove", "4");
  expect((await asked(describeBrokers)).map(({ id }) => id)).toEqual([1, 2, 3]);
  expect(await consume("new", 1, "three")).toEqual(["x"]);
}, 180_000);

test("a node by itself says what to do, and as a cluster of one is joined while it runs", async () => {
  const home = join(directory, "first");
  const port = await freePort();
  const ports = [port, await freePort()];
  const start = (...args: readonly string[]): SpawnedBroker =>
    new SpawnedBroker({
      name: "first",
      host: "127.0.0.1",
      port,
      dataDirectory: home,
      logFile: join(directory, "first.log"),
      readyTimeoutMs: CLUSTER_PATIENCE_MS,
      command: [process.execPath, MAIN, "start", ...args, ...common(home, ports)],
    });
  const common = (data: string, [client, controller]: readonly number[]): string[] => [
    `--override=log.dirs=${data}`,
    `--override=listeners=PLAINTEXT://127.0.0.1:${client},CONTROLLER://127.0.0.1:${controller}`,
    "--override=sluice.admin.listener=",
    "--override=offsets.topic.replication.factor=1",
  ];
  let first = start();
  await first.start();
  kafka = clientOf(first.bootstrap);
  await produce("kept", ["a"]);
  const joining = ["start", `--join=${first.bootstrap}`, "--role=controller,broker"];
  const secondPort = await freePort();
  const own = common(join(directory, "second"), [secondPort, await freePort()]);
  const { err, exitCode } = await runSluice([...joining, ...own]);
  expect([exitCode, err.includes("Start it with --cluster")]).toEqual([1, true]);
  await first.stop("SIGTERM");

  first = start("--cluster");
  await first.start();
  const second = new SpawnedBroker({
    name: "second",
    host: "127.0.0.1",
    port: secondPort,
    dataDirectory: join(directory, "second"),
    logFile: join(directory, "second.log"),
    readyTimeoutMs: CLUSTER_PATIENCE_MS,
    command: [process.execPath, MAIN, ...joining, ...own],
  });
  try {
    await second.start();
    const bootstrap = [{ host: "127.0.0.1", port }];
    const client = await Cluster.connect({ bootstrap, retryTimeoutMs: CLUSTER_PATIENCE_MS });
    await waitForNodes([first, second], "two brokers and two voters", async () => {
      const [brokers, quorum] = [await describeBrokers(client), await describeQuorum(client)];
      const voters = quorum?.replicas.filter(({ role }) => role !== "observer") ?? [];
      return brokers.filter(({ isFenced }) => !isFenced).length === 2 && voters.length === 2;
    });
    client.close();
    kafka = clientOf(second.bootstrap);
    expect(await consumeFrom([first, second], "kept", 1, "four")).toEqual(["a"]);
  } finally {
    await second.stop("SIGKILL");
    await first.stop("SIGKILL");
  }
}, 180_000);
