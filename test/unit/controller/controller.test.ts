import { describe, expect, test } from "bun:test";
import { ProducerIdSource } from "#controller/producer-ids.ts";
import type { MetadataLog } from "#metadata/metadata-log.ts";
import { MemoryMetadataLog, MetadataLogError } from "#metadata/metadata-log.ts";
import type { PartitionProvisioner, PartitionSpec } from "#metadata/provisioning-publisher.ts";
import {
  makeCreatePartitionsRequest,
  makeCreatePartitionsTopic,
} from "#protocol/generated/create-partitions.ts";
import type { CreatePartitionsTopic } from "#protocol/generated/create-partitions.ts";
import { makeCreatableTopic, makeCreateTopicsRequest } from "#protocol/generated/create-topics.ts";
import { makeDeleteTopicsRequest } from "#protocol/generated/delete-topics.ts";
import type { Cluster } from "./cluster-fixture.ts";
import { startCluster } from "./cluster-fixture.ts";

/** Notes what it is told. */
class NotingProvisioner implements PartitionProvisioner {
  readonly notes: string[] = [];
  readonly specs: PartitionSpec[] = [];

  create(spec: PartitionSpec): void {
    this.notes.push(`create ${spec.topic}-${spec.partition}`);
    this.specs.push(spec);
  }
  delete({ topic, partition }: Omit<PartitionSpec, "config">): void {
    this.notes.push(`delete ${topic}-${partition}`);
  }
  configure(spec: PartitionSpec): void {
    this.notes.push(`configure ${spec.topic}-${spec.partition} ${spec.config.retentionMs}`);
  }
  lead({ topic, partition }: PartitionSpec): void {
    this.notes.push(`lead ${topic}-${partition}`);
  }
}

describe("a full disk", () => {
  test("refuses topics and partitions, leaves nothing behind, and lets the broker's own be", async () => {
    let refusal: { errorCode: number; errorMessage: string } | null = null;
    const provisioner = new NotingProvisioner();
    const cluster = await startCluster({ provisioner, creationRefusal: () => refusal });
    await cluster.createTopic("t", 1);
    provisioner.notes.splice(0);
    const before = cluster.controller.image.offset;
    refusal = { errorCode: 56, errorMessage: "full" };
    const topics = ["u", "t", "bad name"].map((name) =>
      makeCreatableTopic({ name, numPartitions: 1, replicationFactor: 1 }),
    );
    const created = await cluster.controller.createTopics(
      makeCreateTopicsRequest({ topics, timeoutMs: 1000 }),
    );
    expect(created.topics.map(({ name, errorCode }) => [name, errorCode])).toEqual([
      ["u", 56],
      ["t", 56],
      ["bad name", 56],
    ]);
    const grown = await cluster.controller.createPartitions(
      makeCreatePartitionsRequest({
        topics: [makeCreatePartitionsTopic({ name: "t", count: 3, assignments: null })],
        timeoutMs: 1000,
      }),
    );
    expect(grown.results).toEqual([{ name: "t", errorCode: 56, errorMessage: "full" }]);
    expect([cluster.controller.image.offset, provisioner.notes]).toEqual([before, []]);
    expect(await cluster.controller.createAutomatically(["__consumer_offsets"])).toEqual(
      new Map([["__consumer_offsets", 0]]),
    );
    refusal = null;
    await cluster.createTopic("u");
  });
});

describe("partitions on this node", () => {
  test("exist before the answer, follow the configuration and go with the topic", async () => {
    const provisioner = new NotingProvisioner();
    const cluster = await startCluster({ provisioner });
    const id = await cluster.createTopic("t", 2, { "retention.ms": "7" });
    expect(provisioner.notes.splice(0)).toEqual(["create t-0", "create t-1"]);
    expect(provisioner.specs[0]).toMatchObject({
      topicId: id,
      leaderEpoch: 0,
      isLeader: true,
      config: { retentionMs: 7 },
    });
    await cluster.createTopic("u");
    provisioner.notes.splice(0);
    const set = (resourceType: number, resourceName: string, name: string, value: string) =>
      cluster.controller.changeConfigs(
        [
          {
            resourceType,
            resourceName,
            replacesAll: false,
            changes: [{ name, operation: 0, value }],
          },
        ],
        false,
      );
    await set(2, "t", "retention.ms", "8");
    expect(provisioner.notes.splice(0)).toEqual(["configure t-0 8", "configure t-1 8"]);
    await set(4, "", "log.retention.ms", "99");
    expect(provisioner.notes.splice(0)).toEqual([
      "configure t-0 8",
      "configure t-1 8",
      "configure u-0 99",
    ]);
    await cluster.controller.deleteTopics(
      makeDeleteTopicsRequest({ topicNames: ["t"], timeoutMs: 9 }),
      5,
    );
    expect(provisioner.notes.splice(0)).toEqual(["delete t-0", "delete t-1"]);
  });

  test("are all reported after a restart", async () => {
    const log = new MemoryMetadataLog();
    const before = await startCluster({ log });
    await before.createTopic("t", 2);
    const provisioner = new NotingProvisioner();
    const after = await startCluster({ log, provisioner });
    expect(provisioner.notes).toEqual(["create t-0", "create t-1"]);
    expect(after.controller.image.topicsByName).toEqual(before.controller.image.topicsByName);
  });
});

