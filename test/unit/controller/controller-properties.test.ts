/**
 * Whatever happens to brokers, in whatever order, and whatever they ask for: what must hold of partitions holds after every commit.
 */
import { expect, test } from "bun:test";
import fc from "fast-check";
import type { Evidence } from "#controller/broker-liveness.ts";
import { ClusterDelta } from "#metadata/cluster-delta.ts";
import { EMPTY_IMAGE } from "#metadata/cluster-image.ts";
import type { ClusterImage, PartitionImage } from "#metadata/cluster-image.ts";
import { imageRecords } from "#metadata/image-records.ts";
import {
  makeAlterPartitionReassignmentsRequest,
  makeReassignablePartition,
  makeReassignableTopic,
} from "#protocol/generated/alter-partition-reassignments.ts";
import {
  makeAlterPartitionRequest,
  makeAlterPartitionRequestPartitionData,
  makeAlterPartitionRequestTopicData,
  makeBrokerState,
} from "#protocol/generated/alter-partition.ts";
import {
  makeCreatableTopic,
  makeCreatableTopicConfig,
  makeCreateTopicsRequest,
} from "#protocol/generated/create-topics.ts";
import { makeElectLeadersRequest } from "#protocol/generated/elect-leaders.ts";
import { MemoryCluster, SESSION_TIMEOUT_MS } from "./memory-cluster.ts";

const RUNS = Number(process.env["PROPERTY_RUNS"] ?? 60);
const BROKERS = 5;

const brokerId = fc.integer({ min: 1, max: BROKERS });
const partitionIndex = fc.integer({ min: 0, max: 3 });
const someIds = fc.uniqueArray(brokerId, { minLength: 0, maxLength: 4 });

const event = fc.oneof(
  fc.record({ kind: fc.constant("kill" as const), id: brokerId }),
  fc.record({ kind: fc.constant("boot" as const), id: brokerId }),
  fc.record({ kind: fc.constant("boot" as const), id: brokerId }),
  fc.record({ kind: fc.constant("leave" as const), id: brokerId }),
  fc.record({ kind: fc.constant("beat" as const), id: brokerId }),
  fc.record({
    kind: fc.constant("fence" as const),
    id: brokerId,
    evidence: fc.constantFrom<Evidence>("connection", "swim", "session"),
    isLate: fc.boolean(),
  }),
  fc.record({ kind: fc.constant("wait" as const), ms: fc.integer({ min: 1, max: 20_000 }) }),
  fc.record({ kind: fc.constant("sleep" as const), ms: fc.integer({ min: 1, max: 20_000 }) }),
  fc.record({ kind: fc.constant("settle" as const) }),
  fc.record({ kind: fc.constant("unregister" as const), id: brokerId }),
  fc.record({
    kind: fc.constant("alter" as const),
    id: brokerId,
    index: partitionIndex,
    isr: someIds,
    staleness: fc.integer({ min: -1, max: 1 }),
    recovery: fc.integer({ min: 0, max: 1 }),
  }),
  fc.record({
    kind: fc.constant("reassign" as const),
    index: partitionIndex,
    replicas: fc.option(someIds, { nil: null }),
  }),
  fc.record({
    kind: fc.constant("elect" as const),
    index: partitionIndex,
    type: fc.integer({ min: 0, max: 1 }),
  }),
);
type Event = typeof event extends fc.Arbitrary<infer T> ? T : never;

const shape = fc.record({
  hasElr: fc.boolean(),
  allowsUnclean: fc.boolean(),
  minIsr: fc.integer({ min: 1, max: 3 }),
  replicationFactor: fc.integer({ min: 1, max: 4 }),
  racks: fc.array(fc.constantFrom("a", "b", null), { minLength: BROKERS, maxLength: BROKERS }),
});

function* partitionsOf(image: ClusterImage): Generator<[string, PartitionImage]> {
  for (const topic of image.topicsById.values()) {
    for (const partition of topic.partitions) {
      yield [`${topic.name}-${partition.partitionId}`, partition];
    }
  }
}

const isSubset = (ids: readonly number[], of: readonly number[]): boolean =>
  ids.every((id) => of.includes(id)) && new Set(ids).size === ids.length;

