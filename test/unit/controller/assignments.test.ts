/**
 * Elections, reassignments and the end of registrations, on a directory that was once one of several: three brokers are
 * registered, and only this one lives.
 */
import { describe, expect, test } from "bun:test";
import { ZERO_UUID } from "#common/uuid.ts";
import { partitionImage } from "#metadata/cluster-image.ts";
import type { PartitionImage } from "#metadata/cluster-image.ts";
import { MemoryMetadataLog } from "#metadata/metadata-log.ts";
import { makeAlterPartitionReassignmentsRequest } from "#protocol/generated/alter-partition-reassignments.ts";
import { makeElectLeadersRequest } from "#protocol/generated/elect-leaders.ts";
import type { MetadataRecord } from "#protocol/generated/records/metadata-record-table.ts";
import { makePartitionRecord } from "#protocol/generated/records/partition-record.ts";
import { makeRegisterBrokerRecord } from "#protocol/generated/records/register-broker-record.ts";
import { createListPartitionReassignmentsHandler } from "#server/handlers/list-partition-reassignments.ts";
import { makeListPartitionReassignmentsRequest } from "#protocol/generated/list-partition-reassignments.ts";
import { type Cluster, contextOf, startCluster } from "./cluster-fixture.ts";

const TOPIC_ID = "AAAAAAAAAAAAAAAAAAAAcw";

interface Shape {
  readonly replicas: readonly number[];
  readonly isr: readonly number[];
  readonly leader: number;
}

/** A topic `t` with partitions of these shapes. */
async function clusterOf(...shapes: readonly Shape[]): Promise<Cluster> {
  const log = new MemoryMetadataLog();
  const records: MetadataRecord[] = [2, 3].map((brokerId) => ({
    kind: "RegisterBrokerRecord",
    record: makeRegisterBrokerRecord({ brokerId, brokerEpoch: brokerId, fenced: true }),
  }));
  records.push({ kind: "TopicRecord", record: { name: "t", topicId: TOPIC_ID } });
  for (const [partitionId, { replicas, isr, leader }] of shapes.entries()) {
    records.push({
      kind: "PartitionRecord",
      record: makePartitionRecord({
        partitionId,
        topicId: TOPIC_ID,
        replicas: [...replicas],
        isr: [...isr],
        leader,
        leaderEpoch: 4,
        partitionEpoch: 9,
        directories: replicas.map(() => ZERO_UUID),
      }),
    });
  }
  await log.append(records);
  return startCluster({ log });
}

const partitionOf = ({ controller }: Cluster, index = 0): PartitionImage => {
  const found = partitionImage(controller.image.topicsByName.get("t"), index);
  if (found === undefined) throw new Error("no such partition");
  return found;
};

async function elect(cluster: Cluster, electionType: number): Promise<number | undefined> {
  const { replicaElectionResults } = await cluster.controller.electLeaders(
    makeElectLeadersRequest({
      electionType,
      topicPartitions: [{ topic: "t", partitions: [0] }],
      timeoutMs: 1000,
    }),
  );
  return replicaElectionResults[0]?.partitionResult[0]?.errorCode;
}

async function move(
  cluster: Cluster,
  replicas: readonly number[] | null,
  allowReplicationFactorChange = true,
): Promise<number | undefined> {
  const { responses } = await cluster.controller.alterReassignments(
    makeAlterPartitionReassignmentsRequest({
      topics: [
        {
          name: "t",
          partitions: [{ partitionIndex: 0, replicas: replicas === null ? null : [...replicas] }],
        },
      ],
      timeoutMs: 1000,
      allowReplicationFactorChange,
    }),
  );
  return responses[0]?.partitions[0]?.errorCode;
}

function list(cluster: Cluster): unknown {
  const handler = createListPartitionReassignmentsHandler({
    image: () => cluster.controller.image,
  });
  return handler.handle(
    makeListPartitionReassignmentsRequest({ topics: null, timeoutMs: 1000 }),
    contextOf(0),
  );
}

const PREFERRED = 0;
const UNCLEAN = 1;

