/**
 * What an operator does to four nodes in use: looks at them, empties one in two attempts while a client writes, takes it into use again and empties it once
 * more, and starts one by mistake with a node id that is taken, or where no controller is.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createTopic } from "#client/admin.ts";
import { describeBrokers, describeQuorum } from "#client/cluster-info.ts";
import { CONFIG_RESOURCE_TYPES, describeConfigs } from "#client/configs.ts";
import { Cluster } from "#client/cluster.ts";
import { listOffsets, OffsetSpec } from "#client/offsets.ts";
import { Producer } from "#client/producer.ts";
import {
  CreateTopicsApi,
  makeCreatableTopic,
  makeCreateTopicsRequest,
} from "#protocol/generated/create-topics.ts";
import {
  IncrementalAlterConfigsApi,
  makeAlterConfigsResource,
  makeIncrementalAlterConfigsRequest,
} from "#protocol/generated/incremental-alter-configs.ts";
import { ElectLeadersApi, makeElectLeadersRequest } from "#protocol/generated/elect-leaders.ts";
import type { ClusterStatus } from "#cli/cluster/status-report.ts";
import { writeProperties } from "../support/broker-process.ts";
import { type BrokerCluster, type ClusterNode, sluiceCluster } from "../support/cluster-process.ts";
import { CLUSTER_PATIENCE_MS, waitForNodes } from "../support/cluster-questions.ts";
import { freePort } from "../support/process.ts";
import { sluice, type SluiceRun, spawnSluice } from "../support/run-sluice.ts";

const PARTITIONS = 12;
const TOPIC = "orders";
const INVALID_CONFIG = 40;

let directory: string;
let cluster: BrokerCluster;
let client: Cluster;

async function waitFor(what: string, isReached: () => boolean | Promise<boolean>): Promise<void> {
  await waitForNodes(cluster.nodes, what, isReached);
}

function nodeOf(id: number): ClusterNode {
  const found = cluster.nodes.find((each) => each.id === id);
  if (found === undefined) throw new Error(`there is no node ${id}`);
  return found;
}

/** A command about the cluster; asked of node 1. */
function command(...args: readonly string[]): Promise<SluiceRun> {
  return sluice(["cluster", ...args, "-b", nodeOf(1).bootstrap]);
}

async function status(): Promise<ClusterStatus> {
  const { out, err, exitCode } = await command("status", "--json");
  expect({ err, exitCode }).toEqual({ err: "", exitCode: 0 });
  return JSON.parse(out) as ClusterStatus;
}

async function replicasOn(id: number): Promise<number> {
  const topics = await client.listTopics();
  return topics
    .flatMap(({ partitions }) => partitions)
    .filter(({ replicas }) => replicas.includes(id)).length;
}

/** What throttles replication: the topic's lists, and the rates that brokers were given. */
async function throttles(): Promise<{ leaders: string; followers: string; rates: string[] }> {
  const keys = (what: string): string[] =>
    ["leader", "follower"].map((side) => `${side}.replication.throttled.${what}`);
  const [follower, leader] = await describeConfigs(
    client,
    { type: "topic", name: TOPIC },
    { keys: keys("replicas") },
  );
  const rates: string[] = [];
  for (const { id } of cluster.nodes) {
    const entries = await describeConfigs(
      client,
      { type: "broker", name: String(id) },
      { keys: keys("rate") },
    );
    rates.push(
      ...entries.flatMap(({ source, value }) => (source === "broker" ? [value ?? ""] : [])),
    );
  }
  return { leaders: leader?.value ?? "", followers: follower?.value ?? "", rates };
}

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), "sluice-operations-"));
  cluster = await sluiceCluster({
    directory,
    nodeCount: 4,
    overrides: { "min.insync.replicas": "2", "sluice.admin.listener": "" },
    overridesOf: ({ id }) => ({ "broker.rack": id % 2 === 0 ? "even" : "odd" }),
  });
  await cluster.start();
  client = await Cluster.connect({
    bootstrap: cluster.nodes.map(({ port }) => ({ host: "127.0.0.1", port })),
    retryTimeoutMs: CLUSTER_PATIENCE_MS,
  });
  await waitFor("four brokers in service", async () => {
    const brokers = await describeBrokers(client).catch(() => []);
    return brokers.filter(({ isFenced }) => !isFenced).length === 4;
  });
  const topic = { partitions: PARTITIONS, replicationFactor: 3, configs: new Map() };
  await createTopic(client, { name: TOPIC, ...topic });
}, 120_000);

