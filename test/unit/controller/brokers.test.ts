/**
 * Brokers of a cluster: how they come, stay, fall silent and go, and what the controller lets their leaders change.
 */
import { describe, expect, test } from "bun:test";
import { ZERO_UUID } from "#common/uuid.ts";
import {
  makeAlterPartitionRequest,
  makeAlterPartitionRequestPartitionData,
  makeAlterPartitionRequestTopicData,
  makeBrokerState,
} from "#protocol/generated/alter-partition.ts";
import type { AlterPartitionRequestPartitionData } from "#protocol/generated/alter-partition.ts";
import { makeAllocateProducerIdsRequest } from "#protocol/generated/allocate-producer-ids.ts";
import { makeBrokerHeartbeatRequest } from "#protocol/generated/broker-heartbeat.ts";
import type { BrokerHeartbeatRequest } from "#protocol/generated/broker-heartbeat.ts";
import type { BrokerRegistrationRequest } from "#protocol/generated/broker-registration.ts";
import {
  makeCreatableReplicaAssignment,
  makeCreatableTopic,
  makeCreatableTopicConfig,
  makeCreateTopicsRequest,
} from "#protocol/generated/create-topics.ts";
import { MemoryCluster, SESSION_TIMEOUT_MS } from "./memory-cluster.ts";

/** A cluster with a topic `t` of these assignments. */
async function clusterWith(
  assignments: readonly (readonly number[])[],
  configs: Readonly<Record<string, string>> = {},
  racks: readonly null[] = [null, null, null],
): Promise<MemoryCluster> {
  const cluster = await MemoryCluster.start({ racks });
  const row = makeCreatableTopic({
    name: "t",
    numPartitions: -1,
    replicationFactor: -1,
    assignments: assignments.map((brokerIds, partitionIndex) =>
      makeCreatableReplicaAssignment({ partitionIndex, brokerIds: [...brokerIds] }),
    ),
    configs: Object.entries(configs).map(([name, value]) =>
      makeCreatableTopicConfig({ name, value }),
    ),
  });
  const request = makeCreateTopicsRequest({ topics: [row], timeoutMs: 1 });
  const { topics } = await cluster.controller.createTopics(request);
  expect(topics.map(({ errorCode }) => errorCode)).toEqual([0]);
  return cluster;
}

const brokerOf = (cluster: MemoryCluster, id: number): unknown => cluster.image.brokers.get(id);

