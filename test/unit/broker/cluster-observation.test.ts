/** What a scrape tells of the cluster's metadata. */
import { expect, test } from "bun:test";
import { countCluster, ElectionCounter } from "#broker/cluster-observation.ts";
import { ClusterDelta } from "#metadata/cluster-delta.ts";
import {
  EMPTY_IMAGE,
  type BrokerImage,
  type ClusterImage,
  type PartitionImage,
} from "#metadata/cluster-image.ts";
import { makePartitionChangeRecord } from "#protocol/generated/records/partition-change-record.ts";
import { makePartitionRecord } from "#protocol/generated/records/partition-record.ts";

function partition(
  partitionId: number,
  leader: number,
  replicas: readonly number[],
  isr: readonly number[],
  addingReplicas: readonly number[] = [],
): PartitionImage {
  return {
    partitionId,
    leader,
    leaderEpoch: 0,
    partitionEpoch: 0,
    leaderRecoveryState: 0,
    replicas,
    isr,
    removingReplicas: [],
    addingReplicas,
    directories: [],
    eligibleLeaderReplicas: [],
    lastKnownElr: [],
  };
}

function broker(id: number, isFenced: boolean, isInControlledShutdown = false): BrokerImage {
  const more = { endpoints: [], features: [], rack: null, logDirs: [], cordonedLogDirs: [] };
  return { id, epoch: id, incarnationId: "", isFenced, isInControlledShutdown, ...more };
}

test("counts with the meaning of Kafka's metrics", () => {
  const topic = {
    name: "t",
    id: "T",
    partitions: [
      partition(0, 1, [1, 2, 3], [1, 2, 3]),
      partition(1, 1, [1, 2, 3], [1, 2]),
      partition(2, 1, [2, 1, 3], [1]),
      partition(3, -1, [2, 3], []),
      // One more is on its way: nothing is missing.
      partition(4, 1, [1, 2, 3], [1, 2], [3]),
      partition(5, 2, [2, 1], [2]),
      // A minimum above the number of replicas asks for all of them.
      partition(6, 1, [1], [1]),
    ],
  };
  const counts = countCluster({
    nodeId: 1,
    image: {
      ...EMPTY_IMAGE,
      topicsById: new Map([["T", topic]]),
      brokers: new Map(
        [broker(1, false), broker(2, true), broker(3, false, true)].map((each) => [each.id, each]),
      ),
    },
    config: { text: () => "2" },
    isActiveController: false,
    controllerId: 3,
    members: [{ nodeId: 2, state: "down", host: "h", port: 1 }],
    elections: { uncleanCount: 2, eligibleCount: 1 },
  });
  expect(counts).toEqual({
    isActiveController: false,
    controllerId: 3,
    brokers: new Map([
      ["active", 1],
      ["fenced", 1],
      ["controlled_shutdown", 1],
    ]),
    topicCount: 1,
    partitionCount: 7,
    offlineCount: 1,
    imbalancedCount: 2,
    reassigningCount: 1,
    elections: { uncleanCount: 2, eligibleCount: 1 },
    led: { count: 5, underReplicatedCount: 2, underMinIsrCount: 1, atMinIsrCount: 3 },
    members: new Map([
      ["alive", 0],
      ["suspect", 0],
      ["down", 1],
      ["left", 0],
    ]),
  });
});

test("counts the elections of leaders that were not in sync, as they are published", () => {
  const topic = {
    name: "t",
    id: "AAAAAAAAAAAAAAAAAAAAcw",
    partitions: [
      { ...partition(0, -1, [1, 2, 3], []), eligibleLeaderReplicas: [2] },
      partition(1, 1, [1, 2, 3], [1, 2]),
      partition(2, -1, [1, 2, 3], [1]),
      partition(3, 1, [1, 2, 3], [1], [3]),
    ],
  };
  const topicsById = new Map([[topic.id, topic]]);
  const image = { ...EMPTY_IMAGE, topicsById, topicsByName: new Map([["t", topic]]) };
  const counter = new ElectionCounter();
  const publish = (base: ClusterImage, partitionId: number, change: object): number[] => {
    const delta = new ClusterDelta(base);
    const record = makePartitionChangeRecord({ topicId: topic.id, partitionId, ...change });
    delta.replay({ kind: "PartitionChangeRecord", record });
    counter.onMetadataUpdate(delta);
    return [counter.uncleanCount, counter.eligibleCount];
  };
  expect(publish(image, 0, { leader: 2, isr: [2], eligibleLeaderReplicas: [] })).toEqual([0, 1]);
  // In sync; nobody; the same one in a new epoch; the last in sync, who comes back.
  expect(publish(image, 1, { leader: 2 })).toEqual([0, 1]);
  expect(publish(image, 1, { leader: -1 })).toEqual([0, 1]);
  expect(publish(image, 1, { leader: 1, isr: [1] })).toEqual([0, 1]);
  expect(publish(image, 2, { leader: 1 })).toEqual([0, 1]);
  // Joins the ISR, which ends a reassignment, and leads.
  const ending = { isr: [3], replicas: [3], addingReplicas: [], removingReplicas: [] };
  expect(publish(image, 3, { leader: 3, ...ending })).toEqual([0, 1]);
  expect(publish(image, 2, { leader: 3, isr: [3], leaderRecoveryState: 1 })).toEqual([1, 1]);
  expect(publish(image, 3, { leader: 3, isr: [3] })).toEqual([2, 1]);
  // What a log tells at the start is history.
  const past = new ClusterDelta(EMPTY_IMAGE);
  past.replay({ kind: "TopicRecord", record: { name: "t", topicId: topic.id } });
  const replicas = { replicas: [1, 2], isr: [1], leader: 1 };
  past.replay({
    kind: "PartitionRecord",
    record: makePartitionRecord({ topicId: topic.id, partitionId: 0, ...replicas }),
  });
  past.replay({
    kind: "PartitionChangeRecord",
    record: makePartitionChangeRecord({ topicId: topic.id, partitionId: 0, leader: 2, isr: [2] }),
  });
  expect(past.elections.uncleanCount).toBe(1);
  counter.onMetadataUpdate(past);
  expect([counter.uncleanCount, counter.eligibleCount]).toEqual([2, 1]);
});