afterAll(async () => {
  client?.close();
  await cluster?.stop("SIGKILL");
  rmSync(directory, { recursive: true, force: true });
}, 60_000);

test("status: every node by its roles, as the controller and the failure detector have it", async () => {
  await waitFor("all heard and in sync", async () => {
    const { nodes, underReplicatedCount } = await status();
    return (
      underReplicatedCount === 0 &&
      nodes.every(({ swim }) => ["asked", "alive"].includes(swim ?? ""))
    );
  });
  const { nodes, controllerId, askedId, partitionCount, offlineCount } = await status();
  expect([askedId, partitionCount, offlineCount]).toEqual([1, PARTITIONS, 0]);
  expect(nodes.map(({ id, state, swim, rack }) => [id, state, swim, rack])).toEqual([
    [1, "running", "asked", "odd"],
    [2, "running", "alive", "even"],
    [3, "running", "alive", "odd"],
    [4, "running", "alive", "even"],
  ]);
  expect(nodes.map(({ roles }) => roles.join())).toEqual(
    nodes.map(({ id }) => `broker,voter${id === controllerId ? ",controller" : ""}`),
  );
  expect(nodes.reduce((sum, { replicaCount }) => sum + replicaCount, 0)).toBe(3 * PARTITIONS);
  const { out } = await command("status");
  expect(out).toMatch(
    /NODE +ROLES +STATE +HEARD BY 1 +LEADS +REPLICAS +UNSYNCED +LAG +METADATA +ADDRESS +RACK/,
  );
  expect(out).toContain(`1 topic, ${PARTITIONS} partitions: all in sync`);
}, 120_000);

test("drain: may be interrupted, goes on, and loses nothing that is written meanwhile", async () => {
  const producer = await Producer.open(client, TOPIC, { lingerMs: 2 });
  let isOver = false;
  let written = 0;
  const writing = (async () => {
    for (; !isOver; written += 1) {
      await producer.send({ key: null, value: Buffer.from(String(written)) }, written % PARTITIONS);
      await Bun.sleep(2);
    }
    await producer.flush();
  })();
  writing.catch(() => {});
  const before = await replicasOn(4);
  expect(before).toBeGreaterThan(2);
  const slowly = ["--at-once", "1", "--throttle", "50000000"];
  const first = spawnSluice(["cluster", "drain", "4", ...slowly, "-b", nodeOf(1).bootstrap]);
  await waitFor("a first move", async () => (await replicasOn(4)) < before);
  first.kill("SIGINT");
  const told = await new Response(first.stderr).text();
  const exitCode = await first.exited;
  // It may have been done already where the machine stood still.
  if (exitCode !== 0) expect([exitCode, told.includes("The throttle stays")]).toEqual([130, true]);
  if (exitCode !== 0) {
    const { leaders, followers, rates } = await throttles();
    expect([leaders.includes(":4"), followers.includes(":"), rates.length]).toEqual([
      true,
      true,
      8,
    ]);
  }
  const { exitCode: ended, err } = await command("drain", "4");
  expect([ended, err.includes("node 4 holds no replica")]).toEqual([0, true]);
  expect([told, err].every((text) => text.includes("node 4 is cordoned"))).toBe(true);
  expect(await replicasOn(4)).toBe(0);
  expect(await throttles()).toEqual({ leaders: "", followers: "", rates: [] });
  isOver = true;
  await writing;
  const topics = await client.listTopics();
  for (const { partitions } of topics) {
    for (const { replicas, isr, leader } of partitions) {
      expect([new Set(replicas).size, replicas.length, isr.length]).toEqual([3, 3, 3]);
      expect(replicas).toContain(leader);
      // Two racks remain, both of them used.
      expect(replicas).toContain(2);
    }
  }
  const ends = await listOffsets(client, TOPIC, { timestamp: OffsetSpec.LATEST });
  expect([...ends.values()].reduce((sum, end) => sum + end, 0)).toBe(written);
}, 180_000);