describe("a registration", () => {
  test("begins a life that its offset names, out of service", async () => {
    const cluster = await MemoryCluster.start({ racks: ["a", "b", "c"] });
    await cluster.kill(2);
    cluster.broker(2).life += 1;
    const { errorCode, brokerEpoch } = await cluster.register(2);
    expect([errorCode, brokerEpoch]).toEqual([0, cluster.image.offset]);
    expect(brokerOf(cluster, 2)).toMatchObject({
      epoch: brokerEpoch,
      isFenced: true,
      isInControlledShutdown: false,
      rack: "b",
      endpoints: [{ name: "PLAINTEXT", host: "host-2", port: 9092, securityProtocol: 0 }],
    });
  });

  test("is changed, not begun anew, by the same life", async () => {
    const cluster = await MemoryCluster.start({ racks: [null, null] });
    const before = cluster.image.brokers.get(2);
    const { errorCode, brokerEpoch } = await cluster.register(2, { rack: "z" });
    expect([errorCode, brokerEpoch]).toEqual([0, before?.epoch ?? -1]);
    expect(brokerOf(cluster, 2)).toMatchObject({ rack: "z", isFenced: false });
  });

  const refused: [string, Partial<BrokerRegistrationRequest>, number][] = [
    ["of another cluster", { clusterId: "another" }, 104],
    ["from ZooKeeper", { isMigratingZkBroker: true }, 102],
    ["without directories", { logDirs: [] }, 119],
    [
      "with a directory twice",
      { logDirs: ["A234567890123456789012", "A234567890123456789012"] },
      119,
    ],
    ["with a directory that is none", { logDirs: [ZERO_UUID] }, 119],
    ["with a reserved directory", { logDirs: ["AAAAAAAAAAAAAAAAAAAAYw"] }, 119],
    ["with another's directory", { logDirs: ["AAAAAAAAA-kAAAAAAAAq-A"] }, 119],
    ["without a metadata version", { features: [] }, 119],
    [
      "that cannot work at the level in force",
      { features: [{ name: "metadata.version", minSupportedVersion: 7, maxSupportedVersion: 20 }] },
      35,
    ],
  ];
  for (const [what, init, errorCode] of refused) {
    test(`${what} is refused`, async () => {
      const cluster = await MemoryCluster.start({ racks: [null, null] });
      const { offset } = cluster.image;
      expect(await cluster.register(2, init)).toMatchObject({ errorCode, brokerEpoch: -1 });
      expect(cluster.image.offset).toBe(offset);
    });
  }

  test("of an id whose broker lives is refused until its session is over", async () => {
    const cluster = await MemoryCluster.start({ racks: [null, null] });
    cluster.broker(2).life += 1;
    expect((await cluster.register(2)).errorCode).toBe(101);
    cluster.nowMs += SESSION_TIMEOUT_MS;
    expect((await cluster.register(2)).errorCode).toBe(101);
    cluster.nowMs += 1;
    expect((await cluster.register(2)).errorCode).toBe(0);
  });

  test("after a fence need not wait for any session", async () => {
    const cluster = await MemoryCluster.start({ racks: [null, null] });
    const life = { brokerId: 2, brokerEpoch: cluster.broker(2).epoch };
    expect(await cluster.desk.fence(life, "connection", cluster.nowMs)).toBe("fenced");
    cluster.broker(2).life += 1;
    expect((await cluster.register(2)).errorCode).toBe(0);
  });

  test("of a process that died before it was in service need not wait for its session either", async () => {
    const cluster = await MemoryCluster.start({ racks: [null, null] });
    await cluster.stop(2);
    cluster.broker(2).life += 1;
    const { brokerEpoch } = await cluster.register(2);
    const request = { brokerId: 2, brokerEpoch, currentMetadataOffset: -1, wantFence: true };
    await cluster.desk.brokerHeartbeat(makeBrokerHeartbeatRequest(request), cluster.nowMs);
    cluster.broker(2).life += 1;
    expect((await cluster.register(2)).errorCode).toBe(101);
    const life = { brokerId: 2, brokerEpoch };
    expect(await cluster.desk.fence(life, "connection", cluster.nowMs)).toBe("not-needed");
    expect((await cluster.register(2)).errorCode).toBe(0);
  });

  test("of a broker that did not close its logs takes its place from it", async () => {
    const cluster = await clusterWith([[2, 1]], { "min.insync.replicas": "2" });
    cluster.broker(2).life += 1;
    cluster.nowMs += SESSION_TIMEOUT_MS + 1;
    await cluster.beat(1);
    expect((await cluster.register(2)).errorCode).toBe(0);
    expect(cluster.partition("t", 0)).toMatchObject({
      leader: 1,
      isr: [1],
      eligibleLeaderReplicas: [],
    });
  });

  test("of a broker that closed its logs leaves it eligible", async () => {
    const cluster = await clusterWith([[2, 1]], { "min.insync.replicas": "2" });
    await cluster.stop(2);
    expect(cluster.partition("t", 0)).toMatchObject({ isr: [1], eligibleLeaderReplicas: [2] });
    await cluster.boot(2);
    expect(cluster.partition("t", 0)).toMatchObject({ isr: [1], eligibleLeaderReplicas: [2] });
  });
});

