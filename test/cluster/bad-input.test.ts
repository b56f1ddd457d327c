/**
 * A live cluster against those who are not of it: replica fetches of a client, requests of brokers and controllers on the wrong listener,
 * stale broker epochs, raft messages without a hello, forged and replayed SWIM packets. Refused as Kafka refuses them (looked up on five
 * nodes of Kafka 4.4: what a listener does not serve closes the connection), counted, and nobody else notices.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { createSocket } from "node:dgram";
import { encodeRaftMessages } from "#cluster/peer-gate.ts";
import { makeHello, PeerHelloApi, type PeerIdentity } from "#cluster/peer-hello.ts";
import { SwimCore } from "#membership/swim-core.ts";
import type { ApiMessages } from "#protocol/api.ts";
import {
  AllocateProducerIdsApi,
  makeAllocateProducerIdsRequest,
} from "#protocol/generated/allocate-producer-ids.ts";
import {
  AlterPartitionApi,
  makeAlterPartitionRequest,
} from "#protocol/generated/alter-partition.ts";
import {
  BrokerHeartbeatApi,
  makeBrokerHeartbeatRequest,
} from "#protocol/generated/broker-heartbeat.ts";
import {
  BrokerRegistrationApi,
  makeBrokerRegistrationRequest,
} from "#protocol/generated/broker-registration.ts";
import { EnvelopeApi, makeEnvelopeRequest } from "#protocol/generated/envelope.ts";
import {
  FetchApi,
  makeFetchPartition,
  makeFetchRequest,
  makeFetchTopic,
  makeReplicaState,
} from "#protocol/generated/fetch.ts";
import { JoinGroupApi, makeJoinGroupRequest } from "#protocol/generated/join-group.ts";
import { makeMetadataRequest, MetadataApi } from "#protocol/generated/metadata.ts";
import { makeProduceRequest, ProduceApi } from "#protocol/generated/produce.ts";
import { createTopic, within } from "../crash/load.ts";
import { Wire } from "../differential/wire.ts";
import { type BrokerCluster, type ClusterNode, sluiceCluster } from "../support/cluster-process.ts";
import { freePort, temporaryDirectory, until } from "../support/process.ts";
import { controllerOf, type NodeView, viewsOf, whyNotWhole } from "./cluster-view.ts";

const TOPIC = "bad-input";
const NOT_LEADER_OR_FOLLOWER = 6;
const CLUSTER_AUTHORIZATION_FAILED = 31;
const STALE_BROKER_EPOCH = 77;
const INCONSISTENT_CLUSTER_ID = 104;
const directory = temporaryDirectory("bad-input");
const adminPorts: number[] = [];
let cluster: BrokerCluster;
let leader: ClusterNode;
let followerId = -1;
let topicId = "";
let clusterId = "";
let before: NodeView[] = [];

const randomUuid = (): string => randomBytes(16).toString("base64url");
const controllerAddress = (node: ClusterNode): string => `127.0.0.1:${node.controllerPort}`;

/** What a request is answered on a connection of its own; "closed" when the connection ends instead. */
async function ask<Req, Res>(
  address: string,
  api: ApiMessages<Req, Res>,
  version: number,
  request: Req,
): Promise<Res | "closed"> {
  using wire = await within(Wire.connect(address, "stranger"));
  try {
    return await within(wire.send(api, version, request), 5_000);
  } catch (error) {
    if (error instanceof Error && error.message === "connection closed") return "closed";
    throw error;
  }
}

/** `sluice_cluster_refused_total` of one node, by reason. */
async function refused(node: ClusterNode): Promise<Record<string, number>> {
  const text = await (await fetch(`http://127.0.0.1:${adminPorts[node.id - 1]}/metrics`)).text();
  const found = text.matchAll(/^sluice_cluster_refused_total\{reason="([^"]+)"\} (\d+)/gm);
  return Object.fromEntries([...found].map(([, reason, count]) => [reason, Number(count)]));
}

function identityOf(nodeId: number, secret: string | null): PeerIdentity {
  const incarnationId = randomUuid();
  const directoryId = randomUuid();
  return { clusterId, nodeId, incarnationId, directoryId, host: "127.0.0.1", port: 1, secret };
}

