/** What `sluice cluster status` makes of what brokers told. */
import { describe, expect, test } from "bun:test";
import { assessCluster, type StatusInputs } from "#cli/cluster/status-report.ts";
import type { PartitionMetadata, TopicMetadata } from "#client/cluster.ts";

const place = { host: "h", port: 9092, rack: null };

function topic(name: string, ...partitions: readonly Partial<PartitionMetadata>[]): TopicMetadata {
  const blank = { leader: 1, leaderEpoch: 0, replicas: [1, 2], isr: [1, 2], offlineReplicas: [] };
  return {
    name,
    topicId: "",
    isInternal: false,
    partitions: partitions.map((each, partition) => ({ partition, ...blank, ...each })),
  };
}

function inputs(changes: Partial<StatusInputs> = {}): StatusInputs {
  const member = { directoryId: "", lastCaughtUpMs: null };
  return {
    clusterId: "c",
    brokers: [
      { id: 1, ...place, isFenced: false },
      { id: 2, ...place, isFenced: false },
      { id: 3, ...place, isFenced: true },
    ],
    quorum: {
      leaderId: 2,
      leaderEpoch: 7,
      listeners: [],
      highWatermark: 100,
      replicas: [
        { ...member, id: 1, role: "voter", logEndOffset: 98 },
        { ...member, id: 2, role: "leader", logEndOffset: 100 },
        { ...member, id: 4, role: "observer", logEndOffset: 100 },
      ],
    },
    topics: [topic("t", {}, { leader: 2 })],
    reassignments: [],
    cordoned: new Set(),
    ends: new Map([
      [
        1,
        new Map([
          [
            "t",
            new Map([
              [0, 50],
              [1, 9],
            ]),
          ],
        ]),
      ],
      [
        2,
        new Map([
          [
            "t",
            new Map([
              [0, 47],
              [1, 10],
            ]),
          ],
        ]),
      ],
    ]),
    members: {
      nodeId: 1,
      isWatching: true,
      members: [
        { nodeId: 2, state: "alive", host: "h", port: 1 },
        { nodeId: 3, state: "down", host: "h", port: 1 },
      ],
    },
    ...changes,
  };
}

const node = (status: ReturnType<typeof assessCluster>, id: number): unknown =>
  status.nodes.find((each) => each.id === id);

describe("assessCluster", () => {
  test("puts together what the controller, the quorum and the failure detector say of each node", () => {
    const status = assessCluster(inputs());
    expect([status.controllerId, status.controllerEpoch, status.askedId]).toEqual([2, 7, 1]);
    expect(
      status.nodes.map(({ id, roles, state, swim }) => [id, roles.join(), state, swim]),
    ).toEqual([
      [1, "broker,voter", "running", "asked"],
      [2, "broker,voter,controller", "running", "alive"],
      [3, "broker", "fenced", "down"],
      [4, "observer", null, "unknown"],
    ]);
    expect(node(status, 1)).toMatchObject({
      leaderCount: 1,
      replicaCount: 2,
      maxLag: 1,
      metadataLag: 2,
    });
    expect(node(status, 2)).toMatchObject({
      leaderCount: 1,
      replicaCount: 2,
      maxLag: 3,
      metadataLag: 0,
    });
    expect(status.partitions).toEqual([]);
  });

  test("knows nothing of what nobody told", () => {
    const status = assessCluster(
      inputs({ quorum: null, members: null, reassignments: null, ends: new Map([[1, null]]) }),
    );
    expect([status.controllerId, status.askedId]).toEqual([null, null]);
    expect(node(status, 2)).toMatchObject({
      roles: ["broker"],
      swim: null,
      maxLag: null,
      metadataLag: null,
    });
  });

  test("a node without a failure detector hears nobody", () => {
    const members = { nodeId: 1, isWatching: false, members: [] };
    expect(node(assessCluster(inputs({ members })), 2)).toMatchObject({ swim: null });
  });

  test("tells offline from under-replicated from moving, the worst first", () => {
    const status = assessCluster(
      inputs({
        topics: [
          topic(
            "t",
            {},
            { isr: [1] },
            { leader: -1, isr: [3], replicas: [3, 2] },
            { replicas: [1, 2, 4] },
          ),
        ],
        reassignments: [
          { topic: "t", partition: 3, replicas: [1, 2, 4], adding: [4], removing: [2] },
        ],
      }),
    );
    expect(
      status.partitions.map(({ partition, isOffline, isUnderReplicated }) => [
        partition,
        isOffline,
        isUnderReplicated,
      ]),
    ).toEqual([
      [2, true, true],
      [1, false, true],
      [3, false, false],
    ]);
    expect([status.offlineCount, status.underReplicatedCount, status.reassigningCount]).toEqual([
      1, 2, 1,
    ]);
    expect(node(status, 2)).toMatchObject({ outOfSyncCount: 2 });
  });
});
