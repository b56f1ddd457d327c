/** What a scrape tells of the cluster's metadata. */
import { expect, test } from "bun:test";
import { countCluster } from "#broker/cluster-observation.ts";
import { EMPTY_IMAGE, type BrokerImage, type PartitionImage } from "#metadata/cluster-image.ts";

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
    led: { count: 5, underReplicatedCount: 2, underMinIsrCount: 1, atMinIsrCount: 3 },
    members: new Map([
      ["alive", 0],
      ["suspect", 0],
      ["down", 1],
      ["left", 0],
    ]),
  });
});