describe("a heartbeat", () => {
  const beat = (cluster: MemoryCluster, id: number, init: Partial<BrokerHeartbeatRequest> = {}) =>
    cluster.desk.brokerHeartbeat(
      makeBrokerHeartbeatRequest({
        brokerId: id,
        brokerEpoch: cluster.broker(id).epoch,
        currentMetadataOffset: cluster.image.offset,
        ...init,
      }),
      cluster.nowMs,
    );

  test("of another life, or of nobody, is stale", async () => {
    const cluster = await MemoryCluster.start({ racks: [null, null] });
    expect(await beat(cluster, 2, { brokerEpoch: 1 })).toMatchObject({ errorCode: 77 });
    expect(await beat(cluster, 2, { brokerId: 9 })).toMatchObject({ errorCode: 77 });
  });

  test("puts a broker into service once it has read its own registration", async () => {
    const cluster = await MemoryCluster.start({ racks: [null, null] });
    await cluster.kill(2);
    cluster.broker(2).life += 1;
    const { brokerEpoch } = await cluster.register(2);
    cluster.broker(2).epoch = brokerEpoch;
    const behind = { currentMetadataOffset: brokerEpoch - 1 };
    expect(await beat(cluster, 2, behind)).toMatchObject({ isCaughtUp: false, isFenced: true });
    const fenced = { currentMetadataOffset: brokerEpoch, wantFence: true };
    expect(await beat(cluster, 2, fenced)).toMatchObject({ isCaughtUp: true, isFenced: true });
    const ready = { currentMetadataOffset: brokerEpoch };
    expect(await beat(cluster, 2, ready)).toMatchObject({ isCaughtUp: true, isFenced: false });
    expect(brokerOf(cluster, 2)).toMatchObject({ isFenced: false });
  });

  test("gives partitions without a leader one", async () => {
    const cluster = await clusterWith([[2], [3]]);
    await cluster.kill(2);
    expect(cluster.partition("t", 0)).toMatchObject({ leader: -1, leaderEpoch: 1, isr: [] });
    await cluster.stop(3);
    await cluster.boot(3);
    expect(cluster.partition("t", 1)).toMatchObject({
      leader: 3,
      leaderEpoch: 2,
      leaderRecoveryState: 0,
    });
    // Who may have lost records leads all the same when nobody else ever had them, and says when it has recovered.
    await cluster.boot(2);
    expect(cluster.partition("t", 0)).toMatchObject({
      leader: 2,
      leaderEpoch: 2,
      isr: [2],
      leaderRecoveryState: 1,
    });
  });

  test("of a broker that leads nothing lets it go at once", async () => {
    const cluster = await MemoryCluster.start({ racks: [null, null] });
    expect(await beat(cluster, 2, { wantShutDown: true })).toMatchObject({
      isFenced: true,
      shouldShutDown: true,
    });
    expect(brokerOf(cluster, 2)).toMatchObject({ isFenced: true });
  });

  test("of a leader that wants to go moves what it leads, and waits until all know", async () => {
    const cluster = await clusterWith([
      [2, 1, 3],
      [1, 2, 3],
    ]);
    const offset = cluster.image.offset;
    const leaving = await beat(cluster, 2, { wantShutDown: true });
    expect(leaving).toMatchObject({ isFenced: false, shouldShutDown: false });
    expect(brokerOf(cluster, 2)).toMatchObject({ isFenced: false, isInControlledShutdown: true });
    expect(cluster.partition("t", 0)).toMatchObject({ leader: 1, isr: [1, 3], leaderEpoch: 1 });
    expect(cluster.partition("t", 1)).toMatchObject({ leader: 1, isr: [1, 3], leaderEpoch: 0 });
    // The others have not read that yet.
    await beat(cluster, 1, { currentMetadataOffset: offset });
    expect(await beat(cluster, 2, { wantShutDown: true })).toMatchObject({ shouldShutDown: false });
    await beat(cluster, 1);
    expect(await beat(cluster, 2, { wantShutDown: true })).toMatchObject({ shouldShutDown: false });
    await beat(cluster, 3);
    expect(await beat(cluster, 2, { wantShutDown: true })).toMatchObject({
      isFenced: true,
      shouldShutDown: true,
    });
  });

  test("tells of directories that failed: nothing in them is led or in sync any more", async () => {
    const cluster = await clusterWith([
      [2, 1],
      [1, 2],
    ]);
    const [offline = ""] = cluster.image.brokers.get(2)?.logDirs ?? [];
    await cluster.register(2, { logDirs: [offline, "A234567890123456789012"] });
    await beat(cluster, 2, { offlineLogDirs: [offline] });
    expect(brokerOf(cluster, 2)).toMatchObject({ logDirs: ["A234567890123456789012"] });
    expect(cluster.partition("t", 0)).toMatchObject({ leader: 1, isr: [1] });
    expect(cluster.partition("t", 1)).toMatchObject({ leader: 1, isr: [1] });
    const { offset } = cluster.image;
    await beat(cluster, 2, { offlineLogDirs: [offline] });
    expect(cluster.image.offset).toBe(offset);
  });

  test("tells of directories that take no new replicas", async () => {
    const cluster = await MemoryCluster.start({ racks: [null, null] });
    const [directory = ""] = cluster.image.brokers.get(2)?.logDirs ?? [];
    await beat(cluster, 2, { cordonedLogDirs: [directory] });
    expect(brokerOf(cluster, 2)).toMatchObject({ cordonedLogDirs: [directory] });
    const row = makeCreatableTopic({ name: "t", numPartitions: 1, replicationFactor: 2 });
    const { topics } = await cluster.controller.createTopics(
      makeCreateTopicsRequest({ topics: [row], timeoutMs: 1 }),
    );
    expect(topics[0]).toMatchObject({ errorCode: 38 });
    await beat(cluster, 2, { cordonedLogDirs: [] });
    expect(brokerOf(cluster, 2)).toMatchObject({ cordonedLogDirs: [] });
  });
});

