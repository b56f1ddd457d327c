/**
 * A partition moved between three processes while both sides are throttled, as `kafka-reassign-partitions --throttle` asks for it: the copy
 * takes at least the time that its bytes take at that rate.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describeBrokers } from "#client/cluster-info.ts";
import { Cluster } from "#client/cluster.ts";
import { Producer } from "#client/producer.ts";
import {
  AlterPartitionReassignmentsApi,
  makeAlterPartitionReassignmentsRequest,
  makeReassignablePartition,
  makeReassignableTopic,
} from "#protocol/generated/alter-partition-reassignments.ts";
import {
  CreateTopicsApi,
  makeCreatableReplicaAssignment,
  makeCreatableTopic,
  makeCreateTopicsRequest,
} from "#protocol/generated/create-topics.ts";
import {
  IncrementalAlterConfigsApi,
  makeAlterableConfig,
  makeAlterConfigsResource,
  makeIncrementalAlterConfigsRequest,
} from "#protocol/generated/incremental-alter-configs.ts";
import { type BrokerCluster, sluiceCluster } from "../support/cluster-process.ts";
import { CLUSTER_PATIENCE_MS, waitForNodes } from "../support/cluster-questions.ts";

const TOPIC = "heavy";
const VALUE_BYTES = 100_000;
const RECORD_COUNT = 20;
const RATE = 400_000;
/** An answer may bring this much at once (`replica.fetch.max.bytes`), and a rate is looked at before, not after. */
const FETCH_BYTES = 200_000;
const TOPIC_RESOURCE = 2;
const BROKER_RESOURCE = 4;
const SET = 0;
const DELETE = 1;

let directory: string;
let cluster: BrokerCluster;
let client: Cluster;

async function waitFor(what: string, isReached: () => boolean | Promise<boolean>): Promise<void> {
  await waitForNodes(cluster.nodes, what, isReached);
}

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), "sluice-throttle-"));
  cluster = await sluiceCluster({
    directory,
    overrides: { "sluice.admin.listener": "", "replica.fetch.max.bytes": String(FETCH_BYTES) },
  });
  await cluster.start();
  client = await Cluster.connect({
    bootstrap: cluster.nodes.map(({ port }) => ({ host: "127.0.0.1", port })),
    retryTimeoutMs: CLUSTER_PATIENCE_MS,
  });
  await waitFor("three brokers in service", async () => {
    const brokers = await describeBrokers(client).catch(() => []);
    return brokers.filter(({ isFenced }) => !isFenced).length === 3;
  });
}, 120_000);

afterAll(async () => {
  client?.close();
  await cluster?.stop("SIGKILL");
  rmSync(directory, { recursive: true, force: true });
}, 60_000);

interface Change {
  readonly type: number;
  readonly name: string;
  readonly values: Readonly<Record<string, string>>;
}

/** Sets or removes values of topics and brokers; of a broker it is asked itself, as in Kafka. */
async function change(operation: number, changes: readonly Change[]): Promise<void> {
  for (const { type, name, values } of changes) {
    const connection =
      type === BROKER_RESOURCE ? await client.node(Number(name)) : await client.any();
    const configs = Object.entries(values).map(([key, value]) =>
      makeAlterableConfig({
        name: key,
        configOperation: operation,
        value: operation === SET ? value : null,
      }),
    );
    const resource = makeAlterConfigsResource({ resourceType: type, resourceName: name, configs });
    const request = makeIncrementalAlterConfigsRequest({ resources: [resource] });
    const { responses } = await connection.send(IncrementalAlterConfigsApi, request);
    expect(responses.map(({ errorCode }) => errorCode)).toEqual([0]);
  }
}

async function isrOf(): Promise<readonly number[]> {
  const topics = await client.listTopics();
  return topics.find(({ name }) => name === TOPIC)?.partitions[0]?.isr ?? [];
}

test("a throttled copy takes the time of its bytes", async () => {
  const assignment = makeCreatableReplicaAssignment({ partitionIndex: 0, brokerIds: [1] });
  const topic = makeCreatableTopic({
    name: TOPIC,
    numPartitions: -1,
    replicationFactor: -1,
    assignments: [assignment],
  });
  const connection = await client.any();
  await connection.send(CreateTopicsApi, makeCreateTopicsRequest({ topics: [topic] }));
  const producer = await Producer.open(client, TOPIC, { batchBytes: VALUE_BYTES });
  for (let record = 0; record < RECORD_COUNT; record += 1)
    await producer.send({ key: null, value: new Uint8Array(VALUE_BYTES) });
  await producer.flush();
  // What the tool sets: rates of all brokers concerned, and the replicas of both sides.
  const rates = {
    "leader.replication.throttled.rate": String(RATE),
    "follower.replication.throttled.rate": String(RATE),
  };
  const throttle: Change[] = [
    {
      type: TOPIC_RESOURCE,
      name: TOPIC,
      values: {
        "leader.replication.throttled.replicas": "0:1",
        "follower.replication.throttled.replicas": "0:2",
      },
    },
    ...["1", "2"].map((name) => ({ type: BROKER_RESOURCE, name, values: rates })),
  ];
  await change(SET, throttle);
  const startedMs = performance.now();
  const move = makeReassignableTopic({
    name: TOPIC,
    partitions: [makeReassignablePartition({ partitionIndex: 0, replicas: [1, 2] })],
  });
  await connection.send(
    AlterPartitionReassignmentsApi,
    makeAlterPartitionReassignmentsRequest({ timeoutMs: 30_000, topics: [move] }),
  );
  await waitFor("second replica in sync", async () => (await isrOf()).length === 2);
  const elapsedMs = performance.now() - startedMs;
  const bytes = RECORD_COUNT * VALUE_BYTES;
  // The last answer may come while the rate is just kept; the windows are whole seconds.
  const leastMs = ((bytes - 2 * FETCH_BYTES) / RATE) * 1_000 - 1_000;
  expect(elapsedMs).toBeGreaterThan(leastMs);
  await change(DELETE, throttle);
}, 120_000);