/** What is wrong with a partition as it is. */
function wrongState(image: ClusterImage, partition: PartitionImage): string | null {
  const { leader, replicas, isr, eligibleLeaderReplicas: elr } = partition;
  if (new Set(replicas).size !== replicas.length || replicas.length === 0) return "replicas";
  if (!isSubset(isr, replicas)) return "ISR outside the replicas";
  if (!isSubset(elr, replicas)) return "ELR outside the replicas";
  if (isr.some((id) => elr.includes(id))) return "ISR and ELR overlap";
  if (!isSubset(partition.addingReplicas, replicas)) return "adding";
  if (!isSubset(partition.removingReplicas, replicas)) return "removing";
  if (partition.directories.length !== replicas.length) return "directories";
  if (leader !== -1 && !isr.includes(leader)) return "leader outside the ISR";
  const isServing = (id: number): boolean => image.brokers.get(id)?.isFenced === false;
  if (leader !== -1 && !isServing(leader)) return "a fenced leader";
  const isLast = (image.features.get("eligible.leader.replicas.version") ?? 0) === 0;
  const gone = isr.filter((id) => !isServing(id));
  if (gone.length > 0 && !(isLast && isr.length === 1 && leader === -1)) return "a fenced ISR";
  if (isLast && isr.length === 0) return "an empty ISR without ELR";
  return null;
}

/** What is wrong with how a partition came to be as it is. */
function wrongStep(before: PartitionImage, after: PartitionImage): string | null {
  if (before === after) return null;
  if (after.leaderEpoch < before.leaderEpoch) return "leader epoch went back";
  if (after.partitionEpoch < before.partitionEpoch) return "partition epoch went back";
  const { partitionEpoch: _, ...was } = before;
  const { partitionEpoch: __, ...is } = after;
  const isSame = Bun.deepEquals(was, is);
  if (isSame !== (after.partitionEpoch === before.partitionEpoch)) return "partition epoch";
  if (after.leader !== before.leader && after.leaderEpoch === before.leaderEpoch) {
    return "another leader in the same epoch";
  }
  return null;
}

class Life {
  readonly cluster: MemoryCluster;

  constructor(cluster: MemoryCluster) {
    this.cluster = cluster;
  }

  async live(step: Event): Promise<void> {
    const { cluster } = this;
    switch (step.kind) {
      case "kill":
        cluster.broker(step.id).isUp = false;
        return;
      case "boot":
        return this.#boot(step.id);
      case "leave":
        if (cluster.broker(step.id).isUp) cluster.broker(step.id).isLeaving = true;
        return;
      case "beat":
        if (cluster.broker(step.id).isUp) await cluster.beat(step.id);
        return;
      case "fence": {
        const { epoch } = cluster.broker(step.id);
        const life = { brokerId: step.id, brokerEpoch: step.isLate ? epoch - 1 : epoch };
        await cluster.desk.fence(life, step.evidence, cluster.nowMs);
        return;
      }
      case "wait":
        return cluster.pass(step.ms);
      case "sleep":
        cluster.nowMs += step.ms;
        await cluster.desk.onTick(cluster.nowMs);
        return;
      case "settle":
        return cluster.settle();
      case "unregister":
        await cluster.controller.unregisterBroker(step.id);
        return;
      case "alter":
        return this.#alter(step);
      case "reassign": {
        const { index, replicas } = step;
        const partitions = [makeReassignablePartition({ partitionIndex: index, replicas })];
        const topics = [makeReassignableTopic({ name: "t", partitions })];
        await cluster.controller.alterReassignments(
          makeAlterPartitionReassignmentsRequest({ topics, timeoutMs: 1 }),
        );
        return;
      }
      case "elect":
        await cluster.controller.electLeaders(
          makeElectLeadersRequest({
            electionType: step.type,
            topicPartitions: [{ topic: "t", partitions: [step.index] }],
            timeoutMs: 1,
          }),
        );
    }
  }