describe("requests at the same time", () => {
  test("are decided one after another", async () => {
    const { controller } = await startCluster();
    const request = makeCreateTopicsRequest({
      topics: [makeCreatableTopic({ name: "t", numPartitions: 1, replicationFactor: 1 })],
      timeoutMs: 1000,
    });
    const answers = await Promise.all([1, 2, 3].map(() => controller.createTopics(request)));
    expect(answers.map(({ topics }) => topics[0]?.errorCode)).toEqual([0, 36, 36]);
  });
});

describe("a log that fails", () => {
  test("refuses changes and leaves the image alone", async () => {
    const inner = new MemoryMetadataLog();
    let isBroken = false;
    const log: MetadataLog = {
      load: (onBatch) => inner.load(onBatch),
      append: (records) =>
        isBroken
          ? Promise.reject(new MetadataLogError("LOG_POISONED", "disk is gone"))
          : inner.append(records),
      bytesSinceSnapshot: 0,
      writeSnapshot: () => Promise.resolve(),
      close: () => Promise.resolve(),
    };
    const { controller } = await startCluster({ log });
    isBroken = true;
    const request = makeCreateTopicsRequest({
      topics: [makeCreatableTopic({ name: "t", numPartitions: 1, replicationFactor: 1 })],
      timeoutMs: 1000,
    });
    const { topics } = await controller.createTopics(request);
    expect(topics).toMatchObject([{ name: "t", errorCode: -1, errorMessage: "disk is gone" }]);
    expect(controller.image.topicsByName.size).toBe(0);
    await expect(controller.allocateProducerIds()).rejects.toThrow("disk is gone");
  });
});

describe("CreatePartitions", () => {
  async function grow(
    cluster: Cluster,
    ...rows: Partial<CreatePartitionsTopic>[]
  ): Promise<unknown[]> {
    const topics = rows.map((init) =>
      makeCreatePartitionsTopic({ name: "t", assignments: null, ...init }),
    );
    const { results } = await cluster.controller.createPartitions(
      makeCreatePartitionsRequest({ topics, timeoutMs: 1000 }),
    );
    return results.map(({ errorCode, errorMessage }) => [errorCode, errorMessage]);
  }

  const refused: [Partial<CreatePartitionsTopic>, number, string | null][] = [
    [{ count: 0 }, 37, "The topic t currently has 1 partition(s); 0 would not be an increase."],
    [{ count: 1 }, 37, "Topic already has 1 partition(s)."],
    [{ name: "nope", count: 2 }, 3, null],
    [
      { count: 2, assignments: [{ brokerIds: [9] }] },
      39,
      "The manual partition assignment includes broker 9, but no such broker is registered.",
    ],
    [
      { count: 3, assignments: [{ brokerIds: [1] }] },
      39,
      "Attempted to add 2 additional partition(s), but only 1 assignment(s) were specified.",
    ],
    [{ count: 10_002 }, 44, "Excessively large number of additional partitions per request."],
  ];
  for (const [init, errorCode, message] of refused) {
    test(JSON.stringify(init), async () => {
      const cluster = await startCluster();
      await cluster.createTopic("t");
      expect(await grow(cluster, init)).toEqual([[errorCode, message]]);
      expect(cluster.controller.image.topicsByName.get("t")?.partitions).toHaveLength(1);
    });
  }

  test("adds partitions behind those there are", async () => {
    const cluster = await startCluster();
    await cluster.createTopic("t");
    expect(await grow(cluster, { count: 3 })).toEqual([[0, null]]);
    const partitions = cluster.controller.image.topicsByName.get("t")?.partitions;
    expect(partitions?.map(({ partitionId, leader }) => [partitionId, leader])).toEqual([
      [0, 1],
      [1, 1],
      [2, 1],
    ]);
  });
});

describe("producer ids", () => {
  test("are never given twice, not even after a restart", async () => {
    const log = new MemoryMetadataLog();
    const first = await startCluster({ log });
    const source = new ProducerIdSource(() => first.controller.allocateProducerIds());
    expect(await Promise.all([source.next(), source.next(), source.next()])).toEqual([0n, 1n, 2n]);
    for (let count = 3; count < 1000; count++) await source.next();
    expect(await source.next()).toBe(1000n);
    const second = await startCluster({ log });
    const fresh = new ProducerIdSource(() => second.controller.allocateProducerIds());
    expect(await fresh.next()).toBe(2000n);
  });
});

describe("start", () => {
  test("writes nothing when nothing changed", async () => {
    const log = new MemoryMetadataLog();
    const { offset } = (await startCluster({ log })).controller.image;
    expect((await startCluster({ log })).controller.image.offset).toBe(offset);
  });
});

describe("topics created for clients", () => {
  test("use the defaults; the topic of committed offsets its own settings", async () => {
    const { controller } = await startCluster({ config: { "num.partitions": "2" } });
    const outcome = await controller.createAutomatically([
      "t",
      "__consumer_offsets",
      "__transaction_state",
      "a b",
    ]);
    expect(Object.fromEntries(outcome)).toEqual({
      t: 0,
      __consumer_offsets: 0,
      __transaction_state: 3,
      "a b": 17,
    });
    expect(controller.image.topicsByName.get("t")?.partitions).toHaveLength(2);
    expect(controller.image.topicsByName.get("__consumer_offsets")?.partitions).toHaveLength(50);
    expect(Object.fromEntries(controller.image.configs.get("2:__consumer_offsets") ?? [])).toEqual({
      "compression.type": "producer",
      "cleanup.policy": "compact",
      "segment.bytes": "104857600",
    });
  });
});