describe("a broker that is taken for dead", () => {
  const lifeOf = (cluster: MemoryCluster, brokerId: number) => ({
    brokerId,
    brokerEpoch: cluster.broker(brokerId).epoch,
  });

  test("is fenced with all that follows in one commit", async () => {
    const cluster = await clusterWith([
      [2, 1, 3],
      [1, 2, 3],
      [2, 3, 1],
    ]);
    const { offset } = cluster.image;
    expect(await cluster.desk.fence(lifeOf(cluster, 2), "connection", cluster.nowMs)).toBe(
      "fenced",
    );
    // Three partitions and the broker.
    expect(cluster.image.offset).toBe(offset + 4);
    expect([0, 1, 2].map((index) => cluster.partition("t", index))).toMatchObject([
      { leader: 1, isr: [1, 3], leaderEpoch: 1, partitionEpoch: 1 },
      { leader: 1, isr: [1, 3], leaderEpoch: 0, partitionEpoch: 1 },
      { leader: 3, isr: [3, 1], leaderEpoch: 1, partitionEpoch: 1 },
    ]);
    expect(await cluster.desk.fence(lifeOf(cluster, 2), "connection", cluster.nowMs)).toBe(
      "not-needed",
    );
  });

  test("comes back with its next heartbeat when it was not dead", async () => {
    const cluster = await clusterWith([[2, 1]]);
    await cluster.desk.fence(lifeOf(cluster, 2), "swim", cluster.nowMs);
    expect(await cluster.beat(2)).toMatchObject({ errorCode: 0, isFenced: false });
    await cluster.settle();
    expect(cluster.partition("t", 0)).toMatchObject({ leader: 1, isr: [1, 2] });
  });

  test("is not fenced for an earlier life", async () => {
    const cluster = await MemoryCluster.start({ racks: [null, null] });
    const life = lifeOf(cluster, 2);
    await cluster.kill(2);
    await cluster.boot(2);
    expect(await cluster.desk.fence(life, "connection", cluster.nowMs)).toBe("not-needed");
    expect(brokerOf(cluster, 2)).toMatchObject({ isFenced: false });
  });

  test("is not believed to be when SWIM says so of too many", async () => {
    const racks = Array.from({ length: 7 }, () => null);
    const cluster = await MemoryCluster.start({ racks });
    const swim = (id: number) => cluster.desk.fence(lifeOf(cluster, id), "swim", cluster.nowMs);
    expect([await swim(1), await swim(2), await swim(3)]).toEqual([
      "fenced",
      "fenced",
      "not-believed",
    ]);
    expect(await cluster.desk.fence(lifeOf(cluster, 3), "connection", cluster.nowMs)).toBe(
      "fenced",
    );
    cluster.nowMs += SESSION_TIMEOUT_MS + 1;
    expect(await swim(4)).toBe("fenced");
  });

  test("is believed to be when it is the only one of two", async () => {
    const cluster = await MemoryCluster.start({ racks: [null, null] });
    expect(await cluster.desk.fence(lifeOf(cluster, 2), "swim", cluster.nowMs)).toBe("fenced");
  });

  test("is one whose session is over", async () => {
    const cluster = await MemoryCluster.start({ racks: [null, null, null] });
    cluster.broker(2).isUp = false;
    cluster.broker(3).isUp = false;
    await cluster.pass(SESSION_TIMEOUT_MS);
    expect(brokerOf(cluster, 2)).toMatchObject({ isFenced: false });
    cluster.nowMs += 1;
    expect(await cluster.desk.onTick(cluster.nowMs)).toEqual([
      lifeOf(cluster, 2),
      lifeOf(cluster, 3),
    ]);
    expect(await cluster.desk.onTick(cluster.nowMs)).toEqual([]);
  });

  test("gets a whole session from a new controller", async () => {
    const cluster = await MemoryCluster.start({ racks: [null, null] });
    cluster.desk.resign();
    cluster.nowMs += 10 * SESSION_TIMEOUT_MS;
    expect(await cluster.desk.onTick(cluster.nowMs)).toEqual([]);
    await cluster.desk.activate(cluster.nowMs);
    const startMs = cluster.nowMs;
    for (let ms = 0; ms <= SESSION_TIMEOUT_MS; ms += 500) {
      expect(await cluster.desk.onTick(startMs + ms)).toEqual([]);
    }
    expect(await cluster.desk.onTick(startMs + SESSION_TIMEOUT_MS + 1)).toHaveLength(2);
  });

  test("is not one that nobody listened to: what this node slept through counts against none", async () => {
    const cluster = await MemoryCluster.start({ racks: [null, null] });
    cluster.nowMs += 60_000;
    expect(await cluster.desk.onTick(cluster.nowMs)).toEqual([]);
    cluster.broker(2).isUp = false;
    await cluster.pass(SESSION_TIMEOUT_MS);
    expect(brokerOf(cluster, 2)).toMatchObject({ isFenced: false });
    await cluster.pass(1);
    expect(brokerOf(cluster, 2)).toMatchObject({ isFenced: true });
  });

  test("is not fenced for a session that was renewed while the decision waited", async () => {
    const cluster = await MemoryCluster.start({ racks: [null, null] });
    const life = lifeOf(cluster, 2);
    const { nowMs } = cluster;
    cluster.nowMs += SESSION_TIMEOUT_MS + 1;
    const outcome = cluster.desk.fence(life, "session", cluster.nowMs);
    cluster.liveness.touch(2, life.brokerEpoch, cluster.nowMs);
    expect(await outcome).toBe("not-believed");
    cluster.liveness.activate(cluster.image, nowMs);
    expect(await cluster.desk.fence(life, "session", cluster.nowMs)).toBe("fenced");
  });

  test("is not this node's to fence when it is not its turn", async () => {
    const cluster = await MemoryCluster.start({ racks: [null, null] });
    cluster.desk.resign();
    expect(await cluster.desk.fence(lifeOf(cluster, 2), "connection", cluster.nowMs)).toBe(
      "not-controller",
    );
    expect((await cluster.beat(2)).errorCode).toBe(41);
    expect((await cluster.register(2)).errorCode).toBe(41);
    expect((await cluster.controller.unregisterBroker(2))?.errorCode).toBe(41);
  });
});