  /** A process starts again; whether it is taken depends on the session of the one before. */
  async #boot(id: number): Promise<void> {
    const broker = this.cluster.broker(id);
    broker.isUp = false;
    broker.life += 1;
    const { errorCode, brokerEpoch } = await this.cluster.register(id);
    if (errorCode !== 0) return;
    expect(brokerEpoch).toBeGreaterThan(broker.epoch);
    Object.assign(broker, { epoch: brokerEpoch, isUp: true, isLeaving: false, closedEpoch: -1 });
  }

  /** Anybody may ask for anything. */
  async #alter(step: Event & { kind: "alter" }): Promise<void> {
    const { cluster } = this;
    const topic = cluster.image.topicsByName.get("t");
    const partition = topic?.partitions[step.index];
    if (topic === undefined || partition === undefined) return;
    const { epoch } = cluster.broker(step.id);
    const row = makeAlterPartitionRequestPartitionData({
      partitionIndex: step.index,
      leaderEpoch: partition.leaderEpoch + Math.min(0, step.staleness),
      partitionEpoch: partition.partitionEpoch + step.staleness,
      leaderRecoveryState: step.recovery,
      newIsrWithEpochs: step.isr.map((each) =>
        makeBrokerState({ brokerId: each, brokerEpoch: cluster.broker(each).epoch }),
      ),
    });
    const topics = [makeAlterPartitionRequestTopicData({ topicId: topic.id, partitions: [row] })];
    await cluster.desk.alterPartition(
      makeAlterPartitionRequest({ brokerId: step.id, brokerEpoch: epoch, topics }),
      3,
    );
  }
}

test("partitions stay what they must be", async () => {
  await fc.assert(
    fc.asyncProperty(shape, fc.array(event, { maxLength: 60 }), async (given, events) => {
      const wrong: string[] = [];
      const cluster = await MemoryCluster.start({
        racks: given.racks,
        config: { "leader.imbalance.check.interval.seconds": "5" },
        onCommit: (before, after) => {
          const earlier = new Map(partitionsOf(before));
          for (const [name, partition] of partitionsOf(after)) {
            const was = earlier.get(name);
            const error =
              wrongState(after, partition) ??
              (was === undefined ? null : wrongStep(was, partition));
            if (error !== null)
              wrong.push(`${name}: ${error}: ${JSON.stringify([was, partition])}`);
          }
        },
      });
      if (!given.hasElr) {
        const name = "eligible.leader.replicas.version";
        const downgrade = { name, level: 0, upgradeType: 2 };
        expect(await cluster.controller.updateFeatures([downgrade], false)).toBeNull();
      }
      const configs = {
        "min.insync.replicas": String(given.minIsr),
        "unclean.leader.election.enable": String(given.allowsUnclean),
      };
      const row = makeCreatableTopic({
        name: "t",
        numPartitions: 4,
        replicationFactor: given.replicationFactor,
        configs: Object.entries(configs).map(([name, value]) =>
          makeCreatableTopicConfig({ name, value }),
        ),
      });
      await cluster.controller.createTopics(
        makeCreateTopicsRequest({ topics: [row], timeoutMs: 1 }),
      );
      const life = new Life(cluster);
      for (const step of events) {
        await life.live(step);
        expect(wrong).toEqual([]);
      }
      // What a snapshot holds is all there is.
      const copy = new ClusterDelta(EMPTY_IMAGE);
      for (const record of imageRecords(cluster.image)) copy.replay(record);
      expect(copy.apply(cluster.image.offset, cluster.image.epoch)).toEqual(cluster.image);
      await healed(cluster);
    }),
    { numRuns: RUNS },
  );
}, 120_000);

/** When everybody is back, whoever leads has all replicas in sync, and nothing is on its way any more. */
async function healed(cluster: MemoryCluster): Promise<void> {
  for (const broker of cluster.brokers) broker.isUp = false;
  await cluster.pass(2 * SESSION_TIMEOUT_MS);
  for (const { id } of cluster.brokers) {
    cluster.broker(id).isLeaving = false;
    await cluster.boot(id);
  }
  await cluster.settle();
  for (const [name, partition] of partitionsOf(cluster.image)) {
    const { leader, isr, replicas, addingReplicas, removingReplicas } = partition;
    if (leader === -1) continue;
    const isWhole = isr.length === replicas.length;
    const isSettled = addingReplicas.length + removingReplicas.length === 0;
    if (!isWhole || !isSettled) {
      throw new Error(`${name} does not heal: ${JSON.stringify(partition)}`);
    }
  }
}