beforeAll(async () => {
  for (let at = 0; at < 3; at += 1) adminPorts.push(await freePort());
  cluster = await sluiceCluster({
    directory: directory.path,
    overridesOf: ({ id }) => ({ "sluice.admin.listener": `127.0.0.1:${adminPorts[id - 1]}` }),
  });
  await cluster.start();
  const anyAddress = (): string => cluster.nodes[0]?.bootstrap ?? "";
  await createTopic(anyAddress, TOPIC, 1, {}, 3);
  await until(
    async () => whyNotWhole(cluster, [TOPIC], (before = await viewsOf(cluster, [TOPIC]))) === null,
    60_000,
    () => `not whole: ${whyNotWhole(cluster, [TOPIC], before)}`,
  );
  const row = before[0]?.topics.get(TOPIC)?.[0];
  const found = cluster.nodes.find(({ id }) => id === row?.leader);
  if (row === undefined || found === undefined) throw new Error("no leader");
  leader = found;
  followerId = row.replicas.find((id) => id !== row.leader) ?? -1;
  const metadata = await ask(anyAddress(), MetadataApi, 10, makeMetadataRequest({ topics: null }));
  if (metadata === "closed") throw new Error("no metadata");
  topicId = metadata.topics.find(({ name }) => name === TOPIC)?.topicId ?? "";
  clusterId = metadata.clusterId ?? "";
}, 120_000);

afterAll(async () => {
  await cluster?.stop("SIGKILL");
  directory.remove();
});

describe("a client", () => {
  test("that calls itself a replica is given no records and moves nobody's progress", async () => {
    const partition = { partition: 0, fetchOffset: 0, partitionMaxBytes: 1_000 };
    const old = makeFetchRequest({
      replicaId: followerId,
      maxWaitMs: 0,
      maxBytes: 1_000,
      topics: [makeFetchTopic({ topic: TOPIC, partitions: [makeFetchPartition(partition)] })],
    });
    const recent = makeFetchRequest({
      replicaState: makeReplicaState({ replicaId: followerId, replicaEpoch: 1 }),
      maxWaitMs: 0,
      maxBytes: 1_000,
      topics: [makeFetchTopic({ topicId, partitions: [makeFetchPartition(partition)] })],
    });
    for (const [version, request] of [
      [11, old],
      [17, recent],
    ] as const) {
      const answer = await ask(leader.bootstrap, FetchApi, version, request);
      if (answer === "closed") throw new Error("closed");
      const row = answer.responses[0]?.partitions[0];
      expect([row?.errorCode, row?.highWatermark]).toEqual([NOT_LEADER_OR_FOLLOWER, -1]);
    }
    expect((await refused(leader))["replica-fetch"]).toBe(2);
  });

  const envelope = makeEnvelopeRequest({
    requestData: new Uint8Array(10),
    requestPrincipal: new Uint8Array(3),
    clientHostAddress: new Uint8Array([127, 0, 0, 1]),
  });
  const heartbeat = makeBrokerHeartbeatRequest({ brokerId: 1, brokerEpoch: 1 });
  const alter = makeAlterPartitionRequest({ brokerId: 1, brokerEpoch: 1, topics: [] });
  const allocate = makeAllocateProducerIdsRequest({ brokerId: 1, brokerEpoch: 1 });
  const register = makeBrokerRegistrationRequest({
    brokerId: 77,
    clusterId: "another",
    incarnationId: randomUuid(),
  });

  test("finds nothing of the controller on a broker's listener", async () => {
    const at = leader.bootstrap;
    expect(await ask(at, EnvelopeApi, 0, envelope)).toBe("closed");
    expect(await ask(at, BrokerRegistrationApi, 4, register)).toBe("closed");
    expect(await ask(at, BrokerHeartbeatApi, 1, heartbeat)).toBe("closed");
    expect(await ask(at, AlterPartitionApi, 3, alter)).toBe("closed");
    expect(await ask(at, AllocateProducerIdsApi, 0, allocate)).toBe("closed");
  });

  test("finds nothing of a broker on a controller's listener", async () => {
    for (const node of cluster.nodes) {
      const at = controllerAddress(node);
      expect(await ask(at, MetadataApi, 12, makeMetadataRequest({ topics: [] }))).toBe("closed");
      expect(await ask(at, ProduceApi, 9, makeProduceRequest({ topicData: [] }))).toBe("closed");
      expect(await ask(at, JoinGroupApi, 7, makeJoinGroupRequest({ groupId: "g" }))).toBe("closed");
    }
  });

  test("may not speak for a broker on a controller's listener", async () => {
    for (const node of cluster.nodes) {
      const at = controllerAddress(node);
      for (const answer of [
        await ask(at, EnvelopeApi, 0, envelope),
        await ask(at, BrokerRegistrationApi, 4, register),
        await ask(at, BrokerHeartbeatApi, 1, heartbeat),
        await ask(at, AlterPartitionApi, 3, alter),
        await ask(at, AllocateProducerIdsApi, 0, allocate),
      ])
        expect(answer).toMatchObject({ errorCode: CLUSTER_AUTHORIZATION_FAILED });
      expect((await refused(node))["request"]).toBe(5);
    }
  });

  test("may not send raft messages, nor a hello without the secret", async () => {
    const at = controllerAddress(leader);
    using wire = await Wire.connect(at, "stranger");
    const sent = wire.exchange(encodeRaftMessages([new Uint8Array(100)]));
    await expect(within(sent)).rejects.toThrow("connection closed");
    const hello = makeHello(identityOf(followerId, "guessed"), leader.id, Date.now(), randomUuid());
    const answer = await ask(at, PeerHelloApi, 0, hello);
    expect(answer).toMatchObject({ errorCode: CLUSTER_AUTHORIZATION_FAILED, nodeId: -1 });
    const counts = await refused(leader);
    expect([counts["no-hello"], counts["wrong-secret"]]).toEqual([1, 1]);
  });
});