/** Creates a topic of three replicas and gives the brokers it lies on. */
async function placed(name: string): Promise<number[]> {
  await createTopic(client, { name, partitions: 4, replicationFactor: 3, configs: new Map() });
  const topics = await client.listTopics();
  const partitions = topics.find((topic) => topic.name === name)?.partitions ?? [];
  return [...new Set(partitions.flatMap(({ replicas }) => replicas))].sort((a, b) => a - b);
}

async function isFenced4(): Promise<boolean> {
  return (await describeBrokers(client)).some(({ id, isFenced }) => id === 4 && isFenced);
}

/** Whether the controller knows that all of a node is to be cordoned: asked by itself it lets that value stay, and come from nothing never. */
async function holdsCordon(id: number): Promise<boolean> {
  const quorum = await describeQuorum(client);
  const address = quorum?.listeners.find(({ nodeId }) => nodeId === quorum.leaderId);
  if (address === undefined) throw new Error("there is no controller");
  const connection = await client.ownConnectionTo(address);
  const configs = [{ name: "cordoned.log.dirs", configOperation: 0, value: "*" }];
  const broker = { resourceType: CONFIG_RESOURCE_TYPES.broker, resourceName: String(id) };
  const resources = [makeAlterConfigsResource({ ...broker, configs })];
  const request = makeIncrementalAlterConfigsRequest({ resources, validateOnly: true });
  const { responses } = await connection.send(IncrementalAlterConfigsApi, request);
  connection.close();
  const errorCode = responses[0]?.errorCode ?? -1;
  expect([0, INVALID_CONFIG]).toContain(errorCode);
  return errorCode === 0;
}

async function cordonedIds(): Promise<number[]> {
  return (await status()).nodes.filter(({ isCordoned }) => isCordoned).map(({ id }) => id);
}

test("a drained node gets nothing new until it is taken into use again, running or stopped", async () => {
  expect(await cordonedIds()).toEqual([4]);
  expect(await placed("after-drain")).toEqual([1, 2, 3]);
  expect((await command("status")).out).toMatch(/ 4 +broker, voter(, active)? +cordoned /);
  const undrained = {
    exitCode: 0,
    out: "node 4 may get replicas of new topics again\n",
    err: "",
  };
  await nodeOf(4).stop("SIGTERM");
  await waitFor("node 4 fenced", isFenced4);
  expect(await holdsCordon(4)).toBe(true);
  expect(await command("undrain", "4")).toEqual(undrained);
  expect(await holdsCordon(4)).toBe(false);
  await nodeOf(4).start();
  await waitFor("node 4 open", async () => (await cordonedIds()).length === 0);
  let round = 0;
  await waitFor("a replica on node 4", async () => {
    round += 1;
    return (await placed(`after-undrain-${round}`)).includes(4);
  });
  const { exitCode, err } = await command("drain", "4");
  expect([exitCode, err.includes("node 4 is cordoned"), await replicasOn(4)]).toEqual([0, true, 0]);
  expect(await command("undrain", "4")).toEqual(undrained);
  await waitFor("node 4 open", async () => (await cordonedIds()).length === 0);
  expect((await command("drain", "4")).exitCode).toBe(0);
}, 180_000);

test("drain: where too few brokers would be left, nothing begins", async () => {
  await nodeOf(4).stop("SIGTERM");
  await waitFor("node 4 fenced", isFenced4);
  const { exitCode, err } = await command("drain", "3");
  expect([exitCode, err.split(", ")[0]]).toEqual([
    1,
    "sluice: node 3 cannot be emptied: without it fewer brokers can take replicas than 3",
  ]);
  expect(err).toContain("the replication factor of after-drain");
  expect((await status()).reassigningCount).toBe(0);
}, 60_000);