describe("elections", () => {
  test("give the lead back to the preferred replica, in a new epoch", async () => {
    const cluster = await clusterOf({ replicas: [1, 2], isr: [1, 2], leader: 2 });
    expect(await elect(cluster, PREFERRED)).toBe(0);
    expect(partitionOf(cluster)).toMatchObject({ leader: 1, leaderEpoch: 5, isr: [1, 2] });
    expect(await elect(cluster, PREFERRED)).toBe(84);
  });

  test("find the preferred replica missing, or out of sync", async () => {
    const missing = await clusterOf({ replicas: [2, 1], isr: [1, 2], leader: 1 });
    expect(await elect(missing, PREFERRED)).toBe(80);
    const behind = await clusterOf({ replicas: [1, 2], isr: [2], leader: 2 });
    expect(await elect(behind, PREFERRED)).toBe(80);
  });

  test("let who was out of sync lead alone, where that is asked for", async () => {
    const cluster = await clusterOf({ replicas: [2, 1], isr: [2], leader: -1 });
    expect(await elect(cluster, PREFERRED)).toBe(80);
    expect(await elect(cluster, UNCLEAN)).toBe(0);
    expect(partitionOf(cluster)).toMatchObject({ leader: 1, isr: [1] });
    expect(await elect(cluster, UNCLEAN)).toBe(84);
  });

  test("have nobody to elect", async () => {
    const cluster = await clusterOf({ replicas: [2, 3], isr: [2], leader: -1 });
    expect(await elect(cluster, UNCLEAN)).toBe(83);
  });

  test("of all partitions tell only those that changed or failed", async () => {
    const cluster = await clusterOf(
      { replicas: [1, 2], isr: [1], leader: 1 },
      { replicas: [1, 2], isr: [1, 2], leader: 2 },
      { replicas: [2, 1], isr: [1, 2], leader: 1 },
    );
    const answer = await cluster.controller.electLeaders(
      makeElectLeadersRequest({ topicPartitions: null, timeoutMs: 1000 }),
    );
    const [result] = answer.replicaElectionResults;
    expect(
      result?.partitionResult.map(({ partitionId, errorCode }) => [partitionId, errorCode]),
    ).toEqual([
      [1, 0],
      [2, 80],
    ]);
  });
});

describe("reassignments", () => {
  test("that only take away or reorder are done at once", async () => {
    const cluster = await clusterOf({ replicas: [1, 2, 3], isr: [1, 2], leader: 2 });
    expect(await move(cluster, [1])).toBe(0);
    expect(partitionOf(cluster)).toMatchObject({
      replicas: [1],
      isr: [1],
      leader: 1,
      leaderEpoch: 5,
      addingReplicas: [],
      removingReplicas: [],
      directories: [ZERO_UUID],
    });
    const before = cluster.controller.image.offset;
    expect(await move(cluster, [1])).toBe(0);
    expect(cluster.controller.image.offset).toBe(before);
  });

  test("to a broker that has to catch up are under way, listed, and called off", async () => {
    const cluster = await clusterOf({ replicas: [1, 2], isr: [1], leader: 1 });
    expect(await move(cluster, null)).toBe(85);
    expect(await move(cluster, [3, 1])).toBe(0);
    expect(partitionOf(cluster)).toMatchObject({
      replicas: [3, 1, 2],
      addingReplicas: [3],
      removingReplicas: [2],
      leader: 1,
      isr: [1],
    });
    expect(partitionOf(cluster).directories.length).toBe(3);
    expect(list(cluster)).toMatchObject({
      topics: [
        {
          name: "t",
          partitions: [
            { partitionIndex: 0, replicas: [3, 1, 2], addingReplicas: [3], removingReplicas: [2] },
          ],
        },
      ],
    });
    expect(await move(cluster, null)).toBe(0);
    expect(partitionOf(cluster)).toMatchObject({
      replicas: [1, 2],
      addingReplicas: [],
      removingReplicas: [],
      isr: [1],
      leader: 1,
    });
    expect(list(cluster)).toMatchObject({ topics: [] });
  });

  test("never leave a partition to somebody who is not there", async () => {
    const cluster = await clusterOf({ replicas: [1, 2], isr: [1, 2], leader: 1 });
    expect(await move(cluster, [2])).toBe(0);
    expect(partitionOf(cluster)).toMatchObject({
      replicas: [2, 1],
      isr: [1, 2],
      leader: 1,
      removingReplicas: [1],
    });
  });

  test("keep the number of replicas where they must", async () => {
    const cluster = await clusterOf({ replicas: [1, 2], isr: [1], leader: 1 });
    expect(await move(cluster, [1], false)).toBe(38);
    expect(await move(cluster, [1, 3], false)).toBe(0);
    expect(await move(cluster, [2, 1], false)).toBe(0);
  });
});

describe("unregistering a broker", () => {
  test("takes it out of what it is in sync with, and leaves nobody without the last one", async () => {
    const cluster = await clusterOf(
      { replicas: [1, 2], isr: [1, 2], leader: 1 },
      { replicas: [2, 3], isr: [2], leader: -1 },
      { replicas: [2, 1], isr: [2, 1], leader: 2 },
    );
    expect(await cluster.controller.unregisterBroker(2)).toBeNull();
    expect(new Set(cluster.controller.image.brokers.keys())).toEqual(new Set([1, 3]));
    expect(partitionOf(cluster, 0)).toMatchObject({ isr: [1], leader: 1, leaderEpoch: 4 });
    expect(partitionOf(cluster, 1)).toMatchObject({ isr: [2], leader: -1, partitionEpoch: 9 });
    expect(partitionOf(cluster, 2)).toMatchObject({ isr: [1], leader: 1, leaderEpoch: 5 });
    expect((await cluster.controller.unregisterBroker(2))?.errorCode).toBe(102);
  });

  test("is refused for this one, which would be left without a cluster", async () => {
    const cluster = await clusterOf({ replicas: [1], isr: [1], leader: 1 });
    expect((await cluster.controller.unregisterBroker(1))?.errorCode).toBe(42);
    expect(cluster.controller.image.brokers.has(1)).toBe(true);
  });
});