describe("a node", () => {
  /** A connection to the active controller that has said a valid hello. */
  async function admitted(): Promise<Wire> {
    const controllerId = await controllerOf(cluster);
    const node = cluster.nodes.find(({ id }) => id === controllerId);
    if (node === undefined) throw new Error("no controller");
    const wire = await Wire.connect(controllerAddress(node), "node");
    const hello = makeHello(identityOf(77, null), controllerId, Date.now(), randomUuid());
    expect(await wire.send(PeerHelloApi, 0, hello)).toMatchObject({ errorCode: 0 });
    return wire;
  }

  test("with a stale broker epoch is refused, and so is one of another cluster", async () => {
    using wire = await admitted();
    const brokerId = followerId;
    const stale = [
      await wire.send(
        BrokerHeartbeatApi,
        1,
        makeBrokerHeartbeatRequest({ brokerId, brokerEpoch: 1, wantFence: true }),
      ),
      await wire.send(
        AlterPartitionApi,
        3,
        makeAlterPartitionRequest({ brokerId: leader.id, brokerEpoch: 1, topics: [] }),
      ),
      await wire.send(
        AllocateProducerIdsApi,
        0,
        makeAllocateProducerIdsRequest({ brokerId, brokerEpoch: 1 }),
      ),
    ];
    for (const answer of stale) expect(answer).toMatchObject({ errorCode: STALE_BROKER_EPOCH });
    const request = makeBrokerRegistrationRequest({
      brokerId: 77,
      clusterId: "another",
      incarnationId: randomUuid(),
    });
    const answer = await wire.send(BrokerRegistrationApi, 4, request);
    expect(answer).toMatchObject({ errorCode: INCONSISTENT_CLUSTER_ID });
  });
});

test("SWIM packets that are forged, replayed, foreign or no packets at all are refused", async () => {
  const packetOf = (cluster: string, secret: string): Uint8Array => {
    const machine = new SwimCore({
      nodeId: 99,
      incarnationId: randomUuid(),
      clusterId: cluster,
      secret,
      address: { host: "127.0.0.1", port: 1 },
      seeds: [{ host: "127.0.0.1", port: leader.controllerPort }],
      profile: "default",
      seed: 1,
      nowMs: Date.now(),
    });
    machine.handleTimer(Date.now());
    const [packet] = machine.takeOutputs().packets;
    machine.close();
    if (packet === undefined) throw new Error("no packet");
    return packet.bytes.slice();
  };
  const genuine = packetOf(clusterId, clusterId);
  const forged = genuine.slice();
  forged[forged.length - 1] = (forged.at(-1) ?? 0) ^ 1;
  const wrongVersion = genuine.slice();
  wrongVersion[4] = 200;
  const packets = [
    forged,
    wrongVersion,
    packetOf("CCCCCCCCCCCCCCCCCCCCCA", clusterId),
    packetOf(clusterId, "guessed"),
    new Uint8Array(50).fill(7),
    new Uint8Array(5_000).fill(7),
    genuine,
    genuine,
    genuine,
  ];
  const socket = createSocket("udp4");
  for (const packet of packets)
    await new Promise((resolve) =>
      socket.send(packet, leader.controllerPort, "127.0.0.1", resolve),
    );
  socket.close();
  const wanted = {
    "swim-forged": 2,
    "swim-wrongVersion": 1,
    "swim-wrongCluster": 1,
    "swim-malformed": 1,
    "swim-tooLarge": 1,
    "swim-replayed": 2,
  };
  let counts: Record<string, number> = {};
  await until(
    async () => {
      counts = await refused(leader);
      return Object.keys(wanted).every((reason) => reason in counts);
    },
    10_000,
    () => `refused: ${JSON.stringify(counts)}`,
  );
  expect(counts).toMatchObject(wanted);
}, 30_000);

test("nobody noticed: leaders, epochs and ISRs are what they were, and the log tells of it", async () => {
  const after = await viewsOf(cluster, [TOPIC]);
  expect(after.map(({ topics }) => topics)).toEqual(before.map(({ topics }) => topics));
  expect(after.map(({ brokers }) => brokers)).toEqual(before.map(({ brokers }) => brokers));
  const lines = [
    "a client calls itself a replica",
    "a client sent what only nodes may send",
    "refusing a node that wants to join",
    "refusing a SWIM packet",
  ];
  await until(
    () => lines.every((line) => leader.log().includes(line)),
    20_000,
    () => leader.log(),
  );
}, 30_000);