test("remove: an empty, stopped node is forgotten, as a voter and as a broker; one that runs is not", async () => {
  expect(await holdsCordon(4)).toBe(true);
  const removed = await command("remove", "4");
  expect(removed).toEqual({
    exitCode: 0,
    out: "node 4 is forgotten (it was voter and broker)\n",
    err: "",
  });
  expect((await status()).nodes.map(({ id }) => id)).toEqual([1, 2, 3]);
  expect(await holdsCordon(4)).toBe(false);
  const { exitCode, err } = await command("remove", "3");
  expect([exitCode, err.split("\n")[0]]).toEqual([1, "sluice: node 3 runs"]);
  expect((await command("remove", "77")).err).toContain("node 77 is not in this cluster");
}, 60_000);

/** Starts a process that is not to get in, and gives how it ended. */
async function strayNode(settings: Readonly<Record<string, string>>): Promise<SluiceRun> {
  const home = mkdtempSync(join(directory, "stray-"));
  const [port, controllerPort] = [await freePort(), await freePort()];
  const properties = join(home, "server.properties");
  writeProperties(properties, {
    "process.roles": "broker,controller",
    listeners: `PLAINTEXT://127.0.0.1:${port},CONTROLLER://127.0.0.1:${controllerPort}`,
    "controller.listener.names": "CONTROLLER",
    "log.dirs": join(home, "data"),
    "sluice.admin.listener": "",
    "initial.broker.registration.timeout.ms": "2000",
    ...settings,
  });
  return sluice(["start", properties]);
}

test("a second process with a node id is refused, with the reason, and the first serves on", async () => {
  const voters = cluster.nodes.map(({ id, controllerPort }) => `${id}@127.0.0.1:${controllerPort}`);
  const before = (await describeBrokers(client)).filter(({ isFenced }) => !isFenced);
  const { exitCode, err } = await strayNode({
    "node.id": "2",
    "controller.quorum.voters": voters.join(","),
  });
  expect(err).toContain(
    "cannot start: broker 2 could not register with the cluster in time (initial.broker.registration.timeout.ms=2000): another process serves as node 2",
  );
  expect(exitCode).toBe(1);
  expect((await describeBrokers(client)).filter(({ isFenced }) => !isFenced)).toEqual(before);
  expect(await command("status")).toMatchObject({ exitCode: 0 });
}, 60_000);

test("a broker that finds no controller ends, with the reason", async () => {
  const [here, there] = [await freePort(), await freePort()];
  const { exitCode, err } = await strayNode({
    "node.id": "1",
    "controller.quorum.voters": `1@127.0.0.1:${here},2@127.0.0.1:${there}`,
    listeners: `PLAINTEXT://127.0.0.1:${await freePort()},CONTROLLER://127.0.0.1:${here}`,
  });
  expect(err).toContain(
    `cannot start: broker 1 found no cluster in time (initial.broker.registration.timeout.ms=2000): no answer from 127.0.0.1:${there}`,
  );
  expect(exitCode).toBe(1);
}, 60_000);

test("without a controller, what is passed on to it is answered as timed out", async () => {
  await Promise.all([2, 3].map((id) => nodeOf(id).stop("SIGKILL")));
  using alone = await Cluster.connect({ bootstrap: [{ host: "127.0.0.1", port: nodeOf(1).port }] });
  const connection = await alone.any();
  const topic = makeCreatableTopic({ name: "late" });
  const request = makeCreateTopicsRequest({ topics: [topic], timeoutMs: 1000 });
  // Node 1 may have been the controller, which takes a moment to see that it is alone.
  await waitFor("answer that the time is over", async () => {
    const { topics } = await connection.send(CreateTopicsApi, request);
    return topics[0]?.errorCode === 7;
  });
  const election = makeElectLeadersRequest({ topicPartitions: null, timeoutMs: 1000 });
  expect(await connection.send(ElectLeadersApi, election)).toMatchObject({ errorCode: 7 });
}, 60_000);