describe("a leader's in-sync set", () => {
  async function alter(
    cluster: MemoryCluster,
    leader: number,
    init: Partial<AlterPartitionRequestPartitionData>,
    version = 3,
  ): Promise<unknown> {
    const before = cluster.partition("t", 0);
    const topicId = cluster.image.topicsByName.get("t")?.id ?? "";
    const row = makeAlterPartitionRequestPartitionData({
      leaderEpoch: before.leaderEpoch,
      partitionEpoch: before.partitionEpoch,
      ...init,
    });
    const topics = [makeAlterPartitionRequestTopicData({ topicId, partitions: [row] })];
    const { errorCode, topics: answers } = await cluster.desk.alterPartition(
      makeAlterPartitionRequest({
        brokerId: leader,
        brokerEpoch: cluster.broker(leader).epoch,
        topics,
      }),
      version,
    );
    return errorCode === 0 ? answers[0]?.partitions[0] : errorCode;
  }
  const states = (cluster: MemoryCluster, ...ids: number[]) =>
    ids.map((id) => makeBrokerState({ brokerId: id, brokerEpoch: cluster.broker(id).epoch }));

  test("shrinks and grows, each time in another partition epoch and the same leader epoch", async () => {
    const cluster = await clusterWith([[1, 2, 3]]);
    expect(await alter(cluster, 1, { newIsrWithEpochs: states(cluster, 1, 3) })).toMatchObject({
      errorCode: 0,
      leaderId: 1,
      leaderEpoch: 0,
      partitionEpoch: 1,
      isr: [1, 3],
    });
    expect(await alter(cluster, 1, { newIsr: [1, 3, 2] }, 2)).toMatchObject({
      errorCode: 0,
      partitionEpoch: 2,
      isr: [1, 3, 2],
    });
    // What is so already is no change.
    expect(await alter(cluster, 1, { newIsrWithEpochs: states(cluster, 1, 3, 2) })).toMatchObject({
      errorCode: 0,
      partitionEpoch: 2,
    });
  });

  type Init = Partial<AlterPartitionRequestPartitionData>;
  const refused: [string, (cluster: MemoryCluster) => Init, number][] = [
    ["from a later leader epoch", () => ({ leaderEpoch: 9 }), 41],
    ["from a later partition epoch", () => ({ partitionEpoch: 9 }), 41],
    ["from an earlier leader epoch", () => ({ leaderEpoch: 0 }), 74],
    ["from an earlier partition epoch", () => ({ partitionEpoch: 0 }), 95],
    ["with nobody", () => ({ newIsrWithEpochs: [] }), 42],
    ["without the leader", (each) => ({ newIsrWithEpochs: states(each, 3) }), 42],
    ["with one twice", (each) => ({ newIsrWithEpochs: states(each, 2, 3, 3) }), 42],
    ["with one that is no replica", (each) => ({ newIsrWithEpochs: states(each, 2, 4) }), 42],
    ["with a fenced one", (each) => ({ newIsrWithEpochs: states(each, 2, 1) }), 107],
    [
      "with one of another life",
      () => ({
        newIsrWithEpochs: [
          makeBrokerState({ brokerId: 2, brokerEpoch: -1 }),
          makeBrokerState({ brokerId: 3, brokerEpoch: 1 }),
        ],
      }),
      107,
    ],
    [
      "that recovers with others",
      (each) => ({ newIsrWithEpochs: states(each, 2, 3), leaderRecoveryState: 1 }),
      42,
    ],
    [
      "that recovers when it has nothing to recover",
      (each) => ({ newIsrWithEpochs: states(each, 2), leaderRecoveryState: 1 }),
      42,
    ],
    ["of a partition that is none", () => ({ partitionIndex: 7 }), 3],
  ];
  for (const [what, init, errorCode] of refused) {
    test(`${what} is refused`, async () => {
      const cluster = await clusterWith([[1, 2, 3]], {}, [null, null, null, null]);
      await cluster.kill(1);
      const { offset } = cluster.image;
      const whole = { newIsrWithEpochs: states(cluster, 2, 3), ...init(cluster) };
      expect(await alter(cluster, 2, whole)).toMatchObject({ errorCode });
      expect(cluster.image.offset).toBe(offset);
    });
  }

  test("is nobody else's to change", async () => {
    const cluster = await clusterWith([[1, 2, 3]]);
    const isr = { newIsrWithEpochs: states(cluster, 1, 2) };
    expect(await alter(cluster, 2, isr)).toMatchObject({ errorCode: 42 });
    cluster.broker(2).epoch -= 1;
    expect(await alter(cluster, 2, isr)).toBe(77);
  });

  test("takes in nobody who is leaving", async () => {
    const cluster = await clusterWith([
      [1, 3],
      [2, 1],
    ]);
    cluster.broker(3).isLeaving = true;
    await alter(cluster, 1, { newIsrWithEpochs: states(cluster, 1) });
    const heartbeat = makeBrokerHeartbeatRequest({
      brokerId: 2,
      brokerEpoch: cluster.broker(2).epoch,
      currentMetadataOffset: cluster.image.offset,
      wantShutDown: true,
    });
    await cluster.desk.brokerHeartbeat(heartbeat, cluster.nowMs);
    const topicId = cluster.image.topicsByName.get("t")?.id ?? "";
    const before = cluster.partition("t", 1);
    const row = makeAlterPartitionRequestPartitionData({
      partitionIndex: 1,
      leaderEpoch: before.leaderEpoch,
      partitionEpoch: before.partitionEpoch,
      newIsrWithEpochs: states(cluster, 1, 2),
    });
    const { topics } = await cluster.desk.alterPartition(
      makeAlterPartitionRequest({
        brokerId: 1,
        brokerEpoch: cluster.broker(1).epoch,
        topics: [makeAlterPartitionRequestTopicData({ topicId, partitions: [row] })],
      }),
      3,
    );
    expect(topics[0]?.partitions[0]).toMatchObject({ errorCode: 107 });
  });

  test("ends the recovery of an unclean leader", async () => {
    const cluster = await clusterWith([[2, 1]], { "unclean.leader.election.enable": "true" });
    await alter(cluster, 2, { newIsrWithEpochs: states(cluster, 2) });
    await cluster.kill(2);
    await cluster.boot(2);
    expect(cluster.partition("t", 0)).toMatchObject({
      leader: 1,
      isr: [1],
      leaderRecoveryState: 1,
    });
    const alone = { newIsrWithEpochs: states(cluster, 1), leaderRecoveryState: 1 };
    expect(await alter(cluster, 1, alone)).toMatchObject({ leaderRecoveryState: 1 });
    const recovered = { newIsrWithEpochs: states(cluster, 1), leaderRecoveryState: 0 };
    expect(await alter(cluster, 1, recovered)).toMatchObject({ leaderRecoveryState: 0 });
  });
});

describe("a broker's block of producer ids", () => {
  test("is its own, and only for its present life", async () => {
    const cluster = await MemoryCluster.start({ racks: [null, null] });
    const ask = (brokerId: number, brokerEpoch: number) =>
      cluster.desk.allocateProducerIdsFor(
        makeAllocateProducerIdsRequest({ brokerId, brokerEpoch }),
      );
    const { epoch } = cluster.broker(2);
    expect(await ask(2, epoch)).toMatchObject({ producerIdStart: 0n, producerIdLen: 1000 });
    expect(await ask(1, cluster.broker(1).epoch)).toMatchObject({ producerIdStart: 1000n });
    expect(await ask(2, epoch - 1)).toMatchObject({ errorCode: 77 });
    expect(await ask(9, -1)).toMatchObject({ errorCode: 77 });
  });
});

describe("time", () => {
  test("gives leadership back where it belongs", async () => {
    const cluster = await clusterWith([
      [2, 1],
      [1, 2],
    ]);
    await cluster.stop(2);
    await cluster.boot(2);
    await cluster.settle();
    expect(cluster.partition("t", 0)).toMatchObject({ leader: 1, isr: [1, 2] });
    for (let second = 0; second < 300; second++) {
      cluster.nowMs += 1_000;
      await cluster.beatAll();
      await cluster.desk.onTick(cluster.nowMs);
    }
    expect(cluster.partition("t", 0)).toMatchObject({ leader: 2, leaderEpoch: 2 });
    expect(cluster.partition("t", 1)).toMatchObject({ leader: 1, leaderEpoch: 0 });
  });
});

test("values of another broker are its own to check beside what it runs with; their types are not", async () => {
  const cluster = await MemoryCluster.start({ racks: [null, null] });
  const change = async (resourceName: string, value: string): Promise<number | undefined> => {
    const changes = [{ name: "log.cleaner.threads", operation: 0, value }];
    const resource = { resourceType: 4, resourceName, changes, replacesAll: false };
    const [outcome] = await cluster.controller.changeConfigs([resource], false);
    return outcome?.errorCode;
  };
  expect([await change("1", "64"), await change("2", "64"), await change("2", "many")]).toEqual([
    42, 0, 42,
  ]);
});
